// Packs panels piece by piece: a piece is a range of K-blocks of a panel, with its codes and qparams in arrays.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lutra/kernels/registry.h"
#include "lutra/packed_layout.h"
#include "pack/runs.h"
#include "packed_access.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

inline constexpr std::size_t kMaxFields = 5;  // of a QparamScheme

// A range of columns of the rows of a panel.
struct Piece {
  const std::uint8_t* codes;  // of the first row and column
  std::size_t code_stride;    // bytes from row to row
  std::size_t rows;           // 1 to kPanelRows
  // Of each field of the scheme: the values of the first row that belong to groups or super-groups which begin in the
  // piece (all values of a row if they are per row), and the bytes from row to row; 0 if one value serves the matrix.
  const std::uint8_t* values[kMaxFields];
  std::size_t strides[kMaxFields];
};

// The memory of a piece that is decoded from something else than a view.
struct PieceBuffer {
  // Weights of a row. A multiple of the largest K-block (192 ternary weights), and of the blocks of GGUF (256).
  static constexpr std::size_t kWeights = 768;
  static constexpr std::size_t kMaxGroups = 16;  // groups of 16 in 256 weights; larger pieces have one scale per row
  std::uint8_t codes[kPanelRows * kWeights];
  // Of each field kPanelRows rows, kMaxGroups values of four bytes apart.
  static constexpr std::size_t kStride = kMaxGroups * sizeof(float);
  alignas(4) std::uint8_t values[kMaxFields][kPanelRows * kStride];
};

// The piece whose first `rows` rows are in a buffer.
Piece PieceIn(const PieceBuffer& buffer, std::size_t rows);

// How K is cut into pieces.
struct Cuts {
  const Geometry& geometry;
  explicit Cuts(const Geometry& geometry_) : geometry(geometry_) {}

  // The columns of a piece that fits a PieceBuffer: a whole number of cuts.
  std::size_t piece_weights() const { return kSuperGroup % geometry.cut == 0 ? kSuperGroup : PieceBuffer::kWeights; }
  // The K-block that begins at column `begin`, which begins a cut; the number of K-blocks if that is K.
  std::size_t block_at(std::size_t begin) const {
    return begin < geometry.k ? begin / geometry.cut * geometry.blocks_per_cut : geometry.blocks;
  }
};

// The number, in its row, of the first value of a field that belongs to a piece which begins at column `begin`.
inline std::size_t FirstValue(const QparamField& field, const PackedFields& w, std::size_t begin) {
  return field.super() ? begin / kSuperGroup : HasRowScales(w.group) ? 0 : begin / w.group;
}

// Packs the panels of one layout. Read-only: any number of threads may use it.
class PanelPacker {
 public:
  explicit PanelPacker(const PackedFields& fields);
  PanelPacker(const PanelPacker&) = delete;

  const Geometry& geometry() const { return geometry_; }
  const Cuts& cuts() const { return cuts_; }

  // Packs the columns [begin, end), which are whole cuts or end at K, of a panel of the matrix at `packed`. Returns
  // false if the format does not have a code.
  bool Pack(std::uint8_t* packed, std::size_t panel, std::size_t begin, std::size_t end, const Piece& piece) const;

 private:
  struct Work;

  void PackQparams(const Work& work, bool super, std::size_t i, std::size_t offset, std::size_t bytes) const;
  bool PackCodes(const Work& work, std::size_t k, std::size_t end, std::size_t chunks, std::size_t offset) const;
  bool PackIndices(const Work& work, std::size_t k, std::size_t end, std::size_t half_chunks, std::size_t offset) const;

  const PackedFields& fields_;
  const FormatInfo& format_;
  const EncodingInfo& e_;
  Geometry geometry_;
  Cuts cuts_;
  std::size_t interleaved_;
  // Of encodings with indices.
  RunLayouts run_layouts_;
  Encoder encoder_;
};

// Checks the panels and the memory of a layout.
Status CheckPanels(const PackedLayout& layout, std::size_t first, std::size_t last);
Status CheckMemory(const PackedLayout& layout, const void* memory, std::size_t size);

// Writes zeros behind the tail of a matrix.
void ZeroPadding(const PackedLayout& layout, std::uint8_t* matrix);

// Packs panels [first, last) of all matrices of a layout into `memory`. `source` has
//   Buffer, memory for a piece;
//   PieceWeights(packer), the columns of a piece;
//   Decode(row, rows, begin, end, buffer, piece), which sets *piece to the columns [begin, end) of these rows;
//   kCodes, the argument to name where the format does not have a code.
template <class Source>
Status PackRange(const PanelPacker& packer, const PackedLayout& layout, const Source& source, std::size_t first,
                 std::size_t last, std::uint8_t* memory) {
  const std::size_t k = layout.k(), per_matrix = layout.panels_per_matrix(), step = source.PieceWeights(packer);
  typename Source::Buffer buffer;
  for (std::size_t i = first; i < last && k != 0; ++i) {
    const std::size_t matrix = i / per_matrix, panel = i % per_matrix, row = matrix * layout.m() + panel * kPanelRows;
    const std::size_t rows = std::min(kPanelRows, layout.m() - panel * kPanelRows);
    std::uint8_t* const packed = memory + matrix * layout.stride();
    if (panel == 0) ZeroPadding(layout, packed);
    for (std::size_t begin = 0; begin < k;) {
      const std::size_t end = step < k - begin ? begin + step : k;
      Piece piece;
      if (const Status status = source.Decode(row, rows, begin, end, buffer, &piece); !status.ok()) return status;
      if (!packer.Pack(packed, panel, begin, end, piece)) {
        return Status::Invalid(Source::kCodes, "holds a code that the format does not have");
      }
      begin = end;
    }
  }
  return {};
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
