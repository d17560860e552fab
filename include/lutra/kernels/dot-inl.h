// The dot micro-kernels: 64 rows of W (a panel) times a few rows of x in integers, over one K-block.
//
//     codes    |   row 0     |   row 1     |  ...  |   row 15    |       four codes of each row as bytes (a quad)
//              | k  k+1 k+2 k+3 | ...
//     x        | k  k+1 k+2 k+3 | k ...                                  the same quad of x in all lanes
//     dot      |  sum        |  sum        |       |  sum        |       vpdpbusd
//
// A Dot that sums products in 16 bits widens the sums after as many chunks as fit (Dot::RunChunks).
//
// For few rows of x, PackedDotKernel unpacks codes in registers. For more rows, codes are unpacked to L1 once for all
// rows, and UnpackedDotKernel (unpacked_dot-inl.h), one kernel for all encodings, reads them (unpack-inl.h). Where
// products of signed bytes are slow, codes are unpacked to 16 bits for ShortDotKernel (short_dot-inl.h).
#if defined(LUTRA_KERNELS_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_DOT_INL_H_
#undef LUTRA_KERNELS_DOT_INL_H_
#else
#define LUTRA_KERNELS_DOT_INL_H_
#endif

#include <type_traits>

#include "lutra/kernels/codes-inl.h"
#include "lutra/kernels/joint-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// --- Products.

// Adds the products of quad kQuad of a chunk with kRows rows of x. `codes` are kVectors vectors of rows of W; their
// sums, [vector][row of x], begin at vector kFirst.
template <class Dot, int kQuad, int kFirst, int kRows, std::size_t kVectors, std::size_t kSums>
LUTRA_INLINE void AddQuad(const V8 (&codes)[kVectors], const std::uint8_t* x, typename Dot::Sum (&sums)[kSums]) {
  if constexpr (Dot::kRowByRow) {
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n) {
      const VI8 quad = Dot::template Load<kQuad>(x + n * 16);
      LUTRA_UNROLL
      for (int v = 0; v < static_cast<int>(kVectors); ++v) {
        Dot::template Add<kQuad>(sums[(kFirst + v) * kRows + n], codes[v], quad);
      }
    }
    return;
  }
  VI8 quad[kRows];
  LUTRA_UNROLL
  for (int n = 0; n < kRows; ++n) quad[n] = Dot::template Load<kQuad>(x + n * 16);
  LUTRA_UNROLL
  for (int i = 0; i < static_cast<int>(kVectors) * kRows; ++i) {
    Dot::template Add<kQuad>(sums[kFirst * kRows + i], codes[i / kRows], quad[i % kRows]);
  }
}

// Sums of a run of chunks, in the Dot's own lanes: start them from zero, and widen and add them to the 32-bit sums.
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

// The micro-kernel on packed codes, which it unpacks in registers.
template <Encoding kEncoding, class Codes, class Dot, Precision kPrecision>
struct PackedDotKernel {
  using Sums = SumTraits<ActivationKind::kIntegers, kPrecision>;
  static constexpr bool kWide = Dot::kProducts == 0 && kParts == 1;  // registers hold the sums of a panel
  static constexpr int kMaxRows = Dot::kMaxRows, kMaxPanels = 1, kTile = kMaxRows;
  static constexpr int kPlanes = Describe(kEncoding).planes;
  static constexpr std::size_t kPanelBytes = 0;  // panels do not alternate
  static constexpr int kVectors = 4 * kParts;    // vectors of rows in a panel

  // sums: [part][half of the panel][low, high nibbles][row of x]
  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1);
    const Codes codes(b, 0);
    V32 sums[kVectors * kRows];
    StartSums<Sums, kRows>(b, sums);
    const std::uint8_t* x = b.x;
    for (int limb = 0; limb < Sums::kLimbs; ++limb) {
      if (limb != 0) NextLimb<Sums, kRows>(b, sums);
      const std::uint8_t* index = b.index;
      if constexpr (kWide) {
        LUTRA_KEEP_LOOP
        for (std::size_t chunk = 0; chunk < b.chunks; ++chunk, x += b.x_stride) {
          AddParts<0, kRows>(b, index, x, codes, sums);
          index += kChunkBytes;
        }
      } else {
        // A loop over a known number of chunks is faster; of one chunk there would be no loop, and clang would take the
        // parts together and spill.
        constexpr std::size_t kRun = Dot::RunChunks((1 << kPlanes) - 1);
        const std::size_t run_chunks = Codes::kStored && kRun != 1 ? kRun : b.run_chunks;
        for (std::size_t first = 0; first < b.chunks; first += run_chunks) {
          const std::size_t chunks = HWY_MIN(run_chunks, b.chunks - first);
          const std::uint8_t* ahead = index;
          LUTRA_UNROLL
          for (int part = 0; part < kParts; ++part) {
            SumRun<kRows>(b, index + static_cast<std::size_t>(part) * kPartBytes, x, chunks, codes,
                          sums + part * 4 * kRows, ahead);
          }
          index += chunks * kChunkBytes;
          x += chunks * b.x_stride;
        }
      }
    }
    FlushPanels<Sums, 1, kVectors, kRows, true>(b, sums, RowOf);
  }

  // Joint K-blocks; totals as sums.
  template <int kRows>
  static HWY_INLINE void RunJoint(const MicroArgs& args) {
    const std::size_t run_chunks = HWY_MIN(args.run_chunks, args.x_chunks);
    const JointStarts<Dot, kRows> starts(args, args.start, run_chunks);
    V32 totals[kVectors * kRows], parts[kVectors * kRows];
    SetZero(totals);
    SetZero(parts);
    KBlock b(args);
    std::size_t at = 0;  // chunk
    for (std::size_t left = args.blocks; left != 0; --left) {
      const Codes codes(b, 0);
      const JointScales<Dot, kRows> scales(b, args.reader);
      const std::uint8_t* index = b.index;
      for (const std::size_t end = at + (left == 1 ? args.last_chunks : args.x_chunks); at < end;) {
        const std::size_t chunks = HWY_MIN(run_chunks, end - at);
        AddJointPart<0, kRows>(b, index, chunks, codes, starts, scales, at, parts);
        index += chunks * kChunkBytes;
        b.x += chunks * b.x_stride;
        at += chunks;
      }
      if (left == 1 || at % kJointRunChunks == 0) {
        AddJointParts<kVectors, kRows>(args, (at - 1) / kJointRunChunks, parts, totals);
        SetZero(parts);
      }
      b.index += args.index_stride;
      b.qparams += args.qparams_stride;
      b.choices += args.choice_stride;
    }
    FlushJoint<true, kVectors, kRows>(args, totals, RowOf);
  }

 private:
  static constexpr int RowOf(int vector) { return vector % 4 * 16 + vector / 4 * static_cast<int>(kPartRows); }

  // Adds a run of chunks to the parts: of all rows of W where registers hold their sums, otherwise part by part.
  template <int kPart, int kRows>
  static HWY_INLINE void AddJointPart(const KBlock& b, const std::uint8_t* lines, std::size_t chunks,
                                      const Codes& codes, const JointStarts<Dot, kRows>& starts,
                                      const JointScales<Dot, kRows>& scales, std::size_t at, V32* parts) {
    if constexpr (kPart < kParts) {
      typename Dot::Sum run[4 * kRows];
      LUTRA_UNROLL
      for (int i = 0; i < 4 * kRows; ++i) run[i] = StartJoint<Dot>(starts.Of(static_cast<std::size_t>(i % kRows), at));
      const std::uint8_t *line = lines, *x = b.x;
      LUTRA_KEEP_LOOP
      for (std::size_t chunk = 0; chunk < chunks; ++chunk, line += kChunkBytes, x += b.x_stride) {
        if constexpr (kWide) {
          AddParts<0, kRows>(b, line, x, codes, run);
        } else {
          for (std::size_t i = 0; kPart == 0 && i < kChunkBytes; i += 64) b.Prefetch(line + i);
          AddChunk<kRows>(line, x, codes, run);
        }
      }
      AddJointRun<Dot, 4, kRows>(run, starts, at, parts + kPart * 4 * kRows, [&scales](int v) {
        return scales.Of(static_cast<std::size_t>(RowOf(kPart * 4 + v)));
      });
      AddJointPart<kPart + 1, kRows>(b, lines + kPartBytes, chunks, codes, starts, scales, at, parts);
    }
  }
  static constexpr std::size_t kChunkBytes = kPlanes * kPlaneBytes;
  // Quad 3 of codes of 3 bits shares lines with the other quads. With several tables, clang would keep a line of quad 2
  // in a register, and copy other registers, which vpternlogd overwrites.
  static constexpr bool kReloads = kPlanes == 3 && std::is_same_v<Codes, TablesOfCodes>;

  // Sums the products of one part over a run of chunks. With each chunk it prefetches a few lines, from `next` on, of
  // this part's share of the run, because memory takes few requests at a time.
  template <int kRows>
  static HWY_INLINE void SumRun(const KBlock& b, const std::uint8_t* lines, const std::uint8_t* x, std::size_t chunks,
                                const Codes& codes, V32* sums, const std::uint8_t*& next) {
    typename Dot::Sum run[4 * kRows];
    StartRun<Dot>(run);
    LUTRA_KEEP_LOOP
    for (std::size_t chunk = 0; chunk < chunks; ++chunk, lines += kChunkBytes, x += b.x_stride) {
      LUTRA_UNROLL
      for (std::size_t at = 0; at < kChunkBytes / kParts; at += 64) b.Prefetch(next + at);
      next += kChunkBytes / kParts;
      AddChunk<kRows>(lines, x, codes, run);
    }
    AddRun<Dot>(run, sums);
  }
  template <int kRows>
  static HWY_INLINE void AddChunk(const std::uint8_t*& lines, const std::uint8_t* x, const Codes& codes,
                                  typename Dot::Sum (&run)[4 * kRows]) {
    AddPacked<0, 0, kRows>(lines, x, codes, run);
    KeepOrder(run[4 * kRows - 1], lines);
    AddPacked<1, 0, kRows>(lines, x, codes, run);
    KeepOrder(run[4 * kRows - 1], lines);
    AddPacked<2, 0, kRows>(lines, x, codes, run);
    KeepOrder(run[4 * kRows - 1], lines);
    AddPacked<3, 0, kRows>(lines, x, codes, run);
  }

  // Adds the products of a chunk for part kPart and all parts after it.
  template <int kPart, int kRows>
  static HWY_INLINE void AddParts(const KBlock& b, const std::uint8_t* lines, const std::uint8_t* x, const Codes& codes,
                                  V32 (&sums)[kVectors * kRows]) {
    if constexpr (kPart < kParts) {
      if constexpr (kRows > 1 && kPart != 0) KeepOrder(sums[kPart * 4 * kRows - 1], x);
      PrefetchAndAdd<0, kPart, kRows>(b, lines, x, codes, sums);
      PrefetchAndAdd<1, kPart, kRows>(b, lines, x, codes, sums);
      PrefetchAndAdd<2, kPart, kRows>(b, lines, x, codes, sums);
      if constexpr (kReloads) KeepOrder(sums[(kPart + 1) * 4 * kRows - 1], lines);
      PrefetchAndAdd<3, kPart, kRows>(b, lines, x, codes, sums);
      AddParts<kPart + 1, kRows>(b, lines + kPartBytes, x, codes, sums);
    }
  }
  // Adds the products of quad kQuad. The first part of a chunk also prefetches the chunk's lines, a quarter with each
  // quad, because memory takes few requests at a time. (int4 on Zen 4: read at 0.92 of memory's speed, not 0.85.) The
  // prefetches go in the order of addresses. (int8 on Zen 5: 1.3 times as fast as in the order 0, 4, 8, 12, 1, 5, ...)
  template <int kQuad, int kPart, int kRows>
  static HWY_INLINE void PrefetchAndAdd(const KBlock& b, const std::uint8_t* lines, const std::uint8_t* x,
                                        const Codes& codes, V32 (&sums)[kVectors * kRows]) {
    LUTRA_UNROLL
    for (int line = kQuad * kPlanes / 2; kPart == 0 && line < (kQuad + 1) * kPlanes / 2; ++line) {
      b.Prefetch(lines + line * 64);
    }
    AddPacked<kQuad, kPart * 4, kRows>(lines, x, codes, sums);
  }
  template <int kQuad, int kFirst, int kRows, std::size_t kSums>
  static HWY_INLINE void AddPacked(const std::uint8_t* lines, const std::uint8_t* x, const Codes& codes_of,
                                   typename Dot::Sum (&sums)[kSums]) {
    if constexpr (kApart<Codes>) {
      V8 codes[2];
      UnpackHalf<kEncoding, kQuad, 0>(lines, codes_of, codes[0], codes[1]);
      AddQuad<Dot, kQuad, kFirst, kRows>(codes, x, sums);
      KeepOrder(sums[(kFirst + 2) * kRows - 1], lines);
      UnpackHalf<kEncoding, kQuad, 1>(lines, codes_of, codes[0], codes[1]);
      AddQuad<Dot, kQuad, kFirst + 2, kRows>(codes, x, sums);
    } else {
      V8 codes[4];
      UnpackPart<kEncoding, kQuad>(lines, codes_of, codes);
      AddQuad<Dot, kQuad, kFirst, kRows>(codes, x, sums);
    }
  }
};

template <Encoding kEncoding, class Codes, class Dot, Precision kPrecision>
inline constexpr bool kReadsGroups<PackedDotKernel<kEncoding, Codes, Dot, kPrecision>> = true;

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
