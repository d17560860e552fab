// Prefetch hints: a line of memory will be read or written; bring it into L1, or into L2 alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hwy/base.h"
#include "hwy/cache_control.h"
#include "lutra/version.h"

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

// Lines travel from L2 to L1 faster than from memory to L2, so L1 needs a shorter distance. At the 8 KB of the plans it
// is 2 KB: 32 lines, which leave most of a 32 KB L1 to the tables of x.
inline constexpr std::size_t kL1DistanceDivisor = 4;

// Prefetches two lines: into L2 the line `distance` bytes after `line`, and into L1 the line at a quarter of that
// distance, which is in L2 by then.
HWY_INLINE void PrefetchInTwoSteps(const std::uint8_t* line, std::size_t distance) {
  PrefetchToL2(line + distance);
  PrefetchToL1(line + distance / kL1DistanceDivisor);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
