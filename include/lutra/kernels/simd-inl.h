// Per-target SIMD helpers that Highway does not have in this form; each has a test over all inputs
// (tests/simd_test.cc).
#if defined(LUTRA_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_SIMD_INL_H_
#undef LUTRA_KERNELS_SIMD_INL_H_
#else
#define LUTRA_KERNELS_SIMD_INL_H_
#endif

#include <cmath>
#include <cstdint>

#include "hwy/highway.h"
#include "lutra/kernels/layout.h"
#include "lutra/matrix.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// THE target policy: whether the tables of four indices share a vector (vpermb) and vpdpbusd adds four bytes to 32
// bits.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
inline constexpr Layout kLayout{Scope::kVector, 4};
#else
inline constexpr Layout kLayout{Scope::kBlock, static_cast<int>(HWY_MAX_BYTES / 16)};
#endif
inline constexpr bool kVectorScope = kLayout.scope == Scope::kVector;

using D8 = hn::ScalableTag<std::uint8_t>;
using DI8 = hn::Rebind<std::int8_t, D8>;
using D16 = hn::Repartition<std::int16_t, D8>;
using D32 = hn::Repartition<std::int32_t, D8>;
using DF = hn::Repartition<float, D8>;
using V8 = hn::Vec<D8>;
using V16 = hn::Vec<D16>;
using V32 = hn::Vec<D32>;
using VF = hn::Vec<DF>;

// a * b + c with a single rounding on every target, as std::fma, so that results do not depend on the CPU.
template <class V>
HWY_INLINE V Fma(V a, V b, V c) {
#if HWY_NATIVE_FMA
  return hn::MulAdd(a, b, c);
#else
  const hn::DFromV<V> d;
  HWY_ALIGN float la[hn::MaxLanes(d)], lb[hn::MaxLanes(d)], lc[hn::MaxLanes(d)];
  hn::Store(a, d, la);
  hn::Store(b, d, lb);
  hn::Store(c, d, lc);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) la[i] = std::fma(la[i], lb[i], lc[i]);
  return hn::Load(d, la);
#endif
}

// The low, and the high nibbles of bytes.
HWY_INLINE V8 LowNibbles(V8 bytes) { return hn::And(bytes, hn::Set(D8(), 0x0f)); }
HWY_INLINE V8 HighNibbles(V8 bytes) { return hn::ShiftRight<4>(bytes); }

// Lanes [i, i + lanes) of floats stored in any float type; aligned.
template <class D>
HWY_INLINE hn::Vec<D> LoadFloats(D d, const void* from, DataType type, std::size_t i) {
  if (type == DataType::kF32) return hn::LoadU(d, static_cast<const float*>(from) + i);
  if (type == DataType::kF16) {
    const hn::Rebind<hwy::float16_t, D> dh;
    return hn::PromoteTo(d, hn::LoadU(dh, static_cast<const hwy::float16_t*>(from) + i));
  }
  const hn::Rebind<hwy::bfloat16_t, D> dh;
  return hn::PromoteTo(d, hn::LoadU(dh, static_cast<const hwy::bfloat16_t*>(from) + i));
}

// Rounds to the nearest, ties to even, and stores as any float type.
template <class D>
HWY_INLINE void StoreFloats(D d, hn::Vec<D> v, void* to, DataType type, std::size_t i) {
  if (type == DataType::kF32) {
    hn::StoreU(v, d, static_cast<float*>(to) + i);
  } else if (type == DataType::kF16) {
    const hn::Rebind<hwy::float16_t, D> dh;
    hn::StoreU(hn::DemoteTo(dh, v), dh, static_cast<hwy::float16_t*>(to) + i);
  } else {
    const hn::Rebind<hwy::bfloat16_t, D> dh;
    hn::StoreU(hn::DemoteTo(dh, v), dh, static_cast<hwy::bfloat16_t*>(to) + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
