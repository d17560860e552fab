// Vector types, loop macros, and the helpers that are the same for all instruction sets.
#if defined(LUTRA_KERNELS_SIMD_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_SIMD_VECTORS_INL_H_
#undef LUTRA_KERNELS_SIMD_VECTORS_INL_H_
#else
#define LUTRA_KERNELS_SIMD_VECTORS_INL_H_
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "lutra/kernels/fma.h"
#include "lutra/layout/panels.h"

// The namespace of the kernels of a target, in lutra::internal. A program that compiles the templates into files of its
// own defines another name for each target. With the same name, the linker would keep only one copy of each function,
// and the library might run the program's copy, which may be compiled with other options.
#ifndef LUTRA_KERNELS_NAMESPACE
#define LUTRA_KERNELS_NAMESPACE HWY_NAMESPACE
#endif

// Loop macros. They do nothing for portable targets and under AddressSanitizer, where vectors are in memory anyway and
// unrolling takes minutes to compile.

// LUTRA_UNROLL stands before a loop over an array of vectors and unrolls it completely. The array lives in registers
// only if every index is a constant.
#undef LUTRA_UNROLL
// LUTRA_KEEP_LOOP stands before a loop over memory and prevents unrolling, which would only add register moves.
#undef LUTRA_KEEP_LOOP
// LUTRA_INLINE declares a function that a micro-kernel calls from many places: inlined, except where the macros do
// nothing.
#undef LUTRA_INLINE
#if HWY_TARGET == HWY_EMU128 || HWY_IS_ASAN
#define LUTRA_UNROLL
#define LUTRA_KEEP_LOOP
#define LUTRA_INLINE inline HWY_NOINLINE
#elif HWY_COMPILER_CLANG
#define LUTRA_INLINE HWY_INLINE
#define LUTRA_UNROLL _Pragma("clang loop unroll(full)")
#define LUTRA_KEEP_LOOP _Pragma("clang loop unroll(disable)")
#else
#define LUTRA_INLINE HWY_INLINE
#define LUTRA_UNROLL _Pragma("GCC unroll 16")
#define LUTRA_KEEP_LOOP _Pragma("GCC unroll 1")
#endif

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D8 = hn::ScalableTag<std::uint8_t>;
using DI8 = hn::Rebind<std::int8_t, D8>;
using D16 = hn::Repartition<std::int16_t, D8>;
using D32 = hn::Repartition<std::int32_t, D8>;
using DF = hn::Repartition<float, D8>;
using V8 = hn::Vec<D8>;
using VI8 = hn::Vec<DI8>;
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
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) la[i] = internal::Fma(la[i], lb[i], lc[i]);
  return hn::Load(d, la);
#endif
}

// Lane i is sum[i] + a[2i] * b[2i] + a[2i + 1] * b[2i + 1], of bf16. Products are exact; how sums are rounded, and
// whether subnormal numbers count as zero, depends on the target.
HWY_INLINE VF AddBf16Pairs(VF sum, V16 a, V16 b) {
#if HWY_NATIVE_DOT_BF16
  const hn::Repartition<hwy::bfloat16_t, DF> d16;
  VF unused = sum;
  return hn::ReorderWidenMulAccumulate(DF(), hn::BitCast(d16, a), hn::BitCast(d16, b), sum, unused);
#else
  const V32 a32 = hn::BitCast(D32(), a), b32 = hn::BitCast(D32(), b), upper = hn::Set(D32(), -0x10000);
  const VF low = Fma(hn::BitCast(DF(), hn::ShiftLeft<16>(a32)), hn::BitCast(DF(), hn::ShiftLeft<16>(b32)), sum);
  return Fma(hn::BitCast(DF(), hn::And(a32, upper)), hn::BitCast(DF(), hn::And(b32, upper)), low);
#endif
}

// The low nibble, or the high nibble, of each byte.
HWY_INLINE V8 LowNibbles(V8 bytes) { return hn::And(bytes, hn::Set(D8(), 0x0f)); }
HWY_INLINE V8 HighNibbles(V8 bytes) { return hn::ShiftRight<4>(bytes); }

// -1 where the byte is negative, else 1.
HWY_INLINE VI8 SignOf(VI8 v) { return hn::Or(hn::BroadcastSignBit(v), hn::Set(DI8(), 1)); }

// Two vectors of sums.
template <class V>
struct TwoVectors {
  V lower, upper;
};

// Two hints to the register allocator; they emit no instructions. StayInRegister keeps `v` in a register: without it,
// g++ 12 moves and spills the sums of a tile around each dot product, and clang moves them in tiles of several panels.
// KeepOrder makes reads through `pointer` wait until `v` is computed: without it, clang loads and unpacks more values
// at a time than registers hold. For the portable target, whose vectors are arrays, they do nothing.
#undef LUTRA_IN_VECTOR  // the constraint of an operand in a vector register
#if HWY_TARGET != HWY_EMU128 && HWY_ARCH_X86
#define LUTRA_IN_VECTOR "+v"
#elif HWY_TARGET != HWY_EMU128
#define LUTRA_IN_VECTOR "+w"
#endif
template <class V>
HWY_INLINE void StayInRegister([[maybe_unused]] V& v) {
#ifdef LUTRA_IN_VECTOR
  __asm__("" : LUTRA_IN_VECTOR(v.raw));
#endif
}
template <class V>
HWY_INLINE void StayInRegister(TwoVectors<V>& v) {
  StayInRegister(v.lower);
  StayInRegister(v.upper);
}
template <class V, class T>
HWY_INLINE void KeepOrder([[maybe_unused]] V& v, [[maybe_unused]] const T*& pointer) {
#ifdef LUTRA_IN_VECTOR
  __asm__ volatile("" : LUTRA_IN_VECTOR(v.raw), "+r"(pointer));
#endif
}
template <class V, class T>
HWY_INLINE void KeepOrder(TwoVectors<V>& v, const T*& pointer) {
  KeepOrder(v.upper, pointer);
}

// Dot::Load for most targets: repeats four consecutive integers of x in all 32-bit lanes.
struct QuadLoad {
  template <int kQuad>
  static HWY_INLINE VI8 Load(const std::uint8_t* x) {
    std::int32_t quad;
    std::memcpy(&quad, x + kQuad * 4, sizeof(quad));
    return hn::BitCast(DI8(), hn::Set(D32(), quad));
  }
};
// How a Dot's sums become totals of joint K-blocks (joint-inl.h): multiplied as pairs of 16 bits, as words of 32 bits,
// or as words after Widen.
enum class JointForm : std::uint8_t { kPairs, kWords, kWidened };

// Whether codes that are unpacked for this Dot become numbers of 16 bits, which ShortDotKernel multiplies. Codes of
// joint K-blocks become folded codes of 16 bits (layout/joint.h).
template <class Dot>
inline constexpr bool kUnpacksShorts = false;

// Whether a Dot takes all 256 values of a byte, and sums products in 32 bits: it multiplies folded codes
// of a byte (layout/joint.h).
template <class Dot>
inline constexpr bool kTakesBytes = Dot::kHighest - Dot::kLowest == 255 && Dot::kJoint == JointForm::kWords;

// The members of a Dot whose Sum has a 32-bit lane per row.
struct WordSums {
  static constexpr JointForm kJoint = JointForm::kWords;
  using Sum = V32;
  static constexpr int kProducts = 0;
  static constexpr bool kRowByRow = false;
  static constexpr std::size_t RunChunks(int) { return kMaxIntegerChunks; }
  static HWY_INLINE Sum Zero() { return hn::Zero(D32()); }
  static HWY_INLINE V32 Widen(V32 sum, Sum run) { return hn::Add(sum, run); }
};
// The members of a Dot whose 16-bit lanes sum kTerms products of each quad. The four quads of a chunk add at most
// 4 * kTerms * 128 * largest, because |x| <= 128; kMost is the largest code of which one chunk fits.
template <int kTerms>
struct HalfSums {
  static constexpr JointForm kJoint = JointForm::kWidened;
  static constexpr int kProducts = kTerms;
  static constexpr bool kRowByRow = false;
  static constexpr int kMost = 32767 / (4 * kTerms * 128);
  static constexpr std::size_t RunChunks(int largest) {
    const std::size_t most = 32767 / (4u * kTerms * 128u * static_cast<unsigned>(largest == 0 ? 1 : largest));
    return most < kMaxIntegerChunks ? most : kMaxIntegerChunks;
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
