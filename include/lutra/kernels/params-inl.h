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

// How the scales of a panel, and offsets, which are stored alike, are read for rows from `row` on. Offsets follow
// scales, and super-offsets super-scales.
template <DataType kType>
struct ScaleLoader {  // one level
  static constexpr std::size_t kOffsets = kPanelRows * SizeOf(kType);
  static HWY_INLINE VF Scale(const std::uint8_t* params, const std::uint8_t*, std::size_t row) {
    return LoadFloats(DF(), params, kType, row);
  }
  static HWY_INLINE VF Offset(const std::uint8_t* params, const std::uint8_t*, std::size_t row) {
    return LoadFloats(DF(), params + kOffsets, kType, row);
  }
};
inline constexpr std::size_t kSuperOffsets = kPanelRows * SizeOf(DataType::kF16);
HWY_INLINE VF LoadSuper(const std::uint8_t* supers, std::size_t row) {
  return LoadFloats(DF(), supers, DataType::kF16, row);
}
template <>
struct ScaleLoader<DataType::kInt8> {
  static HWY_INLINE VF Scale(const std::uint8_t* params, const std::uint8_t* supers, std::size_t row) {
    return hn::Mul(LoadBytes<std::int8_t>(params, row), LoadSuper(supers, row));
  }
  static HWY_INLINE VF Offset(const std::uint8_t* params, const std::uint8_t* supers, std::size_t row) {
    return hn::Mul(LoadBytes<std::int8_t>(params + kPanelRows, row), LoadSuper(supers + kSuperOffsets, row));
  }
};
template <>
struct ScaleLoader<DataType::kUInt4> {
  static HWY_INLINE V32 Both(const std::uint8_t* params, std::size_t row) {
    return hn::PromoteTo(D32(), hn::LoadU(hn::Rebind<std::uint8_t, DF>(), params + row));
  }
  static HWY_INLINE VF Scale(const std::uint8_t* params, const std::uint8_t* supers, std::size_t row) {
    const V32 low = hn::And(Both(params, row), hn::Set(D32(), 15));
    return hn::Mul(hn::ConvertTo(DF(), low), LoadSuper(supers, row));
  }
  static HWY_INLINE VF Offset(const std::uint8_t* params, const std::uint8_t* supers, std::size_t row) {
    const V32 high = hn::ShiftRight<4>(Both(params, row));
    return hn::Mul(hn::ConvertTo(DF(), high), LoadSuper(supers + kSuperOffsets, row));
  }
};

template <class Traits, DataType kType>
HWY_INLINE void LoadParamsAs(const std::uint8_t* params, const std::uint8_t* supers, ZeroKind zero_kind, float* to) {
  using Loader = ScaleLoader<kType>;
  const DF df;
  const VF center = hn::Set(df, Traits::kInfo.center);
  for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
    const VF scale = Loader::Scale(params, supers, row);
    constexpr float kGain = Traits::kInfo.gain;
    hn::Store(kGain == 1.0f ? scale : hn::Mul(scale, hn::Set(df, kGain)), df, to + row);
    if (zero_kind == ZeroKind::kNone) continue;
    VF constant;  // internal::CenterAt in src/scales.h
    if (zero_kind == ZeroKind::kOffset) {
      constant = Fma(scale, center, Loader::Offset(params, supers, row));
    } else {
      const std::uint8_t* zeros = params + kPanelRows * SizeOf(kType);
      const VF zero = zero_kind == ZeroKind::kInteger || !IsFloat(kType) ? LoadBytes<std::uint8_t>(zeros, row)
                                                                         : LoadFloats(df, zeros, kType, row);
      constant = hn::Mul(scale, hn::Sub(center, zero));
    }
    hn::Store(constant, df, to + kPanelRows + row);
  }
}

// Those of one panel, aligned to 64 bytes.
template <class Traits>
HWY_INLINE void LoadParams(const Geometry& g, const std::uint8_t* params, const std::uint8_t* supers, float* to) {
  switch (g.scale_type) {
    case DataType::kF32:
      return LoadParamsAs<Traits, DataType::kF32>(params, supers, g.zero_kind, to);
    case DataType::kF16:
      return LoadParamsAs<Traits, DataType::kF16>(params, supers, g.zero_kind, to);
    case DataType::kBF16:
      return LoadParamsAs<Traits, DataType::kBF16>(params, supers, g.zero_kind, to);
    case DataType::kInt8:
      return LoadParamsAs<Traits, DataType::kInt8>(params, supers, g.zero_kind, to);
    case DataType::kUInt4:
      return LoadParamsAs<Traits, DataType::kUInt4>(params, supers, g.zero_kind, to);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
