// The C API: row ranges and shards.
#include "c_api/c_api.h"
#include "lutra/row_ranges.h"
#include "lutra/shards.h"
#include "validate.h"

using lutra::Status;
using namespace lutra::c_api;

size_t lutra_row_unit(const lutra_packed* w) noexcept {
  return CheckHandle(w, "w").ok() ? lutra::RowUnit(w->value) : 0;
}

size_t lutra_row_bytes(const lutra_packed* w, size_t begin, size_t end) noexcept {
  return CheckHandle(w, "w").ok() ? lutra::RowBytes(w->value, begin, end) : 0;
}

lutra_status lutra_view_rows(const lutra_packed* w, size_t begin, size_t end, lutra_packed** rows) noexcept {
  lutra::PackedMatrix result;
  Status status = FirstError({CheckHandle(w, "w"), CheckNotNull(rows, "rows")});
  if (status.ok()) status = lutra::ViewRows(w->value, begin, end, &result);
  if (status.ok()) status = Give(std::move(result), "rows", rows);
  return ToC(status);
}

lutra_status lutra_prefetch_rows(const lutra_packed* w, size_t begin, size_t end) noexcept {
  Status status = CheckHandle(w, "w");
  if (status.ok()) status = lutra::PrefetchRows(w->value, begin, end);
  return ToC(status);
}

lutra_status lutra_release_rows(const lutra_packed* w, size_t begin, size_t end) noexcept {
  Status status = CheckHandle(w, "w");
  if (status.ok()) status = lutra::ReleaseRows(w->value, begin, end);
  return ToC(status);
}

size_t lutra_column_unit(const lutra_quantized_view* w) noexcept {
  if (w == nullptr) return 0;
  const lutra::QuantizedView view = FromC(*w);
  return lutra::internal::ValidateShape(view).ok() ? lutra::ColumnUnit(view) : 0;
}

lutra_status lutra_copy_columns(const lutra_quantized_view* w, size_t begin, size_t end,
                                lutra_quantized** columns) noexcept {
  lutra::QuantizedMatrix result;
  Status status = FirstError({CheckNotNull(w, "w"), CheckNotNull(columns, "columns")});
  if (status.ok()) status = lutra::CopyColumns(FromC(*w), begin, end, &result);
  if (status.ok()) status = Give(std::move(result), "columns", columns);
  return ToC(status);
}
