// How K is cut into K-blocks, chunks and scale runs: the same on all targets, so results do not depend on the CPU.
//
//   K-block    the piece of K that kernels sum in integers before they scale the sum to float. It has min(group,
//              EncodingInfo::k_block) weights. No K-block straddles two groups. The last K-block of a group or of a row
//              may be shorter.
//   chunk      the unit of packing along K: four nibbles of each plane of a row. A K-block takes a whole number of
//              chunks; weights beyond its end do not count. x has chunks of its own (ActivationInfo::chunk_weights).
//   scale run  two chunks of x, whose int8 tables share one step. Ternary indices are stored in half a chunk where the
//              second chunk of the last run of a K-block needs no more than two indices.
#pragma once

#include <cstddef>

#include "lutra/format.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

inline constexpr std::size_t kIndicesPerChunk = 4;
inline constexpr std::size_t kChunksPerRun = 2;
// The largest K-block has 192 ternary weights. These are 16 chunks of 12 weights for lookups, and 12 chunks of 16
// integers for dot products.
inline constexpr std::size_t kMaxBlockWeights = 192;
inline constexpr std::size_t kMaxChunksPerBlock = 16;
inline constexpr std::size_t kMaxRunsPerBlock = kMaxChunksPerBlock / kChunksPerRun;
inline constexpr std::size_t kMaxIntegerChunks = kMaxBlockWeights / Describe(ActivationKind::kIntegers).chunk_weights;

namespace functions {

constexpr bool BlocksFit() {
  for (const EncodingInfo& e : kEncodings) {
    if (e.k_block > kMaxBlockWeights || e.k_block > kMaxChunksPerBlock * e.chunk_weights) return false;
  }
  return true;
}

}  // namespace functions

static_assert(BlocksFit());

namespace functions {

// Weights of a whole K-block.
constexpr std::size_t BlockSize(const FormatInfo& f, std::size_t group) {
  const bool small = !HasRowScales(group) && group <= 128;
  return small ? group : f.stored().k_block;
}
// The pattern of K-blocks repeats every CutSize weights of a row.
constexpr std::size_t CutSize(const FormatInfo& f, std::size_t group) {
  const std::size_t block = BlockSize(f, group);
  return HasRowScales(group) || group % block == 0 ? block : group;
}
// The end of the K-block that begins at weight `begin` of a row of k weights.
constexpr std::size_t BlockEnd(const FormatInfo& f, std::size_t group, std::size_t begin, std::size_t k) {
  const std::size_t block = BlockSize(f, group), left = CutSize(f, group) - begin % CutSize(f, group);
  const std::size_t size = block < left ? block : left;
  return size < k - begin ? begin + size : k;
}

}  // namespace functions

namespace internal {

constexpr std::size_t DivideUp(std::size_t value, std::size_t by) { return value / by + (value % by != 0); }
constexpr std::size_t RoundUp(std::size_t value, std::size_t multiple) { return DivideUp(value, multiple) * multiple; }

// The number of half chunks that store a K-block of `weights` weights.
constexpr std::size_t HalfChunksIn(const EncodingInfo& e, std::size_t weights) {
  const std::size_t chunks = DivideUp(weights, e.chunk_weights);
  const bool half = e.has_signs() && chunks != 0 && chunks % kChunksPerRun == 0 &&
                    weights <= chunks * e.chunk_weights - e.chunk_weights / 2;
  return 2 * chunks - (half ? 1 : 0);
}

}  // namespace internal

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
