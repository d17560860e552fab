// The scales and zeros of a group, of whatever types, to what micro-kernels add: the floats of BlockArgs::params.
#if defined(LUTRA_KERNELS_PARAMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PARAMS_INL_H_
#undef LUTRA_KERNELS_PARAMS_INL_H_
#else
#define LUTRA_KERNELS_PARAMS_INL_H_
#endif

#include "lutra/kernels/flush-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

// Integers of a byte each, those of rows from `row` on, as floats.
template <class T>
HWY_INLINE VF LoadBytes(const std::uint8_t* from, std::size_t row) {
  const hn::Rebind<T, DF> d8;
  return hn::ConvertTo(DF(), hn::PromoteTo(D32(), hn::LoadU(d8, reinterpret_cast<const T*>(from) + row)));
}
// Integers of four bits each, the low or the high ones of such bytes, as floats.
HWY_INLINE VF LoadNibbles(const std::uint8_t* from, std::size_t row, bool high) {
  V32 both = hn::PromoteTo(D32(), hn::LoadU(hn::Rebind<std::uint8_t, DF>(), from + row));
  StayInRegister(both);  // promoted once, not once for the low and once for the high ones
  return hn::ConvertTo(DF(), high ? hn::ShiftRight<4>(both) : hn::And(both, hn::Set(D32(), 15)));
}

// How the scales of a panel, times the gain, and its offsets, which are stored alike, are read for rows from `row` on.
// Offsets follow scales; `supers` are floats, super-scale * gain and super-offset of each row.
template <DataType kType>
struct ScaleLoader {  // one level
  static HWY_INLINE VF Scale(const std::uint8_t* params, const float*, std::size_t row, float gain) {
    const VF scale = LoadFloats(DF(), params, kType, row);
    return gain == 1.0f ? scale : hn::Mul(scale, hn::Set(DF(), gain));
  }
  static HWY_INLINE VF Offset(const std::uint8_t* params, const float*, std::size_t row) {
    return LoadFloats(DF(), params + kPanelRows * SizeOf(kType), kType, row);
  }
};
template <>
struct ScaleLoader<DataType::kInt8> {
  static HWY_INLINE VF Scale(const std::uint8_t* params, const float* supers, std::size_t row, float) {
    return hn::Mul(LoadBytes<std::int8_t>(params, row), hn::Load(DF(), supers + row));
  }
  static HWY_INLINE VF Offset(const std::uint8_t* params, const float* supers, std::size_t row) {
    return Scale(params + kPanelRows, supers + kPanelRows, row, 1.0f);
  }
};
template <>
struct ScaleLoader<DataType::kUInt4> {
  static HWY_INLINE VF Scale(const std::uint8_t* params, const float* supers, std::size_t row, float) {
    return hn::Mul(LoadNibbles(params, row, false), hn::Load(DF(), supers + row));
  }
  static HWY_INLINE VF Offset(const std::uint8_t* params, const float* supers, std::size_t row) {
    return hn::Mul(LoadNibbles(params, row, true), hn::Load(DF(), supers + kPanelRows + row));
  }
};

// internal::CenterAt in src/scales.h, but of kOffset; the gain is a power of two: exact.
template <Format kFormat>
HWY_INLINE VF CenterOf(VF scale, VF zero) {
  const DF df;
  constexpr float kGain = Describe(kFormat).gain, kCenter = Describe(kFormat).center;
  return hn::Mul(scale, hn::Mul(hn::Sub(hn::Set(df, kCenter), zero), hn::Set(df, 1.0f / kGain)));
}

// The params of a panel in some groups, `stride` bytes apart.
struct GroupParams {
  const std::uint8_t* first;
  std::size_t stride, count;
};

template <Format kFormat, DataType kType>
HWY_INLINE void LoadGroupParams(const std::uint8_t* params, const float* supers, ZeroKind zero_kind, float* to) {
  using Loader = ScaleLoader<kType>;
  const DF df;
  constexpr float kGain = Describe(kFormat).gain, kCenter = Describe(kFormat).center;
  for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
    const VF scale = Loader::Scale(params, supers, row, kGain);
    if (zero_kind == ZeroKind::kNone || zero_kind == ZeroKind::kUInt4) {
      hn::Store(scale, df, to + row);
      continue;
    }
    VF center;
    if (zero_kind == ZeroKind::kOffset) {
      center = Loader::Offset(params, supers, row);
      if (kCenter != 0.0f) center = Fma(scale, hn::Set(df, kCenter / kGain), center);
    } else {
      const std::uint8_t* zeros = params + kPanelRows * SizeOf(kType);
      const VF zero = zero_kind == ZeroKind::kInteger || !IsFloat(kType) ? LoadBytes<std::uint8_t>(zeros, row)
                                                                         : LoadFloats(df, zeros, kType, row);
      center = CenterOf<kFormat>(scale, zero);
    }
    hn::Store(scale, df, to + row);
    hn::Store(center, df, to + kPanelRows + row);
  }
}

template <Format kFormat, DataType kType>
LUTRA_INLINE void LoadParamsAs(const Geometry& g, const BlockArgs& b, const GroupParams& from, const float* supers,
                               float* to) {
  const std::uint8_t* params = from.first;
  for (std::size_t i = 0; i < from.count; ++i, params += from.stride, to += kMaxSetPanels * kPanelParams) {
    for (std::size_t at = 0; at < g.param_bytes; at += 64) b.Prefetch(params + at);
    LoadGroupParams<kFormat, kType>(params, supers, g.zero_kind, to);
  }
}

// To params of BlockArgs, one panel in groups of the same supers; but zeros of four bits (LoadZeros).
template <Format kFormat>
HWY_INLINE void LoadParams(const Geometry& g, const BlockArgs& b, const GroupParams& from, const float* supers,
                           float* to) {
  switch (g.scale_type) {
    case DataType::kF32:
      return LoadParamsAs<kFormat, DataType::kF32>(g, b, from, supers, to);
    case DataType::kF16:
      return LoadParamsAs<kFormat, DataType::kF16>(g, b, from, supers, to);
    case DataType::kBF16:
      return LoadParamsAs<kFormat, DataType::kBF16>(g, b, from, supers, to);
    case DataType::kInt8:
      return LoadParamsAs<kFormat, DataType::kInt8>(g, b, from, supers, to);
    case DataType::kUInt4:
      return LoadParamsAs<kFormat, DataType::kUInt4>(g, b, from, supers, to);
  }
}

// Zeros of four bits of one panel's group, the first or the second of a pair, behind scales that are loaded.
template <Format kFormat>
LUTRA_INLINE void LoadZeros(const std::uint8_t* zeros, bool second, float* to) {
  const DF df;
  for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
    const VF center = CenterOf<kFormat>(hn::Load(df, to + row), LoadNibbles(zeros, row, second));
    hn::Store(center, df, to + kPanelRows + row);
  }
}

// Super-scales, times the gain, and super-offsets of one panel as floats.
template <Format kFormat>
LUTRA_INLINE void LoadSupers(const Geometry& g, const std::uint8_t* supers, float* to) {
  const DF df;
  for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
    const VF scale = LoadFloats(df, supers, DataType::kF16, row);
    hn::Store(hn::Mul(scale, hn::Set(df, Describe(kFormat).gain)), df, to + row);
    if (g.zero_kind == ZeroKind::kNone) continue;
    hn::Store(LoadFloats(df, supers, DataType::kF16, kPanelRows + row), df, to + kPanelRows + row);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
