// UnpackGguf: packed weights become blocks of GGUF again.
#include <algorithm>
#include <cstring>

#include "import/gguf_rows.h"
#include "lutra/pack_panels.h"
#include "pack/panel_reader.h"
#include "packed_access.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::kPanelRows;
using internal::PieceBuffer;

// Encodes rows from a buffer that has a piece of them.
struct BlockEncoder {
  const GgufType& type;
  internal::GgufEncode* encode;
  internal::QparamScheme scheme;

  // The values of a row that belong to block number i of the piece; null if there is no such field.
  const std::uint8_t* ValuesOf(const PieceBuffer& buffer, internal::QparamRole role, std::size_t row,
                               std::size_t i) const {
    for (std::size_t f = 0; f < scheme.count; ++f) {
      const internal::QparamField& field = scheme.fields[f];
      if (field.role != role) continue;
      const std::size_t per_block = field.super() ? 1 : type.weights / type.group;
      return buffer.values[f] + row * PieceBuffer::kStride + i * per_block * SizeOf(field.type);
    }
    return nullptr;
  }

  void Encode(const PieceBuffer& buffer, std::size_t row, std::size_t i, std::uint8_t* to) const {
    using Role = internal::QparamRole;
    const bool two_levels = HasTwoLevels(type.scale_type);
    const std::uint8_t* const scales = ValuesOf(buffer, Role::kScale, row, i);
    const std::uint8_t* const offsets = ValuesOf(buffer, Role::kOffset, row, i);
    internal::GgufContents contents{buffer.codes + row * PieceBuffer::kWeights + i * type.weights, 0, 0, scales,
                                    offsets};
    const std::uint8_t* const scale = two_levels ? ValuesOf(buffer, Role::kSuperScale, row, i) : scales;
    const std::uint8_t* const offset = two_levels ? ValuesOf(buffer, Role::kSuperOffset, row, i) : offsets;
    if (internal::HasF16Scales(type)) std::memcpy(&contents.scale, scale, sizeof(contents.scale));
    if (offset != nullptr) std::memcpy(&contents.offset, offset, sizeof(contents.offset));
    encode(contents, to);
  }
};

}  // namespace

Status functions::UnpackGguf(const PackedMatrix& w, std::uint32_t id, std::size_t begin, std::size_t end, void* blocks,
                             std::size_t size) {
  const GgufType* type = nullptr;
  LUTRA_RETURN_IF_ERROR(internal::FindImported(id, &type));
  if (!type->restorable) return Status::Unsupported("type", "is not restorable: its blocks hold more than their codes");
  const internal::PackedFields& fields = PackedAccess::Fields(w);
  if (fields.format != type->format || fields.group != type->group || fields.scale_type != type->scale_type ||
      fields.zero_kind != type->zero_kind || fields.order != nullptr || fields.k % type->weights != 0) {
    return Status::Unsupported("w", "does not have the format, group and scales of the type");
  }
  if (end > w.m()) return Status::Invalid("end", "is above M");
  if (begin > end) return Status::Invalid("begin", "is above end");
  const std::size_t row_bytes = w.k() / type->weights * type->bytes;
  if (size != (end - begin) * row_bytes) return Status::Invalid("size", "is not that of the rows");
  if (size == 0) return {};
  if (blocks == nullptr) return Status::Invalid("blocks", "is null");

  const internal::PanelReader reader(fields);
  const BlockEncoder encoder{*type, internal::EncoderOf(*type), reader.geometry().scheme};
  const std::size_t step = reader.cuts().piece_weights();
  PieceBuffer buffer;
  for (std::size_t row = begin; row < end;) {  // rows of one panel
    const std::size_t first = row % kPanelRows, rows = std::min(kPanelRows - first, end - row);
    for (std::size_t k = 0; k < w.k(); k += step) {
      const std::size_t piece = std::min(step, w.k() - k) / type->weights;
      reader.Read(row / kPanelRows, k, k + piece * type->weights, nullptr, internal::OutOf(buffer, first, rows));
      auto* const to = static_cast<std::uint8_t*>(blocks) + (row - begin) * row_bytes + k / type->weights * type->bytes;
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t i = 0; i < piece; ++i) encoder.Encode(buffer, r, i, to + r * row_bytes + i * type->bytes);
      }
    }
    row += rows;
  }
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
