// The layout of packed bytes: where panels, groups, K-blocks and chunks stand.
//
// A PackedMatrix is a sequence of panels of 64 rows, aligned to 64 bytes. InterleavedPanels(...) consecutive panels
// (fewer at the end) alternate in memory, so that a kernel that works on all of them reads one address stream from
// front to back. (Several streams that are some MB apart are read at 0.7 of the speed of one.)
//
//     panels    = group, group, ...                 along K; one group if scales are per row or matrix
//     group     = qparams of each panel, then K-block, K-block, ...   (layout/qparams.h). The qparams of a super-group
//                 stand before the qparams of its first group.
//     K-block   = scale run, scale run, ...
//     scale run = up to 2 chunks; then, for ternary indices, the sign bits of both, padded to 64 bytes for each panel
//     chunk     = 4 nibbles x planes x 64 rows = planes * 128 bytes of each panel. For ternary indices the second chunk
//                 of a run may be half a chunk: 2 nibbles x 64 rows.
//
// Interleaved panels alternate after each plane of a chunk. Targets differ only in the number of interleaved panels and
// in the places of nibbles inside a run (layout/encodings.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/format.h"
#include "lutra/layout/k_blocks.h"
#include "lutra/layout/qparams.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Which tables the bytes of a vector look up. kVector: the tables of four indices fill the vector, and each byte
// selects one of them. kBlock: each 16-byte lane repeats the table of one index.
enum class Scope : std::uint8_t { kVector, kBlock };

struct Layout {
  Scope scope;
  int blocks;  // 16-byte lanes per vector
  constexpr bool operator==(const Layout& o) const { return scope == o.scope && blocks == o.blocks; }
};

// All layouts. A packed file stores the position of its layout in this list, so new layouts are appended. Any other
// change of packed bytes raises kPackedVersion.
inline constexpr Layout kLayouts[] = {{Scope::kVector, 4}, {Scope::kBlock, 1}, {Scope::kBlock, 2}, {Scope::kBlock, 4}};
inline constexpr std::uint32_t kPackedVersion = 4;

// The position of the first layout in the list with the same packed bytes as `layout`. Encodings without indices have
// the same packed bytes in all layouts.
constexpr std::uint32_t LayoutId(Layout layout, const EncodingInfo& e) {
  std::uint32_t id = 0;
  while (e.has_indices() && !(kLayouts[id] == layout)) ++id;
  return id;
}

inline constexpr std::size_t kPlaneBytes = 128;  // of one plane of a chunk
inline constexpr std::size_t kSignBytes = 32;    // of a chunk
inline constexpr std::size_t kRunSignBytes = kChunksPerRun * kSignBytes;
inline constexpr std::size_t kHalfChunksPerRun = 2 * kChunksPerRun;

// Bytes of one panel: of a scale run's nibbles, of a scale run with its signs, of a K-block.
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

// Panels that alternate in memory: as many as a micro-kernel multiplies with one row of x, where that is faster. (With
// two planes it is not: int2 is read at 0.84 of memory's speed from four panels, at 0.89 panel by panel.)
inline constexpr std::size_t kMaxInterleavedPanels = 4;
constexpr std::size_t InterleavedPanels(Layout layout, const EncodingInfo& e) {
  return e.has_indices() && layout.scope == Scope::kVector && e.planes == 1 ? kMaxInterleavedPanels : 1;
}
constexpr std::size_t PanelsIn(std::size_t m) { return DivideUp(m, kPanelRows); }

// The place of a panel among the panels that it alternates with.
struct Place {
  std::size_t first, count, at;  // the first of these panels, how many they are, which one this is
  constexpr Place(std::size_t interleaved, std::size_t panel, std::size_t panels)
      : first(panel / interleaved * interleaved),
        count(interleaved < panels - first ? interleaved : panels - first),
        at(panel - first) {}
  // The address, from the begin of the packed bytes, of `unit` bytes of this panel that would stand at `offset` if the
  // panel stood alone. Panels of `panel_bytes` alternate after every `unit` bytes.
  constexpr std::size_t At(std::size_t panel_bytes, std::size_t offset, std::size_t unit) const {
    return first * panel_bytes + count * offset + at * unit;
  }
};

// The sizes of a K-block of one panel, or of one row of x.
struct Extent {
  std::size_t x_chunks;     // of x
  std::size_t half_chunks;  // half chunks of codes that are stored
  std::size_t bytes;        // of a panel
  constexpr Extent(const EncodingInfo& e, const ActivationInfo& a, std::size_t weights)
      : x_chunks(DivideUp(weights, a.chunk_weights)),
        half_chunks(HalfChunksIn(e, weights)),
        bytes(BlockBytes(e, half_chunks)) {}
};

// Kernels take small K-blocks in batches of at least 128 weights, so that a call costs little: 8 K-blocks of 16
// weights.
inline constexpr std::size_t kBatchWeights = 128;
inline constexpr std::size_t kMaxBlocksPerBatch = kBatchWeights / 16;

// The sizes that follow from a format, K, the group size, the qparam scheme and the activation kind; the same for every
// panel of a matrix.
struct Geometry {
  QparamScheme scheme;
  std::size_t k, block, cut;                       // weights: BlockSize, CutSize
  std::size_t blocks_per_cut, blocks;              // `blocks` per row
  std::size_t blocks_per_group, groups_per_super;  // without super-groups groups_per_super is 0
  std::size_t blocks_per_batch;                    // K-blocks of kBatchWeights weights; 1 if a K-block has as many
  Extent whole, cut_end, row_end;                  // of a whole K-block, the last one of a cut, the last one of a row
  std::size_t super_bytes, last_super_bytes;       // qparams of a super-group of a panel, and of the row's last one
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
  // Where the qparams of a group begin in a panel that stands alone. They follow the qparams of a super-group if the
  // group is its first.
  constexpr std::size_t group_offset(std::size_t group) const {
    const std::size_t super = groups_per_super == 0 ? 0 : group / groups_per_super;
    return group * scheme.group_bytes + Before(group * blocks_per_group, &Extent::bytes) + super * super_bytes +
           (groups_per_super == 0 ? 0 : super_bytes_in(super));
  }
  constexpr std::size_t super_offset(std::size_t super) const {
    return group_offset(super * groups_per_super) - super_bytes_in(super);
  }

  // Where K-block b begins in a panel that stands alone, with the qparams before it if it is the first of its group.
  constexpr std::size_t part_offset(std::size_t b) const {
    const std::size_t groups_before = DivideUp(b, blocks_per_group);
    const std::size_t supers_before = groups_per_super == 0 ? 0 : DivideUp(groups_before, groups_per_super);
    const std::size_t last =
        supers_before == 0 ? 0 : (supers_before - 1) * super_bytes + super_bytes_in(supers_before - 1);
    return Before(b, &Extent::bytes) + groups_before * scheme.group_bytes + last;
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
  // Chunks of one row of x: before K-block b, and of the whole row.
  constexpr std::size_t x_chunks_before(std::size_t b) const { return Before(b, &Extent::x_chunks); }
  constexpr std::size_t x_chunks() const { return blocks == 0 ? 0 : x_chunks_before(blocks - 1) + row_end.x_chunks; }

 private:
  // Adds up a size over the K-blocks before K-block b < blocks.
  constexpr std::size_t Before(std::size_t b, std::size_t Extent::*size) const {
    if (blocks_per_cut == 1) return b * (whole.*size);
    const std::size_t ends = b / blocks_per_cut;
    return (b - ends) * (whole.*size) + ends * (cut_end.*size);
  }
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
