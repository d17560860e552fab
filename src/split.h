// How calls are split into pieces: token blocks times ranges of columns of y.
#pragma once

#include <algorithm>
#include <cstddef>

#include "lutra/kernels/registry.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Pieces of work per thread. Four even out threads that run at different speeds.
inline constexpr std::size_t kPiecesPerThread = 4;

// Pieces for a number of threads: one thread needs no more than one.
constexpr std::size_t PiecesFor(std::size_t threads, std::size_t each = kPiecesPerThread) {
  return threads == 1 ? 1 : each * threads;
}

// Splits the columns of y into ranges, so that `blocks` token blocks times ranges are about `pieces`. A unit is
// `together` panels, which alternate in memory, or one panel if such units would give fewer pieces than `least`. Ranges
// are whole units, and their numbers of units differ by one at most. With `pieces` and `least` equal to the resulting
// number of pieces, the ranges are the same.
class ColumnRanges {
 public:
  ColumnRanges(std::size_t m, std::size_t together, std::size_t blocks, std::size_t pieces, std::size_t least)
      : m_(m),
        unit_(kPanelRows * (blocks * DivideUp(m, kPanelRows * together) >= least ? together : 1)),
        units_(DivideUp(m, unit_)),
        count_(std::min(units_, std::max<std::size_t>(1, DivideUp(pieces, blocks)))) {}

  std::size_t count() const { return count_; }
  // The first column of range i; that of range count() is M.
  std::size_t BeginOf(std::size_t i) const {
    return std::min(m_, (units_ / count_ * i + std::min(i, units_ % count_)) * unit_);
  }

 private:
  std::size_t m_, unit_, units_, count_;
};

// More threads than tiles would have no work; there is at least one.
inline std::size_t UsefulThreads(std::size_t threads, std::size_t m, std::size_t n) {
  return std::clamp<std::size_t>(threads, 1, std::max<std::size_t>(1, PanelsIn(m) * DivideUp(n, kNR)));
}

// Calls run(part) for the parts i, i + count, i + 2 * count ... below `parts`: those of piece i of `count`.
template <class Run>
void ForPartsOf(std::size_t i, std::size_t count, std::size_t parts, const Run& run) {
  for (std::size_t part = i; part < parts; part += std::min(count, parts - part)) run(part);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
