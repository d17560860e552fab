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
#include <cstring>

#include "hwy/highway.h"
#include "lutra/float16.h"
#include "lutra/kernels/layout.h"
#include "lutra/matrix.h"

// Before a loop over registers, which must not remain a loop: arrays of vectors live in registers only if every index
// is a constant. And before one that copies of would only add register moves to. And for a function that is called from
// many places of a micro-kernel. (Where vectors are arrays in memory, or each access is checked, that takes minutes to
// compile.)
#undef LUTRA_UNROLL
#undef LUTRA_KEEP_LOOP
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
namespace internal {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// THE target policy. Where a byte of a vector looks up, and what adds bytes:
//
//     scope kVector   | T0 T1 T2 T3 |                the tables of four indices fill a vector           vpermb
//           kBlock    | T | T | T | T |              each 16-byte block holds the same table            vpshufb, tbl
//     adder quad      | b0*w0 + b1*w1 + b2*w2 + b3*w3 |     four products to 32 bits              vpdpbusd, sdot
//           pair      | b0*w0 + b1*w1 | b2*w2 + b3*w3 |     two to 16, those of a run to 32       vpmaddubsw, sadalp
//           single    | b0*w0 | b1*w1 | b2*w2 | b3*w3 |     one to 16, those of a run to 32       saddw, smlal
//
// Lookups in vector scope are added by the quad adder, others by the pair adder or the single one; integers by the
// target's BaseDot, or by its ExtensionDot where the CPU has the instruction (below).
#undef LUTRA_VECTOR_SCOPE
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
#define LUTRA_VECTOR_SCOPE 1
inline constexpr Layout kLayout{Scope::kVector, 4};
#else
#define LUTRA_VECTOR_SCOPE 0
inline constexpr Layout kLayout{Scope::kBlock, static_cast<int>(HWY_MAX_BYTES / 16)};
#endif
inline constexpr bool kVectorScope = kLayout.scope == Scope::kVector;
// What is added to table entries in block scope except on Arm: the pair adder of x86 takes unsigned bytes.
inline constexpr int kTableBias = kVectorScope || HWY_ARCH_ARM_A64 ? 0 : 128;

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
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) la[i] = std::fma(la[i], lb[i], lc[i]);
  return hn::Load(d, la);
#endif
}

// As the bits of a float, an integer below 2^22 plus kMagicBits is that integer plus kMagic.
inline constexpr std::int32_t kMagicBits = 0x4b400000;
inline constexpr float kMagic = 0x1.8p23f;

// Two hints to the register allocator, without instructions. Without the first, g++ 12 moves and spills the sums of a
// tile around each dot product, and clang moves them where the tile is of several panels; without the second, clang
// loads and unpacks more at a time than fits into registers. `pointer` is read through only after `v` was computed.
template <class V>
HWY_INLINE void StayInRegister(V& v) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128
  __asm__("" : "+v"(v.raw));
#elif HWY_ARCH_ARM_A64
  __asm__("" : "+w"(v.raw));
#else
  (void)v;
#endif
}
template <class V, class T>
HWY_INLINE void KeepOrder(V& v, const T*& pointer) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128
  __asm__ volatile("" : "+v"(v.raw), "+r"(pointer));
#elif HWY_ARCH_ARM_A64
  __asm__ volatile("" : "+w"(v.raw), "+r"(pointer));
#else
  (void)v;
  (void)pointer;
#endif
}

// The low, and the high nibbles of bytes.
HWY_INLINE V8 LowNibbles(V8 bytes) { return hn::And(bytes, hn::Set(D8(), 0x0f)); }
HWY_INLINE V8 HighNibbles(V8 bytes) { return hn::ShiftRight<4>(bytes); }

// The pair adder: lane i is sum[i] + a[2i] * b[2i] + a[2i + 1] * b[2i + 1], unsigned times signed bytes; each pair of
// products must fit into 16 bits. On Arm both are signed, and each product must fit into 8 bits: b are signs.
HWY_INLINE V16 AddPairs(V16 sum, V8 a, hn::Vec<DI8> b) {
#if HWY_TARGET == HWY_EMU128  // each step of the other would go through memory
  for (int i = 0; i < 8; ++i) {
    const int products = a.raw[2 * i] * b.raw[2 * i] + a.raw[2 * i + 1] * b.raw[2 * i + 1];
    sum.raw[i] = static_cast<std::int16_t>(sum.raw[i] + products);
  }
  return sum;
#elif HWY_ARCH_ARM_A64
  return V16(vpadalq_s8(sum.raw, vmulq_s8(vreinterpretq_s8_u8(a.raw), b.raw)));
#else
  return hn::Add(sum, hn::SatWidenMulPairwiseAdd(D16(), a, b));
#endif
}

#if HWY_ARCH_ARM_A64
// 16-bit sums of single bytes, those of the lower and of the upper eight.
struct ByteSums {
  V16 lower, upper;
};
HWY_INLINE void StayInRegister(ByteSums& sums) {
  StayInRegister(sums.lower);
  StayInRegister(sums.upper);
}
template <class T>
HWY_INLINE void KeepOrder(ByteSums& sums, const T*& pointer) {
  KeepOrder(sums.upper, pointer);
}
#endif

// The single adder of bytes: a 16-bit sum of each, those of the lower half of each 16-byte block in `lower`. On Arm
// bytes are signed. Elsewhere they are unsigned, sums start from a multiple of 256, and until FinishBytes `lower` is
// the sum of all bytes as 16-bit lanes, modulo 2^16, and `upper` that of the odd ones.
HWY_INLINE void AddBytes(V16& lower, V16& upper, V8 bytes) {
#if HWY_ARCH_ARM_A64
  lower = V16(vaddw_s8(lower.raw, vget_low_s8(vreinterpretq_s8_u8(bytes.raw))));
  upper = V16(vaddw_high_s8(upper.raw, vreinterpretq_s8_u8(bytes.raw)));
#else
  const hn::Repartition<std::uint16_t, D8> du16;
  lower = hn::Add(lower, hn::BitCast(D16(), bytes));
  upper = hn::Add(upper, hn::BitCast(D16(), hn::ShiftRight<8>(hn::BitCast(du16, bytes))));
#endif
}
HWY_INLINE void FinishBytes([[maybe_unused]] V16& lower, [[maybe_unused]] V16& upper) {
#if !HWY_ARCH_ARM_A64
  const V16 odd = upper, even = hn::Sub(lower, hn::ShiftLeft<8>(odd));  // 256 * start is 0 modulo 2^16
  lower = hn::InterleaveLower(D16(), even, odd);
  upper = hn::InterleaveUpper(D16(), even, odd);
#endif
}

// -1 where the byte is negative, else 1.
HWY_INLINE VI8 SignOf(VI8 v) { return hn::Or(hn::BroadcastSignBit(v), hn::Set(DI8(), 1)); }

// Adds entries of tables, times the signs of `signs`, none of which is 0. (With a bias of 128 the mirror image of T is
// -T + 128 = 256 - (T + 128).)
HWY_INLINE void AddSignedBytes(V16& lower, V16& upper, V8 bytes, VI8 signs) {
#if HWY_ARCH_ARM_A64
  const VI8 ones = SignOf(signs);
  const int8x16_t entries = vreinterpretq_s8_u8(bytes.raw);
  lower = V16(vmlal_s8(lower.raw, vget_low_s8(entries), vget_low_s8(ones.raw)));
  upper = V16(vmlal_high_s8(upper.raw, entries, ones.raw));
#else
  AddBytes(lower, upper, hn::BitCast(D8(), hn::IfNegativeThenNegOrUndefIfZero(signs, hn::BitCast(DI8(), bytes))));
#endif
}

// The pair adder with weights 1 and 2: lane i of what FinishPlanes returns is start[i] + a[2i] + 2 * a[2i + 1]. (On
// Arm, where bytes are widened one by one by any pipe, but in pairs by one alone, and all starts are 0.)
#if HWY_ARCH_ARM_A64
using PlaneSums = ByteSums;
HWY_INLINE PlaneSums StartPlanes(V16 zero) { return {zero, zero}; }
HWY_INLINE void AddPlanes(PlaneSums& sums, V8 a) { AddBytes(sums.lower, sums.upper, a); }
HWY_INLINE V16 FinishPlanes(const PlaneSums& sums) {
  const V16 odd = hn::ConcatOdd(D16(), sums.upper, sums.lower);
  return hn::Add(hn::ConcatEven(D16(), sums.upper, sums.lower), hn::Add(odd, odd));
}
#else
using PlaneSums = V16;
HWY_INLINE PlaneSums StartPlanes(V16 start) { return start; }
HWY_INLINE void AddPlanes(PlaneSums& sums, V8 a) {
  sums = AddPairs(sums, a, hn::BitCast(DI8(), hn::Set(D16(), 0x0201)));
}
HWY_INLINE V16 FinishPlanes(PlaneSums sums) { return sums; }
#endif

// The adders of integers: Add adds the products of `codes` (bytes below 16, a row's four side by side) with quad kQuad
// of the chunk of 16 integers at `x`, of which Load takes what Add needs. A Sum has a lane per row, or it is the sum of
// a run: its 16-bit lanes take kProducts products of each quad, until Widen adds them to a lane per row. kMaxRows rows
// of x are multiplied with packed codes at a time, with unpacked ones four, for each kVectors vectors of codes.
struct QuadLoad {
  template <int kQuad>
  static HWY_INLINE VI8 Load(const std::uint8_t* x) {
    std::int32_t quad;
    std::memcpy(&quad, x + kQuad * 4, sizeof(quad));
    return hn::BitCast(DI8(), hn::Set(D32(), quad));
  }
};
struct QuadSums {
  using Sum = V32;
  static constexpr int kProducts = 0;  // no runs
  static HWY_INLINE Sum Zero() { return hn::Zero(D32()); }
  static HWY_INLINE V32 Widen(V32 sum, Sum run) { return hn::Add(sum, run); }
};

#if LUTRA_VECTOR_SCOPE
struct BaseDot : QuadLoad, QuadSums {
  static constexpr int kMaxRows = 4, kVectors = 4;
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    sum = hn::SumOfMulQuadAccumulate(D32(), codes, quad, sum);
    StayInRegister(sum);
  }
};
#elif HWY_ARCH_ARM_A64
struct BaseDot : QuadLoad {
  using Sum = ByteSums;
  static constexpr int kMaxRows = 2, kVectors = 2, kProducts = 1;
  static HWY_INLINE Sum Zero() { return {hn::Zero(D16()), hn::Zero(D16())}; }
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    const int8x16_t w = vreinterpretq_s8_u8(codes.raw);
    sum.lower = V16(vmlal_s8(sum.lower.raw, vget_low_s8(w), vget_low_s8(quad.raw)));
    sum.upper = V16(vmlal_high_s8(sum.upper.raw, w, quad.raw));
    StayInRegister(sum);
  }
  static HWY_INLINE V32 Widen(V32 sum, Sum run) {
    return V32(vaddq_s32(sum.raw, vpaddq_s32(vpaddlq_s16(run.lower.raw), vpaddlq_s16(run.upper.raw))));
  }
};
#else
struct BaseDot : QuadLoad {
  using Sum = V16;
  static constexpr int kMaxRows = kLayout.blocks == 4 ? 4 : 2, kVectors = kLayout.blocks == 2 ? 2 : 4, kProducts = 2;
  static HWY_INLINE Sum Zero() { return hn::Zero(D16()); }
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    sum = AddPairs(sum, codes, quad);
    StayInRegister(sum);
  }
  static HWY_INLINE V32 Widen(V32 sum, Sum run) {
    return hn::Add(sum, hn::WidenMulPairwiseAdd(D32(), run, hn::Set(D16(), 1)));
  }
};
#endif

// By an instruction that no Highway target has: only for CPUs with it (TargetKernels::dot_extension). Written for the
// assembler, so that nothing else is compiled for them.
#undef LUTRA_DOT_EXTENSION
#if HWY_COMPILER_GCC || HWY_COMPILER_CLANG
#if HWY_ARCH_ARM_A64
#define LUTRA_DOT_EXTENSION "NEON_DOT"
struct ExtensionDot : QuadSums {
  static constexpr int kMaxRows = 4, kVectors = 4;
  template <int kQuad>
  static HWY_INLINE VI8 Load(const std::uint8_t* x) {
    return hn::BitCast(DI8(), hn::Load(D8(), x));
  }
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 x) {
    // sdot %0.4s, %1.16b, %2.4b[kQuad] as a number: assemblers differ in how the extension is switched on.
    __asm__ __inline__(
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n\t"
        ".set .Llutra_v\\n, \\n\n\t"
        ".endr\n\t"
        ".inst 0x4f80e000 + %3 + .Llutra_%0 + (.Llutra_%1 << 5) + (.Llutra_%2 << 16)"
        : "+w"(sum.raw)
        : "w"(codes.raw), "w"(x.raw), "i"((kQuad % 2 << 21) + (kQuad / 2 << 11)));
  }
};
#elif HWY_TARGET == HWY_AVX2
#define LUTRA_DOT_EXTENSION "AVX2_VNNI"
struct ExtensionDot : QuadLoad, QuadSums {
  static constexpr int kMaxRows = 1, kVectors = 2;
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.raw) : "x"(codes.raw), "x"(quad.raw));
  }
};
#endif
#endif

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
