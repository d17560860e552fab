// Fit::kLeastError: searches the qparams of a group that minimise its squared error.
#pragma once

#include <limits>

#include "quantize/group.h"
#include "quantize/sums.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The least error that was found, with what it was found for. Infinite: nothing was found.
struct Found {
  double error = std::numeric_limits<double>::infinity();
  Qparams q{0.0f, 0.0f, 0.0f};
};

// Searches for one table (null: affine values). `start`, the qparams of Fit::kRange, are the first that are tried.
// `sign` of 1 or -1: scales of this sign alone; 0: of any. The qparams found are rounded to the types of `shape`.
//
// A grid of scales is tried, around the start and around the range of the weights; from the best few, codes and
// qparams are chosen in turns, each the best for the other, as long as the error falls.
Found Search(const Group& group, const QuantizedView& shape, const std::int8_t* table, const Qparams& start,
             int sign = 0);

// The qparams that are best for the values in `sums`, within the freedom that `shape` leaves to zeros, not rounded.
// False if there are none.
bool LeastSquares(const Sums& sums, const QuantizedView& shape, Qparams* q);

// The sums for rounded qparams.
inline Sums SumsFor(const Values& values, const Group& group, const QuantizedView& shape, const Qparams& q) {
  return values.SumsOf(group, q.scale, shape.zero_kind == ZeroKind::kOffset ? q.offset : -q.scale * q.zero);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
