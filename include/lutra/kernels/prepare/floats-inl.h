// Stores x as f32 or bf16: one K-block of one row.
#if defined(LUTRA_KERNELS_PREPARE_FLOATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PREPARE_FLOATS_INL_H_
#undef LUTRA_KERNELS_PREPARE_FLOATS_INL_H_
#else
#define LUTRA_KERNELS_PREPARE_FLOATS_INL_H_
#endif

#include <cstring>
#include <limits>

#include "lutra/kernels/prepare/traits-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Stores elements 0, 2, 1 and 3 of each quad, in this order: kernels multiply elements 0 and 2 of a quad, then 1 and 3
// (kernels/floats-inl.h, kernels/bf16-inl.h). If an element of the K-block is not finite, all become NaN. In bf16,
// elements beyond the finite numbers become the largest of these.
template <DataType kType>
HWY_INLINE void BuildFloats(const BlockOfX& block, const Destination& out, BlockScale& scale) {
  const DF df;
  const VF nan = hn::Set(df, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < out.chunks * kChunkFloats; i += kLanesF) {
    VF quads = hn::Per4LaneBlockShuffle<3, 1, 2, 0>(hn::LoadU(df, block.quads + i));
    if (kType == DataType::kBF16) quads = hn::Clamp(quads, hn::Set(df, -kMaxBf16), hn::Set(df, kMaxBf16));
    StoreFloats(df, block.finite ? quads : nan, out.to + i / kChunkFloats * out.stride, kType, i % kChunkFloats);
  }
  std::memset(&scale, 0, sizeof(scale));                                     // kernels do not use it
  if (!block.finite) scale.scale = std::numeric_limits<float>::quiet_NaN();  // as other kinds have it
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
