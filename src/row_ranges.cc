// Row ranges of packed matrices: where their bytes stand.
#include "lutra/row_ranges.h"

#include <algorithm>
#include <cstring>

#include "packed_access.h"
#include "targets/targets.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::kPanelRows;
using internal::PackedFields;
using internal::PanelsIn;

Status CheckRange(const PackedMatrix& w, std::size_t begin, std::size_t end) {
  if (end > w.m()) return Status::Invalid("end", "is beyond the rows of w");
  return begin > end ? Status::Invalid("begin", "is beyond end") : Status();
}

std::size_t PanelBytes(const PackedMatrix& w) { return w.m() == 0 ? 0 : w.bytes() / PanelsIn(w.m()); }

// Packed bytes from `begin` to `end`.
struct Range {
  std::size_t begin, end;
  std::size_t size() const { return begin < end ? end - begin : 0; }
};
// The bytes of the units in which any row of a range stands; of those whose rows are all in the range.
Range BytesThatTouch(const PackedMatrix& w, std::size_t begin, std::size_t end) {
  if (begin == end) return {0, 0};
  const std::size_t unit = RowUnit(w), bytes = PanelBytes(w), units = internal::DivideUp(end, unit);
  return {begin / unit * unit / kPanelRows * bytes, std::min(units * unit / kPanelRows * bytes, w.bytes())};
}
Range BytesInside(const PackedMatrix& w, std::size_t begin, std::size_t end) {
  const std::size_t unit = RowUnit(w), bytes = PanelBytes(w);
  const std::size_t first = internal::DivideUp(begin, unit) * (unit / kPanelRows) * bytes;
  return {first, end == w.m() ? w.bytes() : end / unit * unit / kPanelRows * bytes};
}

// Calls a hint of the file for packed bytes of w, if w is mapped.
void Hint(const PackedMatrix& w, const Range& bytes, void (MappedFile::*hint)(std::size_t, std::size_t) const) {
  const MappedFile& file = PackedAccess::File(w);
  if (file.mapped() && bytes.size() != 0) {
    (file.*hint)(static_cast<std::size_t>(w.data() - file.data()) + bytes.begin, bytes.size());
  }
}

// Copies bias[rows] and order[K], which must stand one behind the other, to *tail.
Status CopyTail(PackedFields* fields, Buffer* tail) {
  const internal::Tail sizes(*fields, true, true);
  if (!tail->Reserve(sizes.bytes())) return Status::OutOfMemory("rows");
  std::memcpy(tail->data(), fields->bias, sizes.bias_bytes);
  std::memcpy(tail->data() + sizes.bias_bytes, fields->order, sizes.order_bytes);
  fields->bias = tail->as<float>();
  fields->order = reinterpret_cast<const std::uint32_t*>(tail->data() + sizes.bias_bytes);
  return {};
}

}  // namespace

std::size_t functions::RowUnit(const PackedMatrix& w) {
  const EncodingInfo& e = Describe(w.format()).stored();
  return w.target() == nullptr ? kPanelRows : kPanelRows * internal::InterleavedPanels(w.target()->info.layout, e);
}

std::size_t functions::RowBytes(const PackedMatrix& w, std::size_t begin, std::size_t end) {
  return CheckRange(w, begin, end).ok() ? BytesThatTouch(w, begin, end).size() : 0;
}

Status functions::ViewRows(const PackedMatrix& w, std::size_t begin, std::size_t end, PackedMatrix* rows) {
  if (rows == nullptr) return Status::Invalid("rows", "is null");
  LUTRA_RETURN_IF_ERROR(CheckRange(w, begin, end));
  const std::size_t unit = RowUnit(w);
  const auto cuts = [&](std::size_t row) { return row % unit == 0 || row == w.m(); };
  if (!cuts(begin)) return Status::Invalid("begin", "is neither a multiple of RowUnit(w) nor M");
  if (!cuts(end)) return Status::Invalid("end", "is neither a multiple of RowUnit(w) nor M");
  PackedFields fields = PackedAccess::Fields(w);
  const Range bytes = BytesThatTouch(w, begin, end);
  fields.m = end - begin;
  fields.bytes = bytes.size();
  if (fields.data != nullptr) fields.data += bytes.begin;
  fields.bias = fields.bias == nullptr || fields.m == 0 ? nullptr : fields.bias + begin;
  Buffer tail;
  if (fields.bias != nullptr && fields.order != nullptr) LUTRA_RETURN_IF_ERROR(CopyTail(&fields, &tail));
  *rows = PackedAccess::Make(fields, std::move(tail));
  return {};
}

Status functions::PrefetchRows(const PackedMatrix& w, std::size_t begin, std::size_t end) {
  LUTRA_RETURN_IF_ERROR(CheckRange(w, begin, end));
  Hint(w, BytesThatTouch(w, begin, end), &MappedFile::Prefetch);
  return {};
}

Status functions::ReleaseRows(const PackedMatrix& w, std::size_t begin, std::size_t end) {
  LUTRA_RETURN_IF_ERROR(CheckRange(w, begin, end));
  Hint(w, BytesInside(w, begin, end), &MappedFile::Release);
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
