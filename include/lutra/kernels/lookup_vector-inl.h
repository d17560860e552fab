// The lookup micro-kernels in vector scope: 64 rows of W (a panel) times a few rows of x over one K-block.
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

#include "lutra/kernels/lookup-inl.h"

#if LUTRA_VECTOR_SCOPE
HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

inline constexpr int kQuarters = 4;  // a panel is four vectors of 16 rows

// How a kernel reads packed indices: two to a byte.
struct PackedIndices {
  static constexpr std::size_t kBytes = 64;  // the indices of 32 rows in a chunk and plane

  // Loads the indices of 32 rows: rows[0] of the first 16, rows[1] of the last 16. Where makes index bytes of them.
  static HWY_INLINE void Load(const KBlock& b, const std::uint8_t* from, V8 (&rows)[2]) {
    const hn::Repartition<std::uint16_t, D8> du16;
    b.Prefetch(from);
    rows[0] = hn::Load(D8(), from);
    rows[1] = hn::BitCast(D8(), hn::ShiftRight<4>(hn::BitCast(du16, rows[0])));
  }
  static HWY_INLINE V8 Where(V8 rows) {
    return hn::OrAnd(hn::BitCast(D8(), hn::Set(D32(), 0x30201000)), rows, hn::Set(D8(), 0x0f));
  }
  static HWY_INLINE void Prefetch(const KBlock& b, const std::uint8_t* signs) { b.Prefetch(signs); }
};
// How a kernel reads indices that are unpacked to index bytes; their places are otherwise the same.
struct UnpackedIndices {
  static constexpr std::size_t kBytes = 128;

  static HWY_INLINE void Load(const KBlock&, const std::uint8_t* from, V8 (&rows)[2]) {
    rows[0] = hn::Load(D8(), from);
    rows[1] = hn::Load(D8(), from + 64);
  }
  static HWY_INLINE V8 Where(V8 rows) { return rows; }
  static HWY_INLINE void Prefetch(const KBlock&, const std::uint8_t*) {}
};

// Adds 64 lookups per quarter, panel and row of x: one plane of a chunk (kHalfChunks = 2) or of a half chunk (1).
// `index` and `signs` point to the indices and signs of this plane and chunk. sums: [panel][quarter][row of x].
template <class Traits, class Indices, int kPanels, int kRows, int kHalfChunks>
LUTRA_INLINE void AddChunk(const std::uint8_t* index, const std::uint8_t* signs, const KBlock& b,
                           const std::uint8_t* tables, const V8 (&weight)[kRows],
                           V32 (&sums)[kPanels * kQuarters * kRows]) {
  const D8 d8;
  const DI8 di8;
  // In a half chunk, one vector of packed bytes has the indices of 64 rows. table[0] serves 32 rows: T0 and T1, then
  // two tables of zeros. table[1] serves the other 32 rows: its halves are exchanged.
  V8 table[2][kRows];
  LUTRA_UNROLL
  for (std::size_t n = 0; n < kRows; ++n) {
    table[0][n] = hn::Load(d8, tables + n * kTableBytes);
    table[1][n] = kHalfChunks == 2 ? table[0][n] : hn::ConcatLowerUpper(d8, table[0][n], table[0][n]);
  }
  V8 rows[2];
  LUTRA_UNROLL
  for (int half = 0; half < kPanels * 2; ++half) {  // half a panel: 32 rows
    if (kRows == 1 && half % 2 == 0 && half != 0) KeepOrder(sums[half * 2 - 1], index);
    const auto vector = static_cast<std::size_t>(half * kHalfChunks / 2);
    if (kHalfChunks == 2 || half % 2 == 0) Indices::Load(b, index + vector * Indices::kBytes, rows);
    LUTRA_UNROLL
    for (int high = 0; high < 2; ++high) {
      const auto indices = hn::IndicesFromVec(d8, Indices::Where(rows[high]));
      LUTRA_UNROLL
      for (int n = 0; n < kRows; ++n) {
        auto found = hn::BitCast(di8, hn::TableLookupLanes(table[half % 2][n], indices));
        if constexpr (Traits::kSigned) {
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

// The number of interleaved panels; a constant for encodings that do not interleave.
template <class Traits>
HWY_INLINE std::size_t InterleavedOf(const KBlock& b) {
  return Traits::kInterleaved == 1 ? 1 : b.interleaved;
}

// The signs of panel b.first in a scale run of `half_chunks` half chunks. They follow the indices of all panels.
template <class Traits, class Indices>
HWY_INLINE const std::uint8_t* SignsOf(const std::uint8_t* index, const KBlock& b, std::size_t half_chunks) {
  return index + InterleavedOf<Traits>(b) * Indices::kBytes * half_chunks * std::size_t{Traits::kPlanes} -
         b.first * (2 * Indices::kBytes - kRunSignBytes);
}
// The half chunk of panel b.first in a scale run of three half chunks. Its panels are half as far apart.
template <class Traits, class Indices>
HWY_INLINE const std::uint8_t* LastHalfOf(const std::uint8_t* index, const KBlock& b) {
  return index + InterleavedOf<Traits>(b) * 2 * Indices::kBytes - b.first * Indices::kBytes;
}
// The next scale run of panel b.first.
template <class Traits, class Indices>
HWY_INLINE const std::uint8_t* NextRunOf(const std::uint8_t* index, const KBlock& b, std::size_t half_chunks) {
  constexpr std::size_t kSigns = Traits::kSigned ? kRunSignBytes : 0;
  return index + InterleavedOf<Traits>(b) * (Indices::kBytes * half_chunks * std::size_t{Traits::kPlanes} + kSigns);
}

// Loads the ratios r of a scale run as weights of the adder.
template <int kRows>
HWY_INLINE void LoadRatios(const KBlock& b, std::size_t run, V8 (&weight)[kRows]) {
  LUTRA_UNROLL
  for (int n = 0; n < kRows; ++n) {
    weight[n] = hn::BitCast(D8(), hn::Set(D32(), static_cast<std::int32_t>(b.scales[n].quad[run])));
  }
}

// Adds the lookups of the kChunks whole chunks in a scale run of `half_chunks` half chunks.
template <class Traits, class Indices, int kPanels, int kRows, int kChunks>
LUTRA_INLINE void AddRun(const std::uint8_t* index, const KBlock& b, const std::uint8_t* tables, std::size_t run,
                         std::size_t half_chunks, V32 (&sums)[kPanels * kQuarters * kRows]) {
  const std::uint8_t* signs = SignsOf<Traits, Indices>(index, b, half_chunks);
  V8 weight[kRows];  // r * 2^plane
  LoadRatios(b, run, weight);
  LUTRA_UNROLL
  for (int plane = 0; plane < Traits::kPlanes; ++plane) {
    LUTRA_UNROLL
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      AddChunk<Traits, Indices, kPanels, kRows, 2>(index, signs + chunk * static_cast<int>(kSignBytes), b,
                                                   tables + static_cast<std::size_t>(chunk) * b.x_stride, weight, sums);
      index += InterleavedOf<Traits>(b) * 2 * Indices::kBytes;
      KeepOrder(sums[kPanels * kQuarters * kRows - 1], tables);
    }
    LUTRA_UNROLL
    for (int n = 0; plane + 1 < Traits::kPlanes && n < kRows; ++n) weight[n] = hn::Add(weight[n], weight[n]);
  }
  LUTRA_UNROLL
  for (int panel = 0; Traits::kSigned && panel < kPanels; ++panel) {
    Indices::Prefetch(b, signs + static_cast<std::size_t>(panel) * kRunSignBytes);
  }
}

// Adds the lookups of the half chunk in a scale run of three half chunks.
template <class Traits, class Indices, int kPanels, int kRows>
LUTRA_INLINE void AddHalf(const std::uint8_t* index, const KBlock& b, const std::uint8_t* tables, std::size_t run,
                          V32 (&sums)[kPanels * kQuarters * kRows]) {
  V8 weight[kRows];
  LoadRatios(b, run, weight);
  AddChunk<Traits, Indices, kPanels, kRows, 1>(LastHalfOf<Traits, Indices>(index, b),
                                               SignsOf<Traits, Indices>(index, b, 3) + kSignBytes, b, tables, weight,
                                               sums);
}

// The micro-kernel on packed or unpacked indices. Of 32 registers it takes 29: 16 sums, 4 tables, 4 weights, 2
// constants, 2 indices and 1 lookup.
template <Encoding kEncoding, Precision kPrecision, class Indices>
struct IndexKernel {
  using Traits = LookupTraits<kEncoding>;
  using Sums = LookupSums<kEncoding, kPrecision>;
  static constexpr int kMaxRows = 4, kTile = 4;  // panels * rows <= kTile
  static constexpr int kMaxPanels = Traits::kInterleaved == 1 ? 1 : 4;
  static constexpr std::size_t kPanelBytes = 2 * Indices::kBytes;

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    V32 sums[kPanels * kQuarters * kRows];
    StartSums<Sums, kRows>(b, sums);
    const std::uint8_t* tables = b.x;
    for (int limb = 0; limb < Sums::kLimbs; ++limb) {
      if (limb != 0) NextLimb<Sums, kRows>(b, sums);
      const std::uint8_t* index = b.index;
      const std::size_t runs = b.half_chunks / kHalfChunksPerRun, last = b.half_chunks % kHalfChunksPerRun;
      LUTRA_KEEP_LOOP
      for (std::size_t run = 0; run < runs; ++run) {
        AddRun<Traits, Indices, kPanels, kRows, kChunksPerRun>(index, b, tables, run, kHalfChunksPerRun, sums);
        index = NextRunOf<Traits, Indices>(index, b, kHalfChunksPerRun);
        tables += kChunksPerRun * b.x_stride;
      }
      if (last == 0) continue;
      AddRun<Traits, Indices, kPanels, kRows, 1>(index, b, tables, runs, last, sums);
      tables += b.x_stride;
      if constexpr (Traits::kSigned) {
        if (last == 2) continue;
        AddHalf<Traits, Indices, kPanels, kRows>(index, b, tables, runs, sums);
        tables += b.x_stride;
      }
    }
    FlushPanels<Sums, kPanels, kQuarters, kRows>(b, sums, [](int quarter) { return quarter * 16; });
  }
};
template <Encoding kEncoding, Precision kPrecision>
using LookupKernel = IndexKernel<kEncoding, kPrecision, PackedIndices>;

// On indices that IndexUnpacker unpacked; b.index points to them.
template <Encoding kEncoding, Precision kPrecision>
using UnpackedLookupKernel = IndexKernel<kEncoding, kPrecision, UnpackedIndices>;

// Unpacks indices for UnpackedLookupKernel.
template <Encoding kEncoding>
struct IndexUnpacker {
  using Traits = LookupTraits<kEncoding>;

  // Bytes of an unpacked K-block of a panel.
  static constexpr std::size_t Bytes(std::size_t half_chunks, std::size_t) {
    const std::size_t signs = Traits::kSigned ? DivideUp(half_chunks, kHalfChunksPerRun) * kRunSignBytes : 0;
    return half_chunks * std::size_t{Traits::kPlanes} * UnpackedIndices::kBytes + signs;
  }

  // Unpacks a K-block of `panels` panels, from panel args.first on; the unpacked panels are interleaved, too.
  static void Unpack(const MicroArgs& args, std::size_t panels, std::uint8_t* to) {
    const KBlock b(args);
    const std::uint8_t* index = b.index;
    for (std::size_t left = b.half_chunks, half_chunks; left != 0; left -= half_chunks) {
      half_chunks = HWY_MIN(kHalfChunksPerRun, left);
      const std::uint8_t* plane = index;
      for (std::size_t i = half_chunks / 2 * std::size_t{Traits::kPlanes}; i != 0; --i) {
        UnpackLines(b, plane, 2 * panels, to);
        plane += InterleavedOf<Traits>(b) * kPlaneBytes;
      }
      if constexpr (Traits::kSigned) {
        if (half_chunks % 2 != 0) UnpackLines(b, LastHalfOf<Traits, PackedIndices>(index, b), panels, to);
        const std::uint8_t* signs = SignsOf<Traits, PackedIndices>(index, b, half_chunks);
        for (std::size_t i = 0; i < panels; ++i, signs += kRunSignBytes, to += kRunSignBytes) {
          b.Prefetch(signs);
          hn::Store(hn::Load(D8(), signs), D8(), to);
        }
      }
      index = NextRunOf<Traits, PackedIndices>(index, b, half_chunks);
    }
  }

 private:
  static HWY_INLINE void UnpackLines(const KBlock& b, const std::uint8_t* from, std::size_t lines, std::uint8_t*& to) {
    for (; lines != 0; --lines, from += PackedIndices::kBytes, to += UnpackedIndices::kBytes) {
      V8 rows[2];
      PackedIndices::Load(b, from, rows);
      hn::Store(PackedIndices::Where(rows[0]), D8(), to);
      hn::Store(PackedIndices::Where(rows[1]), D8(), to + 64);
    }
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();
#endif  // vector scope

#endif  // per-target include guard
