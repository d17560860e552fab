// Instantiates the kernel templates for one target and defines its table of kernels, which is empty if the build leaves
// the target out. CMakeLists.txt writes a file per target that defines LUTRA_TARGET (as AVX2) and includes this one.
#include "hwy/base.h"
#include "hwy/detect_targets.h"
#include "lutra/kernels/registry.h"
#include "targets/targets.h"

#define LUTRA_HWY_TARGET HWY_CONCAT(HWY_, LUTRA_TARGET)

#if (HWY_TARGETS & LUTRA_HWY_TARGET) != 0
// foreach_target.h would include the templates, and Highway's functions, once for each target.
#undef HWY_TARGET
#define HWY_TARGET LUTRA_HWY_TARGET
#include "hwy/highway.h"
#include "lutra/kernels/methods-inl.h"
#include "targets/list.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

constexpr TargetKernels kKernels[] = {
#ifdef LUTRA_MATRIX_REGISTERS
    KernelsWith<BaseDot>(FindTargetInfo(HWY_TARGET, Extension::kMatrix), &TileOfUnit<AmxRegisters>, kMatrixUnit),
#endif
#ifdef LUTRA_MATRIX_PRODUCT
    KernelsWith<ExtensionDot, Bf16Matrices>(FindTargetInfo(HWY_TARGET, Extension::kMatrix),
                                            &TileWithMatrices<ProductRows>),
#endif
#ifdef LUTRA_DOT_EXTENSION
    KernelsWith<ExtensionDot>(FindTargetInfo(HWY_TARGET, Extension::kDot)),
#endif
    KernelsWith<BaseDot>(FindTargetInfo(HWY_TARGET, Extension::kNone)),
};
static_assert(kKernels[0].info.layout == kLayout);
static_assert(std::end(kKernels)[-1].info.bf16 == (HWY_NATIVE_DOT_BF16 != 0));

}  // namespace LUTRA_KERNELS_NAMESPACE

template <>
TargetRows KernelsOf<LUTRA_HWY_TARGET>() {
  return {LUTRA_KERNELS_NAMESPACE::kKernels, std::size(LUTRA_KERNELS_NAMESPACE::kKernels)};
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra

#else
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

template <>
TargetRows KernelsOf<LUTRA_HWY_TARGET>() {
  return {nullptr, 0};
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
#endif  // the target
