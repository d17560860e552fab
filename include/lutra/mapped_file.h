// A file's bytes, read-only, without copying them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lutra/buffer.h"
#include "lutra/export.h"
#include "lutra/status.h"

namespace lutra {

// Maps a file; where the system has no mmap, reads it. The file must not change while it is mapped. If another file is
// renamed over it, the mapping keeps the old bytes. Movable. Any number of threads may read.
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

  // Fails with kIo, and nothing changed, if `path` is not a regular file or cannot be read; errno may say why.
  Status Open(const char* path);

  const std::uint8_t* data() const { return data_; }  // aligned to 64 bytes; null if size() is 0
  std::size_t size() const { return size_; }

 private:
  void Close();

  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  Buffer copy_;  // holds data_ if that is not mapped
};

}  // namespace lutra
