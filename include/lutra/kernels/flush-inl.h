// What micro-kernels share: their arguments, how sums start, and how they turn into floats.
#if defined(LUTRA_KERNELS_FLUSH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_FLUSH_INL_H_
#undef LUTRA_KERNELS_FLUSH_INL_H_
#else
#define LUTRA_KERNELS_FLUSH_INL_H_
#endif

#include "hwy/cache_control.h"
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
  // Without zero points, w / (scale * gain) = L(q) + kStart: an integer.
  static constexpr int kStart = static_cast<int>((kInfo.center - kInfo.default_zero) / kInfo.gain);
  static_assert(static_cast<float>(kStart) * kInfo.gain == kInfo.center - kInfo.default_zero);
};

// One block of some panels of a set, and where a few rows of x, `kRows` at a call, begin.
struct BlockArgs {
  const std::uint8_t* index;  // of panel `first`
  std::size_t set_panels, first;
  std::size_t chunks;
  const std::uint8_t* params;  // scales[64], zeros[64] of panel `first`
  std::size_t params_stride;   // from a panel to the next
  std::size_t zero_offset;
  DataType scale_type;
  const std::uint8_t* tables;
  std::size_t table_stride;  // from a chunk to the next
  const BlockScale* scales;  // one per row of x
  float* tile;               // rows of kPanelRows
  std::size_t tile_stride;   // from a panel to the next
  std::size_t ahead;

  // Asks for the line of packed weights that comes `ahead` bytes after one that is read.
  HWY_INLINE void Prefetch(const std::uint8_t* line) const {
#if HWY_COMPILER_GCC || HWY_COMPILER_CLANG
    __builtin_prefetch(line + ahead, 0, 3);  // into L1
#else
    hwy::Prefetch(line + ahead);
#endif
  }
};

// What the sums of row n of x start from.
template <class Traits>
HWY_INLINE std::int32_t Start(const BlockArgs& b, int n) {
  return Traits::kStart == 0 || b.zero_offset != 0 ? 0 : Traits::kStart * b.scales[n].total;
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

// Scales or zeros of the rows of W of each vector, deciding on their type once. (No lambda: what one captures, g++ 12
// keeps in memory, and everything beside it.)
template <DataType kType, int kVectors, class RowOf>
HWY_INLINE void LoadVectorsAs(const std::uint8_t* from, const RowOf& row_of, VF (&to)[kVectors]) {
  LUTRA_UNROLL
  for (int v = 0; v < kVectors; ++v) to[v] = LoadFloats(DF(), from, kType, static_cast<std::size_t>(row_of(v)));
}
template <int kVectors, class RowOf>
HWY_INLINE void LoadVectors(const std::uint8_t* from, DataType type, const RowOf& row_of, VF (&to)[kVectors]) {
  if (type == DataType::kF16) {
    LoadVectorsAs<DataType::kF16>(from, row_of, to);
  } else if (type == DataType::kBF16) {
    LoadVectorsAs<DataType::kBF16>(from, row_of, to);
  } else {
    LoadVectorsAs<DataType::kF32>(from, row_of, to);
  }
}

// tile += scale * gain * (sum + (center - zero) / gain * (sum of x)). The sums are [panel][vector][row of x]; a vector
// of them stands for rows of W from row_of(vector) on.
template <class Traits, int kPanels, int kVectors, int kRows, std::size_t kSums, class RowOf>
LUTRA_INLINE void FlushPanels(const BlockArgs& b, const V32 (&sums)[kSums], const RowOf& row_of) {
  static_assert(kSums == kPanels * kVectors * kRows);
  const DF df;
  constexpr float kGain = Traits::kInfo.gain;
  LUTRA_UNROLL
  for (int panel = 0; panel < kPanels; ++panel) {
    const std::uint8_t* params = b.params + static_cast<std::size_t>(panel) * b.params_stride;
    float* tile = b.tile + static_cast<std::size_t>(panel) * b.tile_stride;
    VF scale[kVectors];
    LoadVectors<kVectors>(params, b.scale_type, row_of, scale);
    LUTRA_UNROLL
    for (int v = 0; kGain != 1.0f && v < kVectors; ++v) scale[v] = hn::Mul(scale[v], hn::Set(df, kGain));
    if (b.zero_offset == 0) {
      LUTRA_UNROLL
      for (int i = 0; i < kVectors * kRows; ++i) {
        const int v = i / kRows, n = i % kRows;
        float* to = tile + n * static_cast<int>(kPanelRows) + row_of(v);
        const VF u = hn::Mul(hn::ConvertTo(df, sums[panel * kVectors * kRows + i]), hn::Set(df, b.scales[n].scale));
        hn::Store(Fma(scale[v], u, hn::Load(df, to)), df, to);
      }
    } else {
      VF zero[kVectors];
      LoadVectors<kVectors>(params + b.zero_offset, b.scale_type, row_of, zero);
      LUTRA_UNROLL
      for (int i = 0; i < kVectors * kRows; ++i) {
        const int v = i / kRows, n = i % kRows;
        float* to = tile + n * static_cast<int>(kPanelRows) + row_of(v);
        const VF centre = hn::Mul(hn::Sub(hn::Set(df, Traits::kInfo.center), zero[v]), hn::Set(df, 1.0f / kGain));
        const VF u = Fma(hn::ConvertTo(df, sums[panel * kVectors * kRows + i]), hn::Set(df, b.scales[n].scale),
                         hn::Mul(centre, hn::Set(df, b.scales[n].sum)));
        hn::Store(Fma(scale[v], u, hn::Load(df, to)), df, to);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
