// The adders of table entries for targets with unsigned tables, in 16-bit lanes: x86 and portable.
#if defined(LUTRA_KERNELS_SIMD_UNSIGNED_TABLES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_SIMD_UNSIGNED_TABLES_INL_H_
#undef LUTRA_KERNELS_SIMD_UNSIGNED_TABLES_INL_H_
#else
#define LUTRA_KERNELS_SIMD_UNSIGNED_TABLES_INL_H_
#endif

#include "lutra/kernels/simd/vectors-inl.h"

#if !LUTRA_SIGNED_TABLES

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// The single adder: a 16-bit sum for each byte. AddBytes adds pairs of bytes as 16-bit integers (byte 2i + 256 * byte
// 2i + 1) to `lower`, modulo 2^16, and the odd bytes to `upper`. FinishBytes separates them: `lower` gets the sums of
// the lower eight bytes of each 16-byte lane, `upper` those of the upper eight. Sums start from multiples of 256.
HWY_INLINE void AddBytes(V16& lower, V16& upper, V8 bytes) {
  const hn::Repartition<std::uint16_t, D8> du16;
  lower = hn::Add(lower, hn::BitCast(D16(), bytes));
  upper = hn::Add(upper, hn::BitCast(D16(), hn::ShiftRight<8>(hn::BitCast(du16, bytes))));
}
HWY_INLINE void FinishBytes(V16& lower, V16& upper) {
  const V16 odd = upper, even = hn::Sub(lower, hn::ShiftLeft<8>(odd));  // 256 * start is 0 modulo 2^16
  lower = hn::InterleaveLower(D16(), even, odd);
  upper = hn::InterleaveUpper(D16(), even, odd);
}

// Adds table entries, each times the sign of its byte of `signs`; no byte of `signs` is 0. (With the bias of 128, the
// negation of entry T is -T + 128 = 256 - (T + 128): the negated byte, modulo 256.)
HWY_INLINE void AddSignedBytes(V16& lower, V16& upper, V8 bytes, VI8 signs) {
  AddBytes(lower, upper, hn::BitCast(D8(), hn::IfNegativeThenNegOrUndefIfZero(signs, hn::BitCast(DI8(), bytes))));
}

// The pair adder with weights 1 and 2, for the two planes of int2: lane i of the result of FinishPlanes is start[i]
// plus the sum of a[2i] + 2 * a[2i + 1] over all calls of AddPlanes.
using PlaneSums = V16;
HWY_INLINE PlaneSums StartPlanes(V16 start) { return start; }
HWY_INLINE void AddPlanes(PlaneSums& sums, V8 a) {
  sums = AddPairs(sums, a, hn::BitCast(DI8(), hn::Set(D16(), 0x0201)));
}
HWY_INLINE V16 FinishPlanes(PlaneSums sums) { return sums; }

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // unsigned tables

#endif  // per-target include guard
