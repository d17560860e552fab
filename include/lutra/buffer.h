// Buffer: owned memory, aligned to 64 bytes, without exceptions, on huge pages where the system offers them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lutra/export.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Owns bytes at an address that is a multiple of 64. Movable. Not thread-safe.
class LUTRA_API Buffer {
 public:
  static constexpr std::size_t kAlignment = 64;

  Buffer() = default;
  ~Buffer() { Free(); }
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  // The memory that Reserve(size) takes: a multiple of kAlignment. The largest std::size_t if there is no such memory.
  // From 2 MB on, whole huge pages of it are asked for, as these need fewer entries of the TLB while panels are read.
  static constexpr std::size_t BytesFor(std::size_t size) {
    return size > kNone / 2 ? kNone : (size + kAlignment - 1) / kAlignment * kAlignment;
  }

  // Makes size() at least `size` bytes. If the buffer grows, its contents are lost. If memory is short, returns false
  // and changes nothing.
  [[nodiscard]] bool Reserve(std::size_t size);

  // The bytes as elements of T.
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }
  template <class T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_);
  }
  std::uint8_t* data() { return data_; }
  const std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  void Free();

  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
