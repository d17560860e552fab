// The micro-kernels: 64 rows of W (a panel) times a few rows of x over one block of K, by table lookup.
//
// Vector scope: four tables T0..T3 of 16 entries fill a 64-byte vector. An index byte is 16 * (which table) + index.
//
//     lookup   |   row 0     |   row 1     |  ...  |   row 15    |       vpermb; 64 lookups
//              | T0 T1 T2 T3 | T0 T1 T2 T3 |       | T0 T1 T2 T3 |
//     adder    |  sum * 2^p  |  sum * 2^p  |       |  sum * 2^p  |       vpdpbusd with r * 2^p: the dot is the adder
//
// Block scope: a table of 16 entries is repeated in each 16-byte block; all bytes of a vector belong to one index.
//
//     pair     | r0p0 r0p1 | r1p0 r1p1 | ...          two planes of a row: the pair product with (2^p, 2^(p+1)) adds
//     lone     | r0   r8   | r1   r9   | ...          one plane: 16-bit sums of all bytes, and of the odd bytes apart
//
// Tables there are biased to unsigned bytes (+128); sums start at minus the bias, so 16 bits suffice for a run:
//     pair     8 indices * 128 * (1 + 2 + 4 + 8) = 15360 < 2^15
//     lone     odd bytes  8 * 255 < 2^15;  all bytes modulo 2^16, from which the odd ones are taken away again
#if defined(LUTRA_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_TILE_INL_H_
#undef LUTRA_KERNELS_TILE_INL_H_
#else
#define LUTRA_KERNELS_TILE_INL_H_
#endif

#include <cstring>

#include "hwy/cache_control.h"
#include "lutra/kernels/registry.h"
#include "lutra/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

template <Format kFormat, Precision kPrecision>
struct TileTraits {
  static constexpr FormatInfo kInfo = Describe(kFormat);
  static constexpr int kPlanes = kInfo.planes;
  static constexpr int kPasses = kPrecision == Precision::kInt16 ? 2 : 1;
  static constexpr std::size_t kChunkBytes = kPlanes * kPlaneBytes;
};

// One block of some panels, and where its rows of x begin.
struct BlockArgs {
  const std::uint8_t* index;
  const std::uint8_t* signs;
  std::size_t chunks;
  const std::uint8_t* params;  // scales[64], zeros[64]
  std::size_t panel_bytes;     // from a panel to the next: of the three above
  std::size_t zero_offset;
  DataType scale_type;
  const std::uint8_t* tables;
  std::size_t row_bytes;
  const BlockScale* scales;
  std::size_t scale_stride;
  float* tile;
  std::size_t tile_stride;  // from a panel to the next
};

// tile += scale * (gain * sum + (center - zero) * (sum of x)) for the rows of W in one vector of sums.
template <class Traits>
HWY_INLINE void Flush(const BlockArgs& b, int n, std::size_t row, VF weight_scale, VF zero, V32 sums) {
  const DF df;
  const BlockScale& s = b.scales[static_cast<std::size_t>(n) * b.scale_stride];
  const VF sum = hn::Set(df, s.sum);
  VF u = Fma(hn::ConvertTo(df, sums), hn::Set(df, Traits::kInfo.gain * s.scale),
             hn::Mul(hn::Sub(hn::Set(df, Traits::kInfo.center), zero), sum));
  float* tile = b.tile + static_cast<std::size_t>(n) * kPanelRows + row;
  hn::Store(Fma(weight_scale, u, hn::Load(df, tile)), df, tile);
}

template <class Traits>
HWY_INLINE VF LoadZeros(const BlockArgs& b, std::size_t row) {
  if (b.zero_offset == 0) return hn::Set(DF(), Traits::kInfo.default_zero);
  return LoadFloats(DF(), b.params + b.zero_offset, b.scale_type, row);
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

inline constexpr int kQuarters = 4;    // vectors of 16 rows in a panel
inline constexpr int kTilePanels = 4;  // times rows of x: at most kTileRows

// How far ahead of each panel's stream to prefetch where weights serve few rows of x. With 1 to 1.5 KB, int1
// and ternary read memory 1.15 to 1.5 times as fast as without; from 4 KB on int1 gains nothing.
inline constexpr std::size_t kPrefetchBytes = 1280;

// One plane of one chunk: adds 64 lookups per quarter, panel and row of x. `index` and `signs` are those of the plane.
// sums: [panel][quarter][row of x].
template <class Traits, int kPanels, int kRows>
HWY_INLINE void AddChunk(const std::uint8_t* index, const std::uint8_t* signs, const BlockArgs& b,
                         const std::uint8_t* tables, const V8 (&weight)[kRows],
                         V32 (&sums)[kPanels * kQuarters * kRows]) {
  const D8 d8;
  const DI8 di8;
  const hn::Repartition<std::uint16_t, D8> du16;
  const V8 which = hn::BitCast(d8, hn::Set(D32(), 0x30201000));
  const V8 nibble = hn::Set(d8, 0x0f);
  V8 table[kRows];
  LUTRA_UNROLL
  for (int n = 0; n < kRows; ++n) table[n] = hn::Load(d8, tables + static_cast<std::size_t>(n) * b.row_bytes);
  LUTRA_UNROLL
  for (int half = 0; half < kPanels * 2; ++half) {  // 32 rows: the low nibbles are the first 16
    const std::size_t panel_offset = static_cast<std::size_t>(half / 2) * b.panel_bytes;
    if (kRows == 1 && half % 2 == 0 && half != 0) KeepOrder(sums[half * 2 - 1], index);
    const std::uint8_t* from = index + panel_offset + half % 2 * 64;
    if (kRows < kTilePanels) hwy::Prefetch(from + kPrefetchBytes);
    const V8 packed = hn::Load(d8, from);
    const V8 nibbles[2] = {packed, hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(du16, packed)))};
    LUTRA_UNROLL
    for (int high = 0; high < 2; ++high) {
      const auto where = hn::IndicesFromVec(d8, hn::OrAnd(which, nibbles[high], nibble));
      LUTRA_UNROLL
      for (int n = 0; n < kRows; ++n) {
        auto found = hn::BitCast(di8, hn::TableLookupLanes(table[n], where));
        if constexpr (Traits::kInfo.mirrored()) {
          const std::uint8_t* negative = signs + panel_offset + half % 2 * 16 + high * 8;
          found = hn::MaskedSubOr(found, hn::LoadMaskBits(di8, negative), hn::Zero(di8), found);
        }
        V32& sum = sums[(half * 2 + high) * kRows + n];
        sum = hn::SumOfMulQuadAccumulate(D32(), weight[n], found, sum);
        StayInRegister(sum);
      }
    }
  }
}

template <class Traits, int kPanels, int kRows>
HWY_INLINE void MicroKernel(const BlockArgs& b) {
  constexpr int kSums = kPanels * kQuarters * kRows;
  const D32 d32;
  V32 sums[kSums];
  LUTRA_UNROLL
  for (int i = 0; i < kSums; ++i) sums[i] = hn::Zero(d32);

  const std::uint8_t* tables = b.tables;
  for (int pass = 0; pass < Traits::kPasses; ++pass) {
    if (pass != 0) {
      LUTRA_UNROLL
      for (int i = 0; i < kSums; ++i) sums[i] = hn::ShiftLeft<7>(sums[i]);
    }
    const std::uint8_t* index = b.index;
    const std::uint8_t* signs = b.signs;
    for (std::size_t first = 0; first < b.chunks; first += kChunksPerRun) {
      const std::size_t chunks = HWY_MIN(kChunksPerRun, b.chunks - first);
      V8 weight[kRows];  // ratio * 2^plane
      LUTRA_UNROLL
      for (int n = 0; n < kRows; ++n) {
        const BlockScale& scale = b.scales[static_cast<std::size_t>(n) * b.scale_stride];
        weight[n] = hn::BitCast(D8(), hn::Set(d32, static_cast<std::int32_t>(scale.quad[first / kChunksPerRun])));
      }
      LUTRA_KEEP_LOOP
      for (int plane = 0; plane < Traits::kPlanes; ++plane) {
        LUTRA_KEEP_LOOP
        for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
          AddChunk<Traits, kPanels, kRows>(index, signs + chunk * kSignBytes, b, tables + chunk * kTableBytes, weight,
                                           sums);
          index += kPlaneBytes;
        }
        LUTRA_UNROLL
        for (int n = 0; n < kRows; ++n) weight[n] = hn::Add(weight[n], weight[n]);
      }
      tables += chunks * kTableBytes;
      signs += chunks * kSignBytes;
    }
  }

  LUTRA_UNROLL
  for (int i = 0; i < kPanels * kQuarters; ++i) {
    const auto panel = static_cast<std::size_t>(i / kQuarters), row = static_cast<std::size_t>(i % kQuarters * 16);
    BlockArgs at = b;
    at.params += panel * b.panel_bytes;
    at.tile += panel * b.tile_stride;
    const VF weight_scale = LoadFloats(DF(), at.params, b.scale_type, row);
    const VF zero = LoadZeros<Traits>(at, row);
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n) Flush<Traits>(at, n, row, weight_scale, zero, sums[i * kRows + n]);
  }
}

// 16 sums + 4 tables + 4 weights + 2 constants + 1 index + 1 lookup of 32 registers.
template <class Traits>
inline constexpr int kTileRows = 4;

#else

inline constexpr std::size_t kVectorBytes = 16 * kLayout.blocks;
inline constexpr std::size_t kLanes16 = 8 * kLayout.blocks;  // rows in a vector of 16-bit sums
inline constexpr std::size_t kVectors16 = kPanelRows / kLanes16;

inline constexpr int kTilePanels = 1;

// The 16-bit sums of one run and one row of x.
struct RunSums {
  HWY_ALIGN std::int16_t rows[kPanelRows];
};

// The planes that come in pairs; `chunks` <= kChunksPerRun.
template <class Traits, int kRows>
HWY_INLINE void SumPairs(const BlockArgs& b, const std::uint8_t* index, const std::uint8_t* tables, std::size_t chunks,
                         RunSums* out) {
  constexpr int kPairs = Traits::kPlanes / 2;
  constexpr int kPlaneSum = (1 << (2 * kPairs)) - 1;
  const D8 d8;
  const D16 d16;
  const V16 start =
      hn::Set(d16, static_cast<std::int16_t>(-128 * kPlaneSum * static_cast<int>(kIndicesPerChunk * chunks)));
  V16 sums[kVectors16][kRows];
  for (auto& vector : sums) {
    for (auto& sum : vector) sum = start;
  }
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    for (std::size_t i = 0; i < kIndicesPerChunk; ++i) {
      for (int pair = 0; pair < kPairs; ++pair) {
        const std::uint8_t* at =
            index + ((chunk * kIndicesPerChunk + i) * kPairs + static_cast<std::size_t>(pair)) * 64;
        for (std::size_t v = 0; v < kVectors16; v += 2) {
          const V8 packed = hn::Load(d8, at + v / 2 * kVectorBytes);
          const V8 low = LowNibbles(packed), high = HighNibbles(packed);
          for (int n = 0; n < kRows; ++n) {
            const std::uint8_t* table =
                tables + static_cast<std::size_t>(n) * b.row_bytes + chunk * kTableBytes + i * 16;
            sums[v][n] = AddPairLookups(sums[v][n], table, low, pair);
            sums[v + 1][n] = AddPairLookups(sums[v + 1][n], table, high, pair);
          }
        }
      }
    }
  }
  for (std::size_t v = 0; v < kVectors16; ++v) {
    for (int n = 0; n < kRows; ++n) hn::Store(sums[v][n], d16, out[n].rows + v * kLanes16);
  }
}

// The plane without a partner: the only one, or the third. `first_chunk` counts from the start of the block.
template <class Traits, int kRows>
HWY_INLINE void SumLone(const BlockArgs& b, const std::uint8_t* index, const std::uint8_t* tables,
                        std::size_t first_chunk, std::size_t chunks, RunSums* out) {
  constexpr std::size_t kVectors8 = kVectors16 / 2;
  const D8 d8;
  const D16 d16;
  const V16 start = hn::Set(d16, static_cast<std::int16_t>(-128 * static_cast<int>(kIndicesPerChunk * chunks)));
  const std::uint8_t* lone = index + chunks * (Traits::kPlanes / 2) * 2 * kPlaneBytes;
  V16 all[kVectors8][kRows], odd[kVectors8][kRows];  // all: even + 256 * odd, modulo 2^16
  for (std::size_t v = 0; v < kVectors8; ++v) {
    for (int n = 0; n < kRows; ++n) all[v][n] = odd[v][n] = start;
  }
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    for (std::size_t v = 0; v < kVectors8; ++v) {
      V8 sign = hn::Zero(d8);  // of index i in bit 3 - i + 4
      if constexpr (Traits::kInfo.mirrored()) {
        sign = hn::Load(d8, b.signs + (first_chunk + chunk) / 2 * 64 + v * kVectorBytes);
        if ((first_chunk + chunk) % 2 == 0) sign = hn::ShiftLeft<4>(sign);
      }
      for (std::size_t i = 0; i < kIndicesPerChunk; ++i) {
        const V8 packed = hn::Load(d8, lone + chunk * kPlaneBytes + i / 2 * 64 + v * kVectorBytes);
        const V8 nibbles = i % 2 == 0 ? LowNibbles(packed) : HighNibbles(packed);
        V8 negative = sign;  // index 3 has the top bit; index i is 3 - i below it
        if constexpr (Traits::kInfo.mirrored()) {
          for (std::size_t up = i; up + 1 < kIndicesPerChunk; ++up) negative = hn::Add(negative, negative);
        }
        for (int n = 0; n < kRows; ++n) {
          const std::uint8_t* table = tables + static_cast<std::size_t>(n) * b.row_bytes + chunk * kTableBytes + i * 16;
          AddLoneLookups<Traits::kInfo.mirrored()>(all[v][n], odd[v][n], table, nibbles, negative);
        }
      }
    }
  }
  for (std::size_t v = 0; v < kVectors8; ++v) {
    for (int n = 0; n < kRows; ++n) {
      // start is a multiple of 512, so 256 * odd is free of it modulo 2^16.
      hn::Store(hn::Sub(all[v][n], hn::ShiftLeft<8>(odd[v][n])), d16, out[n].rows + v * 2 * kLanes16);
      hn::Store(odd[v][n], d16, out[n].rows + v * 2 * kLanes16 + kLanes16);
    }
  }
}

template <class Traits, int kPanels, int kRows>
HWY_INLINE void MicroKernel(const BlockArgs& b) {
  static_assert(kPanels == kTilePanels);
  const D16 d16;
  const D32 d32;
  HWY_ALIGN std::int32_t sums[kRows][kPanelRows] = {};
  RunSums run[2][kRows];

  // sums += c * (ratio0 * run[0] + ratio1 * run[1])
  const auto combine = [&](std::size_t first_run, int c) HWY_ATTR {
    for (int n = 0; n < kRows; ++n) {
      const BlockScale& s = b.scales[static_cast<std::size_t>(n) * b.scale_stride];
      const V16 ratio = hn::BitCast(
          d16, hn::Set(d32, static_cast<std::int32_t>(s.pair[first_run / 2] * static_cast<std::uint32_t>(c))));
      for (std::size_t row = 0; row < kPanelRows; row += kLanes16) {
        const V16 v0 = hn::Load(d16, run[0][n].rows + row), v1 = hn::Load(d16, run[1][n].rows + row);
        std::int32_t* to = sums[n] + row;
        hn::Store(hn::Add(hn::Load(d32, to), hn::WidenMulPairwiseAdd(d32, hn::InterleaveLower(d16, v0, v1), ratio)),
                  d32, to);
        to += kLanes16 / 2;
        hn::Store(hn::Add(hn::Load(d32, to), hn::WidenMulPairwiseAdd(d32, hn::InterleaveUpper(d16, v0, v1), ratio)),
                  d32, to);
      }
    }
  };

  for (int pass = 0; pass < Traits::kPasses; ++pass) {
    if (pass != 0) {
      for (auto& row : sums) {
        for (auto& sum : row) sum *= 128;
      }
    }
    const std::uint8_t* tables = b.tables + static_cast<std::size_t>(pass) * b.chunks * kTableBytes;
    for (std::size_t first = 0; first < b.chunks; first += 2 * kChunksPerRun) {
      const std::size_t begin[2] = {first, HWY_MIN(first + kChunksPerRun, b.chunks)};
      const std::size_t count[2] = {begin[1] - begin[0], HWY_MIN(b.chunks - begin[1], kChunksPerRun)};
      if constexpr (Traits::kPlanes >= 2) {
        for (int r = 0; r < 2; ++r) {
          SumPairs<Traits, kRows>(b, b.index + begin[r] * Traits::kChunkBytes, tables + begin[r] * kTableBytes,
                                  count[r], run[r]);
        }
        combine(first / kChunksPerRun, 1);
      }
      if constexpr (Traits::kPlanes % 2 != 0) {
        for (int r = 0; r < 2; ++r) {
          SumLone<Traits, kRows>(b, b.index + begin[r] * Traits::kChunkBytes, tables + begin[r] * kTableBytes, begin[r],
                                 count[r], run[r]);
        }
        combine(first / kChunksPerRun, 1 << (Traits::kPlanes - 1));
      }
    }
  }

  for (std::size_t row = 0; row < kPanelRows; row += kLanes16 / 2) {
    const VF weight_scale = LoadFloats(DF(), b.params, b.scale_type, row);
    const VF zero = LoadZeros<Traits>(b, row);
    for (int n = 0; n < kRows; ++n) Flush<Traits>(b, n, row, weight_scale, zero, hn::Load(d32, sums[n] + row));
  }
}

// 64 rows of 16-bit sums are 64 / (8 * blocks) registers per row of x.
template <class Traits>
inline constexpr int kTileRows = kVectors16 <= 4 ? 2 : 1;

#endif

// kRows rows of x at a time over all panels, as many panels in one tile as its registers hold; the rest by halves.
template <class Traits, int kRows>
HWY_INLINE void OverRows(BlockArgs b, std::size_t panel_count, std::size_t rows) {
  constexpr int kPanels = HWY_MIN(kTilePanels, kTileRows<Traits> / kRows);
  const auto advance = static_cast<std::size_t>(kRows);
  for (; rows >= advance; rows -= advance) {
    BlockArgs at = b;
    const auto next = [&](std::size_t panels) {
      at.index += panels * b.panel_bytes;
      at.signs += panels * b.panel_bytes;
      at.params += panels * b.panel_bytes;
      at.tile += panels * b.tile_stride;
    };
    std::size_t panel = 0;
    for (; panel + kPanels <= panel_count; panel += kPanels) {
      MicroKernel<Traits, kPanels, kRows>(at);
      next(kPanels);
    }
    if constexpr (kPanels > 1) {
      for (; panel < panel_count; ++panel) {
        MicroKernel<Traits, 1, kRows>(at);
        next(1);
      }
    }
    b.tables += advance * b.row_bytes;
    b.scales += advance * b.scale_stride;
    b.tile += advance * kPanelRows;
  }
  if constexpr (kRows > 1) OverRows<Traits, kRows / 2>(b, panel_count, rows);
}

// The panels advance together, block by block: as many address streams.
template <Format kFormat, Precision kPrecision>
void Tile(const TileArgs& a) {
  using Traits = TileTraits<kFormat, kPrecision>;
  const Geometry& g = *a.geometry;
  std::memset(a.tile, 0, a.panel_count * a.rows * kPanelRows * sizeof(float));
  const std::uint8_t *params = a.panels, *index = a.panels, *tables = a.x.tables;
  for (std::size_t block = 0; block < g.blocks; ++block) {
    if (block % g.blocks_per_group == 0) {
      params = index;
      index += g.param_bytes;
    }
    const std::size_t chunks = g.chunks_in(block);
    const std::uint8_t* signs = index + IndexBytes(Traits::kInfo, chunks);
    OverRows<Traits, kTileRows<Traits>>(
        {index, signs, chunks, params, g.panel_bytes, g.zero_offset, a.scale_type, tables, a.x.row_bytes,
         a.x.scales + block, g.blocks, a.tile, a.rows * kPanelRows},
        a.panel_count, a.rows);
    index = signs + SignBytes(Traits::kInfo, chunks);
    tables += chunks * kTableBytes * Traits::kPasses;
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

template <Format kFormat, Precision kPrecision>
constexpr TileKernel TileRow() {
  return {kFormat, kPrecision, kTileRows<TileTraits<kFormat, kPrecision>>, &Tile<kFormat, kPrecision>};
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
