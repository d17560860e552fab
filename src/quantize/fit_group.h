// Chooses the scale, zero point and table of a group of float weights, and the codes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/quantize.h"
#include "quantize/group.h"
#include "quantize/search.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The table with the least error for a group, and its qparams; with one table, Fit::kRange does not compute the error.
struct Choice {
  Found found;
  std::size_t table = 0;
};
// Fits one level of qparams, of the types of `shape`. `sign`: as for Search.
Choice FitTables(const Group& group, const QuantizedView& shape, Fit fit, int sign = 0);

// Qparams are fitted for some columns at once: for a group, or for a super-group.
inline std::size_t FitColumns(const QuantizedView& shape) {
  if (HasRowScales(shape.group)) return shape.k;
  return HasTwoLevels(shape.scale_type) ? kSuperGroup : shape.group;
}
// Fits and stores the qparams of at most FitColumns columns; `at` is the number of their first group.
void FitGroups(const Group& columns, std::size_t at, const GroupArrays& arrays, Fit fit = Fit::kRange);

// Writes the codes of columns whose qparams are stored; rows are code_stride apart.
void EncodeGroups(const Group& columns, std::size_t at, const GroupArrays& arrays, std::uint8_t* codes,
                  std::size_t code_stride);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
