// x86: the constants of the target, its adders and its dot products. Targets with vpermb and vpdpbusd on vectors of 64
// bytes (AVX3_DL and better) look up in vector scope, other targets in block scope.
#if defined(LUTRA_KERNELS_SIMD_X86_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_SIMD_X86_INL_H_
#undef LUTRA_KERNELS_SIMD_X86_INL_H_
#else
#define LUTRA_KERNELS_SIMD_X86_INL_H_
#endif

#include "lutra/kernels/simd/vectors-inl.h"

#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128

#undef LUTRA_SIGNED_TABLES
#define LUTRA_SIGNED_TABLES 0
#undef LUTRA_VECTOR_SCOPE
#if HWY_TARGET <= HWY_AVX3_DL
#define LUTRA_VECTOR_SCOPE 1
#else
#define LUTRA_VECTOR_SCOPE 0
#endif

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

#if LUTRA_VECTOR_SCOPE
inline constexpr Layout kLayout{Scope::kVector, 4};
inline constexpr int kTableBias = 0;  // the quad adder takes signed entries
#else
inline constexpr Layout kLayout{Scope::kBlock, static_cast<int>(HWY_MAX_BYTES / 16)};
inline constexpr int kTableBias = 128;  // added to table entries, because the pair adder takes unsigned bytes
#endif
inline constexpr bool kNativeF16 = true;                          // Highway's conversion follows IEEE 754
inline constexpr bool kMultipliesPairs = true;                    // vpmaddubsw
inline constexpr int kRegisters = kLayout.blocks == 4 ? 32 : 16;  // of vectors

// The pair adder: lane i is sum[i] + a[2i] * b[2i] + a[2i + 1] * b[2i + 1], of unsigned bytes a and signed bytes b.
// Each pair of products must fit 16 bits.
HWY_INLINE V16 AddPairs(V16 sum, V8 a, VI8 b) { return hn::Add(sum, hn::SatWidenMulPairwiseAdd(D16(), a, b)); }

#if LUTRA_VECTOR_SCOPE
class FourTables {
 public:
  static constexpr int kChoiceAt = 4;
  static constexpr bool kJoined = true;
  explicit HWY_INLINE FourTables(const std::uint8_t* tables) : tables_(hn::LoadU(D8(), tables)) {}
  HWY_INLINE V8 LookUp(V8 bytes) const { return hn::TableLookupLanes(tables_, hn::IndicesFromVec(D8(), bytes)); }
  HWY_INLINE V8 LookUp(V8 bytes, V8 choice) const { return LookUp(hn::Or(bytes, choice)); }

 private:
  V8 tables_;
};

struct BaseDot : QuadLoad, WordSums {
  static constexpr int kMaxRows = 4, kVectors = 4, kLowest = 0, kHighest = 255;
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    sum = hn::SumOfMulQuadAccumulate(D32(), codes, quad, sum);
    StayInRegister(sum);
  }
};
#else
class FourTables {
 public:
  static constexpr int kChoiceAt = 6;  // the upper bit is the sign; those below it do not count
  static constexpr bool kJoined = false;
  explicit HWY_INLINE FourTables(const std::uint8_t* tables) {
    LUTRA_UNROLL
    for (std::size_t i = 0; i < 4; ++i) tables_[i] = hn::BitCast(DI8(), hn::LoadDup128(D8(), tables + 16 * i));
  }
  HWY_INLINE V8 LookUp(V8 bytes, V8 choice) const {
    const VI8 upper = hn::BitCast(DI8(), choice), lower = hn::Add(upper, upper);
    const VI8 first = hn::IfNegativeThenElse(lower, Find(1, bytes), Find(0, bytes));
    const VI8 second = hn::IfNegativeThenElse(lower, Find(3, bytes), Find(2, bytes));
    return hn::BitCast(D8(), hn::IfNegativeThenElse(upper, second, first));
  }

 private:
  HWY_INLINE VI8 Find(int table, V8 bytes) const {
    return hn::TableLookupBytes(tables_[table], hn::BitCast(DI8(), bytes));
  }

  VI8 tables_[4];
};

// Four sums of vectors of 64 bytes for each of four rows of x fit the 32 registers; of 32 bytes, with 16 registers, a
// quarter.
inline constexpr bool kManyRegisters = kRegisters == 32;

// Takes bytes: sums the products of their low nibbles and of their high nibbles in 16 bits, apart.
struct ByteDot : QuadLoad, HalfSums<2> {
  using Sum = TwoVectors<V16>;  // of the low nibbles, of the high nibbles
  static constexpr int kLowest = 0, kHighest = 255;
  static constexpr int kMaxRows = kManyRegisters ? 2 : 1, kVectors = kManyRegisters ? 2 : 1;
  static constexpr bool kRowByRow = true;
  static constexpr std::size_t RunChunks(int) { return HalfSums<2>::RunChunks(15); }
  static HWY_INLINE Sum Zero() { return {hn::Zero(D16()), hn::Zero(D16())}; }
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    sum.lower = AddPairs(sum.lower, LowNibbles(codes), quad);
    sum.upper = AddPairs(sum.upper, HighNibbles(codes), quad);
    StayInRegister(sum);
  }
  static HWY_INLINE V32 Widen(V32 sum, const Sum& run) {
    const V32 low = hn::WidenMulPairwiseAdd(D32(), run.lower, hn::Set(D16(), 1));
    return hn::Add(hn::Add(sum, low), hn::WidenMulPairwiseAdd(D32(), run.upper, hn::Set(D16(), 16)));
  }
};
// Takes signed codes up to 127 in magnitude: multiplies |x| by the code with the sign of x. A pair of products is at
// most 2 * 128 * 127 < 2^15.
struct WideDot : QuadLoad, WordSums {
  using Next = ByteDot;
  static constexpr int kLowest = -127, kHighest = 127;
  static constexpr int kMaxRows = kManyRegisters ? 4 : 1, kVectors = 2;
  static constexpr bool kRowByRow = true;  // |x| takes a register, too
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    const V8 magnitudes = hn::BitCast(D8(), hn::Abs(quad));
    const VI8 with_sign = hn::IfNegativeThenNegOrUndefIfZero(quad, hn::BitCast(DI8(), codes));
    const V16 pairs = hn::SatWidenMulPairwiseAdd(D16(), magnitudes, with_sign);
    sum = hn::Add(sum, hn::WidenMulPairwiseAdd(D32(), pairs, hn::Set(D16(), 1)));
    StayInRegister(sum);
  }
};
template <>
inline constexpr bool kUnpacksShorts<ByteDot> = true;
template <>
inline constexpr bool kUnpacksShorts<WideDot> = true;

// Takes codes up to 127, and widens each pair of products, at most 2 * 128 * 127 < 2^15.
struct PairDot : QuadLoad, WordSums {
  using Next = WideDot;
  static constexpr int kLowest = 0, kHighest = 127;
  static constexpr int kMaxRows = kManyRegisters ? 4 : 1, kVectors = kManyRegisters ? 4 : 2;
  static constexpr bool kRowByRow = true;
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    const V16 pairs = hn::SatWidenMulPairwiseAdd(D16(), codes, quad);
    sum = hn::Add(sum, hn::WidenMulPairwiseAdd(D32(), pairs, hn::Set(D16(), 1)));
    StayInRegister(sum);
  }
};
struct BaseDot : QuadLoad, HalfSums<2> {
  static constexpr JointForm kJoint = JointForm::kPairs;
  using Sum = V16;
  using Next = PairDot;
  static constexpr int kLowest = 0, kHighest = kMost;
  static constexpr int kMaxRows = kManyRegisters ? 4 : 2, kVectors = kManyRegisters ? 4 : 2;
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

// Uses vpdpbusd of AVX-VNNI, which no Highway target has; only for CPUs that have it (Extension::kDot). It is
// written in assembler, so that the compiler uses the instruction nowhere else.
#undef LUTRA_DOT_EXTENSION
#undef LUTRA_MATRIX_PRODUCT
#if HWY_TARGET == HWY_AVX2 && (HWY_COMPILER_GCC || HWY_COMPILER_CLANG)
#define LUTRA_DOT_EXTENSION "AVX2_VNNI"
struct ExtensionDot : QuadLoad, WordSums {
  static constexpr int kMaxRows = 1, kVectors = 2, kLowest = 0, kHighest = 255;
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.raw) : "x"(codes.raw), "x"(quad.raw));
  }
};
#endif

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // the instruction set

#endif  // per-target include guard
