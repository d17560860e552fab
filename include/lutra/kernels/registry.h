// The table of kernels of a target, and the arguments of kernels: plain structs and function pointers. The public entry
// validates its arguments; kernels trust theirs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "lutra/format.h"
#include "lutra/kernels/gated.h"
#include "lutra/layout/panels.h"
#include "lutra/matrix.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// NR: the rows of a row group. Prepared activations store x in row groups, and a micro-kernel takes at most one.
inline constexpr std::size_t kNR = 4;

// The largest ratio between the table steps of two scale runs of a K-block. The adder multiplies by the ratio times the
// weight of a plane, at most 8, as an unsigned byte: 31 * 8 = 248 fits, 32 * 8 does not.
inline constexpr int kMaxRatio = 31;
static_assert(kMaxRatio * 8 <= 255);

// The scale of a K-block of one row of x: scale * (integer sum) is the float sum.
struct alignas(64) BlockScale {
  float scale;
  float sum;           // the sum of x over the K-block, for zero points
  std::int32_t total;  // the same sum in units of scale; of bits, the number of weights
  float offset;        // for sums that start from kMagicBits: -kMagic * scale, which is exact
  // Of each scale run the ratio r (1 to kMaxRatio) in four bytes: r * scale is the step of its tables.
  std::uint32_t quad[kMaxRunsPerBlock];
  std::uint32_t pair[kMaxRunsPerBlock / 2];  // the ratios of runs 2i and 2i + 1 in 16 bits each
};
// The same for joint K-blocks (layout/joint.h).
struct alignas(64) JointScale {
  float scale;                        // step / kJointUnit
  float sum_scales[2];                // of kCoarseJointSums and kFineJointSums
  std::uint8_t ratio[kJointRuns];     // of each joint run
  std::int32_t sums[kJointSumWords];  // two sums in 16 bits each
  // Of each chunk: the sum of the integers at 0 and 1 of its quads, the sum of the others. Aligned for whole vectors.
  alignas(64) std::int16_t chunk_sums[kJointChunks][2];
};
static_assert(sizeof(JointScale) == kJointScales * sizeof(BlockScale));

// Prepared rows of x, as tables, integers, bits, floats or bf16. Row groups of kNR rows (fewer in the last), or of one
// row for a matrix unit, follow each other. A row group is laid out as a micro-kernel reads it:
//     data   [K-block][limb][chunk][row of the row group][chunk_bytes]   kInt8: one limb; kInt16: the upper, the lower;
//                                                                        floats, bf16: one
//     scales [K-block][row of the row group]; of joint K-blocks, JointScale
struct PreparedView {
  const std::uint8_t* data;
  std::size_t row_bytes;  // of one row
  const BlockScale* scales;
  std::size_t row_scales;       // of one row
  std::size_t row_group = kNR;  // rows: ActivationKey
};

// --- Micro-kernels

// Distances of prefetches, in bytes after the line that is read. 0 prefetches that line itself, which has no effect.
struct PrefetchDistances {
  std::size_t to_l2, to_l1;
};

// Lines travel from L2 to L1 faster than from memory to L2, so L1 needs a shorter distance. At the 8 KB of the plans it
// is 2 KB: 32 lines, which leave most of a 32 KB L1 to the tables of x.
inline constexpr std::size_t kL1DistanceDivisor = 4;

// Up to this distance in bytes, lines go straight to L1: the CPU itself, which reads ahead, has brought them to L2.
inline constexpr std::size_t kNear = 1024;

// `distance`, in bytes, covers as many lines as memory delivers at a time. If `straight`, or if it is near, a line is
// prefetched into L1 at this distance. Otherwise it is prefetched into L2 at this distance, and into L1 at a quarter of
// it.
constexpr PrefetchDistances DistancesFor(std::size_t distance, bool straight) {
  return straight || distance <= kNear ? PrefetchDistances{0, distance}
                                       : PrefetchDistances{distance, distance / kL1DistanceDivisor};
}

// The qparams that all groups of a matrix have, and where to find them.
struct QparamArgs {
  const QparamField* zero;  // zero points or offsets of groups; null if there are none, or if they are paired
  bool offset;              // whether they are offsets
  std::size_t group_bytes;  // of a panel
  std::size_t stride;       // from a group to the next
  PrefetchDistances prefetch;
  float gain, center;       // of the method
  float factor;             // of scales: the gain, times matrix_scale if the type has it
  bool pairs;               // JointKernels::pairs
  std::int32_t scale_bits;  // of joint K-blocks: the bits of a byte that are a scale
  JointSums sums;           // of joint K-blocks
  std::size_t word_groups;  // GroupsPerOffsetWord
};

// Converts the qparams of `groups` groups of one super-group, for `panels` panels whose bytes are adjacent, to floats
// or, for joint K-blocks, to words (qparams-inl.h).
using LoadGroupsFunction = void (*)(const QparamArgs& a, const std::uint8_t* from, std::size_t groups,
                                    std::size_t panels, const float* super_group, float* to);

// For a micro-kernel that converts qparams itself: one panel, group by group, each group just before its codes, so that
// memory is read in the order of addresses. Of joint K-blocks it converts only the offsets with `load`; it reads scales
// from the bytes of the groups. Scales of f16 and E8M0 without zero points are read from there, too (scales_alone).
struct GroupReader {
  const QparamArgs* args;
  DataType scale_type;
  bool scales_alone;        // groups have no qparams but scales of f16 or E8M0
  LoadGroupsFunction load;  // qparams; of joint K-blocks, the offsets
  const float* super_group;
  float* to;  // MicroArgs::qparams

  // Converts the qparams of `groups` groups. The codes of the first group begin at `codes`.
  void Read(const std::uint8_t* codes, std::size_t groups) const {
    load(*args, codes - args->group_bytes, groups, 1, super_group, to);
  }
};

// Arguments of a micro-kernel: a batch of consecutive K-blocks of some interleaved panels times some rows of x. All
// K-blocks but the last are whole. Strides are in elements of the pointer that they advance.
struct MicroArgs {
  // W: the first K-block of panel_count panels, of which the first is panel `first` of `interleaved` panels.
  const std::uint8_t* index;
  std::size_t interleaved, first, panel_count;
  std::size_t half_chunks, last_half_chunks;  // half chunks of a K-block, and of the last one
  std::size_t first_row;                      // of a panel that is unpacked: MethodKernel::rows_at_once
  std::size_t index_stride;                   // from a K-block to the next
  PrefetchDistances prefetch;
  // Qparams as floats: kPanelQparams for each panel, from panel `first` on.
  const float* qparams;
  std::size_t qparams_stride;  // from a K-block to the next
  const GroupReader* reader;   // null if the qparams of the batch are converted already
  std::size_t center;          // where centers begin in a panel's qparams; 0 if there are none
  // Joint K-blocks: the qparams above are words of integers (qparams-inl.h), and these are the super-group's.
  const float* super_group;
  std::size_t offset_stride;  // from a word of offsets to the next
  JointSums joint_sums;       // that offsets multiply
  bool folded;                // codes were unpacked to folded codes (layout/joint.h)
  std::int32_t lowest;        // FoldedCodes::lowest
  // x
  const std::uint8_t* x;
  std::size_t x_stride;               // from a chunk to the next
  std::size_t x_chunks, last_chunks;  // of a K-block, and of the last one
  const BlockScale* scales;           // one per row
  std::size_t scale_stride;           // from a K-block to the next
  // The tile: [panel][row of x][kPanelRows]; results are added to it.
  float* tile;
  std::size_t tile_stride;  // from a panel to the next
  std::size_t blocks;       // K-blocks
  // The method.
  std::int32_t start;          // sums start from start * (sum of x)
  std::size_t run_chunks;      // chunks whose products fit 16-bit sums
  const std::uint8_t* values;  // [TableBytes] what a kernel multiplies for each code, or null: the code itself
  // With several tables: values are [kMaxTables][16], and choices the table of each of kPanelRows rows, or null.
  const std::uint8_t* choices;
  std::size_t choice_stride;  // from a K-block to the next
};
using MicroFunction = void (*)(const MicroArgs& args);

// functions[rows - 1] multiplies all panels of the args times `rows` rows of x. Registers hold the sums of at most
// `rows` rows of x, of `panels` panels, and of panels * rows <= tile.
struct MicroKernel {
  int rows, panels, tile;
  int reading_rows;  // up to this number of rows of x, the kernel can convert qparams itself (MicroArgs::reader)
  MicroFunction functions[kNR];

  constexpr bool exists() const { return rows != 0; }
  constexpr int panels_for(int rows_) const { return panels < tile / rows_ ? panels : tile / rows_; }
};

// Unpacks the codes of the K-block at args.index, of `panels` panels, to memory, for a micro-kernel. If a method
// unpacks a part of the rows of a panel at a time, args.first_row is the first of them.
using UnpackFunction = void (*)(const MicroArgs& args, std::size_t panels, std::uint8_t* to);
// Bytes of an unpacked K-block of one panel, or of the rows that are unpacked at a time.
using UnpackedBytesFunction = std::size_t (*)(std::size_t half_chunks, std::size_t x_chunks);

// The kernels for joint K-blocks.
struct JointKernels {
  MicroKernel packed, unpacked;
  UnpackFunction unpack;  // as in MethodKernel
  UnpackFunction fold;    // unpacks folded codes; null if no codes of the format fold
  // Bytes of a folded code: 1 or 2. If 2, half a panel is unpacked at a time, and `unpacked` multiplies only folded
  // codes.
  std::size_t folded_bytes;
  UnpackedBytesFunction unpacked_bytes;
  std::size_t run_chunks, run_chunks_with_offsets;  // chunks of a group whose products fit 16-bit sums
  bool pairs;                                       // words of scales are pairs (qparams-inl.h)
};

// How a format is multiplied with an activation kind and precision.
struct MethodKernel {
  MethodInfo method;
  Precision precision;
  MicroKernel packed;    // reads packed codes and unpacks them in registers; may not exist
  MicroKernel unpacked;  // reads codes that `unpack` wrote to L1 once for all rows of x
  UnpackFunction unpack;
  UnpackedBytesFunction unpacked_bytes;
  std::size_t panels;                      // interleaved panels that a tile takes side by side, at most
  std::int32_t bias;                       // kernels multiply L(q) + bias for a code q
  std::size_t run_chunks;                  // MicroArgs
  const std::uint8_t* values;              // MicroArgs; null, too, if the matrix has its own
  JointKernels joint = {};                 // for integers under kInt8
  std::size_t unpacked_rows = kPanelRows;  // of W: rows of a panel that are unpacked at a time

  constexpr const MicroKernel& micro(bool unpack_codes, bool joint_blocks) const {
    if (joint_blocks) return unpack_codes ? joint.unpacked : joint.packed;
    return unpack_codes ? unpacked : packed;
  }
  // Whether joint K-blocks of this scheme are unpacked to folded codes, where their scales allow it.
  constexpr bool folds(const QparamScheme& scheme) const {
    return joint.fold != nullptr && (joint.folded_bytes == 2 || FoldedCodesOf(method, scheme).fit());
  }
  // Rows of W of a panel that are unpacked at a time.
  constexpr std::size_t rows_at_once(bool folded) const {
    return folded ? kPanelRows / joint.folded_bytes : unpacked_rows;
  }
  constexpr UnpackFunction unpacker(bool joint_blocks, bool folded) const {
    return folded ? joint.fold : joint_blocks ? joint.unpack : unpack;
  }
  constexpr UnpackedBytesFunction unpacked_size(bool joint_blocks) const {
    return joint_blocks ? joint.unpacked_bytes : unpacked_bytes;
  }
};

// Bytes of a table of values, as kernels look it up.
constexpr std::size_t TableBytes(const FormatInfo& f) { return f.levels <= 16 ? 16 : kMaxTableValues; }

// What kernels multiply for the codes of a matrix that has its own values: [table][code] L(q) + MethodKernel::bias.
struct OwnValues {
  alignas(64) std::uint8_t bytes[kMaxTables][16];
};

// --- Tiles

// Arguments of the tile kernel: panels [first, first + panel_count) of `interleaved` panels times `rows` rows of x.
struct TileArgs {
  const MethodKernel* kernel;
  const Geometry* geometry;
  const std::uint8_t* panels;  // where the interleaved panels begin
  std::size_t interleaved, first, panel_count;
  PreparedView x;
  std::size_t rows;                // of x
  bool unpack;                     // unpack each K-block to memory
  std::size_t prefetch;            // distance in bytes; 0: none
  bool prefetch_straight = false;  // see DistancesFor
  // 0 if the rows begin row groups. Otherwise the rows are a part of one row group, which has stored_rows rows, and
  // x.data and x.scales point to the first of these rows.
  std::size_t stored_rows = 0;
  float matrix_scale = 1.0f;
  const std::uint8_t* own_values = nullptr;  // OwnValues::bytes, if the format has own_values
  // The K-block of x that each K-block of the panels multiplies, ascending, where panels leave some out; null: that of
  // the same number.
  const std::uint32_t* x_blocks = nullptr;
  float* tile;  // [panel][row][kPanelRows], overwritten
};
using TileFunction = void (*)(const TileArgs& args);

// Stores `count` floats of a tile, plus bias[0 .. count) if that is not null, to y[0 .. count) of a float type.
using StoreFunction = void (*)(const float* tile, const float* bias, std::size_t count, DataType type, void* y);

// --- Activations

// What becomes of a row of x before it is prepared: RMSNorm, then a Hadamard transform; either may be null.
struct Transform {
  const RmsNorm* norm = nullptr;
  const Hadamard* hadamard = nullptr;
};

// The floats from a row that a Hadamard transform writes to the next one: whole pieces (kernels/prepare/hadamard-inl.h)
// on every target.
inline constexpr std::size_t kMaxHadamardPiece = 128;
constexpr std::size_t HadamardStride(std::size_t k) {
  return (k + kMaxHadamardPiece - 1) / kMaxHadamardPiece * kMaxHadamardPiece;
}

// Arguments of a prepare function: the K-blocks [first_block, end_block) of a row group of at most kNR rows of x. The
// function returns false if a value of x is not finite, unless it propagates such values: then they make the scale of
// their K-block NaN.
struct PrepareArgs {
  const void* x;
  std::size_t x_stride;  // bytes
  std::size_t rows;
  DataType type;
  const float* scales;         // kInt8: one per scale_group elements of a row
  std::size_t scale_stride;    // floats from a row's scales to the next row's
  std::size_t scale_group;     // at least K if a row has one scale
  const std::uint32_t* order;  // column j of the tables is column order[j] of x; null: column j
  Transform transform;
  bool propagate;      // values that are not finite
  float* transformed;  // for a Hadamard transform: kNR rows of HadamardStride(K) floats, aligned to 64 bytes
  const Geometry* geometry;
  std::size_t first_block, end_block;
  std::uint8_t* prepared;    // of K-block first_block
  BlockScale* block_scales;  // of K-block first_block
};
using PrepareFunction = bool (*)(const PrepareArgs& args);

// --- Targets

// Instructions that a CPU must have beside the instructions of Highway's target. kDot: the dot instruction of
// ExtensionDot (simd/*-inl.h). kMatrix: instructions that multiply matrices of integers and of bf16, and kDot's where
// Highway's target lacks it.
enum class Extension : std::uint8_t { kNone, kDot, kMatrix };

// A row of the table of targets (src/targets/list.h).
struct TargetInfo {
  const char* name;
  std::int64_t hwy_target;
  Extension extension;
  Layout layout;
  bool bf16;             // its instructions multiply bf16
  std::size_t l2_bytes;  // of a core; used where the system does not tell the size
};

// The matrix unit of a target (matrix_unit-inl.h). It multiplies unpacked codes with up to `rows` rows of x at a time.
// They are integers or bf16 in row groups of one row, as Prepare stores x from `from` rows on.
struct MatrixUnit {
  int rows, from;
  constexpr bool exists() const { return rows != 0; }
};
inline constexpr MatrixUnit kNoMatrixUnit{0, 0};
// A matrix unit reads up to this number of rows and bytes beyond the last row of x, and ignores what it reads there: it
// divides a token block of 128 rows evenly into 8 parts, and a K-block into steps of 64 bytes: 64 integers, or 32 bf16.
inline constexpr std::size_t kOverrunRows = 7, kOverrunBytes = 48;

// The activation kind of MethodOf; integers, or bf16 of formats that are floats; integers with a table for each group,
// or bits (no format has both).
inline constexpr std::size_t kMethodsPerFormat = 3;

// The kernels of a target: one method for each format, precision and activation kind.
struct TargetKernels {
  TargetInfo info;
  MethodKernel methods[kFormatCount][std::size(kPrecisions)][kMethodsPerFormat];
  PrepareFunction prepare[std::size(kActivationKinds)][std::size(kPrecisions)];
  TileFunction tile;
  StoreFunction store;
  GatedFunction gated;
  AddFunction add;
  MatrixUnit unit;

  // The rows of a row group of N rows of x.
  constexpr std::size_t row_group(ActivationKind kind, std::size_t n) const {
    const bool multiplies = kind == ActivationKind::kIntegers || kind == ActivationKind::kBf16;
    return unit.exists() && multiplies && n >= static_cast<std::size_t>(unit.from) ? 1 : kNR;
  }
  const MethodKernel& method(Format format, ActivationKind kind, Precision precision, bool choices = false) const {
    const std::size_t which = choices || kind == ActivationKind::kBits ? 2 : kind == MethodOf(format).kind ? 0 : 1;
    return methods[static_cast<std::size_t>(format)][static_cast<std::size_t>(precision)][which];
  }
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
