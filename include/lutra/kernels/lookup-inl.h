// The parts that the lookup micro-kernels of both scopes share.
#if defined(LUTRA_KERNELS_LOOKUP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_LOOKUP_INL_H_
#undef LUTRA_KERNELS_LOOKUP_INL_H_
#else
#define LUTRA_KERNELS_LOOKUP_INL_H_
#endif

#include "lutra/kernels/flush-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Whether the sums of any format with this encoding start from a multiple of the sum of x.
constexpr bool StartsIn(Encoding encoding) {
  for (const FormatInfo& f : kFormats) {
    if (f.encoding == encoding && MethodOf(f.format).start() != 0) return true;
  }
  return false;
}

template <Encoding kEncoding>
struct LookupTraits {
  static constexpr EncodingInfo kInfo = Describe(kEncoding);
  static constexpr int kPlanes = kInfo.planes;
  static constexpr bool kSigned = kInfo.has_signs();  // a sign bit beside an index negates the entry
  static constexpr std::size_t kInterleaved = InterleavedPanels(kLayout, kInfo);
};
template <Encoding kEncoding, Precision kPrecision>
using LookupSums = SumTraits<Describe(kEncoding).kind, kPrecision, StartsIn(kEncoding)>;

// Bytes of the tables of a chunk of one row of x: four tables of 16 bytes.
inline constexpr std::size_t kTableBytes = Describe(ActivationKind::kBinarySums).chunk_bytes;
static_assert(kTableBytes == Describe(ActivationKind::kTernarySums).chunk_bytes);

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
