// MappedFile: the bytes of a file, read-only; without a copy, unless the caller wants one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lutra/buffer.h"
#include "lutra/export.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// How the bytes of a file get to memory.
enum class FileAccess : std::uint8_t {
  kMap,   // mapped; read on systems that cannot
  kRead,  // read to memory of the program's own
};

namespace functions {

// "map" or "read"; "?" for a value that is none of these.
constexpr const char* Name(FileAccess access) noexcept {
  switch (access) {
    case FileAccess::kMap:
      return "map";
    case FileAccess::kRead:
      return "read";
  }
  return "?";
}

}  // namespace functions

// The bytes of a file. Movable. Any number of threads may read them.
//
// A file must not change while it is mapped. If another file is renamed over it, which Windows refuses, the mapping
// keeps the old bytes. If any program writes to it, the bytes change under their readers. If any program truncates it,
// or its disk or network fails, the system ends a program that reads the lost bytes with a signal (SIGBUS): no Status
// can say so. Where that may happen, give FileAccess::kRead.
class LUTRA_API MappedFile {
 public:
  MappedFile() = default;
  ~MappedFile() { Close(); }
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        copy_(std::move(other.copy_)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(copy_, other.copy_);
    return *this;
  }

  // Maps or reads the file at `path`. Fails, with this object unchanged: with kIo if `path` is not a regular file or
  // cannot be read (errno may say why), with kInvalidArgument if it is null or `access` is no FileAccess, and if memory
  // is short. Does not wait for what is not a regular file, such as a FIFO.
  Status Open(const char* path, FileAccess access = FileAccess::kMap);

  const std::uint8_t* data() const { return data_; }  // aligned to 64 bytes; null if size() is 0
  std::size_t size() const { return size_; }
  // Whether data() is mapped: not read to memory of the program's own.
  bool mapped() const { return data_ != nullptr && copy_.data() == nullptr; }

  // Hints about data()[offset .. offset + size), for files that are larger than memory. They change no byte and cannot
  // fail; they do nothing if the file is not mapped, or where the system has no such call. Parts beyond size() are
  // ignored. Thread-safe.
  //
  // Prefetch: the system begins to read these bytes, and does not wait. Release: the pages that lie in the range wholly
  // leave the memory of the program, and that of the system where it can tell that no other program maps them (Linux);
  // who reads them later waits for the file again.
  void Prefetch(std::size_t offset, std::size_t size) const;
  void Release(std::size_t offset, std::size_t size) const;

 private:
  void Close();

  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  Buffer copy_;  // holds data_ if that is not mapped
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
