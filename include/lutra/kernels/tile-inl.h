// The tile kernels: panels of W times rows of x over all of K, block by block, by micro-kernels.
#if defined(LUTRA_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_TILE_INL_H_
#undef LUTRA_KERNELS_TILE_INL_H_
#else
#define LUTRA_KERNELS_TILE_INL_H_
#endif

#include <cstring>
#include <type_traits>

#include "lutra/kernels/dot-inl.h"
#include "lutra/kernels/lookup_block-inl.h"
#include "lutra/kernels/lookup_vector-inl.h"
#include "lutra/kernels/params-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

// Consecutive blocks of K that rows of x take in one go, so that calls cost little, and small groups little more than
// their scales.
struct SpanArgs {
  BlockArgs block;  // the first
  std::size_t blocks, last_chunks, last_halves;
  std::size_t index_stride, params_stride;  // from a block to the next
  std::size_t group_rows;                   // rows of the group of x
};

// (A function of its own: inlined, its addresses would be prepared for each span, needed or not.)
template <class Traits, class Kernel, int kPanels, int kRows>
HWY_NOINLINE void OverBlocks(const SpanArgs& span) {
  BlockArgs b = span.block;
  for (std::size_t left = span.blocks;; --left) {
    if (left == 1) b.chunks = span.last_chunks, b.halves = span.last_halves;
    Kernel::template Run<kPanels, kRows>(b);
    if (left == 1) return;
    b.index += span.index_stride;
    b.params += span.params_stride;
    b.tables += b.chunks * Traits::kPasses * b.table_stride;
    b.scales += span.group_rows;
  }
}

// All panels times kRows rows of x, as many panels in one micro-kernel as its registers hold. Leaves the span as it
// was.
template <class Traits, class Kernel, int kRows>
HWY_INLINE void OverPanels(SpanArgs& span, std::size_t panel_count) {
  if constexpr (SetPanels(kLayout, Traits::kInfo) == 1) {
    OverBlocks<Traits, Kernel, 1, kRows>(span);
  } else {
    constexpr int kPanels = HWY_MIN(Kernel::kMaxPanels, Kernel::kTile / kRows);
    BlockArgs& b = span.block;
    const BlockArgs first = b;
    const auto next = [&](std::size_t panels) {
      b.index += panels * Kernel::kPanelBytes;
      b.first += panels;
      b.params += panels * kPanelParams;
      b.tile += panels * b.tile_stride;
      panel_count -= panels;
    };
    while (panel_count >= kPanels) {
      OverBlocks<Traits, Kernel, kPanels, kRows>(span);
      next(kPanels);
    }
    while (kPanels > 1 && panel_count != 0) {
      OverBlocks<Traits, Kernel, 1, kRows>(span);
      next(1);
    }
    b.index = first.index;
    b.first = first.first;
    b.params = first.params;
    b.tile = first.tile;
  }
}

// Some rows of one group of x, kRows or, for the last ones, fewer at a time. The span moves along with them.
template <class Traits, class Kernel, int kRows>
HWY_INLINE void OverRows(SpanArgs& span, std::size_t panel_count, std::size_t rows) {
  for (; rows >= kRows; rows -= kRows) {
    OverPanels<Traits, Kernel, kRows>(span, panel_count);
    span.block.tables += kRows * TableBytes(Traits::kInfo);
    span.block.scales += kRows;
    span.block.tile += kRows * kPanelRows;
  }
  if constexpr (kRows > 1) {
    if (rows != 0) OverRows<Traits, Kernel, kRows - 1>(span, panel_count, rows);
  }
}

// All rows of x, group by group. `block` counts along K.
template <class Traits, class Kernel>
HWY_INLINE void OverGroups(const TileArgs& a, SpanArgs& span, std::size_t block) {
  const Geometry& g = *a.geometry;
  BlockArgs& b = span.block;
  for (std::size_t row = 0; row < a.rows; row += kGroupRows) {
    const std::size_t rows = HWY_MIN(kGroupRows, a.rows - row);
    span.group_rows = rows;
    b.table_stride = rows * TableBytes(Traits::kInfo);
    b.tables = a.x.tables + row * a.x.row_bytes + g.chunks_before(block) * Traits::kPasses * b.table_stride;
    b.scales = a.x.scales + row * g.blocks + block * rows;
    b.tile = a.tile + row * kPanelRows;
    OverRows<Traits, Kernel, Kernel::kMaxRows>(span, a.panel_count, rows);
  }
}

// The micro-kernels of a format: from packed bytes, and from what is unpacked to memory.
template <class Traits, bool kLooksUp = Traits::kInfo.looks_up()>
struct Kernels {
  using Packed = LookupKernel<Traits>;
  using Unpacked = UnpackedLookupKernel<Traits>;
};
template <class Traits>
struct Kernels<Traits, false> {
  using Packed = PackedDotKernel<Traits>;
  using Unpacked = UnpackedDotKernel<Traits>;
};

// A block of some panels unpacked; what a span of them takes of L1 (if a single one does not take more), and at most.
template <class Traits>
HWY_INLINE std::size_t UnpackedStride(const TileArgs& a) {
  return a.panel_count * Kernels<Traits>::Unpacked::UnpackedBytes(a.geometry->whole.chunks);
}
inline constexpr std::size_t kUnpackedSpanBytes = 8192;
template <class Traits>
inline constexpr std::size_t kMaxUnpackedBytes = HWY_MAX(kUnpackedSpanBytes, Kernels<Traits>::Unpacked::kUnpackedBytes);

// The params of a span, and the supers they are multiplied with, as floats. (Not members of PanelReader, which would be
// kept in memory with them.)
struct ParamFloats {
  HWY_ALIGN float params[kMaxBlocksPerSpan * kMaxSetPanels * kPanelParams];
  HWY_ALIGN float supers[kMaxSetPanels * kPanelParams];
};

// Walks along the packed bytes of some panels of a set, which advance together, and turns params into floats.
template <class Traits>
class PanelReader {
 public:
  PanelReader(const TileArgs& a, ParamFloats& floats)
      : a_(a),
        g_(*a.geometry),
        floats_(floats),
        own_group_(g_.blocks_per_group == 1),
        stride_(a.set_panels * (g_.whole.bytes + (own_group_ ? g_.param_bytes : 0))),
        most_(HWY_MAX(g_.blocks_per_span, HWY_MIN(kMaxBlocksPerSpan, BlocksAtOnce()))),
        next_(a.set) {}

  // Sets what a span of blocks from `block` on reads, packed.
  HWY_INLINE void Next(std::size_t block, SpanArgs& span) {
    BlockArgs& b = span.block;
    span.blocks = BlocksFrom(block);
    const Extent& last = g_.extent(block + span.blocks - 1);
    span.last_chunks = last.chunks;
    span.last_halves = last.halves;
    b.chunks = g_.whole.chunks;
    b.halves = g_.whole.halves;
    b.params = floats_.params;
    span.index_stride = stride_;
    span.params_stride = own_group_ ? kMaxSetPanels * kPanelParams : 0;
    if (blocks_left_ == 0) LoadGroups(span, own_group_ ? span.blocks : 1);
    blocks_left_ -= span.blocks;
    b.index = next_ + a_.first * kPlaneBytes;
    next_ += (span.blocks - 1) * span.index_stride + a_.set_panels * last.bytes;
  }

 private:
  // Unpacked blocks stay in L1. Packed ones are few enough for the params of a span, which are loaded before its codes,
  // to have been asked for; and one where panels of a set take turns, over all blocks of a span. (int1 on Zen 4, from
  // memory: 1.1 to 1.2 times as fast as two, though 0.96 from cache.)
  HWY_INLINE std::size_t BlocksAtOnce() const {
    constexpr std::size_t kAsked = 6144;
    if (a_.unpack) return kUnpackedSpanBytes / UnpackedStride<Traits>(a_);
    return a_.set_panels > 1 ? 1 : 1 + kAsked / stride_;
  }
  // As many as most_ from `block` on, of which all but the last are whole, in one group or in groups of the same
  // supers.
  HWY_INLINE std::size_t BlocksFrom(std::size_t block) const {
    std::size_t blocks = HWY_MIN(most_, g_.blocks - block);
    if (g_.blocks_per_cut != 1) blocks = HWY_MIN(blocks, g_.blocks_per_cut - block % g_.blocks_per_cut);
    if (!own_group_) return HWY_MIN(blocks, blocks_left_ != 0 ? blocks_left_ : g_.blocks_per_group);
    return g_.groups_per_super == 0 ? blocks : HWY_MIN(blocks, g_.groups_per_super - block % g_.groups_per_super);
  }

  HWY_INLINE void LoadGroups(const SpanArgs& span, std::size_t groups) {
    if (g_.groups_per_super != 0 && groups_left_ == 0) LoadSuperGroup();
    const std::uint8_t* params = next_ + a_.first * g_.param_bytes;
    for (std::size_t i = 0; i < a_.panel_count; ++i, params += g_.param_bytes) {
      LoadParams<Traits::kInfo.format>(g_, span.block, {params, span.index_stride, groups},
                                       floats_.supers + i * kPanelParams, floats_.params + i * kPanelParams);
    }
    if (g_.zero_kind == ZeroKind::kUInt4) LoadGroupZeros(groups);
    next_ += a_.set_panels * g_.param_bytes;
    blocks_left_ = groups * g_.blocks_per_group;
    groups_left_ -= groups;
  }

  HWY_INLINE void LoadSuperGroup() {
    super_bytes_ = g_.super_bytes_in(super_++);
    supers_ = next_ + a_.first * super_bytes_;
    for (std::size_t i = 0; i < a_.panel_count && g_.zero_kind != ZeroKind::kUInt4; ++i) {
      LoadSupers<Traits::kInfo.format>(g_, supers_ + i * super_bytes_, floats_.supers + i * kPanelParams);
    }
    next_ += a_.set_panels * super_bytes_;
    groups_left_ = g_.groups_per_super;
  }

  HWY_INLINE void LoadGroupZeros(std::size_t groups) {
    std::size_t group = g_.groups_per_super - groups_left_;
    float* to = floats_.params;
    for (std::size_t end = group + groups; group < end; ++group, to += kMaxSetPanels * kPanelParams) {
      for (std::size_t i = 0; i < a_.panel_count; ++i) {
        const std::uint8_t* zeros = supers_ + i * super_bytes_ + group / 2 * kPanelRows;
        LoadZeros<Traits::kInfo.format>(zeros, group % 2 != 0, to + i * kPanelParams);
      }
    }
  }

  const TileArgs& a_;
  const Geometry& g_;
  ParamFloats& floats_;
  const bool own_group_;      // each block is a group
  const std::size_t stride_;  // from a block of a span to the next
  const std::size_t most_;    // blocks of a span
  const std::uint8_t* next_;
  const std::uint8_t* supers_ = nullptr;           // of the first panel
  std::size_t super_ = 0, super_bytes_ = 0;        // the next super-group; bytes from panel to panel
  std::size_t blocks_left_ = 0, groups_left_ = 0;  // whose params are loaded; of the super-group
};

template <class Traits>
void Tile(const TileArgs& a) {
  using Packed = typename Kernels<Traits>::Packed;
  using Unpacked = typename Kernels<Traits>::Unpacked;
  const Geometry& g = *a.geometry;
  std::memset(a.tile, 0, a.panel_count * a.rows * kPanelRows * sizeof(float));
  SpanArgs span = {};
  BlockArgs& b = span.block;
  b.set_panels = a.set_panels;
  b.first = a.first;
  b.center = g.zero_kind == ZeroKind::kNone ? 0 : kPanelRows;
  b.tile_stride = a.rows * kPanelRows;
  b.ahead = a.ahead;
  ParamFloats floats;
  PanelReader<Traits> reader(a, floats);
  for (std::size_t block = 0; block < g.blocks; block += span.blocks) {
    reader.Next(block, span);
    if (!a.unpack) {
      OverGroups<Traits, Packed>(a, span, block);
      continue;
    }
    HWY_ALIGN std::uint8_t unpacked[kMaxUnpackedBytes<Traits>];
    const std::size_t stride = UnpackedStride<Traits>(a);
    for (std::size_t i = 0; i < span.blocks; ++i) {
      BlockArgs from = b;
      from.index += i * span.index_stride;
      if (i + 1 == span.blocks) from.chunks = span.last_chunks, from.halves = span.last_halves;
      Unpacked::Unpack(from, a.panel_count, unpacked + i * stride);
    }
    SpanArgs panels = span;
    panels.index_stride = stride;
    panels.block.index = unpacked;
    panels.block.set_panels = a.panel_count;
    panels.block.first = 0;
    OverGroups<Traits, Unpacked>(a, panels, block);
  }
}

inline void StoreTile(const float* tile, const float* bias, std::size_t count, DataType type, void* y) {
  const DF df;
  const hn::CappedTag<float, 1> d1;
  std::size_t i = 0;
  for (; i + hn::Lanes(df) <= count; i += hn::Lanes(df)) {
    VF v = hn::LoadU(df, tile + i);
    if (bias != nullptr) v = hn::Add(v, hn::LoadU(df, bias + i));
    StoreFloats(df, v, y, type, i);
  }
  for (; i < count; ++i) {
    auto v = hn::LoadU(d1, tile + i);
    if (bias != nullptr) v = hn::Add(v, hn::LoadU(d1, bias + i));
    StoreFloats(d1, v, y, type, i);
  }
}

template <class Kernel>
constexpr MicroShape ShapeOf() {
  return {Kernel::kMaxRows, Kernel::kMaxPanels, Kernel::kTile};
}
template <Format kFormat, Precision kPrecision, class Dot = BaseDot>
constexpr TileKernel TileRow() {
  using Traits = TileTraits<kFormat, kPrecision, Dot>;
  using Of = Kernels<Traits>;
  return {kFormat, kPrecision, {ShapeOf<typename Of::Packed>(), ShapeOf<typename Of::Unpacked>()}, &Tile<Traits>};
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
