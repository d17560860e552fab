// Copies of arrays at addresses that are not multiples of the size of their elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lutra/import.h"

namespace lutra::test {

// A copy whose address is odd.
template <class T>
class Misaligned {
 public:
  Misaligned(const T* data, std::size_t size) : bytes_(size * sizeof(T) + 1), size_(size) {
    if (size != 0) std::memcpy(bytes_.data() + 1, data, size * sizeof(T));
  }
  explicit Misaligned(const TensorView<T>& tensor) : Misaligned(tensor.data, tensor.size) {}

  const T* data() const { return reinterpret_cast<const T*>(bytes_.data() + 1); }
  TensorView<T> view() const { return {data(), size_}; }

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t size_;
};

}  // namespace lutra::test
