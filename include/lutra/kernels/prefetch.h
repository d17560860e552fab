// Prefetch hints: a line of memory will be read or written; bring it into L1, or into L2 alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hwy/base.h"
#include "hwy/cache_control.h"
#include "lutra/kernels/registry.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

HWY_INLINE void PrefetchToL1(const std::uint8_t* line) { hwy::Prefetch(line); }
HWY_INLINE void PrefetchToL2(const std::uint8_t* line) {
#if HWY_COMPILER_GCC || HWY_COMPILER_CLANG
  __builtin_prefetch(line, 0, 2);
#else
  hwy::Prefetch(line);
#endif
}

HWY_INLINE void Prefetch(const std::uint8_t* line, const PrefetchDistances& distances) {
  PrefetchToL2(line + distances.to_l2);
  PrefetchToL1(line + distances.to_l1);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
