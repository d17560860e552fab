// Reads numbers and choices from the bytes of a fuzzer; after their end it reads zeros.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "support/problem.h"
#include "support/shapes.h"

namespace lutra::test {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  std::size_t left() const { return size_; }
  bool empty() const { return size_ == 0; }

  template <class T>
  T Number() {
    T value{};
    const std::size_t bytes = std::min(sizeof(T), size_);
    if (bytes != 0) std::memcpy(&value, data_, bytes);
    data_ += bytes;
    size_ -= bytes;
    return value;
  }
  std::uint8_t Byte() { return Number<std::uint8_t>(); }
  bool Flag() { return Byte() % 2 == 1; }
  // One of `chances` bytes.
  bool Rarely(unsigned chances) { return Byte() % chances == chances - 1; }
  // Below 65536 and `end`, which is not 0.
  std::size_t Below(std::size_t end) { return (end <= 256 ? Byte() : Number<std::uint16_t>()) % end; }
  template <class T, std::size_t kCount>
  const T& Pick(const T (&list)[kCount]) {
    return list[Below(kCount)];
  }
  // A size from kSizes, a small one, or any up to `most`.
  std::size_t Size(std::size_t most) {
    const std::size_t i = Below(256);
    return std::min(i < kSizeCount ? kSizes[i] : i < 2 * kSizeCount ? i - kSizeCount : Below(most + 1), most);
  }
  // The bytes that are left, once and again until there are `size`; zeros if none are.
  std::vector<std::uint8_t> Repeated(std::size_t size) const {
    std::vector<std::uint8_t> bytes(size);
    for (std::size_t i = 0; i < size && size_ != 0; ++i) bytes[i] = data_[i % size_];
    return bytes;
  }
  std::vector<std::uint8_t> Rest() const { return Repeated(size_); }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

// What a fuzzer does with one input: matmul_fuzz.cc, ... define it, libfuzzer.cc and corpus_test.cc call it.
void CheckInput(Input& input);

// The best target, or another that runs.
inline Target PickTarget(Input& input) {
  const TargetList targets = RunnableTargets();
  return targets.data[input.Below(targets.size)];
}

// A multiplication, and the target its weights are packed for: of at most `products` products of weights, as kernels
// compute them in whole panels, and activations; or rarely of some more.
inline Case PickCase(Input& input, std::size_t products) {
  Case c;
  c.target = PickTarget(input);
  c.format = input.Pick(kFormats).format;
  c.m = input.Size(300);
  c.k = input.Size(600);
  c.n = input.Size(40);
  if (input.Rarely(16)) products *= 8;
  const auto panels = [](std::size_t m) { return (m + 63) / 64 * 64; };
  while (c.m > 64 && panels(c.m) * c.k > products) c.m -= 64;
  c.n = std::min(c.n, products / std::max<std::size_t>(panels(c.m) * c.k, 64) + 1);
  c.group = input.Pick(kGroups);
  const ParamKind& kind = input.Pick(kParamKinds);
  c.zeros = kind.zeros;
  c.scale_type = kind.scale_type;
  if (!Exists(c.group, kind)) c.group = 32;
  const std::uint8_t flags = input.Byte();
  c.bias = (flags & 1) != 0;
  c.order = (flags & 2) != 0;
  c.precision = (flags & 4) != 0 ? Precision::kInt16 : Precision::kInt8;
  c.gap = (flags & 8) != 0 ? flags >> 4 : 0;
  c.x = input.Pick(kXKinds);
  c.y_type = input.Pick(kFloatTypes);
  c.data = input.Pick(kDataKinds);
  c.seed = input.Number<std::uint16_t>();
  return c;
}

}  // namespace lutra::test
