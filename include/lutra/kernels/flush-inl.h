// What micro-kernels share: their arguments, how sums start, and how they turn into floats.
#if defined(LUTRA_KERNELS_FLUSH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_FLUSH_INL_H_
#undef LUTRA_KERNELS_FLUSH_INL_H_
#else
#define LUTRA_KERNELS_FLUSH_INL_H_
#endif

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
  // Without zero points, w / (scale * gain) = L(q) + kStart: an integer.
  static constexpr int kStart = static_cast<int>((kInfo.center - kInfo.default_zero) / kInfo.gain);
  static_assert(static_cast<float>(kStart) * kInfo.gain == kInfo.center - kInfo.default_zero);
};

// One block of some panels, and where a few rows of x, `kRows` at a call, begin.
struct BlockArgs {
  const std::uint8_t* index;
  std::size_t chunks;
  const std::uint8_t* params;  // scales[64], zeros[64]
  std::size_t panel_bytes;     // from a panel to the next: of the two above
  std::size_t zero_offset;
  DataType scale_type;
  const std::uint8_t* tables;
  std::size_t table_stride;  // from a chunk to the next
  const BlockScale* scales;  // one per row of x
  float* tile;               // rows of kPanelRows
  std::size_t tile_stride;   // from a panel to the next
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

// tile += scale * gain * (sum + (center - zero) / gain * (sum of x)) for the rows of W from `row` on, sums[row of x].
template <class Traits, int kRows>
HWY_INLINE void FlushVector(const BlockArgs& b, std::size_t panel, std::size_t row, const V32* sums) {
  const DF df;
  const std::uint8_t* params = b.params + panel * b.panel_bytes;
  float* tile = b.tile + panel * b.tile_stride + row;
  constexpr float kGain = Traits::kInfo.gain;
  VF scale = LoadFloats(df, params, b.scale_type, row);
  if constexpr (kGain != 1.0f) scale = hn::Mul(scale, hn::Set(df, kGain));
  if (b.zero_offset == 0) {
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n, tile += kPanelRows) {
      const VF u = hn::Mul(hn::ConvertTo(df, sums[n]), hn::Set(df, b.scales[n].scale));
      hn::Store(Fma(scale, u, hn::Load(df, tile)), df, tile);
    }
  } else {
    const VF zero = LoadFloats(df, params + b.zero_offset, b.scale_type, row);
    VF centre = hn::Sub(hn::Set(df, Traits::kInfo.center), zero);
    if constexpr (kGain != 1.0f) centre = hn::Mul(centre, hn::Set(df, 1.0f / kGain));
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n, tile += kPanelRows) {
      const VF u = Fma(hn::ConvertTo(df, sums[n]), hn::Set(df, b.scales[n].scale),
                       hn::Mul(centre, hn::Set(df, b.scales[n].sum)));
      hn::Store(Fma(scale, u, hn::Load(df, tile)), df, tile);
    }
  }
}

// Asks for the line that comes this much after one that is read: far enough ahead for memory, near enough that lines
// asked for are not many.
inline constexpr std::size_t kPrefetchBytes = 1536;
HWY_INLINE void PrefetchAhead(const std::uint8_t* line) {
#if HWY_COMPILER_GCC_ACTUAL || HWY_COMPILER_CLANG
  __builtin_prefetch(line + kPrefetchBytes, 0, 2);  // into L2
#else
  hwy::Prefetch(line + kPrefetchBytes);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
