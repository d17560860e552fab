// The factor that normalizes a row of x (RMSNorm, https://arxiv.org/abs/1910.07467).
#if defined(LUTRA_KERNELS_PREPARE_RMS_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PREPARE_RMS_NORM_INL_H_
#undef LUTRA_KERNELS_PREPARE_RMS_NORM_INL_H_
#else
#define LUTRA_KERNELS_PREPARE_RMS_NORM_INL_H_
#endif

#include <cmath>

#include "lutra/kernels/prepare/load_x-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Returns 1 / sqrt(mean of squares + epsilon) of a row, with the same bits as ReferenceRmsNorm: squares are exact in
// double, and element k is added to sum k % kSums.
inline HWY_NOINLINE float InverseRms(const Row& x) {
  // 32 doubles are 4 vectors of 64 bytes, which hide the latency of additions, and 16 vectors of 16 bytes, half of the
  // registers of NEON. ReferenceRmsNorm promises this number.
  constexpr std::size_t kSums = 32;
  // Elements of other types are converted 128 at a time, to 512 bytes on the stack.
  constexpr std::size_t kPiece = 128;
  static_assert(kPiece % kSums == 0);
  const hn::Repartition<double, DF> d;
  const hn::Rebind<float, decltype(d)> df;
  constexpr std::size_t kLanes = hn::MaxLanes(d);
  HWY_ALIGN float piece[kPiece];
  HWY_ALIGN double lanes[kSums];
  hn::Vec<decltype(d)> sums[kSums / kLanes];
  LUTRA_UNROLL
  for (auto& sum : sums) sum = hn::Zero(d);
  for (std::size_t begin = 0; begin < x.geometry->k; begin += kPiece) {
    const std::size_t count = HWY_MIN(kPiece, x.geometry->k - begin);
    const float* from = static_cast<const float*>(x.x) + begin;
    if (x.type != DataType::kF32 || count < kPiece) {
      LoadConsecutive(x, begin, count, false, piece);
      for (std::size_t i = count; i < kPiece; ++i) piece[i] = 0.0f;
      from = piece;
    }
    for (std::size_t i = 0; i < kPiece; i += kSums) {
      LUTRA_UNROLL
      for (std::size_t v = 0; v < kSums / kLanes; ++v) {
        const auto value = hn::PromoteTo(d, hn::LoadU(df, from + i + v * kLanes));
        sums[v] = hn::MulAdd(value, value, sums[v]);
      }
    }
  }
  for (std::size_t v = 0; v < kSums / kLanes; ++v) hn::Store(sums[v], d, lanes + v * kLanes);
  for (std::size_t width = kSums / 2; width != 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  const double mean = lanes[0] / static_cast<double>(x.geometry->k);
  return static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(x.transform.norm->epsilon)));
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
