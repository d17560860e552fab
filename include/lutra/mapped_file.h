// MappedFile: the bytes of a file, read-only, without a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lutra/buffer.h"
#include "lutra/export.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Maps a file, or reads it on systems that cannot. The file must not change while it is mapped. If another file is
// renamed over it, which Windows refuses, the mapping keeps the old bytes. Movable. Any number of threads may read the
// bytes.
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

  // Maps the file at `path`. Fails, with this object unchanged: with kIo if `path` is not a regular file or cannot be
  // read (errno may say why), with kInvalidArgument if it is null.
  Status Open(const char* path);

  const std::uint8_t* data() const { return data_; }  // aligned to 64 bytes; null if size() is 0
  std::size_t size() const { return size_; }

 private:
  void Close();

  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  Buffer copy_;  // holds data_ if that is not mapped
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
