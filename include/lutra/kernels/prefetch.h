// Hints that a line of memory will be read or written: into L1, or into L2 alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hwy/base.h"
#include "hwy/cache_control.h"

namespace lutra {
namespace internal {

HWY_INLINE void PrefetchToL1(const std::uint8_t* line) { hwy::Prefetch(line); }
HWY_INLINE void PrefetchToL2(const std::uint8_t* line) {
#if HWY_COMPILER_GCC || HWY_COMPILER_CLANG
  __builtin_prefetch(line, 0, 2);
#else
  hwy::Prefetch(line);
#endif
}

// Into L2 at a distance, and into L1 at a quarter of it, so that L1 waits for what L2 has.
HWY_INLINE void PrefetchInTwoSteps(const std::uint8_t* line, std::size_t distance) {
  PrefetchToL2(line + distance);
  PrefetchToL1(line + distance / 4);
}

}  // namespace internal
}  // namespace lutra
