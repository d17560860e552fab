// Shards: parts of K, with the qparams that belong to them.
#include "lutra/shards.h"

#include <cstring>

#include "lutra/layout/qparams.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::QparamField;
using internal::QparamRole;

// The array of a matrix that holds a field.
void* ArrayOf(QuantizedMatrix& w, QparamRole role) {
  switch (role) {
    case QparamRole::kScale:
      return w.scales();
    case QparamRole::kZeroPoint:
    case QparamRole::kOffset:
      return w.zeros();
    case QparamRole::kTableChoice:
      return w.table_choices();
    case QparamRole::kSuperScale:
      return w.super_scales();
    case QparamRole::kSuperOffset:
      return w.super_offsets();
  }
  return nullptr;
}

// Copies `rows` rows of `bytes` bytes each.
void CopyRows(const void* from, std::size_t from_stride, void* to, std::size_t to_stride, std::size_t rows,
              std::size_t bytes) {
  for (std::size_t row = 0; row < rows && bytes != 0; ++row) {
    std::memcpy(static_cast<std::uint8_t*>(to) + row * to_stride,
                static_cast<const std::uint8_t*>(from) + row * from_stride, bytes);
  }
}

// Copies the values of a field for the columns from `begin` on.
void CopyField(const QuantizedView& w, const QparamField& field, std::size_t begin, QuantizedMatrix* columns) {
  const QuantizedView& to = columns->view();
  const std::size_t size = SizeOf(field.type), per_row = internal::ValuesPerRow(field, to.k, to.group) * size;
  const auto* const from = static_cast<const std::uint8_t*>(internal::ArrayOf(w, field.role));
  if (w.group == kPerMatrix && !field.super()) return CopyRows(from, 0, ArrayOf(*columns, field.role), 0, 1, size);
  const std::size_t unit = field.super() ? kSuperGroup : w.group, skipped = HasRowScales(unit) ? 0 : begin / unit;
  const std::size_t stride = internal::ValuesPerRow(field, w.k, w.group) * size;
  CopyRows(from + skipped * size, stride, ArrayOf(*columns, field.role), per_row, w.m, per_row);
}

}  // namespace

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

  QuantizedView shape = w;
  shape.k = end - begin;
  const bool bias = w.bias != nullptr && begin == 0;
  QuantizedMatrix result;
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape, bias));
  if (CodebookSize(w) != 0) std::memcpy(result.codebook(), w.codebook, CodebookSize(w));
  if (bias) CopyRows(w.bias, 0, result.bias(), 0, 1, w.m * sizeof(float));
  if (w.m != 0 && shape.k != 0) {
    CopyRows(w.codes + begin, w.code_stride, result.codes(), shape.k, w.m, shape.k);
    for (const QparamField& field : internal::SchemeOf(w)) CopyField(w, field, begin, &result);
  }
  *columns = std::move(result);
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
