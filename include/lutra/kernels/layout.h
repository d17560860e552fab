// The order of packed bytes: where the index of (row, plane, position) stands, for the packer and for readers.
//
// A PackedMatrix is a sequence of panels of 64 rows, aligned to 64 bytes, in sets of SetPanels panels (fewer in the
// last set):
//
//     set     = group, group, ...                  along K; one group if scales are per row or matrix
//     group   = params of each panel, block, block, ...
//     params  = scales[64], zeros[64] if any (kInteger: bytes; scales of four bits share a byte with their offsets and
//               are its low bits)
//     supers  = what stands of each panel before the params of each 256 weights, or of the one group of a row:
//               super_scales[64], super_offsets[64] if any, with scales of two levels; zeros[64] of each pair of groups
//               with zeros of four bits, those of the first in the low bits
//     block   = run, run, ...
//     run     = up to 2 chunks, then for mirrored tables the sign bits of both, padded to 64 bytes for each panel
//     chunk   = 4 nibbles x P planes x 64 rows = P * 128 bytes of each panel; for mirrored tables the second of a run
//               may be half of one, 2 nibbles x 64 rows
//
// Within a set the panels alternate after each plane of a chunk, so that kernels that work on all panels of a set at
// once read one address stream, from front to back; so do those that take panel by panel from sets of one. (Several
// streams at a distance of some MB are read at 0.7 of the speed of one.)
//
// Only sets and the order inside a run differ between targets. For lookup codes a nibble is an index, and its place
// depends on the target, as it decides which table a byte of a vector looks up and which bytes the adder joins (see the
// drawings in lookup_vector-inl.h and lookup_block-inl.h):
//
//     kVector   [plane][chunk]. A vector holds the tables of four indices; a 32-bit lane is one row, its bytes the four
//               indices of a chunk. The quad dot product adds them. (x86 with VBMI and VNNI) Of half a chunk, the lower
//               bytes of a lane are the two indices of one row, the upper ones those of the row 32 further on.
//     kBlock    [chunk][pair of planes], then [chunk] of the plane that is left, if any. Each 16-byte block holds one
//               table; all bytes of a vector belong to one index. Two planes of a row alternate byte by byte and are
//               added by the pair product; a lone plane has a byte per row.
//
// Formats of integers are the same for all targets: [chunk][half of the rows][plane], a 32-bit lane is one row (two,
// with the high nibbles). Byte i of plane p holds code 4 * p + i of a chunk in the low P bits of its nibbles; if P is
// 3, the bit above it is bit p of code 12 + i, so that most codes are unpacked by a mask.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/format.h"
#include "lutra/matrix.h"

namespace lutra {
namespace internal {

enum class Scope : std::uint8_t { kVector, kBlock };

struct Layout {
  Scope scope;
  int blocks;  // 16-byte blocks per vector
  constexpr bool operator==(const Layout& o) const { return scope == o.scope && blocks == o.blocks; }
};

// All there are. Packed files name them by position: only ever append. What else changes the packed bytes of a matrix
// raises kPackedVersion.
inline constexpr Layout kLayouts[] = {{Scope::kVector, 4}, {Scope::kBlock, 1}, {Scope::kBlock, 2}, {Scope::kBlock, 4}};
inline constexpr std::uint32_t kPackedVersion = 4;

// The first layout in the list in which matrices of the format have the same packed bytes.
constexpr std::uint32_t LayoutId(Layout layout, const FormatInfo& f) {
  std::uint32_t id = 0;
  while (f.looks_up() && !(kLayouts[id] == layout)) ++id;
  return id;
}

inline constexpr std::size_t kPanelRows = 64;
inline constexpr std::size_t kPlaneBytes = 128;  // of one plane of a chunk
inline constexpr std::size_t kSignBytes = 32;    // of a chunk
inline constexpr std::size_t kRunSignBytes = kChunksPerRun * kSignBytes;
inline constexpr std::size_t kGroupRows = 4;  // rows of x whose tables alternate: what a micro-kernel takes at most

inline constexpr std::size_t kSpanWeights = 128;  // that small blocks make together at least
inline constexpr std::size_t kMaxBlocksPerSpan = kSpanWeights / 16;
inline constexpr std::size_t kMaxIntegerChunks = 128 / 16;  // of a block

// Of one chunk of one row of x, per pass: 4 tables of 16 entries, or 16 integers.
constexpr std::size_t TableBytes(const FormatInfo& f) { return f.looks_up() ? 64 : 16; }

constexpr std::size_t RoundUp(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// What one nibble of a run stands for.
struct Slot {
  int chunk, plane, index, row;
};

// The 16-bit lanes of a block-scope vector are rows in this order, so that interleaving the sums of two runs, which
// widens them, yields consecutive rows.
constexpr int RowOfLane(int lane, int blocks) {
  const int block = lane / 8, i = lane % 8;
  return (i / 4) * 4 * blocks + block * 4 + i % 4;
}

// The slot of nibble `high` (0 or 1) of byte `byte` of a run of `halves` half chunks.
constexpr Slot SlotAt(Layout layout, const FormatInfo& f, int halves, int byte, int high) {
  const int row_in_vector = byte % 64 / 4 + high * 16, planes = f.planes, chunks = (halves + 1) / 2;
  if (!f.looks_up()) {
    const int line = byte / 64;
    return {line / (2 * planes), line % planes, byte % 4, line / planes % 2 * 32 + row_in_vector};
  }
  if (layout.scope == Scope::kVector) {
    if (halves % 2 != 0 && byte / 64 == halves - 1) {
      return {chunks - 1, 0, byte % 2, byte % 4 / 2 * 32 + row_in_vector};
    }
    return {byte / 128 % chunks, byte / (128 * chunks), byte % 4, byte / 64 % 2 * 32 + row_in_vector};
  }
  const int vector_bytes = 16 * layout.blocks, lanes = 8 * layout.blocks;
  const int pairs = planes / 2, chunk_pairs = 256 * pairs;
  const int in = byte % 64, in_vector = in % vector_bytes;
  if (byte < chunks * chunk_pairs) {  // [chunk][index][pair][vector][lane][plane of the pair]
    const int row = (2 * (in / vector_bytes) + high) * lanes + RowOfLane(in_vector / 2, layout.blocks);
    return {byte / chunk_pairs, byte / 64 % pairs * 2 + in_vector % 2, byte / (64 * pairs) % 4, row};
  }
  // [chunk][pair of indices][vector][byte]: interleaving the bytes of two indices yields the rows of two vectors of
  // lanes
  const int lone = byte - chunks * chunk_pairs;
  const int half = 2 * (in / vector_bytes) + in_vector % 16 / 8, lane = in_vector / 16 * 8 + in_vector % 8;
  return {lone / 128, planes - 1, lone / 64 % 2 * 2 + high, half * lanes + RowOfLane(lane, layout.blocks)};
}

// The position of that nibble's sign among the sign bits of its run: byte i's sign is bit i of a mask (kVector), or the
// bit `4 * chunk + index` from the top of the byte at the lookup's own position (kBlock).
constexpr std::size_t SignBitAt(Layout layout, Slot slot, int byte) {
  const auto in = static_cast<std::size_t>(byte % 64), chunk = static_cast<std::size_t>(slot.chunk);
  if (layout.scope == Scope::kVector) return chunk * 256 + static_cast<std::size_t>(slot.row / 16) * 64 + in;
  return in * 8 + 7 - (chunk * 4 + static_cast<std::size_t>(slot.index));
}

inline constexpr std::size_t kHalvesPerRun = 2 * kChunksPerRun;
constexpr std::size_t RunIndexBytes(const FormatInfo& f, std::size_t halves) {
  return halves * static_cast<std::size_t>(f.planes) * (kPlaneBytes / 2);
}
constexpr std::size_t RunBytes(const FormatInfo& f, std::size_t halves) {
  return RunIndexBytes(f, halves) + (f.mirrored() ? kRunSignBytes : 0);
}
constexpr std::size_t BlockBytes(const FormatInfo& f, std::size_t halves) {
  const std::size_t last = halves % kHalvesPerRun;
  return halves / kHalvesPerRun * RunBytes(f, kHalvesPerRun) + (last != 0 ? RunBytes(f, last) : 0);
}
// As many as one micro-kernel takes for one row of x, where a set pays (two planes: int2 reads 0.84 of memory's speed
// from sets of four, 0.89 panel by panel).
inline constexpr std::size_t kMaxSetPanels = 4;
constexpr std::size_t SetPanels(Layout layout, const FormatInfo& f) {
  return f.looks_up() && layout.scope == Scope::kVector && f.planes == 1 ? kMaxSetPanels : 1;
}
constexpr std::size_t PanelsIn(std::size_t m) { return m / kPanelRows + (m % kPanelRows != 0); }

// One panel of a matrix in its set.
struct Place {
  std::size_t set_begin, set_panels, in_set;
  constexpr Place(std::size_t set, std::size_t panel, std::size_t panels)
      : set_begin(panel / set * set),
        set_panels(set < panels - set_begin ? set : panels - set_begin),
        in_set(panel - set_begin) {}
  // Where bytes begin that stand `offset` bytes after the begin of a panel alone, as one of alternating `unit`s.
  constexpr std::size_t At(std::size_t panel_bytes, std::size_t offset, std::size_t unit) const {
    return set_begin * panel_bytes + set_panels * offset + in_set * unit;
  }
};

constexpr std::size_t ZeroOffset(DataType scale_type, ZeroKind zero_kind) {
  const bool elsewhere = zero_kind == ZeroKind::kNone || zero_kind == ZeroKind::kUInt4;
  return elsewhere || scale_type == DataType::kUInt4 ? 0 : kPanelRows * SizeOf(scale_type);
}
constexpr std::size_t ParamBytes(DataType scale_type, ZeroKind zero_kind) {
  const std::size_t zero = zero_kind == ZeroKind::kInteger ? 1 : SizeOf(scale_type);
  const std::size_t offset = ZeroOffset(scale_type, zero_kind);
  return offset != 0 ? offset + kPanelRows * zero : kPanelRows * SizeOf(scale_type);
}
// Groups that share supers; 0 if there are none.
constexpr std::size_t GroupsPerSuper(std::size_t group, DataType scale_type, ZeroKind zero_kind) {
  if (!HasTwoLevels(scale_type) && zero_kind != ZeroKind::kUInt4) return 0;
  return HasRowScales(group) ? 1 : kSuperGroup / group;
}
// Supers of that many groups.
constexpr std::size_t SuperBytes(DataType scale_type, ZeroKind zero_kind, std::size_t groups) {
  if (zero_kind == ZeroKind::kUInt4) return (groups + 1) / 2 * kPanelRows;
  return HasTwoLevels(scale_type) ? ParamBytes(DataType::kF16, zero_kind) : 0;
}

// The sizes of a block.
struct Extent {
  std::size_t chunks;  // of tables of x
  std::size_t halves;  // half chunks that are stored
  std::size_t bytes;   // of a panel
  constexpr Extent(const FormatInfo& f, std::size_t weights)
      : chunks(ChunksIn(f, weights)), halves(HalvesIn(f, weights)), bytes(BlockBytes(f, halves)) {}
};

// The sizes that follow from a format, K, the group size and the types; the same for every panel of a matrix.
struct Geometry {
  DataType scale_type;
  ZeroKind zero_kind;
  std::size_t k, block, cut;                       // weights: BlockSize, CutSize
  std::size_t blocks_per_cut, blocks;              // `blocks` per row
  std::size_t blocks_per_group, groups_per_super;  // without supers groups_per_super is 0
  std::size_t blocks_per_span;                     // that make kSpanWeights, or 1
  Extent whole, cut_end, row_end;                  // blocks; the last of a cut, and of a row, may be shorter
  std::size_t zero_offset;                         // of the zeros in params; 0 if they have no place of their own
  std::size_t param_bytes;                         // scales and zeros of a group
  std::size_t super_bytes, last_super_bytes;       // supers of kSuperGroup weights; of what a row ends with
  std::size_t panel_bytes;

  constexpr Geometry(const FormatInfo& f, std::size_t k_, std::size_t group, DataType scale_type_, ZeroKind zero_kind_)
      : scale_type(scale_type_),
        zero_kind(zero_kind_),
        k(k_),
        block(BlockSize(f, group)),
        cut(CutSize(f, group)),
        blocks_per_cut((cut + block - 1) / block),
        blocks(k / cut * blocks_per_cut + (k % cut + block - 1) / block),
        blocks_per_group(HasRowScales(group) ? (blocks == 0 ? 1 : blocks) : (group + block - 1) / block),
        groups_per_super(GroupsPerSuper(group, scale_type, zero_kind)),
        blocks_per_span(block < kSpanWeights ? kSpanWeights / block : 1),
        whole(f, block),
        cut_end(f, cut - (blocks_per_cut - 1) * block),
        row_end(f, blocks == 0 ? 0 : k - begin(blocks - 1)),
        zero_offset(ZeroOffset(scale_type, zero_kind)),
        param_bytes(ParamBytes(scale_type, zero_kind)),
        super_bytes(SuperBytes(scale_type, zero_kind, groups_per_super)),
        last_super_bytes(
            supers() == 0 ? 0 : SuperBytes(scale_type, zero_kind, groups() - (supers() - 1) * groups_per_super)),
        panel_bytes(blocks == 0 ? 0
                                : Before(blocks - 1, &Extent::bytes) + row_end.bytes + groups() * param_bytes +
                                      (supers() == 0 ? 0 : (supers() - 1) * super_bytes + last_super_bytes)) {}

  constexpr std::size_t groups() const { return (blocks + blocks_per_group - 1) / blocks_per_group; }
  constexpr std::size_t supers() const {
    return groups_per_super == 0 ? 0 : (groups() + groups_per_super - 1) / groups_per_super;
  }
  constexpr std::size_t super_bytes_in(std::size_t super) const {
    return (super + 1) * groups_per_super * blocks_per_group < blocks ? super_bytes : last_super_bytes;
  }
  // Of the params of a group, and of the supers before it, in its panel.
  constexpr std::size_t param_offset(std::size_t group) const {
    const std::size_t super = groups_per_super == 0 ? 0 : group / groups_per_super;
    return group * param_bytes + Before(group * blocks_per_group, &Extent::bytes) + super * super_bytes +
           super_bytes_in(super);
  }
  constexpr std::size_t super_offset(std::size_t super) const {
    return param_offset(super * groups_per_super) - super_bytes_in(super);
  }

  // Block b has weights [begin(b), end(b)) of a row.
  constexpr std::size_t begin(std::size_t b) const {
    return blocks_per_cut == 1 ? b * block : b / blocks_per_cut * cut + b % blocks_per_cut * block;
  }
  constexpr std::size_t end(std::size_t b) const { return b + 1 == blocks ? k : begin(b + 1); }
  constexpr const Extent& extent(std::size_t b) const {
    if (b + 1 == blocks) return row_end;
    return blocks_per_cut == 1 || (b + 1) % blocks_per_cut != 0 ? whole : cut_end;
  }
  // Chunks of tables of one row of x: before block b, and in all.
  constexpr std::size_t chunks_before(std::size_t b) const { return Before(b, &Extent::chunks); }
  constexpr std::size_t total_chunks() const { return blocks == 0 ? 0 : chunks_before(blocks - 1) + row_end.chunks; }

 private:
  // The sum of a size of the blocks before b < blocks.
  constexpr std::size_t Before(std::size_t b, std::size_t Extent::*size) const {
    if (blocks_per_cut == 1) return b * (whole.*size);
    const std::size_t ends = b / blocks_per_cut;
    return (b - ends) * (whole.*size) + ends * (cut_end.*size);
  }
};

}  // namespace internal
}  // namespace lutra
