// LayoutOfGguf, and PackPanels from blocks of GGUF.
#include <algorithm>
#include <cstring>

#include "import/gguf_rows.h"
#include "lutra/pack_panels.h"
#include "pack/panel_packer.h"
#include "packed_access.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::GgufRows;
using internal::PieceBuffer;

// Decodes the rows of a panel, a piece at a time.
struct GgufSource {
  static constexpr const char* kCodes = "blocks.data";
  using Buffer = PieceBuffer;

  const GgufRows& rows;
  std::size_t first_row;  // of all matrices: the one that `rows` begins with
  const internal::PackedFields& fields;
  internal::CommonScale of_matrix;  // of all rows, if the layout has one scale
  internal::QparamScheme scheme = internal::GeometryOf(fields).scheme;

  static std::size_t PieceWeights(const internal::PanelPacker& packer) { return packer.cuts().piece_weights(); }

  bool shares_scales() const { return internal::MayShareScales(*rows.type) && HasRowScales(fields.group); }

  // The values of a row in the buffer.
  std::uint8_t* ValuesOf(PieceBuffer& buffer, internal::QparamRole role, std::size_t row) const {
    for (std::size_t i = 0; i < scheme.count; ++i) {
      if (scheme.fields[i].role == role) return buffer.values[i] + row * PieceBuffer::kStride;
    }
    return nullptr;
  }

  // Writes the scale of a row, where it has one for all its blocks.
  Status DecodeRowScale(std::size_t row, std::uint8_t* to) const {
    if (fields.scale_type == DataType::kF32) return rows.LoadTail(to);
    if (!shares_scales()) return {};
    std::uint8_t highest = 0;
    internal::CommonScale common = rows.CommonScaleOf(row, &highest);
    if (fields.group == kPerMatrix) {
      const internal::CommonScale of_row = common;
      common = of_matrix;
      common.Add(of_row);
    }
    if (!common.exists()) return Status::Invalid("layout", "has one scale where blocks have several");
    const std::uint16_t scale = common.scale();
    std::memcpy(to, &scale, sizeof(scale));
    return {};
  }

  Status Decode(std::size_t of_all, std::size_t count, std::size_t begin, std::size_t end, PieceBuffer& buffer,
                internal::Piece* piece) const {
    using Role = internal::QparamRole;
    const std::size_t row = of_all - first_row;
    const std::size_t weights = rows.type->weights;
    for (std::size_t r = 0; r < count; ++r) {
      std::uint8_t* const scales = ValuesOf(buffer, Role::kScale, r);
      if (begin == 0) LUTRA_RETURN_IF_ERROR(DecodeRowScale(row + r, scales));
      internal::CommonScale ignored;
      internal::GgufPlaces places = {buffer.codes + r * PieceBuffer::kWeights, scales,
                                     ValuesOf(buffer, Role::kOffset, r), ValuesOf(buffer, Role::kSuperScale, r),
                                     ValuesOf(buffer, Role::kSuperOffset, r)};
      if (shares_scales()) places.common = &ignored;
      LUTRA_RETURN_IF_ERROR(rows.Decode(row + r, begin / weights, end / weights, places));
      if (fields.zero_kind == ZeroKind::kPoint) {
        std::memset(ValuesOf(buffer, Role::kZeroPoint, r), 1, PieceBuffer::kMaxGroups);
      }
    }
    *piece = internal::PieceIn(buffer, count);
    return {};
  }
};

// The error with the names of GgufBlocks.
Status OfBlocks(const Status& status) {
  constexpr const char* kNames[][2] = {
      {"type", "blocks.type"}, {"data", "blocks.data"}, {"size", "blocks.size"}, {"m", "layout"}, {"k", "layout"}};
  return internal::Renamed(status, kNames);
}

// Whether blocks of the type can be packed to the layout.
bool Fits(const GgufType& type, const internal::PackedFields& fields) {
  const bool ternary = internal::MayShareScales(type);
  const bool as_int2 = ternary && fields.format == Format::kInt2 && fields.zero_kind == ZeroKind::kPoint &&
                       fields.zero_type == DataType::kUInt8;
  const bool as_type = fields.format == type.format && fields.zero_kind == type.zero_kind;
  const bool group = fields.group == type.group || (ternary && HasRowScales(fields.group));
  return (as_type || as_int2) && group && fields.scale_type == type.scale_type;
}

// Checks the blocks, but not their values, and sets *rows to their rows.
Status FindRowsOf(const PackedLayout& layout, const GgufBlocks& blocks, std::size_t first, std::size_t last,
                  GgufRows* rows) {
  const std::size_t all = layout.count() * layout.m();
  const bool part = blocks.first_row != 0 || blocks.rows != 0;
  if (part && blocks.rows == 0) return Status::Invalid("blocks.rows", "is 0, but first_row is not");
  if (part && (blocks.first_row > all || blocks.rows > all - blocks.first_row)) {
    return Status::Invalid("blocks.rows",
                           "has rows that the layout does not have: first_row + rows is above count * M");
  }
  LUTRA_RETURN_IF_ERROR(
      OfBlocks(internal::FindRows(blocks.type, blocks.data, blocks.size, part ? blocks.rows : all, layout.k(), rows)));
  if (!part) return {};
  if (rows->type->tail_bytes != 0) {
    return Status::Unsupported("blocks.type", "has a tail after its last block: pass all rows");
  }
  const bool begins = blocks.first_row <= layout.rows_before(first),
             ends = blocks.first_row + blocks.rows >= layout.rows_before(last);
  if (first < last && !(begins && ends)) {
    return Status::Invalid("blocks.rows", "does not have all rows of the panels [first, last)");
  }
  return {};
}

// Sets *layout to that of a shape of GGUF weights.
Status LayoutOfShape(QuantizedView shape, const LayoutOptions& options, PackedLayout* layout) {
  shape.matrix_scale = options.matrix_scale;
  constexpr const char* kNames[][2] = {{"w.matrix_scale", "options.matrix_scale"}};
  return internal::Renamed(LayoutOf(shape, options, layout), kNames);
}

}  // namespace

Status functions::LayoutOfGguf(std::uint32_t type, std::size_t m, std::size_t k, const LayoutOptions& options,
                               PackedLayout* layout) {
  const GgufType* found = nullptr;
  LUTRA_RETURN_IF_ERROR(internal::FindImported(type, &found));
  LUTRA_RETURN_IF_ERROR(internal::CheckShape(*found, m, k));
  return LayoutOfShape(internal::ShapeOf(*found, m, k), options, layout);
}

Status functions::LayoutOfGguf(const GgufBlocks& blocks, std::size_t m, std::size_t k, const LayoutOptions& options,
                               PackedLayout* layout) {
  if (layout == nullptr) return Status::Invalid("layout", "is null");
  if (blocks.first_row != 0 || blocks.rows != 0) {
    return Status::Invalid("blocks.rows", "or first_row is not 0: the layout depends on all rows");
  }
  if (internal::Overflows(options.count, m))
    return Status::Invalid("options.count", "is too large: count * M overflows");
  GgufRows rows;
  const GgufType* type = nullptr;
  LUTRA_RETURN_IF_ERROR(OfBlocks(internal::FindImported(blocks.type, &type)));
  LUTRA_RETURN_IF_ERROR(internal::CheckShape(*type, options.count * m, k));
  LUTRA_RETURN_IF_ERROR(
      OfBlocks(internal::FindRows(blocks.type, blocks.data, blocks.size, options.count * m, k, &rows)));
  QuantizedView shape = internal::ShapeOf(*rows.type, m, k);
  std::uint16_t scale = 0;
  if (internal::MayShareScales(*rows.type) && blocks.size != 0) internal::ChooseTernary(rows, &shape, &scale);
  PackedLayout result;
  LUTRA_RETURN_IF_ERROR(LayoutOfShape(shape, options, &result));
  PackedAccess::SharedScale(result) = scale;
  *layout = result;
  return {};
}

Status functions::PackPanels(const PackedLayout& layout, const GgufBlocks& blocks, std::size_t first, std::size_t last,
                             void* memory, std::size_t size) {
  LUTRA_RETURN_IF_ERROR(internal::CheckPanels(layout, first, last));
  LUTRA_RETURN_IF_ERROR(internal::CheckMemory(layout, memory, size));
  GgufRows rows;
  LUTRA_RETURN_IF_ERROR(FindRowsOf(layout, blocks, first, last, &rows));
  const internal::PackedFields& fields = PackedAccess::Fields(layout);
  if (!Fits(*rows.type, fields) || layout.has_order()) {
    return Status::Invalid("blocks.type", "has another format, scales or order than the layout");
  }
  if (first == last || fields.k == 0) return {};
  GgufSource source{rows, blocks.first_row, fields, {}};
  source.of_matrix.Add(PackedAccess::SharedScale(layout), false);
  const internal::PanelPacker packer(fields);
  return OfBlocks(internal::PackRange(packer, layout, source, first, last, static_cast<std::uint8_t*>(memory)));
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
