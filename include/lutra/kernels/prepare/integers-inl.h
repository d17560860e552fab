// Builds the integers of x: one K-block of one row.
#if defined(LUTRA_KERNELS_PREPARE_INTEGERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PREPARE_INTEGERS_INL_H_
#undef LUTRA_KERNELS_PREPARE_INTEGERS_INL_H_
#else
#define LUTRA_KERNELS_PREPARE_INTEGERS_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "lutra/kernels/prepare/traits-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Rounds a K-block of quads to integers, in one limb or in two; joint K-blocks in one. Returns the sum of the integers.
template <class Traits>
HWY_INLINE std::int32_t BuildIntegers(const BlockOfX& block, const Destination& out) {
  const DF df;
  const D32 d32;
  const hn::Rebind<std::int8_t, DF> d8;
  constexpr int kShift = Traits::kShift;
  V32 total = hn::Zero(d32);
  for (std::size_t i = 0; i < out.chunks * kChunkFloats; i += kLanesF) {
    const VF inverse = hn::Set(df, block.inverse[block.joint ? i / kJointRunWeights : 0]);
    const V32 q = hn::Sub(RoundSmall(hn::LoadU(df, block.quads + i), inverse), hn::Set(d32, kMagicBits));
    total = hn::Add(total, q);
    auto* to = reinterpret_cast<std::int8_t*>(out.to + i / kChunkFloats * out.stride + i % kChunkFloats);
    if constexpr (Traits::kExact) {
      const V32 upper = hn::ShiftRight<kShift>(hn::Add(q, hn::Set(d32, 1 << (kShift - 1))));
      hn::StoreU(hn::DemoteTo(d8, upper), d8, to);
      hn::StoreU(hn::DemoteTo(d8, hn::Sub(q, hn::ShiftLeft<kShift>(upper))), d8, to + out.chunks * out.stride);
    } else {
      hn::StoreU(hn::DemoteTo(d8, q), d8, to);
    }
  }
  return hn::ReduceSum(d32, total);
}

// Sets the sums of joint K-blocks, whose integers BuildIntegers wrote and whose ratios and step (`scale`) are known.
HWY_INLINE void SetJointSums(const Destination& in, JointScale& out) {
  const hn::FixedTag<std::int8_t, 16> d8;
  const hn::Repartition<std::uint8_t, decltype(d8)> du8;
  const hn::Repartition<std::int16_t, decltype(d8)> d16;
  const hn::Repartition<std::int32_t, decltype(d8)> d32;
  std::memset(out.chunk_sums, 0, sizeof(out.chunk_sums));
  for (std::size_t chunk = 0; chunk < in.chunks; ++chunk) {
    const auto x = hn::Load(d8, reinterpret_cast<const std::int8_t*>(in.to + chunk * in.stride));
    auto sums = hn::SatWidenMulPairwiseAdd(d16, hn::Set(du8, 1), x);
    sums = hn::Add(sums, hn::BitCast(d16, hn::Shuffle2301(hn::BitCast(d32, sums))));
    sums = hn::Add(sums, hn::BitCast(d16, hn::Shuffle1032(hn::BitCast(d32, sums))));
    const std::int32_t pair = hn::GetLane(hn::BitCast(d32, sums));
    std::memcpy(out.chunk_sums[chunk], &pair, sizeof(pair));
  }
  const int largest = *std::max_element(out.ratio, out.ratio + kJointRuns);
  for (const JointSums& joint : {kCoarseJointSums, kFineJointSums}) {
    std::int16_t sums[2 * kFineJointSums.words()];
    const std::size_t count = 2 * joint.words(), chunks = joint.weights / kIntegersPerChunk;
    const int shift = joint.shift(largest);
    for (std::size_t i = 0; i < count; ++i) {
      int sum = 0;
      for (std::size_t chunk = i * chunks; chunk < (i + 1) * chunks; ++chunk) {
        sum += out.chunk_sums[chunk][0] + out.chunk_sums[chunk][1];
      }
      sums[i] = static_cast<std::int16_t>((out.ratio[i * kJointRuns / count] * sum + shift) >> shift);
    }
    out.sum_scales[joint.index] = out.scale * static_cast<float>(1 << shift);
    std::memcpy(out.sums + joint.first, sums, count * sizeof(sums[0]));
  }
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
