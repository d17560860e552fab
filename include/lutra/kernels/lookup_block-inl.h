// The micro-kernels of lookup codes in block scope: 64 rows of W (a panel) times a few rows of x over one block of K.
//
// A table of 16 entries is repeated in each 16-byte block; all bytes of a vector belong to one index.
//
//     pair     | r0p0 r0p1 | r1p0 r1p1 | ...          two planes of a row: the pair product with (1, 2) adds them
//     lone     | r0   r8   | r1   r9   | ...          one plane: 16-bit sums of all bytes, and of the odd bytes apart
//
// Tables are biased to unsigned bytes (+128); sums start at minus the bias, so 16 bits suffice for a run:
//     pair     8 indices * 128 * (1 + 2) = 3072 < 2^15
//     lone     odd bytes  8 * 255 < 2^15;  all bytes modulo 2^16, from which the odd ones are taken away again
#if defined(LUTRA_KERNELS_LOOKUP_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_LOOKUP_BLOCK_INL_H_
#undef LUTRA_KERNELS_LOOKUP_BLOCK_INL_H_
#else
#define LUTRA_KERNELS_LOOKUP_BLOCK_INL_H_
#endif

#include "lutra/kernels/flush-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

#if !LUTRA_VECTOR_SCOPE

inline constexpr std::size_t kTableBytes = TableBytes(Describe(Format::kInt1));

inline constexpr std::size_t kVectorBytes = 16 * kLayout.blocks;
inline constexpr std::size_t kLanes16 = 8 * kLayout.blocks;  // rows in a vector of 16-bit sums
inline constexpr std::size_t kVectors16 = kPanelRows / kLanes16;

// The 16-bit sums of one run and one row of x.
struct RunSums {
  HWY_ALIGN std::int16_t rows[kPanelRows];
};

// Two planes; `chunks` <= kChunksPerRun.
template <class Traits, int kRows>
HWY_INLINE void SumPairs(const BlockArgs& b, const std::uint8_t* index, const std::uint8_t* tables, std::size_t chunks,
                         RunSums* out) {
  const D8 d8;
  const D16 d16;
  const V16 start = hn::Set(d16, static_cast<std::int16_t>(-128 * 3 * static_cast<int>(kIndicesPerChunk * chunks)));
  V16 sums[kVectors16][kRows];
  for (auto& vector : sums) {
    for (auto& sum : vector) sum = start;
  }
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    for (std::size_t i = 0; i < kIndicesPerChunk; ++i) {
      const std::uint8_t* at = index + (chunk * kIndicesPerChunk + i) * 64;
      for (std::size_t v = 0; v < kVectors16; v += 2) {
        const V8 packed = hn::Load(d8, at + v / 2 * kVectorBytes);
        const V8 low = LowNibbles(packed), high = HighNibbles(packed);
        for (int n = 0; n < kRows; ++n) {
          const std::uint8_t* table =
              tables + static_cast<std::size_t>(n) * kTableBytes + chunk * b.table_stride + i * 16;
          sums[v][n] = AddPairLookups(sums[v][n], table, low);
          sums[v + 1][n] = AddPairLookups(sums[v + 1][n], table, high);
        }
      }
    }
  }
  for (std::size_t v = 0; v < kVectors16; ++v) {
    for (int n = 0; n < kRows; ++n) hn::Store(sums[v][n], d16, out[n].rows + v * kLanes16);
  }
}

// One plane.
template <class Traits, int kRows>
HWY_INLINE void SumLone(const BlockArgs& b, const std::uint8_t* index, const std::uint8_t* tables, std::size_t chunks,
                        RunSums* out) {
  constexpr std::size_t kVectors8 = kVectors16 / 2;
  const D8 d8;
  const D16 d16;
  const V16 start = hn::Set(d16, static_cast<std::int16_t>(-128 * static_cast<int>(kIndicesPerChunk * chunks)));
  V16 all[kVectors8][kRows], odd[kVectors8][kRows];  // all: even + 256 * odd, modulo 2^16
  for (std::size_t v = 0; v < kVectors8; ++v) {
    for (int n = 0; n < kRows; ++n) all[v][n] = odd[v][n] = start;
  }
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    for (std::size_t v = 0; v < kVectors8; ++v) {
      V8 sign = hn::Zero(d8);  // of index i in bit 3 - i + 4
      if constexpr (Traits::kInfo.mirrored()) {
        sign = hn::Load(d8, index + chunks * kPlaneBytes + v * kVectorBytes);
        if (chunk == 0) sign = hn::ShiftLeft<4>(sign);
      }
      for (std::size_t i = 0; i < kIndicesPerChunk; ++i) {
        const V8 packed = hn::Load(d8, index + chunk * kPlaneBytes + i / 2 * 64 + v * kVectorBytes);
        const V8 nibbles = i % 2 == 0 ? LowNibbles(packed) : HighNibbles(packed);
        V8 negative = sign;  // index 3 has the top bit; index i is 3 - i below it
        if constexpr (Traits::kInfo.mirrored()) {
          for (std::size_t up = i; up + 1 < kIndicesPerChunk; ++up) negative = hn::Add(negative, negative);
        }
        for (int n = 0; n < kRows; ++n) {
          const std::uint8_t* table =
              tables + static_cast<std::size_t>(n) * kTableBytes + chunk * b.table_stride + i * 16;
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

template <class Traits>
struct LookupKernel {
  // 64 rows of 16-bit sums are 64 / (8 * blocks) registers per row of x.
  static constexpr int kMaxRows = kVectors16 <= 4 ? 2 : 1, kMaxPanels = 1, kTile = kMaxRows;

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const BlockArgs& b) {
    static_assert(kPanels == 1);
    const D16 d16;
    const D32 d32;
    HWY_ALIGN std::int32_t sums[kRows][kPanelRows];
    RunSums run[2][kRows];
    for (int n = 0; n < kRows; ++n) {
      const std::int32_t start = Traits::kPasses == 1 ? Start<Traits>(b, n) : 0;
      for (auto& sum : sums[n]) sum = start;
    }
    for (int pass = 0; pass < Traits::kPasses; ++pass) {
      for (int n = 0; pass != 0 && n < kRows; ++n) {
        for (auto& sum : sums[n]) sum = sum * 128 + Start<Traits>(b, n);
      }
      const std::uint8_t* index = b.index;
      const std::uint8_t* tables = b.tables + static_cast<std::size_t>(pass) * b.chunks * b.table_stride;
      for (std::size_t first = 0; first < b.chunks; first += 2 * kChunksPerRun) {
        for (std::size_t r = 0; r < 2; ++r) {
          const std::size_t begin = HWY_MIN(first + r * kChunksPerRun, b.chunks);
          const std::size_t chunks = HWY_MIN(kChunksPerRun, b.chunks - begin);
          if constexpr (Traits::kPlanes == 2) {
            SumPairs<Traits, kRows>(b, index, tables, chunks, run[r]);
          } else {
            SumLone<Traits, kRows>(b, index, tables, chunks, run[r]);
          }
          index += RunIndexBytes(Traits::kInfo, chunks) + (Traits::kInfo.mirrored() ? kRunSignBytes : 0);
          tables += chunks * b.table_stride;
        }
        // sums += ratio0 * run[0] + ratio1 * run[1]
        for (int n = 0; n < kRows; ++n) {
          const V16 ratio =
              hn::BitCast(d16, hn::Set(d32, static_cast<std::int32_t>(b.scales[n].pair[first / kChunksPerRun / 2])));
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
      }
    }
    constexpr int kVectors32 = static_cast<int>(2 * kVectors16), kLanes32 = static_cast<int>(kLanes16 / 2);
    for (int v = 0; v < kVectors32; ++v) {
      V32 of_rows[kRows];
      for (int n = 0; n < kRows; ++n) of_rows[n] = hn::Load(d32, sums[n] + v * kLanes32);
      FlushPanels<Traits, 1, 1, kRows>(b, of_rows, [v](int) { return v * kLanes32; });
    }
  }
};

#endif  // block scope

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
