// The micro-kernels of lookup codes in vector scope: 64 rows of W (a panel) times a few rows of x over one block of K.
//
// Four tables T0..T3 of 16 entries fill a 64-byte vector. An index byte is 16 * (which table) + index.
//
//     lookup   |   row 0     |   row 1     |  ...  |   row 15    |       vpermb; 64 lookups
//              | T0 T1 T2 T3 | T0 T1 T2 T3 |       | T0 T1 T2 T3 |
//     adder    |  sum * 2^p  |  sum * 2^p  |       |  sum * 2^p  |       vpdpbusd with r * 2^p: the dot is the adder
#if defined(LUTRA_KERNELS_LOOKUP_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_LOOKUP_VECTOR_INL_H_
#undef LUTRA_KERNELS_LOOKUP_VECTOR_INL_H_
#else
#define LUTRA_KERNELS_LOOKUP_VECTOR_INL_H_
#endif

#include "lutra/kernels/flush-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

#if LUTRA_VECTOR_SCOPE

inline constexpr std::size_t kTableBytes = TableBytes(Describe(Format::kInt1));

inline constexpr int kQuarters = 4;  // vectors of 16 rows in a panel

// One plane of one chunk, or of the half of one: adds 64 lookups per quarter, panel and row of x. `index` and `signs`
// are those of the plane. sums: [panel][quarter][row of x].
template <class Traits, int kPanels, int kRows, int kHalves>
LUTRA_INLINE void AddChunk(const std::uint8_t* index, const std::uint8_t* signs, const BlockArgs& b,
                           const std::uint8_t* tables, const V8 (&weight)[kRows],
                           V32 (&sums)[kPanels * kQuarters * kRows]) {
  const D8 d8;
  const DI8 di8;
  const hn::Repartition<std::uint16_t, D8> du16;
  const V8 which = hn::BitCast(d8, hn::Set(D32(), 0x30201000));
  const V8 nibble = hn::Set(d8, 0x0f);
  // Of half a chunk, one vector of packed bytes serves 64 rows: 32 rows with the tables in their places, T2 and T3
  // being those of zeros, and 32 with their halves exchanged.
  V8 table[2][kRows];
  LUTRA_UNROLL
  for (int n = 0; n < kRows; ++n) {
    table[0][n] = hn::Load(d8, tables + n * kTableBytes);
    table[1][n] = kHalves == 2 ? table[0][n] : hn::ConcatLowerUpper(d8, table[0][n], table[0][n]);
  }
  constexpr std::size_t kPanelBytes = kPlaneBytes / 2 * kHalves, kStep = kPanelBytes - 64;
  LUTRA_UNROLL
  for (int half = 0; half < kPanels * 2; ++half) {  // 32 rows: the low nibbles are the first 16
    const std::size_t panel_offset = static_cast<std::size_t>(half / 2) * kPanelBytes;
    if (kRows == 1 && half % 2 == 0 && half != 0) KeepOrder(sums[half * 2 - 1], index);
    const std::uint8_t* from = index + panel_offset + half % 2 * kStep;
    if (kHalves == 2 || half % 2 == 0) b.Prefetch(from);
    const V8 packed = hn::Load(d8, from);
    const V8 nibbles[2] = {packed, hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(du16, packed)))};
    LUTRA_UNROLL
    for (int high = 0; high < 2; ++high) {
      const auto where = hn::IndicesFromVec(d8, hn::OrAnd(which, nibbles[high], nibble));
      LUTRA_UNROLL
      for (int n = 0; n < kRows; ++n) {
        auto found = hn::BitCast(di8, hn::TableLookupLanes(table[half % 2][n], where));
        if constexpr (Traits::kInfo.mirrored()) {
          const std::uint8_t* negative =
              signs + static_cast<std::size_t>(half / 2) * kRunSignBytes + half % 2 * 16 + high * 8;
          found = hn::MaskedSubOr(found, hn::LoadMaskBits(di8, negative), hn::Zero(di8), found);
        }
        V32& sum = sums[(half * 2 + high) * kRows + n];
        sum = hn::SumOfMulQuadAccumulate(D32(), weight[n], found, sum);
        StayInRegister(sum);
      }
    }
  }
}

// The panels of the set, which are known to the compiler where sets are of one.
template <class Traits>
HWY_INLINE std::size_t SetOf(const BlockArgs& b) {
  return SetPanels(kLayout, Traits::kInfo) == 1 ? 1 : b.set_panels;
}

// Where the signs of a run of `halves` half chunks are, those of panel b.first: behind the indices of all panels.
template <class Traits>
HWY_INLINE const std::uint8_t* SignsOf(const std::uint8_t* index, const BlockArgs& b, std::size_t halves) {
  return index + SetOf<Traits>(b) * RunIndexBytes(Traits::kInfo, halves) - b.first * (kPlaneBytes - kRunSignBytes);
}

// The ratios r of a run, as weights of the adder.
template <int kRows>
HWY_INLINE void LoadRatios(const BlockArgs& b, std::size_t run, V8 (&weight)[kRows]) {
  LUTRA_UNROLL
  for (int n = 0; n < kRows; ++n) {
    weight[n] = hn::BitCast(D8(), hn::Set(D32(), static_cast<std::int32_t>(b.scales[n].quad[run])));
  }
}

// The whole chunks of a run of `halves` half chunks, whose tables share ratios.
template <class Traits, int kPanels, int kRows, int kChunks>
LUTRA_INLINE void AddRun(const std::uint8_t* index, const BlockArgs& b, const std::uint8_t* tables, std::size_t run,
                         std::size_t halves, V32 (&sums)[kPanels * kQuarters * kRows]) {
  const std::uint8_t* signs = SignsOf<Traits>(index, b, halves);
  V8 weight[kRows];  // r * 2^plane
  LoadRatios(b, run, weight);
  LUTRA_UNROLL
  for (int plane = 0; plane < Traits::kPlanes; ++plane) {
    LUTRA_UNROLL
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      AddChunk<Traits, kPanels, kRows, 2>(index, signs + chunk * static_cast<int>(kSignBytes), b,
                                          tables + static_cast<std::size_t>(chunk) * b.table_stride, weight, sums);
      index += SetOf<Traits>(b) * kPlaneBytes;
      KeepOrder(sums[kPanels * kQuarters * kRows - 1], tables);
    }
    LUTRA_UNROLL
    for (int n = 0; plane + 1 < Traits::kPlanes && n < kRows; ++n) weight[n] = hn::Add(weight[n], weight[n]);
  }
  LUTRA_UNROLL
  for (int panel = 0; Traits::kInfo.mirrored() && panel < kPanels; ++panel) {
    b.Prefetch(signs + static_cast<std::size_t>(panel) * kRunSignBytes);
  }
}

// The half chunk after the whole one of a run that has three halves. Its panels are half as far apart.
template <class Traits, int kPanels, int kRows>
LUTRA_INLINE void AddHalf(const std::uint8_t* index, const BlockArgs& b, const std::uint8_t* tables, std::size_t run,
                          V32 (&sums)[kPanels * kQuarters * kRows]) {
  V8 weight[kRows];
  LoadRatios(b, run, weight);
  AddChunk<Traits, kPanels, kRows, 1>(index + SetOf<Traits>(b) * kPlaneBytes - b.first * (kPlaneBytes / 2),
                                      SignsOf<Traits>(index, b, 3) + kSignBytes, b, tables, weight, sums);
}

// 16 sums + 4 tables + 4 weights + 2 constants + 1 index + 1 lookup of 32 registers.
template <class Traits>
struct LookupKernel {
  static constexpr int kMaxRows = 4, kMaxPanels = 4, kTile = 4;  // panels * rows <= kTile

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const BlockArgs& b) {
    V32 sums[kPanels * kQuarters * kRows];
    StartSums<Traits, kRows>(b, sums);
    const std::uint8_t* tables = b.tables;
    for (int pass = 0; pass < Traits::kPasses; ++pass) {
      if (pass != 0) NextDigit<Traits, kRows>(b, sums);
      const std::uint8_t* index = b.index;
      const std::size_t runs = b.halves / kHalvesPerRun, last = b.halves % kHalvesPerRun;
      LUTRA_KEEP_LOOP
      for (std::size_t run = 0; run < runs; ++run) {
        AddRun<Traits, kPanels, kRows, kChunksPerRun>(index, b, tables, run, kHalvesPerRun, sums);
        index += SetOf<Traits>(b) * RunBytes(Traits::kInfo, kHalvesPerRun);
        tables += kChunksPerRun * b.table_stride;
      }
      if (last == 0) continue;
      AddRun<Traits, kPanels, kRows, 1>(index, b, tables, runs, last, sums);
      tables += b.table_stride;
      if constexpr (Traits::kInfo.mirrored()) {
        if (last == 2) continue;
        AddHalf<Traits, kPanels, kRows>(index, b, tables, runs, sums);
        tables += b.table_stride;
      }
    }
    FlushPanels<Traits, kPanels, kQuarters, kRows>(b, sums, [](int quarter) { return quarter * 16; });
  }
};

#endif  // vector scope

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
