// The scale, and what is added, of one weight of a QuantizedView.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "load_float.h"
#include "lutra/matrix.h"

namespace lutra {
namespace internal {

inline std::size_t GroupAt(const QuantizedView& w, std::size_t m, std::size_t k) {
  if (w.group == kPerMatrix) return 0;
  if (w.group == kPerRow) return m;
  return m * GroupsPerRow(w.k, w.group) + k / w.group;
}

// One of scales[] or zeros[], times its super-scale if there is one: exact, f16 times 8 bits.
inline float ScaleFrom(const QuantizedView& w, const void* array, const std::uint16_t* super_values, std::size_t m,
                       std::size_t k) {
  const std::size_t i = GroupAt(w, m, k);
  if (!HasTwoLevels(w.scale_type)) return LoadFloat(array, w.scale_type, i);
  const auto integer = static_cast<float>(static_cast<const std::int8_t*>(array)[i]);
  return integer * F16ToF32(super_values[m * GroupsPerRow(w.k, kSuperGroup) + k / kSuperGroup]);
}
inline float ScaleAt(const QuantizedView& w, std::size_t m, std::size_t k) {
  return ScaleFrom(w, w.scales, w.super_scales, m, k);
}
// Of kOffset.
inline float OffsetAt(const QuantizedView& w, std::size_t m, std::size_t k) {
  return ScaleFrom(w, w.zeros, w.super_offsets, m, k);
}
// Of the other kinds.
inline float ZeroAt(const QuantizedView& w, std::size_t m, std::size_t k) {
  if (w.zero_kind == ZeroKind::kNone) return Describe(w.format).default_zero;
  const std::size_t i = GroupAt(w, m, k);
  return IsFloat(w.zero_type) ? LoadFloat(w.zeros, w.zero_type, i)
                              : static_cast<float>(static_cast<const std::uint8_t*>(w.zeros)[i]);
}

// W(m, k) if its code stands for `value`, in the arithmetic of T.
template <class T>
T WeightAt(const QuantizedView& w, std::size_t m, std::size_t k, float value) {
  const T scale = ScaleAt(w, m, k);
  if (w.zero_kind == ZeroKind::kOffset) return scale * value + OffsetAt(w, m, k);
  return scale * (T{value} - ZeroAt(w, m, k));
}

// What W(m, k) has beside scale * gain * L(code): the constant of its group, as kernels round it. (The gain is a power
// of two, but a subnormal scale may lose its lowest bit to it.)
inline float CenterAt(const QuantizedView& w, const MethodInfo& method, std::size_t m, std::size_t k) {
  const float gain = method.gain(), center = method.center(), scale = ScaleAt(w, m, k) * gain;
  if (w.zero_kind == ZeroKind::kOffset) {
    const float offset = OffsetAt(w, m, k);
    return center == 0 ? offset : std::fma(scale, center / gain, offset);  // -0 stays -0
  }
  return scale * ((center - ZeroAt(w, m, k)) / gain);
}

}  // namespace internal
}  // namespace lutra
