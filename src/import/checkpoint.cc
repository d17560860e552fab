// ImportCheckpoint, and layouts and panels of checkpoints.
#include "lutra/checkpoint.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "import/checkpoint_weights.h"
#include "lutra/buffer.h"
#include "lutra/pack_panels.h"
#include "pack/panel_packer.h"
#include "packed_access.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::CheckpointWeights;
using internal::kPanelRows;
using internal::PieceBuffer;

// Writes the codes of all rows, column j from column order[j]: 64 rows of some columns at a time, whose words are in
// cache lines that stay in L1 or L2.
void FillCodes(const CheckpointWeights& weights, const std::uint32_t* order, QuantizedMatrix* w) {
  constexpr std::size_t kColumns = 256;
  const std::size_t m = w->view().m, k = w->view().k;
  for (std::size_t row = 0; row < m; row += kPanelRows) {
    const std::size_t rows = std::min(m - row, kPanelRows);
    for (std::size_t j = 0; j < k; j += kColumns) {
      weights.CodesOf(order + j, std::min(k - j, kColumns), row, rows, w->codes() + row * k + j, k);
    }
  }
}

Status FillQparams(const CheckpointWeights& weights, QuantizedMatrix* w) {
  const QuantizedView& v = w->view();
  const std::size_t groups = GroupsPerRow(v.k, v.group);
  auto* const scales = static_cast<std::uint8_t*>(w->scales());
  auto* const zeros = static_cast<std::uint8_t*>(w->zeros());
  for (std::size_t i = 0; i < ScaleCount(v); ++i) {
    const std::size_t row = i / groups, group = i % groups;
    LUTRA_RETURN_IF_ERROR(weights.ScaleOf(row, group, scales + i * SizeOf(v.scale_type)));
    if (zeros == nullptr) continue;
    LUTRA_RETURN_IF_ERROR(weights.ZeroOf(row, group, v.zero_kind, v.zero_type, zeros + i * SizeOf(v.zero_type)));
  }
  return {};
}

// Whether the format has all codes of w. A code of `bits` bits may be one that the format does not have.
bool HasAllCodes(const QuantizedView& w, int bits) {
  const FormatInfo& f = Describe(w.format);
  return f.code_end() >= 1 << bits || internal::AllCodesExist(f, w.codes, w.m * w.k);
}

constexpr const char* kNoSuchCode = "holds a code that the format does not have";

// --- Layouts and panels

// Unpacks the rows of a panel, a piece at a time.
struct CheckpointSource {
  static constexpr const char* kCodes = "checkpoint.codes";
  using Buffer = PieceBuffer;

  const CheckpointWeights& weights;
  const internal::PackedFields& fields;

  static std::size_t PieceWeights(const internal::PanelPacker& packer) { return packer.cuts().piece_weights(); }

  Status Decode(std::size_t row, std::size_t count, std::size_t begin, std::size_t end, PieceBuffer& buffer,
                internal::Piece* piece) const {
    const std::size_t group = HasRowScales(fields.group) ? fields.k : fields.group;
    const std::size_t scale_bytes = SizeOf(fields.scale_type), zero_bytes = SizeOf(fields.zero_type);
    for (std::size_t k = begin, at = 0; k < end; k += std::min(group, end - k), ++at) {
      if (k % group != 0) break;  // a later piece of the only group
      for (std::size_t r = 0; r < count; ++r) {
        const std::size_t to = r * PieceBuffer::kStride;
        LUTRA_RETURN_IF_ERROR(weights.ScaleOf(row + r, k / group, buffer.values[0] + to + at * scale_bytes));
        LUTRA_RETURN_IF_ERROR(weights.ZeroOf(row + r, k / group, fields.zero_kind, fields.zero_type,
                                             buffer.values[1] + to + at * zero_bytes));
      }
    }
    std::uint32_t columns[PieceBuffer::kWeights];
    weights.ColumnsOf(begin, end, columns);
    weights.CodesOf(columns, end - begin, row, count, buffer.codes, PieceBuffer::kWeights);
    *piece = internal::PieceIn(buffer, count);
    return {};
  }
};

// Whether a layout is of these weights; its zero points may have any type that holds them.
bool Fits(const CheckpointWeights& weights, const internal::PackedFields& fields) {
  const QuantizedView& shape = weights.shape();
  return shape.format == fields.format && shape.m == fields.m && shape.k == fields.k && shape.group == fields.group &&
         shape.scale_type == fields.scale_type && weights.MayHaveZeros(fields.zero_kind, fields.zero_type) &&
         TableCount(shape) == fields.codebook_tables &&
         std::equal(shape.codebook, shape.codebook + CodebookSize(shape), fields.codebook);
}

}  // namespace

Status functions::ImportCheckpoint(const CheckpointView& checkpoint, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  CheckpointWeights weights;
  LUTRA_RETURN_IF_ERROR(CheckpointWeights::Of(checkpoint, &weights));
  weights.ChooseZeros();
  QuantizedView shape = weights.shape();
  Buffer order_buffer;
  if (!order_buffer.Reserve(shape.k * sizeof(std::uint32_t) + 1)) return Status::OutOfMemory("w");
  auto* const order = order_buffer.as<std::uint32_t>();
  weights.ColumnsOf(0, shape.k, order);
  if (weights.sorted()) shape.order = order;

  QuantizedMatrix result;
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape));
  LUTRA_RETURN_IF_ERROR(FillQparams(weights, &result));
  if (weights.sorted()) std::copy_n(order, shape.k, result.order());
  if (shape.codebook != nullptr) std::copy_n(shape.codebook, CodebookSize(shape), result.codebook());
  FillCodes(weights, order, &result);
  if (!HasAllCodes(result.view(), checkpoint.bits)) return Status::Invalid("checkpoint.codes", kNoSuchCode);
  *w = std::move(result);
  return {};
}

Status functions::LayoutOf(const CheckpointView& checkpoint, const LayoutOptions& options, PackedLayout* layout) {
  if (options.count != 1) return Status::Invalid("options.count", "is not 1");
  CheckpointWeights weights;
  LUTRA_RETURN_IF_ERROR(CheckpointWeights::Of(checkpoint, &weights));
  weights.ChooseZeros();
  QuantizedView shape = weights.shape();
  const std::uint32_t some = 0;
  if (weights.sorted()) shape.order = &some;  // LayoutOf reads no element
  return LayoutOf(shape, options, layout);
}

Status functions::PackPanels(const PackedLayout& layout, const CheckpointView& checkpoint, std::size_t first,
                             std::size_t last, void* memory, std::size_t size) {
  LUTRA_RETURN_IF_ERROR(internal::CheckPanels(layout, first, last));
  LUTRA_RETURN_IF_ERROR(internal::CheckMemory(layout, memory, size));
  CheckpointWeights weights;
  LUTRA_RETURN_IF_ERROR(CheckpointWeights::Of(checkpoint, &weights));
  const internal::PackedFields& fields = PackedAccess::Fields(layout);
  if (!Fits(weights, fields) || layout.count() != 1 || layout.has_order() != (weights.sorted() && fields.k != 0)) {
    return Status::Invalid("layout", "is not that of the weights: see LayoutOf");
  }
  if (HasMatrixScale(fields.scale_type) && weights.shape().matrix_scale != fields.matrix_scale) {
    return Status::Invalid("checkpoint.matrix_scale", "is not the layout's");
  }
  if (first == last || fields.k == 0) return {};
  auto* const to = static_cast<std::uint8_t*>(memory);
  if (first == 0 && layout.has_order()) {
    std::uint8_t* const behind = to + fields.bytes + internal::Tail(layout).bias_bytes;
    weights.ColumnsOf(0, fields.k, reinterpret_cast<std::uint32_t*>(behind));
  }
  const internal::PanelPacker packer(fields);
  return internal::PackRange(packer, layout, CheckpointSource{weights, fields}, first, last, to);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
