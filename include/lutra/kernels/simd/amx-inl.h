// AMX: the matrix registers and their instructions, for CPUs of AVX3_SPR that have them. They are written in assembler,
// so that the compiler uses them nowhere else.
#if defined(LUTRA_KERNELS_SIMD_AMX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_SIMD_AMX_INL_H_
#undef LUTRA_KERNELS_SIMD_AMX_INL_H_
#else
#define LUTRA_KERNELS_SIMD_AMX_INL_H_
#endif

#include "lutra/kernels/matrix_shapes.h"
#include "lutra/kernels/simd/x86-inl.h"

#undef LUTRA_MATRIX_REGISTERS
#if HWY_TARGET == HWY_AVX3_SPR && HWY_ARCH_X86_64 && (HWY_COMPILER_GCC || HWY_COMPILER_CLANG)
#define LUTRA_MATRIX_REGISTERS "AVX3_SPR_AMX"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

static_assert(BaseDot::kLowest == 0 && BaseDot::kHighest == 255);  // Multiply takes codes as unsigned bytes

// See matrix_unit-inl.h for what each member does.
class AmxRegisters {
 public:
  HWY_INLINE AmxRegisters(bool, const MatrixShapes& shapes) {
    struct alignas(64) Configuration {  // as LDTILECFG reads it
      std::uint8_t palette, start_row, reserved[14];
      std::uint16_t row_bytes[16];
      std::uint8_t rows[16];
    } configuration = {};
    static_assert(sizeof(Configuration) == 64);
    configuration.palette = 1;
    for (std::size_t i = 0; i < kMatrixRegisters; ++i) {
      configuration.row_bytes[i] = static_cast<std::uint16_t>(shapes.row_bytes[i]);
      configuration.rows[i] = static_cast<std::uint8_t>(shapes.rows[i]);
    }
    __asm__ __volatile__("ldtilecfg %0" : : "m"(configuration));
  }
  AmxRegisters(const AmxRegisters&) = delete;
  AmxRegisters& operator=(const AmxRegisters&) = delete;
  HWY_INLINE ~AmxRegisters() { __asm__ __volatile__("tilerelease"); }

  template <int kRegister>
  HWY_INLINE void Clear() {
    __asm__ __volatile__("tilezero %%tmm%c0" : : "i"(kRegister));
  }
  template <int kRegister>
  HWY_INLINE void Load(const std::uint8_t* from, std::size_t stride) {
    __asm__ __volatile__("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kRegister) : "memory");
  }
  template <int kRegister>
  HWY_INLINE void Store(std::uint8_t* to, std::size_t stride) {
    __asm__ __volatile__("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kRegister) : "memory");
  }
  template <ActivationKind kKind, int kSums, int kX, int kCodes>
  HWY_INLINE void Multiply() {
    static_assert(kKind == ActivationKind::kIntegers || kKind == ActivationKind::kBf16);
    if constexpr (kKind == ActivationKind::kBf16) {
      __asm__ __volatile__("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kX), "i"(kCodes));
    } else {
      __asm__ __volatile__("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kX), "i"(kCodes));
    }
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // the instruction set

#endif  // per-target include guard
