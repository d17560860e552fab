// Unpack and DequantizeRows: packed weights become codes or floats again.
#include <algorithm>
#include <cstring>

#include "float_mode.h"
#include "lutra/pack_panels.h"
#include "lutra/packed_matrix.h"
#include "pack/panel_reader.h"
#include "packed_access.h"
#include "scales.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::kPanelRows;

// The rows of a panel in the arrays of *w.
internal::PieceOut OutOf(const internal::QparamScheme& scheme, std::size_t panel, QuantizedMatrix* w) {
  const QuantizedView& v = w->view();
  const std::size_t row = panel * kPanelRows;
  internal::PieceOut to;
  to.first = 0;
  to.rows = std::min(kPanelRows, v.m - row);
  to.codes = w->codes() + row * v.k;
  to.code_stride = v.k;
  for (std::size_t i = 0; i < scheme.count; ++i) {
    const internal::QparamField& field = scheme.fields[i];
    to.strides[i] = internal::ValuesPerRow(field, v.k, v.group) * SizeOf(field.type);
    to.values[i] = internal::WritableArrayOf(v, field.role) + row * to.strides[i];
  }
  return to;
}

}  // namespace

Status functions::Unpack(const PackedMatrix& packed, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  return internal::UnpackFrom(packed, packed.target() != nullptr ? packed.target()->info.layout : internal::Layout{},
                              w);
}

Status internal::UnpackFrom(const PackedMatrix& packed, Layout layout, QuantizedMatrix* w) {
  QuantizedMatrix result;
  QuantizedView shape = ShapeOf(PackedAccess::Fields(packed));
  shape.order = packed.order();
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape, packed.has_bias()));
  std::copy_n(packed.codebook(), CodebookSize(result.view()), result.codebook());
  if (packed.has_bias()) std::memcpy(result.bias(), packed.bias(), packed.m() * sizeof(float));
  if (packed.order() != nullptr) std::memcpy(result.order(), packed.order(), packed.k() * sizeof(std::uint32_t));
  const PanelReader reader(PackedAccess::Fields(packed), layout);
  for (std::size_t panel = 0; packed.k() != 0 && panel < PanelsIn(packed.m()); ++panel) {
    reader.Read(panel, 0, packed.k(), nullptr, lutra::OutOf(reader.geometry().scheme, panel, &result));
  }
  *w = std::move(result);
  return {};
}

namespace {

// Sets the array of a view that holds a field.
void SetArray(QuantizedView& w, internal::QparamRole role, const std::uint8_t* array) {
  switch (role) {
    case internal::QparamRole::kScale:
      w.scales = array;
      break;
    case internal::QparamRole::kZeroPoint:
    case internal::QparamRole::kOffset:
      w.zeros = array;
      break;
    case internal::QparamRole::kTableChoice:
      w.table_choices = array;
      break;
    case internal::QparamRole::kSuperScale:
      w.super_scales = reinterpret_cast<const std::uint16_t*>(array);
      break;
    case internal::QparamRole::kSuperOffset:
      w.super_offsets = reinterpret_cast<const std::uint16_t*>(array);
      break;
  }
}

// A view of the one row in the buffer, columns [begin, end).
QuantizedView RowIn(internal::PieceBuffer& buffer, const internal::PackedFields& fields,
                    const internal::QparamScheme& scheme, std::size_t begin, std::size_t end) {
  QuantizedView row = internal::ShapeOf(fields);
  row.m = 1;
  row.k = end - begin;
  row.codes = buffer.codes;
  row.codebook = fields.codebook;
  if (fields.order != nullptr) row.order = fields.order + begin;
  for (std::size_t i = 0; i < scheme.count; ++i) SetArray(row, scheme.fields[i].role, buffer.values[i]);
  return row;
}

}  // namespace

Status functions::DequantizeRows(const PackedMatrix& w, const std::int32_t* rows, std::size_t count, float* y,
                                 std::size_t row_stride) {
  if (count == 0) return {};
  if (rows == nullptr) return Status::Invalid("rows", "is null");
  for (std::size_t i = 0; i < count; ++i) {
    if (rows[i] < 0 || static_cast<std::size_t>(rows[i]) >= w.m()) {
      return Status::Invalid("rows", "holds a row that w does not have");
    }
  }
  if (w.k() == 0) return {};
  if (y == nullptr) return Status::Invalid("y", "is null");
  if (count > 1 && row_stride < w.k()) return Status::Invalid("row_stride", "is smaller than K");
  if (internal::Overflows(count, row_stride, sizeof(float))) {
    return Status::Invalid("row_stride", "is too large: count * stride overflows");
  }
  const internal::FloatMode mode;
  const internal::PackedFields& fields = PackedAccess::Fields(w);
  const internal::PanelReader reader(fields);
  const std::size_t step = reader.cuts().piece_weights();
  internal::PieceBuffer buffer;
  for (std::size_t i = 0; i < count; ++i) {
    const auto row = static_cast<std::size_t>(rows[i]);
    const internal::RunRows places = reader.RowOf(row % kPanelRows);
    float* const out = y + i * row_stride;
    for (std::size_t begin = 0; begin < w.k(); begin += step) {
      const std::size_t end = std::min(begin + step, w.k());
      reader.Read(row / kPanelRows, begin, end, &places, internal::OutOf(buffer, row % kPanelRows, 1));
      const QuantizedView piece = RowIn(buffer, fields, reader.geometry().scheme, begin, end);
      internal::DequantizeRow(piece, 0, fields.order != nullptr ? out : out + begin);
    }
  }
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
