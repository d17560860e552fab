// The watershed: behind it only plain structs and function pointers. A kernel is a row of its target's table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "lutra/format.h"
#include "lutra/kernels/layout.h"
#include "lutra/matrix.h"

namespace lutra {
namespace internal {

// How the integer sums of one block of one row of x turn into floats:  scale * sum,  and the sum of x for zero points.
struct alignas(64) BlockScale {
  float scale;
  float sum;                             // of the block's x, for zero points
  std::uint32_t quad[kMaxRunsPerBlock];  // the run's integer ratio r (1..31) in each byte: r * scale is a table's step
  std::uint32_t pair[kMaxRunsPerBlock / 2];  // the ratios of runs 2i and 2i + 1 in 16 bits each
};

// Rows of x in tables. Per row: [block][pass][chunk][kTableBytes]; one pass for kInt8, for kInt16 the upper, then the
// lower digits.
struct TableView {
  const std::uint8_t* tables;
  std::size_t row_bytes;     // of the tables of one row
  const BlockScale* scales;  // [row][blocks]
};

// One call of a tile kernel: `panel_count` panels side by side (address streams) times `rows` rows of x.
struct TileArgs {
  const Geometry* geometry;
  const std::uint8_t* panels;  // the first; the others follow at panel_bytes
  std::size_t panel_count;
  DataType scale_type;
  TableView x;
  std::size_t rows;  // of x
  float* tile;       // [panel][row][kPanelRows], overwritten
};
using TileFunction = void (*)(const TileArgs& args);

// One row of x into tables; false if it holds a value that is not finite.
struct TableArgs {
  const void* x;
  DataType type;
  const float* scales;      // kInt8: of this row, one per scale_group elements
  std::size_t scale_group;  // >= k for a single scale
  const Geometry* geometry;
  std::uint8_t* tables;
  BlockScale* block_scales;
};
using TableFunction = bool (*)(const TableArgs& args);

// count floats of a tile (plus bias, if not null) to y[0 .. count) of the given type.
using StoreFunction = void (*)(const float* tile, const float* bias, std::size_t count, DataType type, void* y);

struct TileKernel {
  Format format;
  Precision precision;
  int rows;  // of x per micro-kernel call; more are looped over, fewer served by smaller ones
  TileFunction function;
};

struct TableKernel {
  int base;
  Precision precision;
  TableFunction function;
};

struct TargetKernels {
  const char* name;
  std::int64_t hwy_target;
  Layout layout;
  TileKernel tiles[std::size(kFormats) * std::size(kPrecisions)];
  TableKernel tables[2 * std::size(kPrecisions)];
  StoreFunction store;

  const TileKernel& tile(Format format, Precision precision) const {
    return tiles[static_cast<std::size_t>(format) * std::size(kPrecisions) + static_cast<std::size_t>(precision)];
  }
  const TableKernel& table(int base, Precision precision) const {
    return tables[static_cast<std::size_t>(base - 2) * std::size(kPrecisions) + static_cast<std::size_t>(precision)];
  }
};

}  // namespace internal
}  // namespace lutra
