// Portable target: the constants of the target, its pair adder and its dot products, as loops over vectors in memory.
#if defined(LUTRA_KERNELS_SIMD_EMU_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_SIMD_EMU_INL_H_
#undef LUTRA_KERNELS_SIMD_EMU_INL_H_
#else
#define LUTRA_KERNELS_SIMD_EMU_INL_H_
#endif

#include "lutra/kernels/simd/vectors-inl.h"

#if HWY_TARGET == HWY_EMU128

#undef LUTRA_SIGNED_TABLES
#define LUTRA_SIGNED_TABLES 0
#undef LUTRA_VECTOR_SCOPE
#define LUTRA_VECTOR_SCOPE 0
#undef LUTRA_DOT_EXTENSION
#undef LUTRA_MATRIX_PRODUCT

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

inline constexpr Layout kLayout{Scope::kBlock, 1};
inline constexpr int kTableBias = 128;     // as on x86 in block scope
inline constexpr bool kNativeF16 = false;  // Highway's emulation converts infinity to 65536
inline constexpr bool kMultipliesPairs = false;
inline constexpr int kRegisters = 32;  // as most CPUs have

// The pair adder: lane i is sum[i] + a[2i] * b[2i] + a[2i + 1] * b[2i + 1], of unsigned bytes a and signed bytes b.
HWY_INLINE V16 AddPairs(V16 sum, V8 a, VI8 b) {
  for (int i = 0; i < 8; ++i) {
    const int products = a.raw[2 * i] * b.raw[2 * i] + a.raw[2 * i + 1] * b.raw[2 * i + 1];
    sum.raw[i] = static_cast<std::int16_t>(sum.raw[i] + products);
  }
  return sum;
}

class FourTables {
 public:
  static constexpr int kChoiceAt = 4;
  static constexpr bool kJoined = true;
  explicit FourTables(const std::uint8_t* tables) : tables_(tables) {}
  V8 LookUp(V8 bytes) const {
    for (std::uint8_t& byte : bytes.raw) byte = tables_[byte];
    return bytes;
  }
  V8 LookUp(V8 bytes, V8 choice) const { return LookUp(hn::Or(bytes, choice)); }

 private:
  const std::uint8_t* tables_;
};

// Takes signed bytes.
struct WideDot : QuadLoad, WordSums {
  static constexpr int kLowest = -128, kHighest = 127;
  static constexpr int kMaxRows = 2, kVectors = 4;
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    for (int i = 0; i < 16; ++i) sum.raw[i / 4] += static_cast<std::int8_t>(codes.raw[i]) * quad.raw[i];
  }
};
struct BaseDot : QuadLoad, HalfSums<2> {
  static constexpr JointForm kJoint = JointForm::kPairs;
  using Sum = V16;
  using Next = WideDot;
  static constexpr int kLowest = 0, kHighest = kMost;
  static constexpr int kMaxRows = 2, kVectors = 4;
  static HWY_INLINE Sum Zero() { return hn::Zero(D16()); }
  template <int kQuad>
  static HWY_INLINE void Add(Sum& sum, V8 codes, VI8 quad) {
    sum = AddPairs(sum, codes, quad);
  }
  static HWY_INLINE V32 Widen(V32 sum, Sum run) {
    return hn::Add(sum, hn::WidenMulPairwiseAdd(D32(), run, hn::Set(D16(), 1)));
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // the instruction set

#endif  // per-target include guard
