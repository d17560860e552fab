// See fit_group.h.
#include "quantize/fit_group.h"

#include "quantize/fit_range.h"
#include "quantize/two_levels.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

// Rounds q to the types of the shape. Of a scale of type E8M0 or E4M3 it tries both numbers next to it, and takes the
// one with the smaller error; if equal, the nearer one.
Found RoundedBest(const Group& group, const QuantizedView& shape, const std::int8_t* table, const Qparams& q) {
  const Qparams nearest = Rounded(shape, q);
  const Found found{ErrorOf(group, shape, table, nearest), nearest};
  if (!HasMatrixScale(shape.scale_type)) return found;
  const float next = NextScale(shape, nearest.scale, nearest.scale < q.scale ? 1 : -1);
  const Qparams other = Rounded(shape, {next, ZeroAt(next, q.scale, q.zero), q.offset});
  const double error = ErrorOf(group, shape, table, other);
  return error < found.error ? Found{error, other} : found;
}

// Qparams from the range, or from a search if the codes that it gives err less.
Found FitTable(const Group& group, const QuantizedView& shape, const std::int8_t* table, Fit fit, int sign) {
  const Qparams range = FitRange(group, shape, table);
  const Found found = RoundedBest(group, shape, table, range);
  if (fit == Fit::kRange || !(found.error > 0)) return found;
  const Qparams best = Search(group, shape, table, range, sign).q;
  const double error = ErrorOf(group, shape, table, best);
  return error < found.error ? Found{error, best} : found;
}

}  // namespace

Choice FitTables(const Group& group, const QuantizedView& shape, Fit fit, int sign) {
  const FormatInfo& f = Describe(shape.format);
  const std::size_t tables = TablesOf(f, shape);
  if (tables == 1 && fit == Fit::kRange && !HasMatrixScale(shape.scale_type)) {
    return {{0.0, Rounded(shape, FitRange(group, shape, TableOf(f, shape, 0)))}, 0};
  }
  Choice choice;
  for (std::size_t i = 0; i < tables; ++i) {
    const Found found = FitTable(group, shape, TableOf(f, shape, i), fit, sign);
    if (i == 0 || found.error < choice.found.error) choice = {found, i};
  }
  return choice;
}

void FitGroups(const Group& columns, std::size_t at, const GroupArrays& arrays, Fit fit) {
  if (HasTwoLevels(arrays.shape.scale_type)) {
    FitSuperGroup(columns, at, arrays, fit);
    return;
  }
  const Choice choice = FitTables(columns, arrays.shape, fit);
  Store(choice.found.q, at, arrays);
  if (HasTableChoices(arrays.shape)) arrays.table_choices[at] = static_cast<std::uint8_t>(choice.table);
}

void EncodeGroups(const Group& columns, std::size_t at, const GroupArrays& arrays, std::uint8_t* codes,
                  std::size_t code_stride) {
  const std::size_t size = HasRowScales(arrays.shape.group) ? columns.count : arrays.shape.group;
  for (std::size_t begin = 0; begin < columns.count; begin += size, ++at) {
    const Coder coder(at, arrays);
    columns.Part(begin, size).ForEach([&](float weight, std::size_t r, std::size_t i) {
      codes[r * code_stride + begin + i] = coder.Nearest(weight);
    });
  }
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
