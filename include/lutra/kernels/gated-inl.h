// What becomes of tiles where products are combined: a gate and an up product become one, and products of several
// matrices are added up.
#if defined(LUTRA_KERNELS_GATED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_GATED_INL_H_
#undef LUTRA_KERNELS_GATED_INL_H_
#else
#define LUTRA_KERNELS_GATED_INL_H_
#endif

#include <limits>

#include "lutra/kernels/registry.h"
#include "lutra/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// v, but `low` where it is below, and `high` where it is above; NaN stays NaN.
template <class V>
HWY_INLINE V Cut(V v, V low, V high) {
  v = hn::IfThenElse(hn::Lt(v, low), low, v);
  return hn::IfThenElse(hn::Gt(v, high), high, v);
}

// exp(t) for t from -87 to 88: see ReferenceGatedUnit.
template <class D, class V>
HWY_INLINE V Exp(D d, V t) {
  const hn::Rebind<std::int32_t, D> d32;
  const V magic = hn::Set(d, kMagic), shifted = Fma(t, hn::Set(d, kInverseLn2), magic), n = hn::Sub(shifted, magic);
  const V r = Fma(n, hn::Set(d, -kLowerLn2), Fma(n, hn::Set(d, -kUpperLn2), t));
  V sum = hn::Set(d, kExpTerms[0]);
  for (std::size_t i = 1; i < std::size(kExpTerms); ++i) sum = Fma(sum, r, hn::Set(d, kExpTerms[i]));
  // The low bits of `shifted` are n.
  const auto power = hn::Add(hn::ShiftLeft<23>(hn::BitCast(d32, shifted)), hn::Set(d32, 0x3f800000));
  return hn::Mul(sum, hn::BitCast(d, power));
}

template <class D, class V>
HWY_INLINE V Gated(D d, const GatedUnit& unit, V gate, V up) {
  const V limit = hn::Set(d, unit.limit), most = hn::Set(d, kMostInSigmoid);
  const V g = hn::IfThenElse(hn::Gt(gate, limit), limit, gate), u = Cut(up, hn::Neg(limit), limit);
  const V c = Cut(g, hn::Neg(most), most);
  const V slope = Fma(hn::Mul(c, c), hn::Set(d, unit.cubic), hn::Set(d, unit.slope));
  const V t = Cut(hn::Mul(hn::Neg(c), slope), hn::Set(d, kLeastExponent), hn::Set(d, kMostExponent));
  const V y = hn::Mul(hn::Add(u, hn::Set(d, unit.offset)), hn::Div(g, hn::Add(hn::Set(d, 1.0f), Exp(d, t))));
  return hn::IfThenElse(hn::Eq(y, y), y, hn::Set(d, std::numeric_limits<float>::quiet_NaN()));
}

template <class D>
HWY_INLINE hn::Vec<D> WithBias(D d, const float* values, const float* bias, std::size_t i) {
  const auto v = hn::LoadU(d, values + i);
  return bias == nullptr ? v : hn::Add(v, hn::LoadU(d, bias + i));
}

// TargetKernels::gated.
inline void CombineGated(const GatedArgs& a) {
  const DF df;
  const hn::CappedTag<float, 1> d1;
  std::size_t i = 0;
  for (; i + hn::Lanes(df) <= a.count; i += hn::Lanes(df)) {
    hn::StoreU(Gated(df, a.unit, WithBias(df, a.gate, a.gate_bias, i), WithBias(df, a.up, a.up_bias, i)), df, a.to + i);
  }
  for (; i < a.count; ++i) {
    hn::StoreU(Gated(d1, a.unit, WithBias(d1, a.gate, a.gate_bias, i), WithBias(d1, a.up, a.up_bias, i)), d1, a.to + i);
  }
}

// TargetKernels::add.
inline void AddTile(const float* tile, const float* bias, std::size_t count, float weight, float* y) {
  const DF df;
  const hn::CappedTag<float, 1> d1;
  std::size_t i = 0;
  for (; i + hn::Lanes(df) <= count; i += hn::Lanes(df)) {
    hn::StoreU(Fma(hn::Set(df, weight), WithBias(df, tile, bias, i), hn::LoadU(df, y + i)), df, y + i);
  }
  for (; i < count; ++i) {
    hn::StoreU(Fma(hn::Set(d1, weight), WithBias(d1, tile, bias, i), hn::LoadU(d1, y + i)), d1, y + i);
  }
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
