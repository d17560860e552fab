// 64-bit Arm: the constants of the target, its adders and its dot products.
#if defined(LUTRA_KERNELS_SIMD_ARM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_SIMD_ARM_INL_H_
#undef LUTRA_KERNELS_SIMD_ARM_INL_H_
#else
#define LUTRA_KERNELS_SIMD_ARM_INL_H_
#endif

#include "lutra/kernels/simd/vectors-inl.h"

#if HWY_ARCH_ARM_A64 && HWY_TARGET != HWY_EMU128

#undef LUTRA_VECTOR_SCOPE
#define LUTRA_VECTOR_SCOPE 0
#undef LUTRA_SIGNED_TABLES
#define LUTRA_SIGNED_TABLES 1

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

inline constexpr Layout kLayout{Scope::kBlock, 1};
inline constexpr int kTableBias = 0;      // table entries are signed
inline constexpr bool kNativeF16 = true;  // Highway's conversion follows IEEE 754
inline constexpr bool kMultipliesPairs = false;
inline constexpr int kRegisters = 32;

// 16-bit sums of the bytes of a vector: of its lower eight bytes and of its upper eight.
using ByteSums = TwoVectors<V16>;

// The pair adder: lane i is sum[i] + a[2i] * b[2i] + a[2i + 1] * b[2i + 1], of signed bytes. Each product must fit 8
// bits; b are signs.
HWY_INLINE V16 AddPairs(V16 sum, V8 a, VI8 b) {
  return V16(vpadalq_s8(sum.raw, vmulq_s8(vreinterpretq_s8_u8(a.raw), b.raw)));
}

// The single adder: adds the lower eight bytes to the lanes of `lower`, the upper eight to `upper`. FinishBytes has
// nothing left to do.
HWY_INLINE void AddBytes(V16& lower, V16& upper, V8 bytes) {
  lower = V16(vaddw_s8(lower.raw, vget_low_s8(vreinterpretq_s8_u8(bytes.raw))));
  upper = V16(vaddw_high_s8(upper.raw, vreinterpretq_s8_u8(bytes.raw)));
}
HWY_INLINE void FinishBytes(V16&, V16&) {}

// Adds table entries, each times the sign of its byte of `signs`; no byte of `signs` is 0.
HWY_INLINE void AddSignedBytes(V16& lower, V16& upper, V8 bytes, VI8 signs) {
  const VI8 ones = SignOf(signs);
  const int8x16_t entries = vreinterpretq_s8_u8(bytes.raw);
  lower = V16(vmlal_s8(lower.raw, vget_low_s8(entries), vget_low_s8(ones.raw)));
  upper = V16(vmlal_high_s8(upper.raw, entries, ones.raw));
}

// The pair adder with weights 1 and 2, for the two planes of int2: lane i of the result of FinishPlanes is the sum of
// a[2i] + 2 * a[2i + 1] over all calls of AddPlanes. (All pipes can widen single bytes, only one can add pairs.) Sums
// start from 0.
using PlaneSums = ByteSums;
HWY_INLINE PlaneSums StartPlanes(V16 zero) { return {zero, zero}; }
HWY_INLINE void AddPlanes(PlaneSums& sums, V8 a) { AddBytes(sums.lower, sums.upper, a); }
HWY_INLINE V16 FinishPlanes(const PlaneSums& sums) {
  const V16 odd = hn::ConcatOdd(D16(), sums.upper, sums.lower);
  return hn::Add(hn::ConcatEven(D16(), sums.upper, sums.lower), hn::Add(odd, odd));
}

class FourTables {
 public:
  static constexpr int kChoiceAt = 4;
  static constexpr bool kJoined = true;
  explicit HWY_INLINE FourTables(const std::uint8_t* tables)
      : tables_{{vld1q_u8(tables), vld1q_u8(tables + 16), vld1q_u8(tables + 32), vld1q_u8(tables + 48)}} {}
  HWY_INLINE V8 LookUp(V8 bytes) const { return V8(vqtbl4q_u8(tables_, bytes.raw)); }
  HWY_INLINE V8 LookUp(V8 bytes, V8 choice) const { return LookUp(hn::Or(bytes, choice)); }

 private:
  uint8x16x4_t tables_;
};

// Takes signed bytes, and adds each pair of products to 32 bits.
struct WideDot : QuadLoad {
  static constexpr JointForm kJoint = JointForm::kWidened;
  using Sum = TwoVectors<V32>;
  static constexpr int kLowest = -128, kHighest = 127;
  static constexpr int kMaxRows = 2, kVectors = 2, kProducts = 2;
  static constexpr bool kRowByRow = false;
  static constexpr std::size_t RunChunks(int) { return kMaxIntegerChunks; }
  static HWY_INLINE Sum Zero() { return {hn::Zero(D32()), hn::Zero(D32())}; }
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    const int8x16_t w = vreinterpretq_s8_u8(codes.raw);
    sum.lower = V32(vpadalq_s16(sum.lower.raw, vmull_s8(vget_low_s8(w), vget_low_s8(quad.raw))));
    sum.upper = V32(vpadalq_s16(sum.upper.raw, vmull_high_s8(w, quad.raw)));
    StayInRegister(sum);
  }
  static HWY_INLINE V32 Widen(V32 sum, const Sum& run) {
    return V32(vaddq_s32(sum.raw, vpaddq_s32(run.lower.raw, run.upper.raw)));
  }
};

struct BaseDot : QuadLoad, HalfSums<1> {
  using Sum = ByteSums;
  using Next = WideDot;
  static constexpr int kLowest = -kMost, kHighest = kMost;
  static constexpr int kMaxRows = 2, kVectors = 2;
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

// Uses sdot, which Highway's target does not have; only for CPUs that have it (Extension::kDot). It is
// written in assembler, so that the compiler uses the instruction nowhere else, and as a number, because assemblers
// differ in how the extension is switched on.
#undef LUTRA_DOT_EXTENSION
#undef LUTRA_MATRIX_PRODUCT
#if HWY_COMPILER_GCC || HWY_COMPILER_CLANG
#define LUTRA_DOT_EXTENSION "NEON_DOT"
#define LUTRA_MATRIX_PRODUCT "NEON_I8MM"
// Gives the assembler the numbers of registers: .Llutra_v7 is 7.
#undef LUTRA_REGISTER_NUMBERS
#define LUTRA_REGISTER_NUMBERS                                                                        \
  ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n\t" \
  ".set .Llutra_v\\n, \\n\n\t"                                                                        \
  ".endr\n\t"
struct ExtensionDot : WordSums {
  static constexpr int kMaxRows = 4, kVectors = 4, kLowest = -128, kHighest = 127;
  template <int kQuad>
  static HWY_INLINE VI8 Load(const std::uint8_t* x) {
    return hn::BitCast(DI8(), hn::Load(D8(), x));
  }
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 x) {
    // sdot %0.4s, %1.16b, %2.4b[kQuad]
    __asm__ __inline__(LUTRA_REGISTER_NUMBERS
                       ".inst 0x4f80e000 + %3 + .Llutra_%0 + (.Llutra_%1 << 5) + (.Llutra_%2 << 16)"
                       : "+w"(sum.raw)
                       : "w"(codes.raw), "w"(x.raw), "i"((kQuad % 2 << 21) + (kQuad / 2 << 11)));
  }
};

// smmla, in the same way, for CPUs that have it (Extension::kMatrix): lane 2i + j of the sums gets the sum of the
// products of bytes 8i .. 8i + 7 of a with bytes 8j .. 8j + 7 of b, all signed.
HWY_INLINE void AddProduct(V32& sums, V8 a, V8 b) {
  // smmla %0.4s, %1.16b, %2.16b
  __asm__ __inline__(LUTRA_REGISTER_NUMBERS ".inst 0x4e80a400 + .Llutra_%0 + (.Llutra_%1 << 5) + (.Llutra_%2 << 16)"
                     : "+w"(sums.raw)
                     : "w"(a.raw), "w"(b.raw));
}
// bfmmla, for the same CPUs: the same sums of products of four bf16. It rounds to odd, and treats subnormal numbers as
// zero; with FEAT_EBF16 both depend on FPCR.
HWY_INLINE void AddBf16Product(VF& sums, V16 a, V16 b) {
  // bfmmla %0.4s, %1.8h, %2.8h
  __asm__ __inline__(LUTRA_REGISTER_NUMBERS ".inst 0x6e40ec00 + .Llutra_%0 + (.Llutra_%1 << 5) + (.Llutra_%2 << 16)"
                     : "+w"(sums.raw)
                     : "w"(a.raw), "w"(b.raw));
}
#endif

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // the instruction set

#endif  // per-target include guard
