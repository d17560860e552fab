// The inner part of the driver: a sweep multiplies one token block with panels of W, tile by tile.
#pragma once

#include <cstddef>
#include <cstdint>

#include "activation_access.h"
#include "lutra/plan.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// What prepared activations and matrices of one shape, format and target have in common.
struct Operands {
  Geometry geometry;
  PreparedView x;
  const MethodKernel& kernel;
  std::size_t interleaved;  // panels that alternate in memory

  Operands(const PackedMatrix& w, const Activations& activations);
};

// The rows of a token block at most, whatever the plan.
std::size_t MostBlockRows(const PackedMatrix& w, const Operands& operands);

// How a plan blocks the multiplication of N rows of x.
struct Blocking {
  std::size_t token_block;  // rows of a token block, at most
  std::size_t panels;       // that a tile takes side by side, at most
  std::size_t prefetch;     // bytes
  bool unpack;              // the plan's, or because there is no kernel on packed codes

  Blocking(const PackedMatrix& w, const Operands& operands, const Plan& plan, std::size_t n);
};

// Prepared rows of a token block. They begin a row group, or they are a part of one.
struct BlockRows {
  const std::uint8_t* data;
  const BlockScale* scales;
  std::size_t rows;
  std::size_t stored;  // rows of the row group of which they are a part; 0 if they begin row groups
};

// The rows [n, n + rows) of x where they stand; n begins a row group.
inline BlockRows RowsFrom(const Operands& operands, std::size_t n, std::size_t rows) {
  return {operands.x.data + n * operands.x.row_bytes, operands.x.scales + n * operands.geometry.x_scales, rows, 0};
}

// The floats of a tile of kMaxTileRows.
inline constexpr std::size_t kTileFloats = kMaxTileRows * kPanelRows;

// Multiplies a token block with w. Its activations stay in L2.
class Sweep {
 public:
  Sweep(const PackedMatrix& w, const Operands& operands, const Blocking& blocking, const BlockRows& x);
  Sweep(const Sweep&) = delete;

  // The panels of the next tile, which begins with `panel` < end: at most the blocking's, side by side, before `end`.
  std::size_t PanelsAt(std::size_t panel, std::size_t end) const;
  // Computes tile[panel][row][kPanelRows] of `count` panels from `panel` on, without the bias.
  void Multiply(std::size_t panel, std::size_t count, float* tile);

  // Computes the tile of a panel that stands alone and leaves K-blocks out: `geometry` is that of the others, x_blocks
  // says which ones they are.
  void MultiplyAlone(const std::uint8_t* panel, const Geometry& geometry, const std::uint32_t* x_blocks, float* tile);

  // The floats from a panel of a tile to the next.
  std::size_t tile_stride() const { return args_.rows * kPanelRows; }

 private:
  const PackedMatrix& w_;
  const Operands& operands_;
  const std::size_t panels_;
  // Bytes from a panel to the next: more than the geometry's if w is a range of columns (composite/matmul.cc).
  const std::size_t panel_stride_;
  const std::size_t most_;  // panels of a tile
  OwnValues own_values_;
  TileArgs args_;
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
