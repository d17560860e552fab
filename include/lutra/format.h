// THE description of the weight formats: packing, table building, reference, kernels, tests and documents derive from
// it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lutra {

enum class Format : std::uint8_t { kInt1, kInt2, kInt3, kInt4, kTernary };

// A weight is stored as a code q in [0, levels) and stands for
//
//     w = scale * (value(q) - zero)            value(q) = gain * L(q) + center
//
// where the integer L(q) is what kernels sum up with x. There are two ways to do that, by what Prepare makes of x:
//
// kBinarySums, kTernarySums: a lookup code (T-MAC, https://arxiv.org/abs/2407.00088; LUT Tensor Core,
// https://arxiv.org/abs/2408.06003). L(q) = sum_p 2^p * digit_p(q). A digit takes `base` values: -1, +1 in base 2 (the
// bit of plane p, read as a sign) and -1, 0, +1 in base 3. The digits of g consecutive weights of one row and one plane
// form an index: the number with these digits. x becomes tables of all sums of g values with such digits as factors.
// In base 3 the number is balanced, so its negation is the index of the negated weights; only indices >= 0 have a table
// entry, and the sign is stored apart (a mirrored table).
//
// kIntegers: x becomes integers, L(q) = q, and each product is computed (g = 1). From 3 bits on that takes fewer
// instructions than a lookup per plane: 64 codes are one vector of bytes, but 3 or 4 vectors of lookups.
enum class Prepared : std::uint8_t { kBinarySums, kTernarySums, kIntegers };
inline constexpr std::size_t kPreparedKinds = 3;

struct FormatInfo {
  Format format;
  const char* name;
  int levels;  // number of codes
  Prepared prepared;
  int g;       // weights per table
  int planes;  // P: bits of a code in base 2, 1 in base 3
  float gain, center;
  float default_zero;  // the zero point of a matrix that has none

  constexpr bool looks_up() const { return prepared != Prepared::kIntegers; }
  constexpr bool mirrored() const { return prepared == Prepared::kTernarySums; }
  constexpr int base() const { return mirrored() ? 3 : 2; }
  constexpr int entries() const { return mirrored() ? 14 : 16; }  // of one table: (3^3 + 1) / 2 or 2^4
  constexpr int integer(int q) const {                            // L(q)
    return !looks_up() ? q : mirrored() ? q - 1 : 2 * q - (levels - 1);
  }
  constexpr float value(int q) const { return gain * static_cast<float>(integer(q)) + center; }
  // Weights in a chunk, the unit of packing: four indices, or four times four codes.
  constexpr std::size_t chunk_weights() const { return looks_up() ? 4 * static_cast<std::size_t>(g) : 16; }
  // Bits per weight of the stored codes alone: per chunk and row 16 for each plane, and 4 for signs.
  constexpr double index_bits() const {
    return (16.0 * planes + (mirrored() ? 4.0 : 0.0)) / static_cast<double>(chunk_weights());
  }
};

inline constexpr FormatInfo kFormats[] = {
    {Format::kInt1, "int1", 2, Prepared::kBinarySums, 4, 1, 1.0f, 0.0f, 0.0f},
    {Format::kInt2, "int2", 4, Prepared::kBinarySums, 4, 2, 0.5f, 1.5f, 2.0f},
    {Format::kInt3, "int3", 8, Prepared::kIntegers, 1, 3, 1.0f, 0.0f, 4.0f},
    {Format::kInt4, "int4", 16, Prepared::kIntegers, 1, 4, 1.0f, 0.0f, 8.0f},
    {Format::kTernary, "ternary", 3, Prepared::kTernarySums, 3, 1, 1.0f, 0.0f, 0.0f},
};

constexpr const FormatInfo& Describe(Format format) { return kFormats[static_cast<std::size_t>(format)]; }

// Lookup codes: the digits of an index (>= 0) from weight 0, the lowest, upwards: table[index] = sum_j digit_j * x[j].
constexpr int LowDigit(const FormatInfo& f, int index) {
  return f.base() == 2 ? 2 * (index & 1) - 1 : (index + 1) % 3 - 1;
}
constexpr int DropLowDigit(const FormatInfo& f, int index) { return f.base() == 2 ? index >> 1 : (index + 1) / 3; }

// The index of g digits as a number in base 3, negative where its mirror image is meant; >= 0 in base 2.
constexpr int AppendDigit(const FormatInfo& f, int index, int digit) {
  return f.base() == 2 ? 2 * index + (digit > 0 ? 1 : 0) : 3 * index + digit;  // from weight g - 1 down to weight 0
}

// --- The cut of K into blocks, chunks and runs; the same on every target, so that results do not depend on the CPU.
//
//   block   what is summed in integers before it is scaled to float: min(group, 128) weights; 192 in base 3 where one
//           scale serves more than 128. Blocks never straddle groups; the last of a group or of a row may be shorter.
//   chunk   four indices of one row, 4g weights; or 16 codes. A block is a whole number of chunks; weights beyond its
//           end are void.
//   run     two chunks, whose int8 tables share one scale. In base 3, where the last run of a block has two chunks, and
//           two indices of the second suffice, only these are stored: half a chunk.
inline constexpr std::size_t kIndicesPerChunk = 4;
inline constexpr std::size_t kChunksPerRun = 2;
inline constexpr std::size_t kMaxChunksPerBlock = 16;
inline constexpr std::size_t kMaxRunsPerBlock = kMaxChunksPerBlock / kChunksPerRun;

// Group sizes besides 16, 32, 64, 128 and 256 weights.
inline constexpr std::size_t kPerRow = 0;                                // one scale per row of W
inline constexpr std::size_t kPerMatrix = static_cast<std::size_t>(-1);  // one scale in all

constexpr bool IsGroupSize(std::size_t group) {
  return group == kPerRow || group == kPerMatrix || group == 16 || group == 32 || group == 64 || group == 128 ||
         group == 256;
}
constexpr bool HasRowScales(std::size_t group) { return group == kPerRow || group == kPerMatrix; }
constexpr std::size_t BlockSize(const FormatInfo& f, std::size_t group) {
  const bool small = !HasRowScales(group) && group <= 128;
  return small ? group : f.mirrored() ? 192 : 128;
}
// After so many weights of a row its cut into blocks starts anew.
constexpr std::size_t CutSize(const FormatInfo& f, std::size_t group) {
  const std::size_t block = BlockSize(f, group);
  return HasRowScales(group) || group % block == 0 ? block : group;
}
// Where the block ends that begins with weight `begin` of a row of k.
constexpr std::size_t BlockEnd(const FormatInfo& f, std::size_t group, std::size_t begin, std::size_t k) {
  const std::size_t block = BlockSize(f, group), left = CutSize(f, group) - begin % CutSize(f, group);
  const std::size_t size = block < left ? block : left;
  return size < k - begin ? begin + size : k;
}
constexpr std::size_t GroupsPerRow(std::size_t k, std::size_t group) {
  return HasRowScales(group) ? 1 : k / group + (k % group != 0);
}
constexpr std::size_t ChunksIn(const FormatInfo& f, std::size_t weights) {
  return (weights + f.chunk_weights() - 1) / f.chunk_weights();
}
// Half chunks that are stored of a block.
constexpr std::size_t HalvesIn(const FormatInfo& f, std::size_t weights) {
  const std::size_t chunks = ChunksIn(f, weights);
  const bool half = f.mirrored() && chunks != 0 && chunks % kChunksPerRun == 0 &&
                    weights <= chunks * f.chunk_weights() - f.chunk_weights() / 2;
  return 2 * chunks - (half ? 1 : 0);
}

// kInt8: int8 tables or int8 x, the fast default; NMSE 1.4e-5 to 4.5e-5 on Gaussian x and evenly used codes.
// kInt16: 15 bits in two digits of 7. Sums are exact integers: for int8 activations without any rounding of x (where no
//     block straddles two activation scales, and, with an order of columns, x has one per row), for others after
//     rounding x to a multiple of max|x| / ExactLimit(f) per block.
// Both give the same bits on every target, for every split into ranges and any number of threads.
enum class Precision : std::uint8_t { kInt8, kInt16 };
inline constexpr Precision kPrecisions[] = {Precision::kInt8, Precision::kInt16};

// The largest |x| in integers under kInt16: g of them sum to at most 127 * 128 + 63, what two digits hold.
constexpr int ExactLimit(const FormatInfo& f) { return (127 * 128 + 63) / f.g; }

}  // namespace lutra
