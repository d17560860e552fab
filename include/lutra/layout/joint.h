// Joint K-blocks: which matrices have them, and the bounds of their sums.
//
// Scales of two levels are small integers under a float of their super-group. Where groups are smaller than 128
// weights, the integer sums of several K-blocks are multiplied by their scales in integers and become float together:
//
//     joint K-blocks   128 weights: the K-blocks, each a group, whose sums become float together. x has one step; each
//                      scale run of x has a ratio, an integer times that step.
//
//     y += super-scale * step * sum over groups of (scale * ratio * sum of L(q) * x)                       in 32 bits
//        + super-offset * 4 * step * sum over scale runs of (offset * ((ratio * sum of x + 2) / 4))
//
// The same on all targets, so results do not depend on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/layout/qparams.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

inline constexpr std::size_t kJointWeights = 128;
inline constexpr std::size_t kRunWeights = kChunksPerRun * Describe(ActivationKind::kIntegers).chunk_weights;
inline constexpr std::size_t kJointRuns = kJointWeights / kRunWeights;
inline constexpr std::size_t kJointChunks = kJointRuns * kChunksPerRun;
// Sums of x that offsets multiply are divided by 4, so that 16 bits hold them: 32 * 127 * 31 / 4 = 31496.
inline constexpr int kJointSumShift = 2;
static_assert(kRunWeights * 127 * 31 >> kJointSumShift <= 32767);

// The largest |L(q) + start| that joint sums multiply with x.
constexpr int JointWeight(const MethodInfo& method, bool offsets) {
  const int start = offsets ? 0 : method.start();
  const int low = method.lowest() + start, high = method.highest() + start;
  return high > -low ? high : -low;
}

// The largest ratio of a scale run of joint K-blocks; 0: K-blocks of such a matrix are not joint. It is 31 or 8: few
// values, so that matrices share prepared x. The sum of 128 products must fit 32 bits:
//
//     128 * |L(q)| * 127 * |scale| * ratio < 2^31        scales of a byte: up to 128
//
// int6 has 32 * 31: 2.06e9 of 2.15e9; iq4nl has 127 * 8: 2.11e9. Offsets serve whole scale runs. With offsets, codes
// are not centered, and 16-bit sums of 8 products hold codes up to 31.
constexpr int JointRatio(const FormatInfo& f, const QparamScheme& scheme, std::size_t group) {
  const DataType type = scheme.fields[0].type;
  if (!HasTwoLevels(type) || HasRowScales(group) || group >= kJointWeights) return 0;
  const bool offsets = scheme.zero() != nullptr;
  const int weight = JointWeight({f.format, ActivationKind::kIntegers}, offsets);
  if (offsets && (group < kRunWeights || (weight > 31 && !f.has_table()))) return 0;
  const std::int64_t scale = type == DataType::kUInt4 ? 15 : 128;
  for (const int ratio : {31, 8}) {
    if (std::int64_t{kJointWeights} * weight * 127 * scale * ratio < std::int64_t{1} << 31) return ratio;
  }
  return 0;
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
