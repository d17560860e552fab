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
#include "lutra/reference.h"

// Before a loop over registers, which must not remain a loop: arrays of vectors live in registers only if every index
// is a constant. And before one that copies of would only add register moves to. And for a function that is called from
// many places of a micro-kernel.
#ifndef LUTRA_UNROLL
#if HWY_IS_ASAN  // each access is checked: unrolled, that takes minutes to compile
#define LUTRA_UNROLL
#define LUTRA_KEEP_LOOP
#define LUTRA_INLINE HWY_NOINLINE
#elif HWY_COMPILER_CLANG
#define LUTRA_INLINE HWY_INLINE
#define LUTRA_UNROLL _Pragma("clang loop unroll(full)")
#define LUTRA_KEEP_LOOP _Pragma("clang loop unroll(disable)")
#else
#define LUTRA_INLINE HWY_INLINE
#define LUTRA_UNROLL _Pragma("GCC unroll 16")
#define LUTRA_KEEP_LOOP _Pragma("GCC unroll 1")
#endif
#endif

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// THE target policy: whether the tables of four indices share a vector (vpermb) and vpdpbusd adds four bytes to 32
// bits.
#undef LUTRA_VECTOR_SCOPE
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
#define LUTRA_VECTOR_SCOPE 1
inline constexpr Layout kLayout{Scope::kVector, 4};
#else
#define LUTRA_VECTOR_SCOPE 0
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

// Two hints to the register allocator, without instructions. Without the first, g++ 12 moves and spills the sums of a
// tile around each dot product, and clang moves them where the tile is of several panels; without the second, clang
// loads and unpacks more at a time than fits into registers. `pointer` is read through only after `v` was computed.
template <class V>
HWY_INLINE void StayInRegister(V& v) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128
  __asm__("" : "+v"(v.raw));
#else
  (void)v;
#endif
}
template <class V, class T>
HWY_INLINE void KeepOrder(V& v, const T*& pointer) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128
  __asm__ volatile("" : "+v"(v.raw), "+r"(pointer));
#else
  (void)v;
  (void)pointer;
#endif
}

// The low, and the high nibbles of bytes.
HWY_INLINE V8 LowNibbles(V8 bytes) { return hn::And(bytes, hn::Set(D8(), 0x0f)); }
HWY_INLINE V8 HighNibbles(V8 bytes) { return hn::ShiftRight<4>(bytes); }

// Adds the lookups of two planes in a table of 16 bytes: lane i of the result is
// sum[i] + table[index[2 * i]] + 2 * table[index[2 * i + 1]], for index bytes below 16.
HWY_INLINE V16 AddPairLookups(V16 sum, const std::uint8_t* table, V8 index) {
#if HWY_TARGET == HWY_EMU128  // each step of the other would go through memory
  for (int i = 0; i < 8; ++i) {
    const int products = table[index.raw[2 * i]] + 2 * table[index.raw[2 * i + 1]];
    sum.raw[i] = static_cast<std::int16_t>(sum.raw[i] + products);
  }
  return sum;
#else
  const D16 d16;
  const auto weights = hn::BitCast(DI8(), hn::Set(d16, 0x0201));
  const V8 found = hn::TableLookupBytes(hn::LoadDup128(D8(), table), index);
  return hn::Add(sum, hn::SatWidenMulPairwiseAdd(d16, found, weights));
#endif
}

// Adds the lookups of one plane in a table of 16 bytes biased by 128: found = table[index], or for kMirrored, where the
// top bit of `negative` is set, its mirror image: -T + 128 = 256 - (T + 128). Lane i: all += found[2i] + 256 * found[2i
// + 1], modulo 2^16, and odd += found[2i + 1].
template <bool kMirrored>
HWY_INLINE void AddLoneLookups(V16& all, V16& odd, const std::uint8_t* table, V8 index, V8 negative) {
#if HWY_TARGET == HWY_EMU128
  for (int i = 0; i < 8; ++i) {
    int found[2];
    for (int j = 0; j < 2; ++j) {
      found[j] = table[index.raw[2 * i + j]];
      if (kMirrored && negative.raw[2 * i + j] >= 128) found[j] = -found[j] & 255;
    }
    all.raw[i] = static_cast<std::int16_t>(all.raw[i] + found[0] + 256 * found[1]);
    odd.raw[i] = static_cast<std::int16_t>(odd.raw[i] + found[1]);
  }
#else
  const D16 d16;
  const DI8 di8;
  const hn::Repartition<std::uint16_t, D8> du16;
  auto found = hn::BitCast(di8, hn::TableLookupBytes(hn::LoadDup128(D8(), table), index));
  if constexpr (kMirrored) found = hn::IfNegativeThenElse(hn::BitCast(di8, negative), hn::Neg(found), found);
  all = hn::Add(all, hn::BitCast(d16, found));
  odd = hn::Add(odd, hn::BitCast(d16, hn::ShiftRight<8>(hn::BitCast(du16, found))));
#endif
}

// Lanes [i, i + lanes) of floats stored in any float type.
template <class D>
HWY_INLINE hn::Vec<D> LoadFloats(D d, const void* from, DataType type, std::size_t i) {
  if (type == DataType::kF32) return hn::LoadU(d, static_cast<const float*>(from) + i);
  const auto* halves = static_cast<const std::uint16_t*>(from) + i;
  const hn::Rebind<std::uint16_t, D> d16;
  if (type == DataType::kBF16) {
    const hn::Repartition<std::uint32_t, D> d32;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, halves))));
  }
#if HWY_TARGET == HWY_EMU128  // Highway's own takes infinity for 65536
  HWY_ALIGN float lanes[hn::MaxLanes(d)];
  for (std::size_t lane = 0; lane < hn::Lanes(d); ++lane) lanes[lane] = F16ToF32(halves[lane]);
  return hn::Load(d, lanes);
#else
  return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), hn::LoadU(d16, halves)));
#endif
}

// Rounds to the nearest, ties to even, and stores as any float type.
template <class D>
HWY_INLINE void StoreFloats(D d, hn::Vec<D> v, void* to, DataType type, std::size_t i) {
  if (type == DataType::kF32) {
    hn::StoreU(v, d, static_cast<float*>(to) + i);
    return;
  }
  auto* halves = static_cast<std::uint16_t*>(to) + i;
  const hn::Rebind<std::uint16_t, D> d16;
  if (type == DataType::kBF16) {  // in integers: the instruction for it takes subnormals for zero
    const hn::Repartition<std::uint32_t, D> d32;
    const auto bits = hn::BitCast(d32, v);
    const auto even = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1));
    const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, even), hn::Set(d32, 0x7fff)));
    hn::StoreU(hn::TruncateTo(d16, rounded), d16, halves);
    return;
  }
#if HWY_TARGET == HWY_EMU128
  HWY_ALIGN float lanes[hn::MaxLanes(d)];
  hn::Store(v, d, lanes);
  for (std::size_t lane = 0; lane < hn::Lanes(d); ++lane) halves[lane] = F32ToF16(lanes[lane]);
#else
  hn::StoreU(hn::BitCast(d16, hn::DemoteTo(hn::Rebind<hwy::float16_t, D>(), v)), d16, halves);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
