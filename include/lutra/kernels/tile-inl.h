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

// All panels times kRows rows of x, as many panels in one micro-kernel as its registers hold.
template <class Kernel, int kRows>
HWY_INLINE void OverPanels(BlockArgs b, std::size_t panel_count) {
  constexpr int kPanels = HWY_MIN(Kernel::kMaxPanels, Kernel::kTile / kRows);
  const auto next = [&](std::size_t panels) {
    b.index += panels * kPlaneBytes;
    b.first += panels;
    b.params += panels * kPanelParams;
    b.tile += panels * b.tile_stride;
    panel_count -= panels;
  };
  while (panel_count >= kPanels) {
    Kernel::template Run<kPanels, kRows>(b);
    next(kPanels);
  }
  if constexpr (kPanels > 1) {
    while (panel_count != 0) {
      Kernel::template Run<1, kRows>(b);
      next(1);
    }
  }
}

// Some rows of one group of x, kRows or, for the last ones, fewer at a time.
template <class Kernel, int kRows>
HWY_INLINE void OverRows(BlockArgs b, std::size_t panel_count, std::size_t rows, std::size_t table_bytes) {
  for (; rows >= kRows; rows -= kRows) {
    OverPanels<Kernel, kRows>(b, panel_count);
    b.tables += kRows * table_bytes;
    b.scales += kRows;
    b.tile += kRows * kPanelRows;
  }
  if constexpr (kRows > 1) {
    if (rows != 0) OverRows<Kernel, kRows - 1>(b, panel_count, rows, table_bytes);
  }
}

// All rows of x, group by group. b.tile is that of the first row; `block` counts along K.
template <class Traits, class Kernel>
HWY_INLINE void OverGroups(const TileArgs& a, BlockArgs b, std::size_t block, std::size_t panel_count) {
  const Geometry& g = *a.geometry;
  constexpr std::size_t kBytes = TableBytes(Traits::kInfo);
  for (std::size_t row = 0; row < a.rows; row += kGroupRows) {
    const std::size_t rows = HWY_MIN(kGroupRows, a.rows - row);
    b.table_stride = rows * kBytes;
    b.tables = a.x.tables + row * a.x.row_bytes + block * g.chunks * Traits::kPasses * b.table_stride;
    b.scales = a.x.scales + row * g.blocks + block * rows;
    OverRows<Kernel, Kernel::kMaxRows>(b, panel_count, rows, kBytes);
    b.tile += rows * kPanelRows;
  }
}

// The micro-kernels of a format: from packed bytes, and from what is unpacked to memory (void: there is none).
template <class Traits, bool kLooksUp = Traits::kInfo.looks_up()>
struct Kernels {
  using Packed = LookupKernel<Traits>;
#if LUTRA_VECTOR_SCOPE
  using Unpacked = void;
#else
  using Unpacked = UnpackedLookupKernel<Traits>;
#endif
};
template <class Traits>
struct Kernels<Traits, false> {
  using Packed = PackedDotKernel<Traits>;
  using Unpacked = UnpackedDotKernel<Traits>;
};

// The params of a group, of all panels.
template <class Traits>
HWY_INLINE void LoadGroup(const TileArgs& a, const BlockArgs& b, const std::uint8_t* params, const std::uint8_t* supers,
                          float* to) {
  const Geometry& g = *a.geometry;
  for (std::size_t i = 0; i < a.panel_count; ++i) {
    for (std::size_t at = 0; at < g.param_bytes; at += 64) b.Prefetch(params + at);
    LoadParams<Traits>(g, params, supers, to);
    params += g.param_bytes;
    supers += g.super_bytes;
    to += kPanelParams;
  }
}

// The panels advance together, block by block, as they stand in memory.
template <class Traits>
void Tile(const TileArgs& a) {
  using Packed = typename Kernels<Traits>::Packed;
  using Unpacked = typename Kernels<Traits>::Unpacked;
  const Geometry& g = *a.geometry;
  std::memset(a.tile, 0, a.panel_count * a.rows * kPanelRows * sizeof(float));
  BlockArgs b = {};
  b.set_panels = a.set_panels;
  b.first = a.first;
  b.centered = g.zero_kind != ZeroKind::kNone;
  b.tile = a.tile;
  b.tile_stride = a.rows * kPanelRows;
  b.ahead = a.ahead;
  HWY_ALIGN float params[kMaxSetPanels * kPanelParams];
  b.params = params;
  const std::uint8_t *next = a.set, *supers = a.set;
  std::size_t blocks_left = 0, groups_left = 0;  // of the group, and of its super-group
  for (std::size_t block = 0; block < g.blocks; ++block, --blocks_left) {
    if (blocks_left == 0) {
      if (groups_left == 0) {
        supers = next + a.first * g.super_bytes;
        next += a.set_panels * g.super_bytes;
        groups_left = g.groups_per_super;
      }
      LoadGroup<Traits>(a, b, next + a.first * g.param_bytes, supers, params);
      next += a.set_panels * g.param_bytes;
      blocks_left = g.blocks_per_group;
      --groups_left;
    }
    b.chunks = g.chunks_in(block);
    b.index = next + a.first * kPlaneBytes;
    next += a.set_panels * BlockBytes(Traits::kInfo, b.chunks);
    if (!a.unpack || std::is_void_v<Unpacked>) {
      OverGroups<Traits, Packed>(a, b, block, a.panel_count);
    } else if constexpr (!std::is_void_v<Unpacked>) {
      HWY_ALIGN std::uint8_t unpacked_to[Unpacked::kUnpackedBytes];
      BlockArgs panel = b;
      for (std::size_t i = 0; i < a.panel_count; ++i) {
        Unpacked::Unpack(panel, unpacked_to);
        BlockArgs unpacked = panel;
        unpacked.index = unpacked_to;
        OverGroups<Traits, Unpacked>(a, unpacked, block, 1);
        panel.index += kPlaneBytes;
        ++panel.first;
        panel.params += kPanelParams;
        panel.tile += panel.tile_stride;
      }
    }
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
  if constexpr (std::is_void_v<Kernel>) {
    return {0, 0, 0};
  } else {
    return {Kernel::kMaxRows, Kernel::kMaxPanels, Kernel::kTile};
  }
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
