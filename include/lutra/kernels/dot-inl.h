// The micro-kernels of integers: 64 rows of W (a panel) times a few rows of x over one block of K.
//
//     codes    |   row 0     |   row 1     |  ...  |   row 15    |       four of each row, unpacked to bytes
//              | k  k+1 k+2 k+3 | ...
//     x        | k  k+1 k+2 k+3 | k ...                                  the same four everywhere
//     dot      |  sum        |  sum        |       |  sum        |       vpdpbusd
//
// Where products are summed in 16 bits first, those of a run of chunks are added before they are widened.
//
// Where weights serve few rows of x, codes are unpacked in registers; else once for all rows, to memory (L1).
#if defined(LUTRA_KERNELS_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_DOT_INL_H_
#undef LUTRA_KERNELS_DOT_INL_H_
#else
#define LUTRA_KERNELS_DOT_INL_H_
#endif

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

// Quad kQuad of the rows in a strip of the lines of the planes, those of the low and those of the high nibbles.
template <class Traits, int kQuad>
LUTRA_INLINE void UnpackLines(const std::uint8_t* lines, V8& low, V8& high) {
  constexpr int kPlanes = Traits::kPlanes;
  static_assert(kPlanes == 3 || kPlanes == 4);
  const D8 d8;
  const auto load = [&](int plane, auto down) HWY_ATTR {
    const auto pairs = hn::BitCast(hn::Repartition<std::uint16_t, D8>(), hn::Load(d8, lines + plane * 64));
    return hn::BitCast(d8, hn::ShiftRight<decltype(down)::value>(pairs));  // there are no shifts of bytes on x86
  };
  if constexpr (kQuad < kPlanes) {
    const V8 mask = hn::Set(d8, (1 << kPlanes) - 1);
    low = hn::And(hn::Load(d8, lines + kQuad * 64), mask);
    high = hn::And(load(kQuad, std::integral_constant<int, 4>()), mask);
  } else {  // the bits above the others, of both nibbles at once
    V8 both = hn::And(load(0, std::integral_constant<int, kPlanes>()), hn::Set(d8, 0x11));
    both = hn::OrAnd(both, load(1, std::integral_constant<int, kPlanes - 1>()), hn::Set(d8, 0x22));
    both = hn::OrAnd(both, load(2, std::integral_constant<int, kPlanes - 2>()), hn::Set(d8, 0x44));
    low = LowNibbles(both);
    high = HighNibbles(both);
  }
}

// A quad of the rows of one strip: the low and high nibbles of both halves of a panel's lines.
template <class Traits, int kQuad>
LUTRA_INLINE void UnpackStrip(const std::uint8_t* lines, V8 (&codes)[4]) {
  UnpackLines<Traits, kQuad>(lines, codes[0], codes[1]);
  UnpackLines<Traits, kQuad>(lines + Traits::kPlanes * 64, codes[2], codes[3]);
}

// As many chunks as 16 bits take: |x| <= 128, so that a chunk of int4 takes kQuads * kProducts * 15 * 128 of 2^15.
template <class Traits>
constexpr std::size_t RunChunks() {
  constexpr std::size_t kEach = std::size_t{kQuads} * Traits::Dot::kProducts * (Traits::kInfo.levels - 1) * 128;
  static_assert(kEach <= 32767 && 2 * (Traits::kInfo.levels - 1) * 128 <= 32767);  // and no pair of products saturates
  return kEach == 0 ? kMaxIntegerChunks : 32767 / HWY_MAX(kEach, std::size_t{1});
}

// Adds the products of quad kQuad of a chunk with kRows rows of x to the sums of kVectors vectors of rows of W from
// vector kFirst on.
template <class Dot, int kQuad, int kFirst, int kRows, std::size_t kVectors, std::size_t kSums>
LUTRA_INLINE void AddQuad(const V8 (&codes)[kVectors], const std::uint8_t* x, typename Dot::Sum (&sums)[kSums]) {
  VI8 quad[kRows];
  LUTRA_UNROLL
  for (int n = 0; n < kRows; ++n) quad[n] = Dot::template Load<kQuad>(x + n * 16);
  LUTRA_UNROLL
  for (int i = 0; i < static_cast<int>(kVectors) * kRows; ++i) {
    Dot::template Add<kQuad>(sums[kFirst * kRows + i], codes[i / kRows], quad[i % kRows]);
  }
}

template <class Dot, std::size_t kSums>
LUTRA_INLINE void StartRun(typename Dot::Sum (&run)[kSums]) {
  LUTRA_UNROLL
  for (auto& sum : run) sum = Dot::Zero();
}
template <class Dot, std::size_t kSums>
LUTRA_INLINE void AddRun(const typename Dot::Sum (&run)[kSums], V32* sums) {
  LUTRA_UNROLL
  for (std::size_t i = 0; i < kSums; ++i) sums[i] = Dot::Widen(sums[i], run[i]);
}

// Codes in registers, straight from packed bytes.
template <class Traits>
struct PackedDotKernel {
  using Dot = typename Traits::Dot;
  static constexpr bool kWide = Dot::kProducts == 0 && kStrips * Dot::kMaxRows <= 4;  // at most 16 sums of a panel
  static constexpr int kMaxRows = Dot::kMaxRows, kMaxPanels = 1, kTile = kMaxRows;
  static constexpr int kVectors = 4 * kStrips;  // of rows in a panel

  // sums: [strip][half, nibble][row of x]
  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const BlockArgs& b) {
    static_assert(kPanels == 1);
    V32 sums[kVectors * kRows];
    StartSums<Traits, kRows>(b, sums);
    const std::uint8_t* x = b.tables;
    for (int pass = 0; pass < Traits::kPasses; ++pass) {
      if (pass != 0) NextDigit<Traits, kRows>(b, sums);
      const std::uint8_t* index = b.index;
      if constexpr (kWide) {
        LUTRA_KEEP_LOOP
        for (std::size_t chunk = 0; chunk < b.chunks; ++chunk, x += b.table_stride) {
          AddStrips<0, kRows>(b, index, x, sums);
          index += kChunkBytes;
        }
      } else {
        for (std::size_t first = 0; first < b.chunks; first += RunChunks<Traits>()) {
          const std::size_t chunks = HWY_MIN(RunChunks<Traits>(), b.chunks - first);
          for (std::size_t at = 0; at < chunks * kChunkBytes; at += 64) b.Prefetch(index + at);
          LUTRA_UNROLL
          for (int strip = 0; strip < kStrips; ++strip) {
            SumRun<kRows>(b, index + static_cast<std::size_t>(strip) * kStripBytes, x, chunks,
                          sums + strip * 4 * kRows);
          }
          index += chunks * kChunkBytes;
          x += chunks * b.table_stride;
        }
      }
    }
    FlushPanels<Traits, 1, kVectors, kRows>(
        b, sums, [](int vector) { return vector % 4 * 16 + vector / 4 * static_cast<int>(kStripRows); });
  }

 private:
  static constexpr std::size_t kChunkBytes = Traits::kPlanes * kPlaneBytes;

  // A strip of a run of chunks.
  template <int kRows>
  static HWY_INLINE void SumRun(const BlockArgs& b, const std::uint8_t* lines, const std::uint8_t* x,
                                std::size_t chunks, V32* sums) {
    typename Dot::Sum run[4 * kRows];
    StartRun<Dot>(run);
    LUTRA_KEEP_LOOP
    for (std::size_t chunk = 0; chunk < chunks; ++chunk, lines += kChunkBytes, x += b.table_stride) {
      AddPacked<0, 0, kRows>(lines, x, run);
      KeepOrder(run[4 * kRows - 1], lines);
      AddPacked<1, 0, kRows>(lines, x, run);
      KeepOrder(run[4 * kRows - 1], lines);
      AddPacked<2, 0, kRows>(lines, x, run);
      KeepOrder(run[4 * kRows - 1], lines);
      AddPacked<3, 0, kRows>(lines, x, run);
    }
    AddRun<Dot>(run, sums);
  }

  // Strip kStrip of a chunk and those after it.
  template <int kStrip, int kRows>
  static HWY_INLINE void AddStrips(const BlockArgs& b, const std::uint8_t* lines, const std::uint8_t* x,
                                   V32 (&sums)[kVectors * kRows]) {
    if constexpr (kStrip < kStrips) {
      if constexpr (kRows > 1 && kStrip != 0) KeepOrder(sums[kStrip * 4 * kRows - 1], x);
      AskAndAdd<0, kStrip, kRows>(b, lines, x, sums);
      AskAndAdd<1, kStrip, kRows>(b, lines, x, sums);
      AskAndAdd<2, kStrip, kRows>(b, lines, x, sums);
      AskAndAdd<3, kStrip, kRows>(b, lines, x, sums);
      AddStrips<kStrip + 1, kRows>(b, lines + kStripBytes, x, sums);
    }
  }
  // With the first strip of a chunk, a quarter of the lines is asked for at a time: memory takes few at once. (int4 on
  // Zen 4, read at 0.92 instead of 0.85 of memory's speed.)
  template <int kQuad, int kStrip, int kRows>
  static HWY_INLINE void AskAndAdd(const BlockArgs& b, const std::uint8_t* lines, const std::uint8_t* x,
                                   V32 (&sums)[kVectors * kRows]) {
    LUTRA_UNROLL
    for (int line = kQuad; kStrip == 0 && line < 2 * Traits::kPlanes; line += 4) b.Prefetch(lines + line * 64);
    AddPacked<kQuad, kStrip * 4, kRows>(lines, x, sums);
  }
  template <int kQuad, int kFirst, int kRows, std::size_t kSums>
  static HWY_INLINE void AddPacked(const std::uint8_t* lines, const std::uint8_t* x, typename Dot::Sum (&sums)[kSums]) {
    V8 codes[4];
    UnpackStrip<Traits, kQuad>(lines, codes);
    AddQuad<Dot, kQuad, kFirst, kRows>(codes, x, sums);
  }
};

// Four codes of each row of a chunk to bytes, [row][4].
template <class Traits, int kQuad>
HWY_INLINE void UnpackRows(const std::uint8_t* lines, std::uint8_t* to) {
  LUTRA_UNROLL
  for (std::size_t at = 0; at < 64; at += kStripBytes) {
    V8 codes[4];
    UnpackStrip<Traits, kQuad>(lines + at, codes);
    LUTRA_UNROLL
    for (std::size_t v = 0; v < 4; ++v) hn::Store(codes[v], D8(), to + kQuad * kQuadBytes + v * 64 + at);
  }
}
// Codes unpacked by Unpack: b.index points to them.
template <class Traits>
struct UnpackedDotKernel {
  using Dot = typename Traits::Dot;
  static constexpr int kVectors = Dot::kVectors;  // of rows at a time
  static constexpr int kMaxRows = 4, kMaxPanels = 1, kTile = kMaxRows;
  // Of a block; at most, of a span.
  static constexpr std::size_t UnpackedBytes(std::size_t chunks) { return chunks * kChunkCodes; }
  static constexpr std::size_t kUnpackedBytes = UnpackedBytes(kMaxIntegerChunks);

  // A block of the one panel of a set: [chunk][quad][row][4].
  static HWY_INLINE void Unpack(const BlockArgs& b, std::size_t, std::uint8_t* to) {
    const std::uint8_t* lines = b.index;
    for (std::size_t chunk = 0; chunk < b.chunks; ++chunk) {
      for (std::size_t line = 0; line < 2 * Traits::kPlanes; ++line) b.Prefetch(lines + line * 64);
      UnpackRows<Traits, 0>(lines, to);
      UnpackRows<Traits, 1>(lines, to);
      UnpackRows<Traits, 2>(lines, to);
      UnpackRows<Traits, 3>(lines, to);
      lines += Traits::kPlanes * kPlaneBytes;
      to += kChunkCodes;
    }
  }

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const BlockArgs& b) {
    static_assert(kPanels == 1);
    for (std::size_t first = 0; first < 4 * kStrips; first += kVectors) {
      V32 sums[kVectors * kRows];
      StartSums<Traits, kRows>(b, sums);
      const std::uint8_t* x = b.tables;
      for (int pass = 0; pass < Traits::kPasses; ++pass) {
        if (pass != 0) NextDigit<Traits, kRows>(b, sums);
        const std::uint8_t* codes = b.index + first * kStripBytes;
        if constexpr (Dot::kProducts == 0) {
          AddChunks<kRows>(b, codes, x, b.chunks, sums);
        } else {
          for (std::size_t chunk = 0; chunk < b.chunks; chunk += RunChunks<Traits>()) {
            typename Dot::Sum run[kVectors * kRows];
            StartRun<Dot>(run);
            AddChunks<kRows>(b, codes, x, HWY_MIN(RunChunks<Traits>(), b.chunks - chunk), run);
            AddRun<Dot>(run, sums);
          }
        }
      }
      const int row = static_cast<int>(first * kStripRows);
      FlushPanels<Traits, 1, kVectors, kRows>(
          b, sums, [row](int vector) { return row + vector * static_cast<int>(kStripRows); });
    }
  }

 private:
  template <int kRows>
  static HWY_INLINE void AddChunks(const BlockArgs& b, const std::uint8_t*& codes, const std::uint8_t*& x,
                                   std::size_t chunks, typename Dot::Sum (&sums)[kVectors * kRows]) {
    LUTRA_KEEP_LOOP
    for (; chunks != 0; --chunks, codes += kChunkCodes, x += b.table_stride) {
      AddCodes<0, kRows>(codes, x, sums);
      AddCodes<1, kRows>(codes, x, sums);
      AddCodes<2, kRows>(codes, x, sums);
      AddCodes<3, kRows>(codes, x, sums);
    }
  }
  template <int kQuad, int kRows>
  static HWY_INLINE void AddCodes(const std::uint8_t* from, const std::uint8_t* x,
                                  typename Dot::Sum (&sums)[kVectors * kRows]) {
    V8 codes[kVectors];
    LUTRA_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) codes[v] = hn::Load(D8(), from + kQuad * kQuadBytes + v * kStripBytes);
    AddQuad<Dot, kQuad, 0, kRows>(codes, x, sums);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
