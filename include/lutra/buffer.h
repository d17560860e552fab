// Owned memory: aligned, never throwing, on huge pages where the OS gives them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lutra/export.h"

namespace lutra {

// A movable block of bytes aligned to 64. Not thread-safe.
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

  // Makes size() at least `size`; the contents are lost when it has to grow. False, and nothing changed, if memory is
  // short.
  [[nodiscard]] bool Reserve(std::size_t size);

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
  void Free();

  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace lutra
