// ImportGptq and ImportAwq, and their layouts and panels.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "import/word_weights.h"
#include "lutra/buffer.h"
#include "lutra/import.h"
#include "lutra/pack_panels.h"
#include "pack/panel_packer.h"
#include "packed_access.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::FileShape;
using internal::kPanelRows;
using internal::PieceBuffer;
using internal::WordWeights;

// Writes the codes of all rows, column j from column order[j]. The words of a row are M words apart and the codes of a
// column K bytes apart, so kRows rows at a time are transposed in a buffer.
bool FillCodes(const WordWeights& weights, const std::uint32_t* order, QuantizedMatrix* w) {
  constexpr std::size_t kRows = 16;  // the words of 16 rows fill a cache line
  const std::size_t m = w->view().m, k = w->view().k;
  Buffer rows_buffer;  // [K x kRows]
  if (!rows_buffer.Reserve(k * kRows)) return false;
  std::uint8_t* const columns = rows_buffer.data();
  for (std::size_t begin = 0; begin < m; begin += kRows) {
    const std::size_t rows = std::min(m - begin, kRows);
    for (std::size_t column = 0; column < k; ++column) {
      weights.CodesOf(column, begin, rows, columns + column * kRows, 1);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint8_t* const codes = w->codes() + (begin + r) * k;
      for (std::size_t j = 0; j < k; ++j) codes[j] = columns[order[j] * kRows + r];
    }
  }
  return true;
}

// Fills *w.
Status Build(WordWeights weights, QuantizedMatrix* w) {
  LUTRA_RETURN_IF_ERROR(weights.CheckScales());
  weights.ChooseZeros();
  const FileShape& file = weights.file();
  QuantizedView shape = file.shape;
  Buffer order_buffer;
  if (!order_buffer.Reserve(shape.k * sizeof(std::uint32_t) + 1)) return Status::OutOfMemory("w");
  auto* const order = order_buffer.as<std::uint32_t>();
  weights.ColumnsOf(0, shape.k, order);
  if (weights.sorted()) shape.order = order;

  QuantizedMatrix result;
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape));
  const std::size_t m = shape.m, groups = GroupsPerRow(shape.k, shape.group);
  for (std::size_t i = 0; i < m * groups; ++i) {
    const std::size_t row = i / groups, g = i % groups / file.repeat;
    static_cast<std::uint16_t*>(result.scales())[i] = weights.ScaleAt(g, row);
    if (result.zeros() != nullptr) static_cast<std::uint8_t*>(result.zeros())[i] = weights.ZeroAt(g, row);
  }
  if (weights.sorted()) std::copy_n(order, shape.k, result.order());
  if (!FillCodes(weights, order, &result)) return Status::OutOfMemory("w");
  *w = std::move(result);
  return {};
}

template <class View>
Status Import(const View& view, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  WordWeights weights;
  LUTRA_RETURN_IF_ERROR(WordWeights::Of(view, &weights));
  return Build(weights, w);
}

// --- Layouts and panels

template <class View>
Status LayoutOfWords(const View& view, const LayoutOptions& options, PackedLayout* layout) {
  if (options.count != 1) return Status::Invalid("options.count", "is not 1");
  WordWeights weights;
  LUTRA_RETURN_IF_ERROR(WordWeights::Of(view, &weights));
  weights.ChooseZeros();
  QuantizedView shape = weights.file().shape;
  const std::uint32_t some = 0;
  if (weights.sorted()) shape.order = &some;  // LayoutOf reads no element
  return LayoutOf(shape, options, layout);
}

// Unpacks the rows of a panel, a piece at a time.
struct WordSource {
  static constexpr const char* kCodes = "layout";  // fields of words are codes
  using Buffer = PieceBuffer;

  const WordWeights& weights;
  const internal::PackedFields& fields;

  static std::size_t PieceWeights(const internal::PanelPacker& packer) { return packer.cuts().piece_weights(); }

  // Writes the scale and zero point of a row as number `at` of the piece.
  Status DecodeQparams(std::size_t group, std::size_t row, std::size_t r, std::size_t at, PieceBuffer& buffer) const {
    const std::uint16_t scale = weights.ScaleAt(group, row);
    if (!internal::AllFinite(&scale, DataType::kF16, 1)) return weights.CheckScales();
    std::memcpy(buffer.values[0] + r * PieceBuffer::kStride + at * sizeof(scale), &scale, sizeof(scale));
    const std::uint8_t zero = weights.ZeroAt(group, row);
    if (fields.zero_kind == ZeroKind::kNone) {
      const bool usual = zero == static_cast<std::uint8_t>(Describe(fields.format).default_zero);
      return usual ? Status() : Status::Invalid("layout", "has no zero points, but the weights have");
    }
    if (fields.zero_type == DataType::kUInt4 && zero > 15) {
      return Status::Invalid("layout", "has zero points of 4 bits, but one is 16");
    }
    buffer.values[1][r * PieceBuffer::kStride + at] = zero;
    return {};
  }

  Status Decode(std::size_t row, std::size_t count, std::size_t begin, std::size_t end, PieceBuffer& buffer,
                internal::Piece* piece) const {
    const FileShape& file = weights.file();
    const std::size_t group = HasRowScales(fields.group) ? fields.k : fields.group;
    std::uint32_t columns[PieceBuffer::kWeights];
    weights.ColumnsOf(begin, end, columns);
    for (std::size_t k = begin, at = 0; k < end; k += std::min(group, end - k), ++at) {
      if (k % group != 0) break;  // a later piece of the only group
      for (std::size_t r = 0; r < count; ++r) {
        LUTRA_RETURN_IF_ERROR(DecodeQparams(k / group / file.repeat, row + r, r, at, buffer));
      }
    }
    for (std::size_t j = begin; j < end; ++j) {
      weights.CodesOf(columns[j - begin], row, count, buffer.codes + (j - begin), PieceBuffer::kWeights);
    }
    *piece = internal::PieceIn(buffer, count);
    return {};
  }
};

template <class View>
Status PackWords(const PackedLayout& layout, const View& view, std::size_t first, std::size_t last, void* memory,
                 std::size_t size) {
  LUTRA_RETURN_IF_ERROR(internal::CheckPanels(layout, first, last));
  LUTRA_RETURN_IF_ERROR(internal::CheckMemory(layout, memory, size));
  WordWeights weights;
  LUTRA_RETURN_IF_ERROR(WordWeights::Of(view, &weights));
  const internal::PackedFields& fields = PackedAccess::Fields(layout);
  const QuantizedView& shape = weights.file().shape;
  const bool zeros =
      fields.zero_kind == ZeroKind::kNone || (fields.zero_kind == ZeroKind::kPoint && SizeOf(fields.zero_type) == 1);
  if (shape.format != fields.format || shape.m != fields.m || shape.k != fields.k || shape.group != fields.group ||
      shape.scale_type != fields.scale_type || !zeros || layout.count() != 1 ||
      layout.has_order() != (weights.sorted() && fields.k != 0)) {
    return Status::Invalid("layout", "is not that of the weights: see LayoutOf");
  }
  if (first == last || fields.k == 0) return {};
  auto* const to = static_cast<std::uint8_t*>(memory);
  if (first == 0 && layout.has_order()) {
    std::uint8_t* const behind = to + fields.bytes + internal::Tail(layout).bias_bytes;
    weights.ColumnsOf(0, fields.k, reinterpret_cast<std::uint32_t*>(behind));
  }
  const internal::PanelPacker packer(fields);
  return internal::PackRange(packer, layout, WordSource{weights, fields}, first, last, to);
}

}  // namespace

Status functions::ImportGptq(const GptqView& gptq, QuantizedMatrix* w) { return Import(gptq, w); }
Status functions::ImportAwq(const AwqView& awq, QuantizedMatrix* w) { return Import(awq, w); }

Status functions::LayoutOf(const GptqView& gptq, const LayoutOptions& options, PackedLayout* layout) {
  return LayoutOfWords(gptq, options, layout);
}
Status functions::LayoutOf(const AwqView& awq, const LayoutOptions& options, PackedLayout* layout) {
  return LayoutOfWords(awq, options, layout);
}

Status functions::PackPanels(const PackedLayout& layout, const GptqView& gptq, std::size_t first, std::size_t last,
                             void* memory, std::size_t size) {
  return PackWords(layout, gptq, first, last, memory, size);
}
Status functions::PackPanels(const PackedLayout& layout, const AwqView& awq, std::size_t first, std::size_t last,
                             void* memory, std::size_t size) {
  return PackWords(layout, awq, first, last, memory, size);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
