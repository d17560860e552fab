// Copies of arrays and views at addresses that are not multiples of the size of their elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lutra/import.h"
#include "lutra/matrix.h"

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

// A copy of the arrays of a view, each at an odd address.
class MisalignedView {
 public:
  explicit MisalignedView(const QuantizedView& w) : view_(w) {
    const std::size_t scales = ScaleCount(w), supers = 2 * SuperScaleCount(w);
    Move(scales * SizeOf(w.scale_type), &view_.scales);
    Move(scales * ZeroSize(w), &view_.zeros);
    Move(supers, &view_.super_scales);
    Move(supers, &view_.super_offsets);
    Move(w.m * sizeof(float), &view_.bias);
    Move(w.k * sizeof(std::uint32_t), &view_.order);
  }

  const QuantizedView& view() const { return view_; }

 private:
  template <class T>
  void Move(std::size_t size, const T** data) {
    if (*data == nullptr) return;
    copies_.emplace_back(static_cast<const std::uint8_t*>(static_cast<const void*>(*data)), size);
    *data = static_cast<const T*>(static_cast<const void*>(copies_.back().data()));
  }

  QuantizedView view_;
  std::vector<Misaligned<std::uint8_t>> copies_;  // whose bytes stay where they are when it grows
};

}  // namespace lutra::test
