// How K is cut into K-blocks, chunks and scale runs: the same on every target, so that results do not depend on the
// CPU.
//
//   K-block    what is summed in integers before it is scaled to float: min(group, EncodingInfo::k_block) weights.
//              K-blocks never straddle groups; the last of a group or of a row may be shorter.
//   chunk      the unit of packing along K: four nibbles of each plane of a row. A K-block is a whole number of chunks;
//              weights beyond its end are void. x has chunks of its own (ActivationInfo::chunk_weights).
//   scale run  two chunks of x, whose int8 tables share one scale. For ternary indices, where the last run of a K-block
//              has two chunks, and two indices of the second suffice, only these are stored: half a chunk.
#pragma once

#include <cstddef>

#include "lutra/format.h"

namespace lutra {

inline constexpr std::size_t kIndicesPerChunk = 4;
inline constexpr std::size_t kChunksPerRun = 2;
inline constexpr std::size_t kMaxChunksPerBlock = 16;
inline constexpr std::size_t kMaxRunsPerBlock = kMaxChunksPerBlock / kChunksPerRun;
inline constexpr std::size_t kMaxIntegerChunks = 192 / 16;  // of x in integers, in a K-block

constexpr std::size_t BlockSize(const FormatInfo& f, std::size_t group) {
  const bool small = !HasRowScales(group) && group <= 128;
  return small ? group : f.stored().k_block;
}
// The pattern of K-blocks repeats every so many weights of a row.
constexpr std::size_t CutSize(const FormatInfo& f, std::size_t group) {
  const std::size_t block = BlockSize(f, group);
  return HasRowScales(group) || group % block == 0 ? block : group;
}
// Where the K-block ends that begins with weight `begin` of a row of k.
constexpr std::size_t BlockEnd(const FormatInfo& f, std::size_t group, std::size_t begin, std::size_t k) {
  const std::size_t block = BlockSize(f, group), left = CutSize(f, group) - begin % CutSize(f, group);
  const std::size_t size = block < left ? block : left;
  return size < k - begin ? begin + size : k;
}

namespace internal {

constexpr std::size_t DivideUp(std::size_t value, std::size_t by) { return value / by + (value % by != 0); }
constexpr std::size_t RoundUp(std::size_t value, std::size_t multiple) { return DivideUp(value, multiple) * multiple; }

// Half chunks of codes that are stored of a K-block.
constexpr std::size_t HalfChunksIn(const EncodingInfo& e, std::size_t weights) {
  const std::size_t chunks = DivideUp(weights, e.chunk_weights);
  const bool half = e.has_signs() && chunks != 0 && chunks % kChunksPerRun == 0 &&
                    weights <= chunks * e.chunk_weights - e.chunk_weights / 2;
  return 2 * chunks - (half ? 1 : 0);
}

}  // namespace internal
}  // namespace lutra
