// The C API: row ranges.
#include "c_api/c_api.h"
#include "lutra/row_ranges.h"

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
