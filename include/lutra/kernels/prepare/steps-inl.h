// Finds the steps to which the elements of a K-block are rounded: one step per scale run for tables under kInt8, one
// per joint run for joint K-blocks, otherwise one step per K-block.
#if defined(LUTRA_KERNELS_PREPARE_STEPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PREPARE_STEPS_INL_H_
#undef LUTRA_KERNELS_PREPARE_STEPS_INL_H_
#else
#define LUTRA_KERNELS_PREPARE_STEPS_INL_H_
#endif

#include <cmath>
#include <cstring>
#include <limits>

#include "lutra/kernels/prepare/load_x-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// The bits of the largest |x| of `count` floats; at least the bits of infinity if an element is not finite.
HWY_INLINE std::int32_t LargestBits(const float* from, std::size_t count) {
  const D32 d;
  V32 largest = hn::Zero(d);
  for (std::size_t i = 0; i < count; i += hn::Lanes(d)) {
    const V32 bits = hn::BitCast(d, hn::LoadU(DF(), from + i));
    largest = hn::Max(largest, hn::And(bits, hn::Set(d, 0x7fffffff)));
  }
  return hn::ReduceMax(d, largest);
}

inline constexpr std::int32_t kBitsOf127 = 0x42fe0000;

// The same for joint K-blocks of up to `count` floats. run_bits: of each joint run.
HWY_INLINE std::int32_t LargestOfRuns(const float* from, std::size_t count, std::int32_t* run_bits) {
  static_assert(kJointRuns == kRunsAtOnce && kJointWeights <= kMaxBlockFloats);
  std::int32_t largest = 0;
  for (std::size_t run = 0; run < kJointRuns; ++run) {
    const std::size_t begin = run * kJointRunWeights;
    run_bits[run] = begin < count ? LargestBits(from + begin, kJointRunWeights) : 0;
    largest = HWY_MAX(largest, run_bits[run]);
  }
  return largest;
}

using D4 = hn::FixedTag<std::int32_t, 4>;

// Lane i of the result is the largest lane i of all 16-byte lanes.
template <class V>
HWY_INLINE hn::Vec<D4> LargestOfLanes(V v) {
  if constexpr (sizeof(V) == sizeof(hn::Vec<D4>)) {
    return v;
  } else {
    const hn::Half<hn::DFromV<V>> half;
    return LargestOfLanes(hn::Max(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// Lane i of the result is the largest sum of |x| over a quad in scale run i, as the bits of a float.
HWY_INLINE hn::Vec<D4> LargestSums(const float* from) {
  const DF df;
  const D32 d32;
  const hn::Repartition<std::int64_t, D32> d64;
  V32 largest = hn::Zero(d32);
  for (std::size_t i = 0; i < kVectorsPerRun; ++i, from += kLanesF) {
    VF run[kRunsAtOnce];
    LUTRA_UNROLL
    for (std::size_t r = 0; r < kRunsAtOnce; ++r) {
      run[r] = hn::Abs(hn::LoadU(df, from + r * kVectorsPerRun * kLanesF));
    }
    const VF half01 = hn::Add(hn::InterleaveLower(df, run[0], run[1]), hn::InterleaveUpper(df, run[0], run[1]));
    const VF half23 = hn::Add(hn::InterleaveLower(df, run[2], run[3]), hn::InterleaveUpper(df, run[2], run[3]));
    const auto pair01 = hn::BitCast(d64, half01), pair23 = hn::BitCast(d64, half23);
    const VF sums = hn::Add(hn::BitCast(df, hn::InterleaveLower(d64, pair01, pair23)),
                            hn::BitCast(df, hn::InterleaveUpper(d64, pair01, pair23)));
    largest = hn::Max(largest, hn::BitCast(d32, sums));
  }
  return LargestOfLanes(largest);
}

// --- Very small and very large x.
//
// If the largest |x|, or the largest sum, is in [2^-60, 2^61), the steps of a K-block (at least 2^-60 / 16319) and
// their inverses (at most 127 * 256 * 31 * 2^60 < 2^80) are normal floats. Otherwise x is first multiplied by 2^90 or
// 2^-90: x below 2^-60, down to the smallest subnormal, 2^-149, becomes 2^-59 to 2^30; x from 2^61 to 2^128 becomes
// 2^-29 to 2^38. The reference uses the same numbers.
inline constexpr int kMinExponent = -60, kMaxExponent = 60, kExponentBias = 127;
inline constexpr float kScaleUp = 0x1p90f, kScaleDown = 0x1p-90f;

// Whether the float with these bits is 0, or in [2^kMinExponent, 2^(kMaxExponent + 1)).
constexpr bool IsModerate(std::int32_t bits) {
  const std::int32_t exponent = (bits >> 23) - kExponentBias;
  return bits == 0 || (exponent >= kMinExponent && exponent <= kMaxExponent);
}
// Scales quads[0 .. count) if their largest magnitude is not moderate. Returns the factor that undoes the scaling.
HWY_INLINE float Normalize(std::int32_t largest_bits, std::size_t count, float* quads) {
  if (IsModerate(largest_bits)) return 1.0f;
  const bool small = (largest_bits >> 23) < kExponentBias;
  for (std::size_t i = 0; i < count; ++i) quads[i] *= small ? kScaleUp : kScaleDown;
  return small ? kScaleDown : kScaleUp;
}

// Sets the ratios, up to max_ratio, and inverse steps of the scale runs of a K-block. run_bits: the largest sum, or
// integer, of each run, as the bits of a float; it becomes `limit` steps. `largest`: the largest of them; `iterations`:
// how many times kRunsAtOnce runs there are.
HWY_INLINE void SetRatios(const std::int32_t* run_bits, float largest, float max_ratio, float limit,
                          std::size_t iterations, BlockOfX& block) {
  const D4 d4;
  const hn::Rebind<float, D4> f4;
  const float units = largest > 0.0f ? max_ratio / largest : 0.0f;
  const auto most = hn::Set(f4, max_ratio);
  for (std::size_t run = 0; run < iterations * kRunsAtOnce; run += kRunsAtOnce) {
    const auto sums = hn::BitCast(f4, hn::Load(d4, run_bits + run));
    const auto ratio = hn::Min(hn::Max(hn::Set(f4, 1.0f), hn::Ceil(hn::Mul(sums, hn::Set(f4, units)))), most);
    const auto r = hn::ConvertTo(d4, ratio);
    const auto twice = hn::Or(r, hn::ShiftLeft<16>(r));
    hn::Store(hn::Div(hn::Set(f4, units * limit), ratio), f4, block.inverse + run);
    hn::Store(twice, d4, block.ratio + run);
  }
}
// Stores the ratios of the scale runs of a K-block in the forms that lookups need.
HWY_INLINE void StoreRatios(const BlockOfX& block, std::size_t iterations, BlockScale& out) {
  const D4 d4;
  const hn::Rebind<std::uint16_t, D4> h4;
  for (std::size_t run = 0; run < iterations * kRunsAtOnce; run += kRunsAtOnce) {
    const auto twice = hn::Load(d4, block.ratio + run);
    hn::StoreU(hn::Or(twice, hn::ShiftLeft<8>(twice)), d4, reinterpret_cast<std::int32_t*>(out.quad + run));
    hn::StoreU(hn::DemoteTo(h4, hn::ShiftRight<16>(twice)), h4, reinterpret_cast<std::uint16_t*>(out.pair + run / 2));
  }
}

// The same for the one step of a K-block, or for the steps of joint K-blocks that all are its unit.
HWY_INLINE void SetOneStep(float inverse, BlockOfX& block) {
  for (std::size_t r = 0; r < kMaxRunsPerBlock; ++r) {
    block.inverse[r] = inverse;
    block.ratio[r] = 0x00010001;
  }
}

// Rounds a float of 24 bits to 22 bits (Veltkamp's splitting, with 2^2 + 1), so that its product with kMagic, 3 * 2^22,
// is exact.
HWY_INLINE float Upper22Bits(float value) {
  const float shifted = value * 5.0f;
  return shifted - (shifted - value);
}

// Loads K-block b of a row of x, or joint K-blocks b, and sets the steps of its scale runs and the scale of its sums.
// If an element is not finite, all become 0 and the scale NaN, which makes all of the row's products NaN.
template <class Traits>
HWY_INLINE void RoundBlock(const Row& x, std::size_t b, BlockOfX& block, BlockScale& out) {
  const Geometry& g = *x.geometry;
  const std::size_t begin = g.x_begin(b), count = g.x_end(b) - begin;
  const std::size_t iterations = (g.x_chunks_in(b) * kChunkFloats + kFloatsAtOnce - 1) / kFloatsAtOnce,
                    size = iterations * kFloatsAtOnce;
  block.joint = !Traits::kTables && g.joint_ratio != 0;
  // raw: integers are used as they are if one scale serves the K-block and no table rounds them: the sums of int4 and
  // bits are entries themselves. The scale is the row's, or a scale group's unless an order of columns mixes groups.
  const std::size_t last = begin + count - 1;
  const bool one_scale = x.scale_group >= g.k || (x.order == nullptr && begin / x.scale_group == last / x.scale_group);
  const bool integers = Traits::kRatios ? PerByte(x.type) != 1 : HasScales(x.type);
  bool raw = integers && one_scale && x.transform.norm == nullptr;
  HWY_ALIGN std::int32_t run_bits[kMaxRunsPerBlock];
  const auto largest_bits = [&](const float* quads) HWY_ATTR {
    if (!Traits::kRatios && !block.joint) return LargestBits(quads, size);
    if (!Traits::kRatios) return LargestOfRuns(quads, size, run_bits);
    auto largest = hn::Zero(D4());
    for (std::size_t iteration = 0; iteration < iterations; ++iteration) {
      const auto sums = LargestSums(quads + iteration * kFloatsAtOnce);
      hn::Store(sums, D4(), run_bits + iteration * kRunsAtOnce);
      largest = hn::Max(largest, sums);
    }
    return hn::ReduceMax(D4(), largest);
  };
  block.quads = LoadQuads<Traits>(x, begin, count, size, raw, false, block.buffer);
  block.finite = true;
  std::int32_t bits = largest_bits(block.quads);
  if (raw && block.joint && bits > kBitsOf127) {  // 16-bit sums of joint K-blocks take no -128
    raw = false;
    block.quads = LoadQuads<Traits>(x, begin, count, size, raw, false, block.buffer);
    bits = largest_bits(block.quads);
  }
  float restore = 1.0f;
  if (!IsModerate(bits)) {
    block.quads = LoadQuads<Traits>(x, begin, count, size, raw, true, block.buffer);
    const std::int32_t largest_x = LargestBits(block.quads, size);
    block.finite = largest_x < 0x7f800000;
    if (!block.finite) std::memset(block.buffer, 0, size * sizeof(float));
    restore = Normalize(block.finite ? largest_x : 0, size, block.buffer);
    bits = largest_bits(block.quads);
  }
  float largest;
  std::memcpy(&largest, &bits, sizeof(largest));
  // The integers are finite, but their products with the scale may not be.
  const float scale = raw ? x.scales[begin / x.scale_group] : 0.0f;
  if (raw) {
    const std::int32_t most = Traits::kRatios ? LargestBits(block.quads, size) : bits;
    float largest_x;
    std::memcpy(&largest_x, &most, sizeof(largest_x));
    block.finite = std::fabs(largest_x * scale) <= kFloatMax;
  }
  if constexpr (Traits::kRatios) {
    const float steps = x.type == DataType::kBits ? 16.0f : 2.0f;  // of an integer: entries are at most 64 steps
    if (raw) {
      SetOneStep(kFine * steps, block);
    } else {
      SetRatios(run_bits, largest, kMaxRatio, kFine * 127.0f, iterations, block);
    }
    StoreRatios(block, iterations, out);
    out.scale = Upper22Bits(raw ? scale / steps : largest / (127.0f * kMaxRatio) * restore);
    out.offset = -kMagic * out.scale;
    // For x above 2.6e34 the offset would be infinite. Then the result is NaN on all targets.
    if (!(std::fabs(out.offset) <= kFloatMax)) out.scale = out.offset = std::numeric_limits<float>::quiet_NaN();
  } else if (block.joint && !raw) {
    const auto max_ratio = static_cast<float>(g.joint_ratio);
    SetRatios(run_bits, largest, max_ratio, 127.0f, 1, block);
    out.scale = largest / (127.0f * max_ratio) * restore;
  } else {
    SetOneStep(raw ? 1.0f : largest > 0.0f ? Traits::kLimit / largest : 0.0f, block);
    if (!block.joint) StoreRatios(block, kMaxRunsPerBlock / kRunsAtOnce, out);
    out.scale = raw ? scale : largest / Traits::kLimit * restore;
    out.offset = 0.0f;
  }
  if (!block.finite) out.scale = out.offset = std::numeric_limits<float>::quiet_NaN();
}

// Loads K-block b of a row of x, which stays as it is.
template <class Traits>
HWY_INLINE void LoadBlock(const Row& x, std::size_t b, BlockOfX& block) {
  const Geometry& g = *x.geometry;
  const std::size_t begin = g.x_begin(b), size = g.x_chunks_in(b) * kChunkFloats;
  block.quads = LoadQuads<Traits>(x, begin, g.x_end(b) - begin, size, false, false, block.buffer);
  block.finite = LargestBits(block.quads, size) < 0x7f800000;
}

template <class Traits>
HWY_INLINE void MeasureBlock(const Row& x, std::size_t b, BlockOfX& block, BlockScale& out) {
  if constexpr (Traits::kFloats) {
    LoadBlock<Traits>(x, b, block);
  } else {
    RoundBlock<Traits>(x, b, block, out);
  }
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
