// MappedFile: maps a file, or reads it on systems that cannot.
#include "lutra/mapped_file.h"

// A test defines LUTRA_NO_MMAP to read files on any system.
#if defined(_WIN32) && !defined(LUTRA_NO_MMAP)
#define LUTRA_MAP_VIEW
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#elif (defined(__unix__) || defined(__APPLE__)) && !defined(LUTRA_NO_MMAP)
#define LUTRA_MMAP
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#include <cstdio>
#include <limits>
#include <memory>
#endif

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

constexpr Status Failed(const char* reason) { return {StatusCode::kIo, "path", reason}; }

}  // namespace

#if defined(LUTRA_MAP_VIEW)

Status MappedFile::Open(const char* path) {
  if (path == nullptr) return Status::Invalid("path", "is null");
  struct Owned {
    const HANDLE handle;
    ~Owned() {
      if (handle != nullptr && handle != INVALID_HANDLE_VALUE) CloseHandle(handle);
    }
  };
  const Owned file{CreateFileA(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr, OPEN_EXISTING,
                               FILE_ATTRIBUTE_NORMAL, nullptr)};
  if (file.handle == INVALID_HANDLE_VALUE) return Failed("cannot be opened");
  LARGE_INTEGER size;
  if (GetFileType(file.handle) != FILE_TYPE_DISK || GetFileSizeEx(file.handle, &size) == 0) {
    return Failed("is not a regular file");
  }
  if (static_cast<std::uint64_t>(size.QuadPart) > static_cast<std::size_t>(-1)) return Failed("is too large to map");
  MappedFile opened;
  if (size.QuadPart != 0) {
    const Owned mapping{CreateFileMappingA(file.handle, nullptr, PAGE_READONLY, 0, 0, nullptr)};
    if (mapping.handle == nullptr) return Failed("cannot be mapped");
    const void* const data = MapViewOfFile(mapping.handle, FILE_MAP_READ, 0, 0, 0);
    if (data == nullptr) return Failed("cannot be mapped");
    opened.data_ = static_cast<const std::uint8_t*>(data);
    opened.size_ = static_cast<std::size_t>(size.QuadPart);
  }
  *this = std::move(opened);
  return {};
}

void MappedFile::Close() {
  if (data_ != nullptr) UnmapViewOfFile(data_);
}

#elif defined(LUTRA_MMAP)

Status MappedFile::Open(const char* path) {
  if (path == nullptr) return Status::Invalid("path", "is null");
  struct Descriptor {
    const int number;
    ~Descriptor() {
      if (number >= 0) close(number);
    }
  } const file{open(path, O_RDONLY | O_CLOEXEC)};
  if (file.number < 0) return Failed("cannot be opened");
  struct stat info;
  if (fstat(file.number, &info) != 0 || !S_ISREG(info.st_mode)) return Failed("is not a regular file");
  if (static_cast<std::uintmax_t>(info.st_size) > static_cast<std::size_t>(-1)) return Failed("is too large to map");
  MappedFile opened;
  if (info.st_size != 0) {
    const auto size = static_cast<std::size_t>(info.st_size);
    void* const data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number, 0);
    if (data == MAP_FAILED) return Failed("cannot be mapped");
    opened.data_ = static_cast<const std::uint8_t*>(data);
    opened.size_ = size;
  }
  *this = std::move(opened);
  return {};
}

void MappedFile::Close() {
  if (data_ != nullptr) munmap(const_cast<std::uint8_t*>(data_), size_);
}

#else

Status MappedFile::Open(const char* path) {
  if (path == nullptr) return Status::Invalid("path", "is null");
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path, "rb"));
  if (file == nullptr) return Failed("cannot be opened");
  if (std::fseek(file.get(), 0, SEEK_END) != 0) return Failed("is not a regular file");
  const long size = std::ftell(file.get());
  if (size < 0 || size == std::numeric_limits<long>::max()) return Failed("is not a regular file");
  std::rewind(file.get());
  MappedFile opened;
  if (size != 0) {
    opened.size_ = static_cast<std::size_t>(size);
    if (!opened.copy_.Reserve(opened.size_)) return Status::OutOfMemory("path");
    if (std::fread(opened.copy_.data(), 1, opened.size_, file.get()) != opened.size_) return Failed("cannot be read");
    opened.data_ = opened.copy_.data();
  }
  *this = std::move(opened);
  return {};
}

void MappedFile::Close() {}

#endif

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
