// The micro-kernels of integers: 64 rows of W (a panel) times a few rows of x over one block of K.
//
//     codes    |   row 0     |   row 1     |  ...  |   row 15    |       four of each row, unpacked to bytes
//              | k  k+1 k+2 k+3 | ...
//     x        | k  k+1 k+2 k+3 | k ...                                  the same four everywhere
//     dot      |  sum        |  sum        |       |  sum        |       vpdpbusd
//
// Where weights serve few rows of x, codes are unpacked in registers; else once for all rows, to memory (L1).
#if defined(LUTRA_KERNELS_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_DOT_INL_H_
#undef LUTRA_KERNELS_DOT_INL_H_
#else
#define LUTRA_KERNELS_DOT_INL_H_
#endif

#include <cstring>
#include <type_traits>

#include "lutra/kernels/flush-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

inline constexpr int kQuads = 4;                                      // of codes in a chunk
inline constexpr int kStrips = static_cast<int>(4 / kLayout.blocks);  // vectors in a line of 64 bytes
inline constexpr std::size_t kStripBytes = 16 * kLayout.blocks, kStripRows = kStripBytes / 4;
inline constexpr std::size_t kQuadBytes = 4 * kPanelRows, kChunkCodes = kQuads * kQuadBytes;

// Four integers of a row of x, for all lanes.
HWY_INLINE hn::Vec<DI8> LoadQuad(const std::uint8_t* from) {
  std::int32_t quad;
  std::memcpy(&quad, from, sizeof(quad));
  return hn::BitCast(DI8(), hn::Set(D32(), quad));
}

// One field of the codes, from the lines of its planes. kPlane: the next plane of the format.
template <class Traits, int kHigh, int kPlane>
HWY_INLINE void UnpackFields(const std::uint8_t* from, V8 (&codes)[kQuads]) {
  if constexpr (kPlane < Traits::kPlanes) {
    constexpr CodeField kField = CodeFieldOf(Traits::kInfo, kPlane);
    const D8 d8;
    const hn::Repartition<std::uint16_t, D8> d16;
    const auto packed = hn::BitCast(d16, hn::Load(d8, from + kPlane * 64));
    const V8 mask = hn::Set(d8, static_cast<std::uint8_t>(((1 << kField.bits) - 1) << kField.shift));
    const auto quad = [&](auto t) HWY_ATTR {
      constexpr int kDown = decltype(t)::value * kField.bits + kHigh * 4 - kField.shift;
      V8& code = codes[kField.first_quad + decltype(t)::value];
      V8 bits;
      if constexpr (kDown >= 0) bits = hn::BitCast(d8, hn::ShiftRight<(kDown > 0 ? kDown : 0)>(packed));
      if constexpr (kDown < 0) bits = hn::BitCast(d8, hn::ShiftLeft<(kDown < 0 ? -kDown : 0)>(packed));
      code = kField.shift == 0 ? hn::And(bits, mask) : hn::OrAnd(code, bits, mask);
    };
    quad(std::integral_constant<int, 0>());
    if constexpr (kField.bits < 4) quad(std::integral_constant<int, 1>());
    if constexpr (kField.bits < 2) quad(std::integral_constant<int, 2>());
    if constexpr (kField.bits < 2) quad(std::integral_constant<int, 3>());
    UnpackFields<Traits, kHigh, kPlane + 1>(from, codes);
  }
}

// Codes in registers, straight from packed bytes.
template <class Traits>
struct PackedDotKernel {
  static constexpr bool kWide = kStrips == 1;
  static constexpr int kMaxRows = kWide ? 4 : 1, kMaxPanels = kWide ? 4 : 1, kTile = kMaxRows;
  static constexpr int kVectors = 4 * kStrips;  // of rows in a panel

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const BlockArgs& b) {
    V32 sums[kPanels * kVectors * kRows];
    StartSums<Traits, kRows>(b, sums);
    const std::uint8_t* x = b.tables;
    for (int pass = 0; pass < Traits::kPasses; ++pass) {
      if (pass != 0) NextDigit<Traits, kRows>(b, sums);
      const std::uint8_t* index = b.index;
      LUTRA_KEEP_LOOP
      for (std::size_t chunk = 0; chunk < b.chunks; ++chunk, x += b.table_stride) {
        LUTRA_UNROLL
        for (int half = 0; half < kPanels * 2; ++half) {
          const std::uint8_t* from = index + static_cast<std::size_t>(half / 2) * b.panel_bytes + half % 2 * Traits::kPlanes * 64;
          LUTRA_UNROLL
          for (int plane = 0; plane < Traits::kPlanes; ++plane) PrefetchAhead(from + plane * 64);
          LUTRA_UNROLL
          for (int strip = 0; strip < kStrips; ++strip, from += kStripBytes) {
            V32* at = &sums[(half * kStrips + strip) * 2 * kRows];
            AddStrip<0, kRows>(from, x, at);
            AddStrip<1, kRows>(from, x, at + kRows);
          }
        }
        index += Traits::kPlanes * kPlaneBytes;
      }
    }
    LUTRA_UNROLL
    for (int i = 0; i < kPanels * kVectors; ++i) {
      const int half = i / (2 * kStrips) % 2, strip = i / 2 % kStrips, high = i % 2;
      FlushVector<Traits, kRows>(b, static_cast<std::size_t>(i / kVectors), static_cast<std::size_t>(half * 32 + high * 16) + static_cast<std::size_t>(strip) * kStripRows, &sums[i * kRows]);
    }
  }

 private:
  template <int kHigh, int kRows>
  static HWY_INLINE void AddStrip(const std::uint8_t* from, const std::uint8_t* x, V32* sums) {
    const D32 d32;
    V8 codes[kQuads];
    UnpackFields<Traits, kHigh, 0>(from, codes);
    LUTRA_UNROLL
    for (int q = 0; q < kQuads; ++q) {
      LUTRA_UNROLL
      for (int n = 0; n < kRows; ++n) {
        sums[n] = hn::SumOfMulQuadAccumulate(d32, codes[q], LoadQuad(x + n * 16 + q * 4), sums[n]);
        StayInRegister(sums[n]);
      }
    }
  }
};

// A block of a panel's codes to bytes, [chunk][quad][row][4].
template <class Traits>
HWY_INLINE void UnpackBlock(const std::uint8_t* index, std::size_t chunks, std::uint8_t* to) {
  for (std::size_t i = 0; i < chunks * 2; ++i, index += Traits::kPlanes * 64) {
    std::uint8_t* half = to + i / 2 * kChunkCodes + i % 2 * (kQuadBytes / 2);
    for (int plane = 0; plane < Traits::kPlanes; ++plane) PrefetchAhead(index + plane * 64);
    LUTRA_UNROLL
    for (std::size_t at = 0; at < 64; at += kStripBytes) {
      V8 low[kQuads], high[kQuads];
      UnpackFields<Traits, 0, 0>(index + at, low);
      UnpackFields<Traits, 1, 0>(index + at, high);
      LUTRA_UNROLL
      for (std::size_t q = 0; q < kQuads; ++q) {
        hn::Store(low[q], D8(), half + q * kQuadBytes + at);
        hn::Store(high[q], D8(), half + q * kQuadBytes + at + 64);
      }
    }
  }
}

// Codes unpacked by UnpackBlock: b.index points to them.
template <class Traits>
struct UnpackedDotKernel {
  static constexpr int kVectors = 4;  // of rows at a time
  static constexpr int kMaxRows = kLayout.blocks == 2 ? 2 : 4, kMaxPanels = 1, kTile = kMaxRows;

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const BlockArgs& b) {
    static_assert(kPanels == 1);
    const D32 d32;
    for (std::size_t strip = 0; strip < 4 * kStrips; strip += kVectors) {
      V32 sums[kVectors * kRows];
      StartSums<Traits, kRows>(b, sums);
      const std::uint8_t* x = b.tables;
      for (int pass = 0; pass < Traits::kPasses; ++pass) {
        if (pass != 0) NextDigit<Traits, kRows>(b, sums);
        const std::uint8_t* codes = b.index + strip * kStripBytes;
        LUTRA_KEEP_LOOP
        for (std::size_t chunk = 0; chunk < b.chunks; ++chunk, x += b.table_stride) {
          LUTRA_UNROLL
          for (int q = 0; q < kQuads; ++q, codes += kQuadBytes) {
            V8 code[kVectors];
            LUTRA_UNROLL
            for (int v = 0; v < kVectors; ++v) code[v] = hn::Load(D8(), codes + v * kStripBytes);
            LUTRA_UNROLL
            for (int n = 0; n < kRows; ++n) {
              const auto quad = LoadQuad(x + n * 16 + q * 4);
              LUTRA_UNROLL
              for (int v = 0; v < kVectors; ++v) {
                V32& sum = sums[v * kRows + n];
                sum = hn::SumOfMulQuadAccumulate(d32, code[v], quad, sum);
                StayInRegister(sum);
              }
            }
          }
        }
      }
      LUTRA_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        FlushVector<Traits, kRows>(b, 0, (strip + static_cast<std::size_t>(v)) * kStripRows, &sums[v * kRows]);
      }
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
