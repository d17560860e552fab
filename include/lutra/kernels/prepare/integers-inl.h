// Builds the integers of x: one K-block of one row.
#if defined(LUTRA_KERNELS_PREPARE_INTEGERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PREPARE_INTEGERS_INL_H_
#undef LUTRA_KERNELS_PREPARE_INTEGERS_INL_H_
#else
#define LUTRA_KERNELS_PREPARE_INTEGERS_INL_H_
#endif

#include "lutra/kernels/prepare/traits-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Rounds a K-block of quads to integers, in one limb or in two. Returns the sum of the integers.
template <class Traits>
HWY_INLINE std::int32_t BuildIntegers(const BlockOfX& block, const Destination& out) {
  const DF df;
  const D32 d32;
  const hn::Rebind<std::int8_t, DF> d8;
  constexpr int kShift = Traits::kShift;
  const VF inverse = hn::Set(df, block.inverse[0]);
  V32 total = hn::Zero(d32);
  for (std::size_t i = 0; i < out.chunks * kChunkFloats; i += kLanesF) {
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

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
