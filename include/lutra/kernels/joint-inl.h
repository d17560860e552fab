// Joint K-blocks (layout/joint.h) in the dot micro-kernels: the integer sums of groups times their integer scales, added
// up in 32 bits, and their flush to floats.
//
//     run     16-bit or 32-bit sums of the products of some chunks of one group, in the lanes of the Dot
//     total   the sum of all runs, each times the scale of its group and the ratio of its scale run of x
#if defined(LUTRA_KERNELS_JOINT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_JOINT_INL_H_
#undef LUTRA_KERNELS_JOINT_INL_H_
#else
#define LUTRA_KERNELS_JOINT_INL_H_
#endif

#include "lutra/kernels/flush-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Words of 32 bits from which the runs that begin at a chunk start, [row of x][chunk]: for pairs of 16-bit lanes the
// starts of both, otherwise their sum.
template <class Dot, int kRows>
class JointStarts {
 public:
  // Runs have `run_chunks` chunks: 1, 2 or 4.
  HWY_INLINE JointStarts(const MicroArgs& a, std::size_t run_chunks) {
    const hn::CappedTag<std::int32_t, kJointChunks> d32;
    const hn::Repartition<std::int16_t, decltype(d32)> d16;
    const auto start = hn::Set(d16, static_cast<std::int16_t>(a.start));
    for (std::size_t i = 0; i < kRows * kJointChunks; i += hn::Lanes(d32)) {
      const auto* sums = a.scales[i / kJointChunks].joint.chunk_sums[i % kJointChunks];
      auto words = Times(hn::Load(d16, sums), start);
      if (run_chunks >= 2) words = Add(words, hn::Shuffle2301(words));
      if (run_chunks >= 4) words = Add(words, hn::Shuffle1032(words));
      hn::Store(words, d32, words_ + i);
    }
  }
  HWY_INLINE V32 Of(std::size_t n, std::size_t chunk) const { return hn::Set(D32(), words_[n * kJointChunks + chunk]); }

 private:
  static constexpr bool kPairs = Dot::kJoint == JointForm::kPairs;
  template <class V>
  static HWY_INLINE auto Times(V sums, V start) {
    const hn::Repartition<std::int32_t, hn::DFromV<V>> d32;
    if constexpr (kPairs) {
      return hn::BitCast(d32, hn::Mul(sums, start));
    } else {
      return hn::WidenMulPairwiseAdd(d32, sums, start);
    }
  }
  template <class V>
  static HWY_INLINE V Add(V a, V b) {
    const hn::Repartition<std::int16_t, hn::DFromV<V>> d16;
    if constexpr (kPairs) return hn::BitCast(hn::DFromV<V>(), hn::Add(hn::BitCast(d16, a), hn::BitCast(d16, b)));
    return hn::Add(a, b);
  }
  HWY_ALIGN std::int32_t words_[kRows * kJointChunks];
};

// The first sums of a run, from a word of JointStarts.
template <class Dot>
HWY_INLINE typename Dot::Sum StartJoint([[maybe_unused]] V32 start) {
  if constexpr (Dot::kJoint == JointForm::kPairs) return hn::BitCast(D16(), start);
  if constexpr (Dot::kJoint == JointForm::kWords) return start;
  if constexpr (Dot::kJoint == JointForm::kWidened) return Dot::Zero();
}

// total + run * scale * ratio. `scale` is a word of qparams, `ratio` one of JointRuns.
template <class Dot>
HWY_INLINE V32 AddJoint(V32 total, const typename Dot::Sum& run, [[maybe_unused]] V32 start, V32 scale, V32 ratio) {
  const V16 scale16 = hn::BitCast(D16(), scale), ratio16 = hn::BitCast(D16(), ratio);
  if constexpr (Dot::kJoint == JointForm::kPairs) {
    return hn::Add(total, hn::WidenMulPairwiseAdd(D32(), run, hn::Mul(scale16, ratio16)));
  } else {
    const V32 factor = hn::WidenMulPairwiseAdd(D32(), scale16, ratio16);
    if constexpr (Dot::kJoint == JointForm::kWords) return hn::Add(total, hn::Mul(run, factor));
    if constexpr (Dot::kJoint == JointForm::kWidened) return hn::Add(total, hn::Mul(Dot::Widen(start, run), factor));
  }
}

// Adds a run of one group: kVectors vectors of rows of W times kRows rows of x. `scales` are the words of the group.
template <class Dot, int kVectors, int kRows, std::size_t kSums, class RowOf>
LUTRA_INLINE void AddJointRun(const MicroArgs& a, const typename Dot::Sum (&run)[kSums],
                              const JointStarts<Dot, kRows>& starts, const float* scales, std::size_t chunk, V32* totals,
                              const RowOf& row_of) {
  static_assert(kSums == kVectors * kRows);
  V32 scale[kVectors];
  LUTRA_UNROLL
  for (int v = 0; v < kVectors; ++v) scale[v] = hn::BitCast(D32(), hn::Load(DF(), scales + row_of(v)));
  LUTRA_UNROLL
  for (int n = 0; n < kRows; ++n) {
    const V32 ratio = hn::Set(D32(), a.scales[n].joint.ratio[chunk / kChunksPerRun]);
    LUTRA_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      const int i = v * kRows + n;
      totals[i] = AddJoint<Dot>(totals[i], run[i], starts.Of(static_cast<std::size_t>(n), chunk), scale[v], ratio);
    }
  }
}

// Flushes totals: tile += super-scale * (step * total), then, if there are offsets, super-offset * (step * their sum).
template <int kVectors, int kRows, class RowOf>
LUTRA_INLINE void FlushJoint(const MicroArgs& a, const V32* totals, const RowOf& row_of) {
  const DF df;
  const float* const super_group = a.super_group;
  const BlockScale* const scales = a.scales;
  float* const tile = a.tile;
  LUTRA_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    const VF scale = hn::Load(df, super_group + row_of(v));
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n) {
      float* to = tile + n * static_cast<int>(kPanelRows) + row_of(v);
      const VF sum = hn::Mul(hn::ConvertTo(df, totals[v * kRows + n]), hn::Set(df, scales[n].scale));
      hn::Store(Fma(scale, sum, hn::Load(df, to)), df, to);
    }
  }
  if (a.center == 0) return;
  static_assert(kJointRuns == 4);  // two words of sums
  const float *const first = a.qparams + kPanelRows, *const second = first + a.offset_stride;
  LUTRA_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    const V16 even = hn::BitCast(D16(), hn::Load(df, first + row_of(v)));
    const V16 odd = hn::BitCast(D16(), hn::Load(df, second + row_of(v)));
    const VF scale = hn::Load(df, super_group + kPanelRows + row_of(v));
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n) {
      const std::int32_t* sums = scales[n].joint.sums;
      V32 total = hn::WidenMulPairwiseAdd(D32(), even, hn::BitCast(D16(), hn::Set(D32(), sums[0])));
      total = hn::Add(total, hn::WidenMulPairwiseAdd(D32(), odd, hn::BitCast(D16(), hn::Set(D32(), sums[1]))));
      float* to = tile + n * static_cast<int>(kPanelRows) + row_of(v);
      const VF sum = hn::Mul(hn::ConvertTo(df, total), hn::Set(df, scales[n].sum));
      hn::Store(Fma(scale, sum, hn::Load(df, to)), df, to);
    }
  }
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
