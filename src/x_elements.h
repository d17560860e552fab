// Elements of x, one at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "load_float.h"
#include "lutra/activations.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The scale of element (n, k).
inline float ScaleOfX(const ActivationView& x, std::size_t n, std::size_t k) {
  const std::size_t groups = GroupsPerRow(x.k, x.scale_group);
  return x.scales[n * groups + (x.scale_group == kPerRow ? 0 : k / x.scale_group)];
}

// Element (n, k) of integers.
inline int IntegerOfX(const ActivationView& x, std::size_t n, std::size_t k) {
  const std::size_t i = n * x.row_stride + k;
  const int byte = static_cast<const std::uint8_t*>(x.data)[i / PerByte(x.type)];
  if (x.type == DataType::kBits) return (byte >> (i % 8) & 1) != 0 ? 1 : -1;
  if (x.type == DataType::kInt4) return ((byte >> (i % 2 * 4) & 15) ^ 8) - 8;
  return (byte ^ 128) - 128;
}

// Element (n, k) in float.
inline float X(const ActivationView& x, std::size_t n, std::size_t k) {
  if (!HasScales(x.type)) return LoadFloat(x.data, x.type, n * x.row_stride + k);
  return static_cast<float>(IntegerOfX(x, n, k)) * ScaleOfX(x, n, k);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
