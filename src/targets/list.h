// The list of targets, the best first. CMakeLists.txt reads it, too, and compiles the kernels once for each HWY_ name.
#pragma once

#include <cstddef>

#include "hwy/detect_targets.h"
#include "lutra/kernels/registry.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

inline constexpr Layout kBytesOfVector{Scope::kVector, 4};  // vpermb: 64 bytes are looked up at once
inline constexpr Layout kLanes1{Scope::kBlock, 1}, kLanes2{Scope::kBlock, 2}, kLanes4{Scope::kBlock, 4};
inline constexpr Extension kBase = Extension::kNone, kDot = Extension::kDot, kMatrix = Extension::kMatrix;
inline constexpr bool kBf16 = true, kNoBf16 = false;

// Name, Highway's target, the instructions that the CPU must have beside that target's, layout, whether instructions of
// both multiply bf16, and the bytes of L2 where the system does not tell them. For NEON, Lutra takes Highway's
// target without AES, because all 64-bit Arm CPUs run it and kernels do not use AES.
inline constexpr TargetInfo kTargets[] = {
    {"AVX3_SPR_AMX", HWY_AVX3_SPR, kMatrix, kBytesOfVector, kBf16, std::size_t{2} << 20},
    {"AVX3_SPR", HWY_AVX3_SPR, kBase, kBytesOfVector, kBf16, std::size_t{2} << 20},
    {"AVX3_ZEN4", HWY_AVX3_ZEN4, kBase, kBytesOfVector, kBf16, std::size_t{1} << 20},
    {"AVX3_DL", HWY_AVX3_DL, kBase, kBytesOfVector, kNoBf16, std::size_t{1} << 20},
    {"AVX3", HWY_AVX3, kBase, kLanes4, kNoBf16, std::size_t{1} << 20},
    {"AVX2_VNNI", HWY_AVX2, kDot, kLanes2, kNoBf16, std::size_t{1} << 20},
    {"AVX2", HWY_AVX2, kBase, kLanes2, kNoBf16, std::size_t{512} << 10},
    {"NEON_I8MM", HWY_NEON_WITHOUT_AES, kMatrix, kLanes1, kBf16, std::size_t{1} << 20},
    {"NEON_DOT", HWY_NEON_WITHOUT_AES, kDot, kLanes1, kNoBf16, std::size_t{512} << 10},
    {"NEON", HWY_NEON_WITHOUT_AES, kBase, kLanes1, kNoBf16, std::size_t{512} << 10},
    {"EMU128", HWY_EMU128, kBase, kLanes1, kNoBf16, std::size_t{512} << 10},
};

// Finds the row with this target of Highway's and this extension.
constexpr const TargetInfo& FindTargetInfo(std::int64_t hwy_target, Extension extension) {
  std::size_t i = 0;
  while (kTargets[i].hwy_target != hwy_target || kTargets[i].extension != extension) ++i;
  return kTargets[i];
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
