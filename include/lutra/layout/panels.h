// The order of packed bytes: where panels, K-blocks and chunks stand.
//
// A PackedMatrix is a sequence of panels of 64 rows, aligned to 64 bytes. InterleavedPanels of them (fewer at the end)
// alternate in memory, so that a kernel that works on all of them reads one address stream from front to back. (Several
// streams at a distance of some MB are read at 0.7 of the speed of one.)
//
//     panels    = group, group, ...                 along K; one group if scales are per row or matrix
//     group     = qparams of each panel, K-block, K-block, ...   (layout/qparams.h; before the first group of a
//                 super-group its own)
//     K-block   = run, run, ...
//     run       = up to 2 chunks; then for ternary indices the sign bits of both, padded to 64 bytes for each panel
//     chunk     = 4 nibbles x planes x 64 rows = planes * 128 bytes of each panel; for ternary indices the second of a
//                 run may be half of one, 2 nibbles x 64 rows
//
// Interleaved panels alternate after each plane of a chunk. Only their number and the order inside a run differ between
// targets (layout/encodings.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/format.h"
#include "lutra/layout/k_blocks.h"
#include "lutra/layout/qparams.h"

namespace lutra {
namespace internal {

// Where a byte of a vector looks up: kVector, in tables that fill the vector; kBlock, in a table that each 16-byte lane
// repeats.
enum class Scope : std::uint8_t { kVector, kBlock };

struct Layout {
  Scope scope;
  int blocks;  // 16-byte lanes per vector
  constexpr bool operator==(const Layout& o) const { return scope == o.scope && blocks == o.blocks; }
};

// All there are. Packed files name them by position: only ever append. What else changes the packed bytes of a matrix
// raises kPackedVersion.
inline constexpr Layout kLayouts[] = {{Scope::kVector, 4}, {Scope::kBlock, 1}, {Scope::kBlock, 2}, {Scope::kBlock, 4}};
inline constexpr std::uint32_t kPackedVersion = 4;

// The first layout in the list in which matrices of the encoding have the same packed bytes.
constexpr std::uint32_t LayoutId(Layout layout, const EncodingInfo& e) {
  std::uint32_t id = 0;
  while (e.has_indices() && !(kLayouts[id] == layout)) ++id;
  return id;
}

inline constexpr std::size_t kPlaneBytes = 128;  // of one plane of a chunk
inline constexpr std::size_t kSignBytes = 32;    // of a chunk
inline constexpr std::size_t kRunSignBytes = kChunksPerRun * kSignBytes;
inline constexpr std::size_t kHalfChunksPerRun = 2 * kChunksPerRun;

constexpr std::size_t RunIndexBytes(const EncodingInfo& e, std::size_t half_chunks) {
  return half_chunks * static_cast<std::size_t>(e.planes) * (kPlaneBytes / 2);
}
constexpr std::size_t RunBytes(const EncodingInfo& e, std::size_t half_chunks) {
  return RunIndexBytes(e, half_chunks) + (e.has_signs() ? kRunSignBytes : 0);
}
constexpr std::size_t BlockBytes(const EncodingInfo& e, std::size_t half_chunks) {
  const std::size_t last = half_chunks % kHalfChunksPerRun;
  return half_chunks / kHalfChunksPerRun * RunBytes(e, kHalfChunksPerRun) + (last != 0 ? RunBytes(e, last) : 0);
}

// As many as one micro-kernel takes for one row of x, where that pays (not with two planes: int2 reads 0.84 of memory's
// speed from four, 0.89 panel by panel).
inline constexpr std::size_t kMaxInterleavedPanels = 4;
constexpr std::size_t InterleavedPanels(Layout layout, const EncodingInfo& e) {
  return e.has_indices() && layout.scope == Scope::kVector && e.planes == 1 ? kMaxInterleavedPanels : 1;
}
constexpr std::size_t PanelsIn(std::size_t m) { return DivideUp(m, kPanelRows); }

// One panel of a matrix among those that it alternates with.
struct Place {
  std::size_t first, count, at;  // the first of these panels, how many they are, which one this is
  constexpr Place(std::size_t interleaved, std::size_t panel, std::size_t panels)
      : first(panel / interleaved * interleaved),
        count(interleaved < panels - first ? interleaved : panels - first),
        at(panel - first) {}
  // Where bytes begin that stand `offset` bytes after the begin of a panel alone, as one of alternating `unit`s.
  constexpr std::size_t At(std::size_t panel_bytes, std::size_t offset, std::size_t unit) const {
    return first * panel_bytes + count * offset + at * unit;
  }
};

// The sizes of a K-block.
struct Extent {
  std::size_t x_chunks;     // of x
  std::size_t half_chunks;  // half chunks of codes that are stored
  std::size_t bytes;        // of a panel
  constexpr Extent(const EncodingInfo& e, const ActivationInfo& a, std::size_t weights)
      : x_chunks(DivideUp(weights, a.chunk_weights)),
        half_chunks(HalfChunksIn(e, weights)),
        bytes(BlockBytes(e, half_chunks)) {}
};

inline constexpr std::size_t kBatchWeights = 128;  // that small K-blocks make together at least
inline constexpr std::size_t kMaxBlocksPerBatch = kBatchWeights / 16;

// The sizes that follow from a format, K, the group size, the qparam scheme and the activation kind; the same for every
// panel of a matrix.
struct Geometry {
  QparamScheme scheme;
  std::size_t k, block, cut;                       // weights: BlockSize, CutSize
  std::size_t blocks_per_cut, blocks;              // `blocks` per row
  std::size_t blocks_per_group, groups_per_super;  // without super-groups groups_per_super is 0
  std::size_t blocks_per_batch;                    // that make kBatchWeights, or 1
  Extent whole, cut_end, row_end;                  // K-blocks; the last of a cut, and of a row, may be shorter
  std::size_t super_bytes, last_super_bytes;       // of kSuperGroup weights; of what a row ends with
  std::size_t panel_bytes;

  constexpr Geometry(const FormatInfo& f, const ActivationInfo& a, std::size_t k_, std::size_t group,
                     const QparamScheme& scheme_)
      : scheme(scheme_),
        k(k_),
        block(BlockSize(f, group)),
        cut(CutSize(f, group)),
        blocks_per_cut(DivideUp(cut, block)),
        blocks(k / cut * blocks_per_cut + DivideUp(k % cut, block)),
        blocks_per_group(HasRowScales(group) ? (blocks == 0 ? 1 : blocks) : DivideUp(group, block)),
        groups_per_super(scheme.groups_per_super(group)),
        blocks_per_batch(block < kBatchWeights ? kBatchWeights / block : 1),
        whole(f.stored(), a, block),
        cut_end(f.stored(), a, cut - (blocks_per_cut - 1) * block),
        row_end(f.stored(), a, blocks == 0 ? 0 : k - begin(blocks - 1)),
        super_bytes(scheme.super_bytes_of(groups_per_super)),
        last_super_bytes(
            super_groups() == 0 ? 0 : scheme.super_bytes_of(groups() - (super_groups() - 1) * groups_per_super)),
        panel_bytes(blocks == 0
                        ? 0
                        : Before(blocks - 1, &Extent::bytes) + row_end.bytes + groups() * scheme.group_bytes +
                              (super_groups() == 0 ? 0 : (super_groups() - 1) * super_bytes + last_super_bytes)) {}

  constexpr std::size_t groups() const { return DivideUp(blocks, blocks_per_group); }
  constexpr std::size_t super_groups() const {
    return groups_per_super == 0 ? 0 : DivideUp(groups(), groups_per_super);
  }
  constexpr std::size_t super_bytes_in(std::size_t super) const {
    return (super + 1) * groups_per_super * blocks_per_group < blocks ? super_bytes : last_super_bytes;
  }
  // Where the qparams of a group begin in its panel, behind a super-group's if one begins with it.
  constexpr std::size_t group_offset(std::size_t group) const {
    const std::size_t super = groups_per_super == 0 ? 0 : group / groups_per_super;
    return group * scheme.group_bytes + Before(group * blocks_per_group, &Extent::bytes) + super * super_bytes +
           (groups_per_super == 0 ? 0 : super_bytes_in(super));
  }
  constexpr std::size_t super_offset(std::size_t super) const {
    return group_offset(super * groups_per_super) - super_bytes_in(super);
  }

  // K-block b has weights [begin(b), end(b)) of a row.
  constexpr std::size_t begin(std::size_t b) const {
    return blocks_per_cut == 1 ? b * block : b / blocks_per_cut * cut + b % blocks_per_cut * block;
  }
  constexpr std::size_t end(std::size_t b) const { return b + 1 == blocks ? k : begin(b + 1); }
  constexpr const Extent& extent(std::size_t b) const {
    if (b + 1 == blocks) return row_end;
    return blocks_per_cut == 1 || (b + 1) % blocks_per_cut != 0 ? whole : cut_end;
  }
  // Chunks of one row of x: before K-block b, and in all.
  constexpr std::size_t x_chunks_before(std::size_t b) const { return Before(b, &Extent::x_chunks); }
  constexpr std::size_t x_chunks() const { return blocks == 0 ? 0 : x_chunks_before(blocks - 1) + row_end.x_chunks; }

 private:
  // The sum of a size of the K-blocks before b < blocks.
  constexpr std::size_t Before(std::size_t b, std::size_t Extent::*size) const {
    if (blocks_per_cut == 1) return b * (whole.*size);
    const std::size_t ends = b / blocks_per_cut;
    return (b - ends) * (whole.*size) + ends * (cut_end.*size);
  }
};

}  // namespace internal
}  // namespace lutra
