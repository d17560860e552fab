// Reads rows of packed panels back to codes and qparams, a range of columns at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/packed_layout.h"
#include "pack/panel_packer.h"
#include "pack/runs.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Where the rows [first, first + rows) of a panel go.
struct PieceOut {
  std::size_t first, rows;
  std::uint8_t* codes;  // of the first row and column
  std::size_t code_stride;
  // Of each field of the scheme, as in Piece.
  std::uint8_t* values[kMaxFields];
  std::size_t strides[kMaxFields];
};

// Rows of a piece in a buffer.
PieceOut OutOf(PieceBuffer& buffer, std::size_t first, std::size_t rows);

// Reads the panels of a packed matrix, whose bytes have `layout`. Read-only.
class PanelReader {
 public:
  PanelReader(const PackedFields& fields, Layout layout);
  explicit PanelReader(const PackedFields& fields) : PanelReader(fields, fields.target->info.layout) {}
  PanelReader(const PanelReader&) = delete;

  const Cuts& cuts() const { return cuts_; }
  const Geometry& geometry() const { return geometry_; }

  // Where the nibbles of one row stand in scale runs; needed where *to has one row, and only for indices.
  RunRows RowOf(std::size_t row) const { return run_layouts_.RowOf(row); }

  // Reads the columns [begin, end), which are whole cuts or end at K, of rows of a panel. `row`: if not null, of the
  // one row.
  void Read(std::size_t panel, std::size_t begin, std::size_t end, const RunRows* row, const PieceOut& to) const;

 private:
  struct Work;

  void ReadQparams(const Work& work, bool super, std::size_t i, std::size_t offset, std::size_t bytes) const;
  void ReadCodes(const Work& work, std::size_t k, std::size_t end, std::size_t chunks, std::size_t offset) const;
  void ReadIndices(const Work& work, std::size_t k, std::size_t end, std::size_t half_chunks, std::size_t offset) const;

  const PackedFields& fields_;
  const EncodingInfo& e_;
  Geometry geometry_;
  Cuts cuts_;
  std::size_t interleaved_;
  // Of encodings with indices.
  RunLayouts run_layouts_;
  Encoder encoder_;
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
