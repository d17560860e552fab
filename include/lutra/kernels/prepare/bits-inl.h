// Prepares a row group of x whose elements are bits: copies the bits of each K-block into words.
#if defined(LUTRA_KERNELS_PREPARE_BITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PREPARE_BITS_INL_H_
#undef LUTRA_KERNELS_PREPARE_BITS_INL_H_
#else
#define LUTRA_KERNELS_PREPARE_BITS_INL_H_
#endif

#include <cmath>
#include <cstring>
#include <limits>

#include "lutra/kernels/bits-inl.h"
#include "lutra/kernels/prepare/traits-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// The bits of columns begin, begin + 1, ... of W; at most 32. `begin` is a multiple of 8.
HWY_INLINE std::uint32_t LoadBits(const std::uint8_t* row, const std::uint32_t* order, std::size_t begin,
                                  std::size_t count) {
  std::uint32_t bits = 0;
  if (order != nullptr) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t column = order[begin + i];
      bits |= (row[column / 8] >> (column % 8) & std::uint32_t{1}) << i;
    }
    return bits;
  }
  for (std::size_t i = 0; i < count; i += 8) bits |= std::uint32_t{row[(begin + i) / 8]} << i;
  return count == 32 ? bits : bits & ((std::uint32_t{1} << count) - 1);
}

// TargetKernels::prepare for ActivationKind::kBits. Bits beyond the end of a K-block are 0, as they are in W.
inline bool PrepareBits(const PrepareArgs& a) {
  const Geometry& g = *a.geometry;
  constexpr std::size_t kBytes = Describe(ActivationKind::kBits).chunk_bytes;
  const std::size_t stride = a.rows * kBytes;
  std::uint8_t* to = a.prepared;
  BlockScale* out = a.block_scales;
  for (std::size_t b = a.first_block; b < a.end_block; ++b, to += g.x_chunks_in(b - 1) * stride) {
    const std::size_t begin = g.x_begin(b), end = g.x_end(b);
    for (std::size_t n = 0; n < a.rows; ++n, ++out) {
      const float scale = a.scales[n * a.scale_stride + begin / a.scale_group];
      const bool finite = std::fabs(scale) <= kFloatMax;
      if (!finite && !a.propagate) return false;
      std::int32_t ones = 0;
      std::uint8_t* word_to = to + n * kBytes;
      for (std::size_t k = begin; k < end; k += kWordWeights, word_to += stride) {
        const auto* row = static_cast<const std::uint8_t*>(a.x) + n * a.x_stride;
        std::uint32_t bits = LoadBits(row, a.order, k, HWY_MIN(kWordWeights, end - k));
        const std::uint32_t word = ArrangeBits(bits);
        std::memcpy(word_to, &word, sizeof(word));
        for (; bits != 0; bits &= bits - 1) ++ones;
      }
      const auto weights = static_cast<std::int32_t>(end - begin);
      *out = {};
      out->scale = finite ? scale : std::numeric_limits<float>::quiet_NaN();
      out->total = weights;
      const float sum = static_cast<float>(2 * ones - weights) * out->scale;
      out->sum = HWY_MIN(HWY_MAX(sum, -kFloatMax), kFloatMax);
    }
  }
  return true;
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
