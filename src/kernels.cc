// Instantiates the kernel templates for every target: one table of kernels each.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "lutra/kernels/registry.h"
#include "lutra/kernels/table-inl.h"
#include "lutra/kernels/tile-inl.h"
#include "targets.h"

namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

// In the order of Format and Precision. Formats of integers are multiplied by Dot.
template <class Dot>
constexpr TargetKernels KernelsOf(const char* name, bool dot_extension) {
  return {
      name,
      HWY_TARGET,
      dot_extension,
      kLayout,
      {TileRow<Format::kInt1, Precision::kInt8>(), TileRow<Format::kInt1, Precision::kInt16>(),
       TileRow<Format::kInt2, Precision::kInt8>(), TileRow<Format::kInt2, Precision::kInt16>(),
       TileRow<Format::kInt3, Precision::kInt8, Dot>(), TileRow<Format::kInt3, Precision::kInt16, Dot>(),
       TileRow<Format::kInt4, Precision::kInt8, Dot>(), TileRow<Format::kInt4, Precision::kInt16, Dot>(),
       TileRow<Format::kTernary, Precision::kInt8>(), TileRow<Format::kTernary, Precision::kInt16>()},
      {TableRow<Prepared::kBinarySums, Precision::kInt8>(), TableRow<Prepared::kBinarySums, Precision::kInt16>(),
       TableRow<Prepared::kTernarySums, Precision::kInt8>(), TableRow<Prepared::kTernarySums, Precision::kInt16>(),
       TableRow<Prepared::kIntegers, Precision::kInt8>(), TableRow<Prepared::kIntegers, Precision::kInt16>()},
      &StoreTile,
  };
}

// "N_AVX2" without "N_". The NEON of every 64-bit Arm is Highway's without AES, which would not help.
inline constexpr const char* kTargetName = HWY_TARGET == HWY_NEON_WITHOUT_AES ? "NEON" : &HWY_STR(HWY_NAMESPACE)[2];

inline constexpr TargetKernels kKernels[] = {
#ifdef LUTRA_DOT_EXTENSION
    KernelsOf<ExtensionDot>(LUTRA_DOT_EXTENSION, true),
#endif
    KernelsOf<BaseDot>(kTargetName, false),
};

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra

#if HWY_ONCE
namespace lutra {
namespace internal {

// Best first.
const TargetRows kCompiledTargets[] = {
#if HWY_TARGETS & HWY_AVX3_SPR
    {N_AVX3_SPR::kKernels, std::size(N_AVX3_SPR::kKernels)},
#endif
#if HWY_TARGETS & HWY_AVX3_ZEN4
    {N_AVX3_ZEN4::kKernels, std::size(N_AVX3_ZEN4::kKernels)},
#endif
#if HWY_TARGETS & HWY_AVX3_DL
    {N_AVX3_DL::kKernels, std::size(N_AVX3_DL::kKernels)},
#endif
#if HWY_TARGETS & HWY_AVX3
    {N_AVX3::kKernels, std::size(N_AVX3::kKernels)},
#endif
#if HWY_TARGETS & HWY_AVX2
    {N_AVX2::kKernels, std::size(N_AVX2::kKernels)},
#endif
#if HWY_TARGETS & HWY_NEON_WITHOUT_AES
    {N_NEON_WITHOUT_AES::kKernels, std::size(N_NEON_WITHOUT_AES::kKernels)},
#endif
#if HWY_TARGETS & HWY_EMU128
    {N_EMU128::kKernels, std::size(N_EMU128::kKernels)},
#endif
};
const std::size_t kCompiledTargetCount = std::size(kCompiledTargets);

}  // namespace internal
}  // namespace lutra
#endif  // HWY_ONCE
