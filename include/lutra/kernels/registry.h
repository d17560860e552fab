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

// The largest ratio of the steps of two runs of a block. Times a plane's weight, which no format has above 8, it fits
// an unsigned byte.
inline constexpr int kMaxRatio = 31;
static_assert(kMaxRatio * 8 <= 255);

// How the integer sums of one block of one row of x turn into floats:  scale * sum,  and the sum of x for zero points.
struct alignas(64) BlockScale {
  float scale;
  float sum;                             // of the block's x, for zero points
  std::int32_t total;                    // the same in units of scale
  float offset;                          // of tables: -kMagic * scale, which is exact
  std::uint32_t quad[kMaxRunsPerBlock];  // the run's integer ratio r (1..31) in each byte: r * scale is a table's step
  std::uint32_t pair[kMaxRunsPerBlock / 2];  // the ratios of runs 2i and 2i + 1 in 16 bits each
};

// Rows of x as tables or integers. Groups of kGroupRows rows (fewer in the last) follow each other; in a group, as a
// micro-kernel reads it:
//     tables [block][pass][chunk][row of the group][TableBytes]     one pass for kInt8, for kInt16 upper, lower digits
//     scales [block][row of the group]
struct TableView {
  const std::uint8_t* tables;
  std::size_t row_bytes;  // of the tables of one row
  const BlockScale* scales;
};

// One call of a tile kernel: `panel_count` panels of a set of `set_panels`, from its panel `first` on, times `rows`
// rows of x.
struct TileArgs {
  const Geometry* geometry;
  const std::uint8_t* set;
  std::size_t set_panels, first, panel_count;
  TableView x;
  std::size_t rows;   // of x, from the first of a group
  bool unpack;        // unpack each block to memory, for many rows
  std::size_t ahead;  // bytes from a line of weights that is read to the one that is prefetched
  float* tile;        // [panel][row][kPanelRows], overwritten
};
using TileFunction = void (*)(const TileArgs& args);

// A group of rows of x into tables; false if they hold a value that is not finite.
struct TableArgs {
  const void* x;
  std::size_t x_stride;  // bytes
  std::size_t rows;      // at most kGroupRows
  DataType type;
  const float* scales;  // kInt8: one per scale_group elements of a row
  std::size_t scale_stride;
  std::size_t scale_group;     // >= k for a single scale
  const std::uint32_t* order;  // column j of the tables is column order[j] of x; null: column j
  const RmsNorm* norm;         // null: x as it is
  const Geometry* geometry;
  std::uint8_t* tables;
  BlockScale* block_scales;
};
using TableFunction = bool (*)(const TableArgs& args);

// count floats of a tile (plus bias, if not null) to y[0 .. count) of the given type.
using StoreFunction = void (*)(const float* tile, const float* bias, std::size_t count, DataType type, void* y);

// What a micro-kernel call takes: at most `rows` of x, and `panels` with panels * rows <= tile.
struct MicroShape {
  int rows, panels, tile;
};

struct TileKernel {
  Format format;
  Precision precision;
  MicroShape micro[2];  // without and with TileArgs::unpack
  TileFunction function;
};

struct TableKernel {
  Prepared prepared;
  Precision precision;
  TableFunction function;
};

struct TargetKernels {
  const char* name;
  std::int64_t hwy_target;
  bool dot_extension;  // needs, besides, the dot instruction that simd-inl.h adds to this target
  Layout layout;
  TileKernel tiles[std::size(kFormats) * std::size(kPrecisions)];
  TableKernel tables[kPreparedKinds * std::size(kPrecisions)];
  StoreFunction store;

  const TileKernel& tile(Format format, Precision precision) const {
    return tiles[static_cast<std::size_t>(format) * std::size(kPrecisions) + static_cast<std::size_t>(precision)];
  }
  const TableKernel& table(Prepared prepared, Precision precision) const {
    return tables[static_cast<std::size_t>(prepared) * std::size(kPrecisions) + static_cast<std::size_t>(precision)];
  }
};

}  // namespace internal
}  // namespace lutra
