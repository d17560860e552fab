// Shards: where K may be cut.
#include "lutra/shards.h"

#include "columns.h"
#include "lutra/layout/qparams.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

std::size_t functions::ColumnUnit(const QuantizedView& w) {
  if (HasRowScales(w.group)) return BlockSize(Describe(w.format), w.group);
  return internal::SchemeOf(w).has_super_groups() ? kSuperGroup : w.group;
}

Status functions::CopyColumns(const QuantizedView& w, std::size_t begin, std::size_t end, QuantizedMatrix* columns) {
  if (columns == nullptr) return Status::Invalid("columns", "is null");
  LUTRA_RETURN_IF_ERROR(internal::ValidateWeights(w));
  if (w.order != nullptr) return Status::Unsupported("w.order", "is not null: parts need columns of x from everywhere");
  if (end > w.k) return Status::Invalid("end", "is beyond the columns of w");
  if (begin > end) return Status::Invalid("begin", "is beyond end");
  const std::size_t unit = ColumnUnit(w);
  const auto cuts = [&](std::size_t column) { return column % unit == 0 || column == w.k; };
  if (!cuts(begin)) return Status::Invalid("begin", "is neither a multiple of ColumnUnit(w) nor K");
  if (!cuts(end)) return Status::Invalid("end", "is neither a multiple of ColumnUnit(w) nor K");

  QuantizedView part = w;
  if (begin != 0) part.bias = nullptr;
  const ShardRange range = {begin, end};
  return internal::GatherColumns(part, &range, 1, columns);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
