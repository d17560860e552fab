// The watershed: behind it only plain structs and function pointers. A kernel is a row of its target's table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "lutra/format.h"
#include "lutra/layout/panels.h"
#include "lutra/matrix.h"

namespace lutra {
namespace internal {

// NR: rows of x that alternate in prepared activations, and that a micro-kernel takes at most.
inline constexpr std::size_t kNR = 4;

// The largest ratio of the steps of two scale runs of a K-block. Times a plane's weight, which no format has above 8,
// it fits an unsigned byte.
inline constexpr int kMaxRatio = 31;
static_assert(kMaxRatio * 8 <= 255);

// How the integer sums of one K-block of one row of x turn into floats:  scale * sum,  and the sum of x for zero
// points.
struct alignas(64) BlockScale {
  float scale;
  float sum;                             // of the K-block's x, for zero points
  std::int32_t total;                    // the same in units of scale
  float offset;                          // of tables: -kMagic * scale, which is exact
  std::uint32_t quad[kMaxRunsPerBlock];  // the run's integer ratio r (1..31) in each byte: r * scale is a table's step
  std::uint32_t pair[kMaxRunsPerBlock / 2];  // the ratios of runs 2i and 2i + 1 in 16 bits each
};

// Rows of x as tables or integers. Groups of kNR rows (fewer in the last) follow each other; in a group, as a
// micro-kernel reads it:
//     tables [K-block][limb][chunk][row of the group][chunk_bytes]     one limb for kInt8, for kInt16 upper, then lower
//     scales [K-block][row of the group]
struct PreparedView {
  const std::uint8_t* data;
  std::size_t row_bytes;  // of one row
  const BlockScale* scales;
};

// --- Micro-kernels

// One call of a micro-kernel: consecutive K-blocks, all whole but the last, of some panels times some rows of x.
struct MicroArgs {
  // W: the first K-block of panel `first` of `interleaved`.
  const std::uint8_t* index;
  std::size_t interleaved, first, panel_count;
  std::size_t half_chunks, last_half_chunks;  // half chunks of a K-block, and of the last one
  std::size_t index_stride;                   // from a K-block to the next
  std::size_t prefetch;                       // distance in bytes
  // Of the group, as floats: kPanelQparams for each panel, from panel `first` on.
  const float* qparams;
  std::size_t qparams_stride;  // from a K-block to the next
  std::size_t center;          // where centers begin in a panel's qparams; 0 if there are none
  // x
  const std::uint8_t* x;
  std::size_t x_stride;               // from a chunk to the next
  std::size_t x_chunks, last_chunks;  // of a K-block, and of the last one
  const BlockScale* scales;           // one per row
  std::size_t scale_stride;           // from a K-block to the next
  // The tile: rows of kPanelRows.
  float* tile;
  std::size_t tile_stride;  // from a panel to the next
  std::size_t blocks;
  // Of the method.
  std::int32_t start;          // sums start from start * (sum of x)
  std::size_t run_chunks;      // whose products fit 16-bit sums
  const std::uint8_t* values;  // [16] what codes of four bits stand for, or null
};
using MicroFunction = void (*)(const MicroArgs& args);

// functions[rows - 1] multiplies all panels of the args times `rows` rows of x.
struct MicroKernel {
  int rows, panels, tile;  // at most, in registers; panels * rows <= tile
  MicroFunction functions[kNR];

  constexpr bool exists() const { return rows != 0; }
  constexpr int panels_for(int rows_) const { return panels < tile / rows_ ? panels : tile / rows_; }
};

// The codes of K-block `args.index` of `panels` panels, unpacked for a micro-kernel.
using UnpackFunction = void (*)(const MicroArgs& args, std::size_t panels, std::uint8_t* to);
// Bytes of an unpacked K-block of one panel.
using UnpackedBytesFunction = std::size_t (*)(std::size_t half_chunks, std::size_t x_chunks);

// How a format is multiplied with an activation kind and precision.
struct MethodKernel {
  MethodInfo method;
  Precision precision;
  MicroKernel packed;    // codes are unpacked in registers; there may be none
  MicroKernel unpacked;  // a K-block's codes are unpacked to L1 once for all rows of x
  UnpackFunction unpack;
  UnpackedBytesFunction unpacked_bytes;
  std::size_t panels;          // interleaved ones that a tile takes side by side, at most
  std::int32_t bias;           // what unpacked codes have more than L(q)
  std::size_t run_chunks;      // MicroArgs
  const std::uint8_t* values;  // MicroArgs
};

// --- Tiles

// Panels `first` to `first + panel_count - 1` of `interleaved` ones times `rows` rows of x.
struct TileArgs {
  const MethodKernel* kernel;
  const Geometry* geometry;
  const std::uint8_t* panels;  // where the interleaved ones begin
  std::size_t interleaved, first, panel_count;
  PreparedView x;
  std::size_t rows;      // of x, from the first of a group on
  bool unpack;           // unpack each K-block to memory
  std::size_t prefetch;  // distance in bytes; 0: none
  float* tile;           // [panel][row][kPanelRows], overwritten
};
using TileFunction = void (*)(const TileArgs& args);

// count floats of a tile (plus bias, if not null) to y[0 .. count) of the given type.
using StoreFunction = void (*)(const float* tile, const float* bias, std::size_t count, DataType type, void* y);

// --- Activations

// A group of at most kNR rows of x; false if they hold a value that is not finite.
struct PrepareArgs {
  const void* x;
  std::size_t x_stride;  // bytes
  std::size_t rows;
  DataType type;
  const float* scales;  // kInt8: one per scale_group elements of a row
  std::size_t scale_stride;
  std::size_t scale_group;     // >= k for a single scale
  const std::uint32_t* order;  // column j of the tables is column order[j] of x; null: column j
  const RmsNorm* norm;         // null: x as it is
  const Geometry* geometry;
  std::uint8_t* prepared;
  BlockScale* block_scales;
};
using PrepareFunction = bool (*)(const PrepareArgs& args);

// --- Targets

// The row of a target in the table of targets; constant, so that the table of plans can be checked at compile time.
struct TargetInfo {
  const char* name;
  std::int64_t hwy_target;
  bool dot_extension;  // needs, too, the dot instruction that simd/*-inl.h add to this target
  Layout layout;
  std::size_t l2_bytes;  // of a core, at least
};

inline constexpr std::size_t kMethodsPerFormat = 2;  // the kind of its encoding, and integers
struct TargetKernels {
  TargetInfo info;
  MethodKernel methods[kFormatCount][std::size(kPrecisions)][kMethodsPerFormat];
  PrepareFunction prepare[std::size(kActivationKinds)][std::size(kPrecisions)];
  TileFunction tile;
  StoreFunction store;

  const MethodKernel& method(Format format, ActivationKind kind, Precision precision) const {
    const std::size_t which = kind == MethodOf(format).kind ? 0 : 1;
    return methods[static_cast<std::size_t>(format)][static_cast<std::size_t>(precision)][which];
  }
};

}  // namespace internal
}  // namespace lutra
