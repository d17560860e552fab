// What micro-kernels share: their arguments, how sums start, and how they turn into floats.
#if defined(LUTRA_KERNELS_FLUSH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_FLUSH_INL_H_
#undef LUTRA_KERNELS_FLUSH_INL_H_
#else
#define LUTRA_KERNELS_FLUSH_INL_H_
#endif

#include "lutra/kernels/prefetch.h"
#include "lutra/kernels/registry.h"
#include "lutra/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

// DotOf is how integers are multiplied (BaseDot).
template <Format kFormat, Precision kPrecision, class DotOf>
struct TileTraits {
  using Dot = DotOf;
  static constexpr FormatInfo kInfo = Describe(kFormat);
  static constexpr int kPlanes = kInfo.planes;
  static constexpr int kPasses = kPrecision == Precision::kInt16 ? 2 : 1;
  // Without zeros, w / (scale * gain) = L(q) + kStart: an integer.
  static constexpr int kStart = static_cast<int>((kInfo.center - kInfo.default_zero) / kInfo.gain);
  static_assert(static_cast<float>(kStart) * kInfo.gain == kInfo.center - kInfo.default_zero);

  // All that the 32 bits of a block's sums hold at a time. Digits, table entries and int8 x are at most 128, as biased
  // ones are once the bias is gone; a block adds 64 lookups of each plane, each times a ratio under kInt8, or 128
  // products. Two digits make 7 bits more. The start is that many times a total: of integers in two digits 8 * 128 *
  // 16319, the largest; tables' totals count steps. int4 in two digits: 4.9e7 of 2.1e9.
  static constexpr std::int64_t kTerms =
      kInfo.looks_up() ? kMaxChunksPerBlock * kIndicesPerChunk : kMaxIntegerChunks * 16;
  static constexpr std::int64_t kWeights =
      (kInfo.looks_up() ? (1 << kPlanes) - 1 : kInfo.levels - 1) * (kInfo.looks_up() && kPasses == 1 ? kMaxRatio : 1);
  static constexpr std::int64_t kMaxDigits = kTerms * kWeights * 128 * (kPasses == 1 ? 1 : 129);
  static constexpr std::int64_t kMaxStart =
      kTerms * (kStart < 0 ? -kStart : kStart) * (kPasses == 1 ? 128 * kMaxRatio : 128 * 128);
  static_assert(kMaxDigits + kMaxStart < std::int64_t{1} << 31);

  // Sums that start from kMagicBits are floats without being converted, those of tables under kInt8. (In block scope
  // the first products would have to be added to it, where sums start from zero.)
  static constexpr bool kMagicSums = kVectorScope && kInfo.looks_up() && kPasses == 1;
  static_assert(!kMagicSums || kMaxDigits + kMaxStart < std::int64_t{1} << 22);
};

// Of a panel and group, as floats: scale * gain of each row, then, if there are zeros, center[64] (params-inl.h).
inline constexpr std::size_t kPanelParams = 2 * kPanelRows;

// One block of some panels of a set, and where a few rows of x, `kRows` at a call, begin.
// (Copied word by word, as it was written: a load of two words waits until both stores have reached L1, some 20 cycles
// of the 500 of a block.)
struct BlockArgs {
  const std::uint8_t* index;  // of panel `first`
  std::size_t set_panels, first;
  std::size_t chunks, halves;  // Extent
  const float* params;         // of the group, kPanelParams for each panel, from panel `first` on
  std::size_t center;          // where centers begin in params; 0 if there are none
  const std::uint8_t* tables;
  std::size_t table_stride;  // from a chunk to the next
  const BlockScale* scales;  // one per row of x
  float* tile;               // rows of kPanelRows
  std::size_t tile_stride;   // from a panel to the next
  std::size_t ahead;

  BlockArgs() = default;
  BlockArgs(const BlockArgs& o)
      : index(o.index),
        set_panels(o.set_panels),
        first(o.first),
        chunks(o.chunks),
        halves(o.halves),
        params(o.params),
        center(o.center),
        tables(o.tables),
        table_stride(o.table_stride),
        scales(o.scales),
        tile(o.tile),
        tile_stride(o.tile_stride),
        ahead(o.ahead) {}

  // Asks for two lines of packed weights after one that is read: the one `ahead` bytes on from memory into L2, and a
  // near one into L1, which waits for fewer lines than memory could send. (In one step into L1 int1 and int2 are read
  // at 0.5 and 0.6 of that speed on Zen 4.) Without `ahead` both are the line itself.
  HWY_INLINE void Prefetch(const std::uint8_t* line) const {
    PrefetchToL2(line + ahead);
    PrefetchToL1(line + ahead / 4);
  }
};

// What the sums of row n of x start from.
template <class Traits>
HWY_INLINE std::int32_t Start(const BlockArgs& b, int n) {
  const std::int32_t start = Traits::kStart == 0 || b.center != 0 ? 0 : Traits::kStart * b.scales[n].total;
  return Traits::kMagicSums ? kMagicBits + start : start;
}

// Sums in registers, [vector of rows of W][row of x], before the first and before the second digit.
template <class Traits, int kRows, std::size_t kSums>
HWY_INLINE void StartSums(const BlockArgs& b, V32 (&sums)[kSums]) {
  LUTRA_UNROLL
  for (std::size_t i = 0; i < kSums; ++i) {
    sums[i] = Traits::kPasses == 1 ? hn::Set(D32(), Start<Traits>(b, static_cast<int>(i % kRows))) : hn::Zero(D32());
  }
}
template <class Traits, int kRows, std::size_t kSums>
HWY_INLINE void NextDigit(const BlockArgs& b, V32 (&sums)[kSums]) {
  LUTRA_UNROLL
  for (std::size_t i = 0; i < kSums; ++i) {
    sums[i] = hn::Add(hn::ShiftLeft<7>(sums[i]), hn::Set(D32(), Start<Traits>(b, static_cast<int>(i % kRows))));
  }
}

// The pair adder's sums of the runs of a block, upper digits first, kCount vectors of each.
template <int kCount, int kRuns = kMaxRunsPerBlock, int kPasses = 2>
class RunSums {
 public:
  HWY_INLINE V16 Load(std::size_t run, std::size_t i) const {
    return hn::Load(D16(), lanes_ + (run * kCount + i) * kN);
  }
  HWY_INLINE void Store(V16 sums, std::size_t run, std::size_t i) {
    hn::Store(sums, D16(), lanes_ + (run * kCount + i) * kN);
  }

 private:
  static constexpr std::size_t kN = 8 * kLayout.blocks;
  HWY_ALIGN std::int16_t lanes_[kPasses * kRuns * kCount * kN];
};

// A sum in units of x: rounded once.
template <class Traits>
HWY_INLINE VF InUnits(V32 sum, const BlockScale& units) {
  const DF df;
  if constexpr (Traits::kMagicSums) {
    return Fma(hn::BitCast(df, sum), hn::Set(df, units.scale), hn::Set(df, units.offset));
  } else {
    return hn::Mul(hn::ConvertTo(df, sum), hn::Set(df, units.scale));
  }
}

// tile += scale * gain * (sum in units of x) + center * (sum of x). The sums are [panel][vector][row of x]; a vector of
// them stands for rows of W from row_of(vector) on.
template <class Traits, int kPanels, int kVectors, int kRows, std::size_t kSums, class RowOf>
LUTRA_INLINE void FlushPanels(const BlockArgs& b, const V32 (&sums)[kSums], const RowOf& row_of) {
  static_assert(kSums == kPanels * kVectors * kRows);
  const DF df;
  LUTRA_UNROLL
  for (int panel = 0; panel < kPanels; ++panel) {
    const float* params = b.params + panel * static_cast<int>(kPanelParams);
    float* tile = b.tile + static_cast<std::size_t>(panel) * b.tile_stride;
    VF scale[kVectors];
    LUTRA_UNROLL
    for (int v = 0; v < kVectors; ++v) scale[v] = hn::Load(df, params + row_of(v));
    if (b.center == 0) {
      LUTRA_UNROLL
      for (int i = 0; i < kVectors * kRows; ++i) {
        const int v = i / kRows, n = i % kRows;
        float* to = tile + n * static_cast<int>(kPanelRows) + row_of(v);
        const VF u = InUnits<Traits>(sums[panel * kVectors * kRows + i], b.scales[n]);
        hn::Store(Fma(scale[v], u, hn::Load(df, to)), df, to);
      }
    } else {
      LUTRA_UNROLL
      for (int i = 0; i < kVectors * kRows; ++i) {
        const int v = i / kRows, n = i % kRows;
        float* to = tile + n * static_cast<int>(kPanelRows) + row_of(v);
        const VF u = InUnits<Traits>(sums[panel * kVectors * kRows + i], b.scales[n]);
        const VF center = hn::Load(df, params + kPanelRows + row_of(v));
        hn::Store(Fma(center, hn::Set(df, b.scales[n].sum), Fma(scale[v], u, hn::Load(df, to))), df, to);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
