// SIMD helpers that Highway does not have in this form; tests/simd_test.cc tests each over all inputs. The parts that
// depend on the instruction set are in one file for each. Targets look up and add in these forms:
//
//     scope kVector   | T0 T1 T2 T3 |                the tables of four indices fill a vector           vpermb
//           kBlock    | T | T | T | T |              each 16-byte lane holds the same table             vpshufb, tbl
//     adder quad      | b0*w0 + b1*w1 + b2*w2 + b3*w3 |     four products to 32 bits              vpdpbusd, sdot
//           pair      | b0*w0 + b1*w1 | b2*w2 + b3*w3 |     two to 16, a run's to 32              vpmaddubsw, sadalp
//           single    | b0*w0 | b1*w1 | b2*w2 | b3*w3 |     one to 16, a run's to 32              saddw, smlal
//
// The quad adder sums lookups in vector scope; the pair or the single adder sums lookups in block scope. Products of
// integers are summed by the target's BaseDot, or by its ExtensionDot on CPUs that have the instruction. A Dot has:
//
//   Load<kQuad>(x)      quad kQuad of the chunk of 16 integers at x, in the form that Add needs
//   Add<kQuad>          adds the products of this quad with `codes`, four adjacent codes of each row, to a Sum
//   kLowest, kHighest   the bytes that Add takes as codes: unsigned if kLowest is 0, otherwise signed
//   Next                the Dot for formats with a wider range of codes; the last one's range has 256 numbers
//   Sum, kProducts      a 32-bit lane per row if kProducts is 0. Otherwise other sums of a run of chunks: a lane takes
//                       kProducts products of each quad
//   RunChunks(largest)  chunks of codes up to `largest` in magnitude that a Sum can take until Widen adds it to a
//                       32-bit lane per row
//   kRowByRow           whether registers hold one row of x at a time
//   kMaxRows            rows of x that the kernel on packed codes multiplies at a time; with unpacked codes it is four
//   kVectors            vectors of unpacked codes that are multiplied at a time
//
// FourTables holds four tables of 16 bytes, or one of 64. LookUp(bytes, choice) looks up bytes below 16, each in the
// table whose number stands in the bits kChoiceAt and kChoiceAt + 1 of `choice`. If kJoined, the other bits of `choice`
// must be 0, and LookUp(bytes) looks up bytes below 64 in the table of 64.
#if defined(LUTRA_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_SIMD_INL_H_
#undef LUTRA_KERNELS_SIMD_INL_H_
#else
#define LUTRA_KERNELS_SIMD_INL_H_
#endif

#include "hwy/highway.h"
#include "lutra/float16.h"
#include "lutra/kernels/float_flags.h"  // IWYU pragma: keep
#include "lutra/matrix.h"

// Each target includes all of these, but only the file of its own instruction set has content.
#include "lutra/kernels/simd/amx-inl.h"
#include "lutra/kernels/simd/arm-inl.h"
#include "lutra/kernels/simd/emu-inl.h"
#include "lutra/kernels/simd/x86-inl.h"

// The adders of table entries that x86 and portable targets share.
#include "lutra/kernels/simd/unsigned_tables-inl.h"

#if defined(LUTRA_HIGHWAY)  // these files share the functions of the Highway inside Lutra
static_assert(HWY_MAJOR * 100 + HWY_MINOR == LUTRA_HIGHWAY, "Highway's headers are not of the version inside Lutra");
#endif

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

inline constexpr bool kVectorScope = kLayout.scope == Scope::kVector;

// Adding kMagicBits to an integer below 2^22 in magnitude gives the bits of a float: kMagic plus that integer.
inline constexpr std::int32_t kMagicBits = 0x4b400000;
inline constexpr float kMagic = 0x1.8p23f;

// Loads elements [i, i + lanes) of an array of any float type, as floats.
template <class D>
HWY_INLINE hn::Vec<D> LoadFloats(D d, const void* from, DataType type, std::size_t i) {
  if (type == DataType::kF32) return hn::LoadU(d, static_cast<const float*>(from) + i);
  const auto* words = static_cast<const std::uint16_t*>(from) + i;
  const hn::Rebind<std::uint16_t, D> d16;
  if (type == DataType::kBF16) {
    const hn::Repartition<std::uint32_t, D> d32;
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, words))));
  }
  if constexpr (kNativeF16)
    return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), hn::LoadU(d16, words)));
  HWY_ALIGN float lanes[hn::MaxLanes(d)];
  for (std::size_t lane = 0; lane < hn::Lanes(d); ++lane) lanes[lane] = F16ToF32(words[lane]);
  return hn::Load(d, lanes);
}

// Stores v to elements [i, i + lanes) of an array of any float type. Rounds to the nearest, ties to even.
template <class D>
HWY_INLINE void StoreFloats(D d, hn::Vec<D> v, void* to, DataType type, std::size_t i) {
  if (type == DataType::kF32) {
    hn::StoreU(v, d, static_cast<float*>(to) + i);
    return;
  }
  auto* words = static_cast<std::uint16_t*>(to) + i;
  const hn::Rebind<std::uint16_t, D> d16;
  if (type == DataType::kBF16) {  // with integers: the conversion instruction takes subnormals for zero
    const hn::Repartition<std::uint32_t, D> d32;
    const auto bits = hn::BitCast(d32, v);
    const auto even = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1));
    const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, even), hn::Set(d32, 0x7fff)));
    hn::StoreU(hn::TruncateTo(d16, rounded), d16, words);
    return;
  }
  if constexpr (kNativeF16) {
    hn::StoreU(hn::BitCast(d16, hn::DemoteTo(hn::Rebind<hwy::float16_t, D>(), v)), d16, words);
  } else {
    HWY_ALIGN float lanes[hn::MaxLanes(d)];
    hn::Store(v, d, lanes);
    for (std::size_t lane = 0; lane < hn::Lanes(d); ++lane) words[lane] = F32ToF16(lanes[lane]);
  }
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
