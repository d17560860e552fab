// Instantiates the kernel templates for one target: its table of kernels, empty if it is left out. CMakeLists.txt
// writes a file for each that defines LUTRA_TARGET (as AVX2) and includes this one.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels-inl.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "lutra/kernels/registry.h"
#include "lutra/kernels/table-inl.h"
#include "lutra/kernels/tile-inl.h"
#include "targets.h"

#define LUTRA_HWY_TARGET HWY_CONCAT(HWY_, LUTRA_TARGET)

#if HWY_TARGET == LUTRA_HWY_TARGET
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
constexpr const char* kTargetName = HWY_TARGET == HWY_NEON_WITHOUT_AES ? "NEON" : &HWY_STR(HWY_NAMESPACE)[2];

constexpr TargetKernels kKernels[] = {
#ifdef LUTRA_DOT_EXTENSION
    KernelsOf<ExtensionDot>(LUTRA_DOT_EXTENSION, true),
#endif
    KernelsOf<BaseDot>(kTargetName, false),
};

const TargetRows kTargetRows = {kKernels, std::size(kKernels)};

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra

#elif HWY_ONCE && (HWY_TARGETS & LUTRA_HWY_TARGET) == 0
namespace lutra {
namespace internal {
namespace HWY_CONCAT(N_, LUTRA_TARGET) {

  const TargetRows kTargetRows = {nullptr, 0};

}
}  // namespace internal
}  // namespace lutra
#endif  // the target
