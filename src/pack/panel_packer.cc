// PanelPacker: writes the codes and qparams of a piece to packed bytes.
#include "pack/panel_packer.h"

#include <cstring>

#include "lutra/buffer.h"
#include "pack/codes.h"
#include "pack/parts.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

// Copies a value of kSize bytes of each row.
template <std::size_t kSize>
void CopyValues(const std::uint8_t* from, std::size_t stride, std::size_t rows, std::uint8_t* to) {
  for (std::size_t row = 0; row < rows; ++row) std::memcpy(to + row * kSize, from + row * stride, kSize);
}

// Packs one value of each row. The bytes must be zero before if the type has four bits.
void PackValues(DataType type, const std::uint8_t* from, std::size_t stride, std::size_t rows, int shift,
                std::uint8_t* to) {
  if (type == DataType::kUInt4) {
    for (std::size_t row = 0; row < rows; ++row)
      to[row] = static_cast<std::uint8_t>(to[row] | from[row * stride] << shift);
  } else if (SizeOf(type) == 1) {
    CopyValues<1>(from, stride, rows, to);
  } else if (SizeOf(type) == 2) {
    CopyValues<2>(from, stride, rows, to);
  } else {
    CopyValues<4>(from, stride, rows, to);
  }
}

}  // namespace

Piece PieceIn(const PieceBuffer& buffer, std::size_t rows) {
  Piece piece{buffer.codes, PieceBuffer::kWeights, rows, {}, {}};
  for (std::size_t i = 0; i < kMaxFields; ++i) {
    piece.values[i] = buffer.values[i];
    piece.strides[i] = PieceBuffer::kStride;
  }
  return piece;
}

// The arguments of a call of Pack.
struct PanelPacker::Work {
  std::uint8_t* packed;
  Place place;
  std::size_t begin;  // column
  const Piece& piece;
};

PanelForm::PanelForm(const PackedFields& fields, Layout layout)
    : fields_(fields),
      format_(Describe(fields.format)),
      e_(format_.stored()),
      geometry_(GeometryOf(fields)),
      cuts_(geometry_),
      interleaved_(InterleavedPanels(layout, e_)),
      run_layouts_(layout, e_),
      encoder_(format_) {}

void PanelPacker::PackQparams(const Work& work, bool super, std::size_t i, std::size_t offset,
                              std::size_t bytes) const {
  std::uint8_t* const to = work.packed + work.place.At(geometry_.panel_bytes, offset, bytes);
  std::memset(to, 0, bytes);
  for (std::size_t f = 0; f < geometry_.scheme.count; ++f) {
    const QparamField& field = geometry_.scheme.fields[f];
    if (field.per_super != super) continue;
    const std::size_t first = FirstValue(field, fields_, work.begin);
    ForEachValue(field, ValuesPerRow(field, fields_.k, fields_.group), geometry_.groups_per_super, i,
                 [&](std::size_t value, std::size_t at, int shift) {
                   PackValues(field.type, work.piece.values[f] + (value - first) * SizeOf(field.type),
                              work.piece.strides[f], work.piece.rows, shift, to + at);
                 });
  }
}

bool PanelPacker::PackCodes(const Work& work, std::size_t k, std::size_t end, std::size_t chunks,
                            std::size_t offset) const {
  const std::size_t chunk_bytes = static_cast<std::size_t>(e_.planes) * kPlaneBytes;
  std::uint8_t* to = work.packed + work.place.At(geometry_.panel_bytes, offset, chunks * chunk_bytes);
  const auto mask = static_cast<std::uint8_t>(format_.code_mask());
  int highest = 0;
  for (std::size_t c = 0; c < chunks; ++c, k += kCodesPerChunk, to += chunk_bytes) {
    const std::uint8_t* codes = work.piece.codes + (k - work.begin);
    const std::size_t count = std::min(kCodesPerChunk, end - k);
    if (count == kCodesPerChunk && work.piece.rows == kPanelRows) {
      highest = std::max<int>(highest, FunctionsOf(e_).pack(codes, work.piece.code_stride, mask, to));
      continue;
    }
    std::uint8_t padded[kPanelRows * kCodesPerChunk] = {};
    for (std::size_t row = 0; row < work.piece.rows; ++row) {
      std::memcpy(padded + row * kCodesPerChunk, codes + row * work.piece.code_stride, count);
    }
    highest = std::max<int>(highest, FunctionsOf(e_).pack(padded, kCodesPerChunk, mask, to));
  }
  return highest < format_.code_end();
}

bool PanelPacker::PackIndices(const Work& work, std::size_t k, std::size_t end, std::size_t half_chunks,
                              std::size_t offset) const {
  Run run{};
  bool valid = true;
  for (std::size_t c = 0; 2 * c < half_chunks; ++c, k += e_.chunk_weights) {
    const std::size_t weights = std::min(e_.chunk_weights, end - k);
    for (std::size_t row = 0; row < work.piece.rows; ++row) {
      const std::uint8_t* codes = work.piece.codes + row * work.piece.code_stride + (k - work.begin);
      std::uint8_t tail[kMaxChunkWeights] = {};
      if (weights < e_.chunk_weights) {
        std::memcpy(tail, codes, weights);
        codes = tail;
      }
      valid &= encoder_.Encode(codes, run.data() + c * kChunkStride + row * kIndicesPerChunk);
    }
  }
  std::uint8_t bytes[kMaxRunBytes];
  run_layouts_.Write(run, half_chunks, bytes);
  ForEachUnit(e_, geometry_, work.place, offset, half_chunks,
              [&](std::size_t to, std::size_t from, std::size_t n) { std::memcpy(work.packed + to, bytes + from, n); });
  return valid;
}

bool PanelPacker::Pack(std::uint8_t* packed, std::size_t panel, std::size_t begin, std::size_t end,
                       const Piece& piece) const {
  const Work work{packed, Place(interleaved_, panel, PanelsIn(fields_.m)), begin, piece};
  bool valid = true;
  ForEachPart(
      e_, geometry_, cuts_.block_at(begin), cuts_.block_at(end),
      [&](bool super, std::size_t i, std::size_t offset, std::size_t bytes) {
        PackQparams(work, super, i, offset, bytes);
      },
      [&](std::size_t block, std::size_t first, std::size_t half_chunks, std::size_t offset) {
        const std::size_t k = geometry_.begin(block) + first * e_.chunk_weights;
        valid &= e_.has_indices() ? PackIndices(work, k, geometry_.end(block), half_chunks, offset)
                                  : PackCodes(work, k, geometry_.end(block), half_chunks / 2, offset);
      });
  return valid;
}

void ZeroPadding(const PackedLayout& layout, std::uint8_t* matrix) {
  const std::size_t used = PackedAccess::Fields(layout).bytes + Tail(layout).bytes();
  if (used != layout.stride()) std::memset(matrix + used, 0, layout.stride() - used);
}

Status CheckPanels(const PackedLayout& layout, std::size_t first, std::size_t last) {
  if (last > layout.panels()) return Status::Invalid("last", "is above layout.panels()");
  return first > last ? Status::Invalid("first", "is above last") : Status();
}

Status CheckMemory(const PackedLayout& layout, const void* memory, std::size_t size) {
  if (size < layout.bytes()) return Status::Invalid("size", "is below layout.bytes()");
  if (layout.bytes() != 0 && memory == nullptr) return Status::Invalid("memory", "is null");
  if (reinterpret_cast<std::uintptr_t>(memory) % PackedLayout::kAlignment != 0) {
    return Status::Invalid("memory", "is not aligned to 64 bytes");
  }
  return {};
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
