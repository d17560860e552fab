// MappedFile: maps a file, or reads it.
#include "lutra/mapped_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <limits>
#include <memory>

#if defined(__unix__) || defined(__APPLE__)
#define LUTRA_POSIX 1
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#define LUTRA_POSIX 0
#endif

// A test defines LUTRA_NO_MMAP to open files on any system as on one without mmap.
#if LUTRA_POSIX && !defined(LUTRA_NO_MMAP)
#define LUTRA_MMAP 1
#else
#define LUTRA_MMAP 0
#endif
#if defined(_WIN32) && !defined(LUTRA_NO_MMAP)
#define LUTRA_MAP_VIEW 1
#define WIN32_LEAN_AND_MEAN
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <windows.h>
#else
#define LUTRA_MAP_VIEW 0
#endif

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

constexpr Status Failed(const char* reason) { return {StatusCode::kIo, "path", reason}; }
constexpr Status kNotRegular = Failed("is not a regular file");

Status CheckArguments(const char* path, FileAccess access) {
  if (path == nullptr) return Status::Invalid("path", "is null");
  return access > FileAccess::kRead ? Status::Invalid("access", "is not a FileAccess") : Status();
}

#if LUTRA_MMAP || LUTRA_MAP_VIEW
// A range of a file's bytes.
struct Bytes {
  std::size_t offset, size;
};
// The part of a range that a file of `file` bytes has.
Bytes Clipped(Bytes range, std::size_t file) {
  range.offset = std::min(range.offset, file);
  return {range.offset, std::min(range.size, file - range.offset)};
}
// The pages with any byte in a range; and the pages with all bytes in it. The last page ends with the file.
Bytes PagesThatTouch(Bytes range, std::size_t file, std::size_t page) {
  const Bytes clipped = Clipped(range, file);
  if (clipped.size == 0) return clipped;
  const std::size_t before = clipped.offset % page;
  return {clipped.offset - before, clipped.size + before};
}
Bytes PagesInside(Bytes range, std::size_t file, std::size_t page) {
  const Bytes clipped = Clipped(range, file);
  const std::size_t after = clipped.offset + clipped.size, end = after == file ? after : after / page * page;
  const std::size_t begin = (clipped.offset + page - 1) / page * page;
  return {begin, begin < end ? end - begin : 0};
}
#endif

}  // namespace

#if LUTRA_MMAP

namespace {

std::size_t PageBytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

struct Descriptor {
  const int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

// Reads `size` bytes. Fails if the file has become shorter.
bool ReadAll(int file, std::uint8_t* to, std::size_t size) {
  constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;  // some systems take less than 2 GB
  while (size != 0) {
    const ssize_t bytes = read(file, to, size < kMostAtOnce ? size : kMostAtOnce);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) return false;
    to += bytes;
    size -= static_cast<std::size_t>(bytes);
  }
  return true;
}

}  // namespace

Status MappedFile::Open(const char* path, FileAccess access) {
  if (const Status status = CheckArguments(path, access); !status.ok()) return status;
  // O_NONBLOCK: a FIFO is opened at once, and refused then. Regular files do not mind.
  const Descriptor file{open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  if (file.number < 0) return Failed("cannot be opened");
  struct stat info;
  if (fstat(file.number, &info) != 0 || !S_ISREG(info.st_mode)) return kNotRegular;
  if (static_cast<std::uintmax_t>(info.st_size) > static_cast<std::size_t>(-1)) return Failed("is too large to map");
  const auto size = static_cast<std::size_t>(info.st_size);
  MappedFile opened;
  if (size != 0 && access == FileAccess::kRead) {
    if (!opened.copy_.Reserve(size)) return Status::OutOfMemory("path");
    if (!ReadAll(file.number, opened.copy_.data(), size)) return Failed("cannot be read");
    opened.data_ = opened.copy_.data();
    opened.size_ = size;
  } else if (size != 0) {
    void* const data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number, 0);
    if (data == MAP_FAILED) return Failed("cannot be mapped");
    opened.data_ = static_cast<const std::uint8_t*>(data);
    opened.size_ = size;
  }
  *this = std::move(opened);
  return {};
}

void MappedFile::Close() {
  if (mapped()) munmap(const_cast<std::uint8_t*>(data_), size_);
}

void MappedFile::Prefetch(std::size_t offset, std::size_t size) const {
  if (!mapped()) return;
  const Bytes pages = PagesThatTouch({offset, size}, size_, PageBytes());
  if (pages.size != 0) madvise(const_cast<std::uint8_t*>(data_ + pages.offset), pages.size, MADV_WILLNEED);
}

void MappedFile::Release(std::size_t offset, std::size_t size) const {
  if (!mapped()) return;
  const Bytes pages = PagesInside({offset, size}, size_, PageBytes());
  if (pages.size == 0) return;
  void* const begin = const_cast<std::uint8_t*>(data_ + pages.offset);
#if defined(MADV_PAGEOUT)
  madvise(begin, pages.size, MADV_PAGEOUT);  // before the next call: it takes pages that this program maps
#endif
  madvise(begin, pages.size, MADV_DONTNEED);  // of a shared mapping: the next reader gets the file's bytes again
}

#elif LUTRA_MAP_VIEW

namespace {

std::size_t PageBytes() {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return info.dwPageSize;
}

struct Owned {
  const HANDLE handle;
  ~Owned() {
    if (handle != nullptr && handle != INVALID_HANDLE_VALUE) CloseHandle(handle);
  }
};

// Reads `size` bytes. Fails if the file has become shorter.
bool ReadAll(HANDLE file, std::uint8_t* to, std::size_t size) {
  constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;
  while (size != 0) {
    DWORD bytes = 0;
    const auto wanted = static_cast<DWORD>(size < kMostAtOnce ? size : kMostAtOnce);
    if (ReadFile(file, to, wanted, &bytes, nullptr) == 0 || bytes == 0) return false;
    to += bytes;
    size -= bytes;
  }
  return true;
}

}  // namespace

Status MappedFile::Open(const char* path, FileAccess access) {
  if (const Status status = CheckArguments(path, access); !status.ok()) return status;
  const Owned file{CreateFileA(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr, OPEN_EXISTING,
                               FILE_ATTRIBUTE_NORMAL, nullptr)};
  if (file.handle == INVALID_HANDLE_VALUE) return Failed("cannot be opened");
  LARGE_INTEGER length;
  if (GetFileType(file.handle) != FILE_TYPE_DISK || GetFileSizeEx(file.handle, &length) == 0) return kNotRegular;
  if (static_cast<std::uint64_t>(length.QuadPart) > static_cast<std::size_t>(-1)) return Failed("is too large to map");
  const auto size = static_cast<std::size_t>(length.QuadPart);
  MappedFile opened;
  if (size != 0 && access == FileAccess::kRead) {
    if (!opened.copy_.Reserve(size)) return Status::OutOfMemory("path");
    if (!ReadAll(file.handle, opened.copy_.data(), size)) return Failed("cannot be read");
    opened.data_ = opened.copy_.data();
    opened.size_ = size;
  } else if (size != 0) {
    const Owned mapping{CreateFileMappingA(file.handle, nullptr, PAGE_READONLY, 0, 0, nullptr)};
    if (mapping.handle == nullptr) return Failed("cannot be mapped");
    const void* const data = MapViewOfFile(mapping.handle, FILE_MAP_READ, 0, 0, 0);
    if (data == nullptr) return Failed("cannot be mapped");
    opened.data_ = static_cast<const std::uint8_t*>(data);
    opened.size_ = size;
  }
  *this = std::move(opened);
  return {};
}

void MappedFile::Close() {
  if (mapped()) UnmapViewOfFile(data_);
}

void MappedFile::Prefetch(std::size_t offset, std::size_t size) const {
  if (!mapped()) return;
  const Bytes pages = PagesThatTouch({offset, size}, size_, PageBytes());
  if (pages.size == 0) return;
  WIN32_MEMORY_RANGE_ENTRY range = {const_cast<std::uint8_t*>(data_ + pages.offset), pages.size};
  PrefetchVirtualMemory(GetCurrentProcess(), 1, &range, 0);
}

void MappedFile::Release(std::size_t offset, std::size_t size) const {
  if (!mapped()) return;
  const Bytes pages = PagesInside({offset, size}, size_, PageBytes());
  // Pages that are not locked leave the working set.
  if (pages.size != 0) VirtualUnlock(const_cast<std::uint8_t*>(data_ + pages.offset), pages.size);
}

#else

namespace {

// Whether the path may be opened without waiting for another program.
bool IsRegular([[maybe_unused]] const char* path) {
#if LUTRA_POSIX
  struct stat info;
  return stat(path, &info) != 0 || S_ISREG(info.st_mode);
#else
  return true;
#endif
}

}  // namespace

Status MappedFile::Open(const char* path, FileAccess access) {
  if (const Status status = CheckArguments(path, access); !status.ok()) return status;
  if (!IsRegular(path)) return kNotRegular;
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path, "rb"));
  if (file == nullptr) return Failed("cannot be opened");
  if (std::fseek(file.get(), 0, SEEK_END) != 0) return kNotRegular;
  const long size = std::ftell(file.get());
  if (size < 0 || size == std::numeric_limits<long>::max()) return kNotRegular;
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
void MappedFile::Prefetch(std::size_t, std::size_t) const {}
void MappedFile::Release(std::size_t, std::size_t) const {}

#endif

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
