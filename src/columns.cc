// See columns.h.
#include "columns.h"

#include <cstring>
#include <utility>

#include "lutra/layout/qparams.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

// Rows of bytes.
struct ByteRows {
  const std::uint8_t* from;
  std::size_t from_stride;
  std::uint8_t* to;
  std::size_t to_stride, rows;

  // Copies bytes [begin, end) of each row to bytes from `at` on.
  void Copy(std::size_t begin, std::size_t end, std::size_t at) const {
    for (std::size_t row = 0; row < rows && begin != end; ++row) {
      std::memcpy(to + row * to_stride + at, from + row * from_stride + begin, end - begin);
    }
  }
  // Copies the values of the columns in ranges: a value of `size` bytes for each `unit` columns.
  void CopyRanges(const ShardRange* ranges, std::size_t count, std::size_t unit, std::size_t size) const {
    std::size_t at = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t begin = ranges[i].begin / unit * size, end = DivideUp(ranges[i].end, unit) * size;
      Copy(begin, end, at);
      at += end - begin;
    }
  }
};

void CopyField(const QuantizedView& w, const QparamField& field, const ShardRange* ranges, std::size_t count,
               QuantizedMatrix* columns) {
  const std::size_t size = SizeOf(field.type), unit = field.super() ? kSuperGroup : w.group;
  const ByteRows rows = {static_cast<const std::uint8_t*>(ArrayOf(w, field.role)),
                         ValuesPerRow(field, w.k, w.group) * size, WritableArrayOf(columns->view(), field.role),
                         ValuesPerRow(field, columns->view().k, w.group) * size, unit == kPerMatrix ? 1 : w.m};
  if (HasRowScales(unit)) return rows.Copy(0, size, 0);
  rows.CopyRanges(ranges, count, unit, size);
}

}  // namespace

Status GatherColumns(const QuantizedView& w, const ShardRange* ranges, std::size_t count, QuantizedMatrix* columns) {
  QuantizedView shape = w;
  shape.k = 0;
  for (std::size_t i = 0; i < count; ++i) shape.k += ranges[i].size();
  QuantizedMatrix result;
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape, w.bias != nullptr));
  if (CodebookSize(w) != 0) std::memcpy(result.codebook(), w.codebook, CodebookSize(w));
  if (w.bias != nullptr) std::memcpy(result.bias(), w.bias, w.m * sizeof(float));
  if (w.m != 0 && shape.k != 0) {
    const ByteRows codes = {w.codes, w.code_stride, result.codes(), shape.k, w.m};
    codes.CopyRanges(ranges, count, 1, 1);
    for (const QparamField& field : SchemeOf(w)) CopyField(w, field, ranges, count, &result);
  }
  *columns = std::move(result);
  return {};
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
