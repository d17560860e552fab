// Joint K-blocks: which matrices have them, and the bounds of their sums.
//
// Scales of two levels are small integers under a float of their super-group. The integer sums of its K-blocks, each a
// group of 16 to 64 weights, are multiplied by their scales in integers and become float together:
//
//     joint K-blocks   256 weights, a super-group. x has one step for them.
//     joint run        64 weights of x that share a ratio, an integer: their own step is ratio * step
//
//     y += super-scale * step * sum over joint runs of ratio * (sum over their groups of scale * sum of L(q) * x)
//        + super-offset * 2 * step * sum over 32 weights of offset * ((ratio * sum of x + 1) / 2)
//
// Where groups have 16 weights or all ratios are at most 8, offsets multiply sums that are not halved:
//
//        + super-offset * step * sum over 32 or 16 weights of offset * (ratio * sum of x)
//
// All sums are integers of 32 bits. They are the same on all targets, so results do not depend on the CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "lutra/layout/qparams.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

inline constexpr std::size_t kJointWeights = kSuperGroup, kJointRunWeights = 64;
inline constexpr std::size_t kJointRuns = kJointWeights / kJointRunWeights;
inline constexpr std::size_t kIntegersPerChunk = Describe(ActivationKind::kIntegers).chunk_weights;
inline constexpr std::size_t kJointChunks = kJointWeights / kIntegersPerChunk;
inline constexpr std::size_t kJointRunChunks = kJointRunWeights / kIntegersPerChunk;
inline constexpr std::size_t kJointScales = 2;  // BlockScales that take the memory of a JointScale
inline constexpr int kMostJointRatio = 15, kLeastJointRatio = 4;
// Offsets multiply sums of ratio * x. Two sums share a word. 16 bits hold a sum of 32 weights up to a ratio of 8: 32 *
// 127 * 8 = 32512; if a ratio is above 8, the sums are halved. Int8 x that is not rounded has ratios of 1 and exact
// sums.
struct JointSums {
  std::size_t weights;  // of a sum
  std::size_t index;    // of their scale in JointScale
  std::size_t first;    // of their words in JointScale

  constexpr std::size_t words() const { return kJointWeights / weights / 2; }
  constexpr int shift(int largest_ratio) const {
    return static_cast<int>(weights) * 127 * largest_ratio > 32767 ? 1 : 0;
  }
};
inline constexpr JointSums kCoarseJointSums = {32, 0, 0}, kFineJointSums = {16, 1, kCoarseJointSums.words()};
static_assert(kCoarseJointSums.weights * 127 * kMostJointRatio >> 1 <= 32767);
static_assert(kFineJointSums.shift(kMostJointRatio) == 0);
inline constexpr std::size_t kJointSumWords = kFineJointSums.first + kFineJointSums.words();
// The sums for groups, which are K-blocks, of this size.
constexpr const JointSums& JointSumsOf(std::size_t group) {
  return group < kCoarseJointSums.weights ? kFineJointSums : kCoarseJointSums;
}

// Totals are multiplied with step / 16, and super-scales with 16: 2^31 * step may be infinite where y is not.
inline constexpr float kJointUnit = 16.0f;
// The groups of this size whose offsets share a word.
constexpr std::size_t GroupsPerOffsetWord(std::size_t group) { return group == kJointRunWeights ? 1 : 2; }

// The largest |L(q) + start| that joint sums multiply with x.
constexpr int JointWeight(const MethodInfo& method, bool offsets) {
  const int start = offsets ? 0 : method.start();
  const int low = method.lowest() + start, high = method.highest() + start;
  return high > -low ? high : -low;
}

// The largest ratio of a joint run; 0: K-blocks of such a matrix are not joint. It is one of two values, so that many
// matrices share prepared x. The sum of 256 products must fit 32 bits:
//
//     256 * |L(q)| * 127 * |scale| * ratio < 2^31        scales of a byte: up to 128
//
// int6 has 32 * 15: 2.00e9 of 2.15e9; iq4nl has 127 * 4: 2.11e9. With offsets, codes are not centered, and 16-bit sums
// of 8 products hold codes up to 31.
constexpr int JointRatio(const FormatInfo& f, const QparamScheme& scheme, std::size_t group) {
  const DataType type = scheme.fields[0].type;
  if (!HasTwoLevels(type) || HasRowScales(group) || group > kJointRunWeights) return 0;
  if (f.is_float()) return 0;
  if (f.stored().has_signs()) return 0;  // 16 unpacked groups of padded ternary indices take 24 KB
  const bool offsets = scheme.zero() != nullptr;
  const int weight = JointWeight({f.format, ActivationKind::kIntegers}, offsets);
  if (offsets && weight > 31 && !f.has_table()) return 0;
  const std::int64_t scale = type == DataType::kUInt4 ? 15 : 128;
  for (const int ratio : {kMostJointRatio, kLeastJointRatio}) {
    if (std::int64_t{kJointWeights} * weight * 127 * scale * ratio < std::int64_t{1} << 31) return ratio;
  }
  return 0;
}

// A folded code is the product (L(q) + start) * scale. A kernel multiplies folded codes with joint runs of x, without
// scales; its sums are the same integers. All folded codes fit 16 bits (at most 128 * 128), for kernels that multiply
// numbers of 16 bits. Other kernels take bytes, if all folded codes of a scheme fit a byte: scales of four bits are 0
// to 15; scales of a byte must be -32 to 31, as in q3_K. Joint K-blocks of a panel are not folded to bytes if any of
// their scales is outside. A matrix unit folds all codes, to one byte or two (kernels/joint_unit-inl.h).
struct FoldedCodes {
  int lowest_scale, highest_scale;
  int lowest, highest;
  constexpr bool fit() const { return highest - lowest <= 255; }
};
constexpr FoldedCodes FoldedCodesOf(const MethodInfo& method, const QparamScheme& scheme) {
  const int start = scheme.zero() != nullptr ? 0 : method.start();
  const bool nibbles = scheme.fields[0].type == DataType::kUInt4;
  FoldedCodes folded = {nibbles ? 0 : -32, nibbles ? 15 : 31, 0, 0};
  for (const int weight : {method.lowest() + start, method.highest() + start}) {
    for (const int product : {weight * folded.lowest_scale, weight * folded.highest_scale}) {
      if (product < folded.lowest) folded.lowest = product;
      if (product > folded.highest) folded.highest = product;
    }
  }
  return folded;
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
