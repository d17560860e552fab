// The scale, zero point, offset and center of one weight of a QuantizedView, in scalar code, from arrays at any
// address.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "load_float.h"
#include "lutra/kernels/fma.h"
#include "lutra/matrix.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The bias of row m.
inline float BiasAt(const QuantizedView& w, std::size_t m) {
  return w.bias != nullptr ? LoadElement<float>(w.bias, m) : 0.0f;
}

// The index of the weight's group in scales[] and zeros[].
inline std::size_t GroupAt(const QuantizedView& w, std::size_t m, std::size_t k) {
  if (w.group == kPerMatrix) return 0;
  if (w.group == kPerRow) return m;
  return m * GroupsPerRow(w.k, w.group) + k / w.group;
}

// An element of scales[] or zeros[], times its super-scale if scales have two levels. The product of an f16 and 8 bits
// is exact.
inline float ScaleFrom(const QuantizedView& w, const void* array, const std::uint16_t* super_values, std::size_t m,
                       std::size_t k) {
  const std::size_t i = GroupAt(w, m, k);
  if (HasMatrixScale(w.scale_type)) return LoadFloat(array, w.scale_type, i) * w.matrix_scale;
  if (!HasTwoLevels(w.scale_type)) return LoadFloat(array, w.scale_type, i);
  const auto integer = static_cast<float>(static_cast<const std::int8_t*>(array)[i]);
  return integer * LoadFloat(super_values, DataType::kF16, m * GroupsPerRow(w.k, kSuperGroup) + k / kSuperGroup);
}
inline float ScaleAt(const QuantizedView& w, std::size_t m, std::size_t k) {
  return ScaleFrom(w, w.scales, w.super_scales, m, k);
}
// The offset, for ZeroKind::kOffset.
inline float OffsetAt(const QuantizedView& w, std::size_t m, std::size_t k) {
  return ScaleFrom(w, w.zeros, w.super_offsets, m, k);
}
// The zero point, for the other kinds.
inline float ZeroAt(const QuantizedView& w, std::size_t m, std::size_t k) {
  if (w.zero_kind == ZeroKind::kNone) return Describe(w.format).default_zero;
  const std::size_t i = GroupAt(w, m, k);
  return IsFloat(w.zero_type) ? LoadFloat(w.zeros, w.zero_type, i)
                              : static_cast<float>(static_cast<const std::uint8_t*>(w.zeros)[i]);
}

// The table of the weight's group, [levels]: the format's or the matrix's own. Null: values are affine, or floats.
inline const std::int8_t* TableAt(const QuantizedView& w, std::size_t m, std::size_t k) {
  const FormatInfo& f = Describe(w.format);
  if (!f.own_values) return f.values;
  const std::size_t table = HasTableChoices(w) ? w.table_choices[GroupAt(w, m, k)] : 0;
  return w.codebook + table * static_cast<std::size_t>(f.levels);
}
// L(q) of a weight with code q.
inline int IntegerAt(const QuantizedView& w, const MethodInfo& method, std::size_t m, std::size_t k, int q) {
  return method.info().own_values ? TableAt(w, m, k)[q] : method.integer(q);
}
// value(q) of a weight with code q.
inline float ValueAt(const QuantizedView& w, std::size_t m, std::size_t k, int q) {
  const FormatInfo& f = Describe(w.format);
  return f.own_values ? f.unit * static_cast<float>(TableAt(w, m, k)[q]) : f.value(q);
}

// W(m, k) for a code with this value, in the arithmetic of T.
template <class T>
T WeightAt(const QuantizedView& w, std::size_t m, std::size_t k, float value) {
  const T scale = ScaleAt(w, m, k);
  if (w.zero_kind == ZeroKind::kOffset) return scale * value + OffsetAt(w, m, k);
  return scale * (T{value} - ZeroAt(w, m, k));
}

// Writes row m of w in float: column j to out[ColumnOfX(w, j)].
inline void DequantizeRow(const QuantizedView& w, std::size_t m, float* out) {
  const FormatInfo& f = Describe(w.format);
  const std::uint8_t* const codes = w.codes + m * w.code_stride;
  const bool offsets = w.zero_kind == ZeroKind::kOffset;
  const std::size_t group = HasRowScales(w.group) ? w.k : w.group;
  for (std::size_t begin = 0; begin < w.k; begin += group) {
    const std::size_t end = group < w.k - begin ? begin + group : w.k;
    const std::int8_t* const table = TableAt(w, m, begin);
    const float scale = ScaleAt(w, m, begin), zero = offsets ? OffsetAt(w, m, begin) : ZeroAt(w, m, begin);
    for (std::size_t k = begin; k < end; ++k) {
      const float value = f.own_values ? f.unit * static_cast<float>(table[codes[k]]) : f.value(codes[k]);
      out[ColumnOfX(w, k)] = offsets ? scale * value + zero : scale * (value - zero);
    }
  }
}

// The center of the weight's group: W(m, k) = scale * gain * L(code) + center. It is rounded as kernels round it. (The
// gain is a power of two, but its product with a subnormal scale may lose the lowest bit.)
inline float CenterAt(const QuantizedView& w, const MethodInfo& method, std::size_t m, std::size_t k) {
  const float gain = method.gain(), center = method.center(), scale = ScaleAt(w, m, k) * gain;
  if (w.zero_kind == ZeroKind::kOffset) {
    const float offset = OffsetAt(w, m, k);
    return center == 0 ? offset : Fma(scale, center / gain, offset);  // -0 stays -0
  }
  return scale * ((center - ZeroAt(w, m, k)) / gain);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
