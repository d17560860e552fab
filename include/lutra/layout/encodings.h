// Where the index or code of (row, plane, position) stands in a run, for packing and for readers.
//
// For planes of indices and ternary indices the place of a nibble depends on the target, as it decides which table a
// byte of a vector looks up and which bytes the adder joins (see the drawings in kernels/lookup_vector-inl.h and
// kernels/lookup_block-inl.h):
//
//     kVector   [plane][chunk]. A vector holds the tables of four indices; a 32-bit lane is one row, its bytes the four
//               indices of a chunk. The quad dot product adds them. (x86 with VBMI and VNNI) Of half a chunk, the lower
//               bytes of a lane are the two indices of one row, the upper ones of the row 32 further on.
//     kBlock    [chunk][pair of planes], then [chunk] of the plane that is left, if any. Each 16-byte lane holds one
//               table; all bytes of a vector belong to one index. Two planes of a row alternate byte by byte and are
//               added by the pair product; a lone plane has a byte per row.
//
// Nibbles of codes are in the same order on all targets: [chunk][half of the rows][plane], a 32-bit lane is one row
// (two, with the high nibbles). Byte i of plane p holds code 4 * p + i of a chunk in the low bits of its nibbles; in
// nibbles of 3 bits, the bit above it is bit p of code 12 + i, so that most codes are unpacked by a mask.
#pragma once

#include <cstddef>

#include "lutra/layout/panels.h"

namespace lutra {
namespace internal {

// What one nibble of a run stands for.
struct NibblePlace {
  int chunk, plane, index, row;
};

// The 16-bit lanes of a block-scope vector are rows in this order, so that interleaving the sums of two runs, which
// widens them, yields consecutive rows.
constexpr int RowOfLane(int lane, int blocks) {
  const int block = lane / 8, i = lane % 8;
  return (i / 4) * 4 * blocks + block * 4 + i % 4;
}

// The place of nibble `high` (0 or 1) of byte `byte` of a run of `half_chunks` half chunks.
constexpr NibblePlace PlaceOfNibble(Layout layout, const EncodingInfo& e, int half_chunks, int byte, int high) {
  const int row_in_vector = byte % 64 / 4 + high * 16, planes = e.planes, chunks = (half_chunks + 1) / 2;
  if (!e.has_indices()) {
    const int line = byte / 64;
    return {line / (2 * planes), line % planes, byte % 4, line / planes % 2 * 32 + row_in_vector};
  }
  if (layout.scope == Scope::kVector) {
    if (half_chunks % 2 != 0 && byte / 64 == half_chunks - 1) {
      return {chunks - 1, 0, byte % 2, byte % 4 / 2 * 32 + row_in_vector};
    }
    return {byte / 128 % chunks, byte / (128 * chunks), byte % 4, byte / 64 % 2 * 32 + row_in_vector};
  }
  const int vector_bytes = 16 * layout.blocks, lanes = 8 * layout.blocks;
  const int pairs = planes / 2, chunk_pairs = 256 * pairs;
  const int in = byte % 64, in_vector = in % vector_bytes;
  if (byte < chunks * chunk_pairs) {  // [chunk][index][pair][vector][lane][plane of the pair]
    const int row = (2 * (in / vector_bytes) + high) * lanes + RowOfLane(in_vector / 2, layout.blocks);
    return {byte / chunk_pairs, byte / 64 % pairs * 2 + in_vector % 2, byte / (64 * pairs) % 4, row};
  }
  // [chunk][pair of indices][vector][byte]: interleaving the bytes of two indices yields the rows of two vectors of
  // lanes
  const int lone = byte - chunks * chunk_pairs;
  const int half = 2 * (in / vector_bytes) + in_vector % 16 / 8, lane = in_vector / 16 * 8 + in_vector % 8;
  return {lone / 128, planes - 1, lone / 64 % 2 * 2 + high, half * lanes + RowOfLane(lane, layout.blocks)};
}

// The position of that nibble's sign among the sign bits of its run: byte i's sign is bit i of a mask (kVector), or the
// bit `4 * chunk + index` from the top of the byte at the lookup's own position (kBlock).
constexpr std::size_t SignBitAt(Layout layout, NibblePlace place, int byte) {
  const auto in = static_cast<std::size_t>(byte % 64), chunk = static_cast<std::size_t>(place.chunk);
  if (layout.scope == Scope::kVector) return chunk * 256 + static_cast<std::size_t>(place.row / 16) * 64 + in;
  return in * 8 + 7 - (chunk * 4 + static_cast<std::size_t>(place.index));
}

// --- Indices as numbers: the digits of an index (>= 0) from weight 0, the lowest, upwards. A table's entry is
// sum_j digit_j * x[j].
constexpr int LowDigit(const ActivationInfo& a, int index) {
  return a.base == 2 ? 2 * (index & 1) - 1 : (index + 1) % 3 - 1;
}
constexpr int DropLowDigit(const ActivationInfo& a, int index) { return a.base == 2 ? index >> 1 : (index + 1) / 3; }

// The number of g digits, from weight g - 1 down to weight 0: negative where its mirror image is meant, in base 3.
constexpr int AppendDigit(const ActivationInfo& a, int index, int digit) {
  return a.base == 2 ? 2 * index + (digit > 0 ? 1 : 0) : 3 * index + digit;
}

}  // namespace internal
}  // namespace lutra
