// PackPanels from float weights, which are quantized a piece at a time.
#include <algorithm>

#include "float_mode.h"
#include "lutra/pack_panels.h"
#include "pack/panel_packer.h"
#include "packed_access.h"
#include "quantize/fit_group.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::PieceBuffer;

// Quantizes the rows of a panel.
struct FloatSource {
  static constexpr const char* kCodes = "weights";
  using Buffer = PieceBuffer;

  internal::Elements<float> weights;
  std::size_t row_stride;
  QuantizedView shape;
  internal::QparamScheme scheme = internal::SchemeOf(shape);

  static std::size_t PieceWeights(const internal::PanelPacker& packer) { return packer.cuts().piece_weights(); }

  // The qparams of row r of the piece.
  internal::GroupArrays ArraysOf(PieceBuffer& buffer, std::size_t r) const {
    const auto at = [&](const internal::QparamField* field) -> std::uint8_t* {
      return field == nullptr ? nullptr : buffer.values[field - scheme.fields] + r * PieceBuffer::kStride;
    };
    return {shape, at(scheme.fields), at(scheme.zero()), at(scheme.table_choice())};
  }

  Status Decode(std::size_t row, std::size_t count, std::size_t begin, std::size_t end, PieceBuffer& buffer,
                internal::Piece* piece) const {
    const bool row_scale = shape.group == kPerRow;
    const std::size_t group = row_scale ? end - begin : shape.group;
    for (std::size_t r = 0; r < count; ++r) {
      const internal::Elements<float> of_row = weights.From((row + r) * row_stride);
      if (begin == 0 && !internal::AllFinite(of_row.data(), DataType::kF32, shape.k)) {
        return Status::Invalid("weights", "holds a value that is not finite");
      }
      const internal::GroupArrays arrays = ArraysOf(buffer, r);
      if (row_scale && begin == 0) internal::FitGroups({of_row, 1, 0, shape.k}, 0, arrays);
      for (std::size_t k = begin, at = 0; k < end; k += group, ++at) {
        const internal::Group of_group{of_row.From(k), 1, 0, std::min(group, end - k)};
        if (!row_scale) internal::FitGroups(of_group, at, arrays);
        internal::EncodeGroups(of_group, at, arrays, buffer.codes + r * PieceBuffer::kWeights + (k - begin), 0);
      }
    }
    *piece = internal::PieceIn(buffer, count);
    return {};
  }
};

}  // namespace

Status functions::PackPanels(const PackedLayout& layout, const FloatRows& weights, std::size_t first, std::size_t last,
                             void* memory, std::size_t size) {
  LUTRA_RETURN_IF_ERROR(internal::CheckPanels(layout, first, last));
  LUTRA_RETURN_IF_ERROR(internal::CheckMemory(layout, memory, size));
  const internal::PackedFields& fields = PackedAccess::Fields(layout);
  if (HasTwoLevels(fields.scale_type) || layout.has_order()) {
    return Status::Invalid("layout", "has an order, or scales of two levels");
  }
  if (HasMatrixScale(fields.scale_type) && fields.matrix_scale < 0.0f) {
    return Status::Invalid("layout", "has a negative scale of the matrix");
  }
  if (fields.group == kPerMatrix) return Status::Unsupported("layout", "has one scale, which depends on all rows");
  const std::size_t rows = layout.count() * layout.m();
  if (rows > 1 && weights.row_stride < fields.k) return Status::Invalid("weights.row_stride", "is smaller than K");
  if (internal::Overflows(rows, weights.row_stride, sizeof(float))) {
    return Status::Invalid("weights.row_stride", "is too large: M * stride overflows");
  }
  if (first == last || fields.k == 0) return {};
  if (weights.data == nullptr) return Status::Invalid("weights.data", "is null");
  QuantizedView shape = internal::ShapeOf(fields);
  shape.codebook = fields.codebook;
  const FloatSource source{internal::Elements<float>(weights.data), weights.row_stride, shape};
  const internal::PanelPacker packer(fields);
  const internal::FloatMode mode;
  return internal::PackRange(packer, layout, source, first, last, static_cast<std::uint8_t*>(memory));
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
