// Where each index or code stands in a packed scale run: one function maps a nibble of packed bytes to its weight.
//
// Planes of indices and ternary indices: the place depends on the target's scope (layout/panels.h), because it decides
// which table a byte of a vector looks up and which bytes the adder joins. kernels/lookup_vector-inl.h and
// kernels/lookup_block-inl.h have drawings.
//
//     kVector   [plane][chunk]. A vector holds the tables of four indices. A 32-bit lane is one row; its four bytes are
//               the row's indices of a chunk, which the quad adder sums. In half a chunk, the two lower bytes of a lane
//               are the indices of one row, and the two upper bytes are the indices of the row 32 further on.
//     kBlock    [chunk][pair of planes], then [chunk] of the last plane if the number of planes is odd. Each 16-byte
//               lane holds the same table; all bytes of a vector belong to the same index. The two planes of a pair
//               alternate byte by byte, and the pair adder sums them. A plane without a partner has one byte per row.
//
// Codes have the same places on all targets: [chunk][half of the panel's rows][plane]. A 32-bit lane is one row in the
// low nibbles and another row in the high nibbles; FieldsOf says which bits of which codes a nibble holds. Codes of 8
// bits are bytes: a plane has the low nibbles and another plane the high nibbles of the same bytes.
#pragma once

#include <cstddef>

#include "lutra/layout/panels.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The index or the fields of codes that one nibble of a scale run holds: number `index` of the four of a row, in which
// plane, chunk and row of the panel.
struct NibblePlace {
  int chunk, plane, index, row;
};

// The row that a 16-bit lane of a block-scope vector stands for. `blocks` is the number of 16-byte lanes per vector.
// The kernel widens 16-bit sums by interleaving the sums of two runs; in this order, the result has consecutive rows.
constexpr int RowOfLane(int lane, int blocks) {
  const int wide_lane = lane / 8, i = lane % 8;
  return (i / 4) * 4 * blocks + wide_lane * 4 + i % 4;
}

// The place of the low (`high` = 0) or high (1) nibble of byte `byte` in a scale run of `half_chunks` half chunks.
constexpr NibblePlace PlaceOfNibble(Layout layout, const EncodingInfo& e, int half_chunks, int byte, int high) {
  const int row_in_vector = byte % 64 / 4 + high * 16, planes = e.planes, chunks = (half_chunks + 1) / 2;
  if (!e.has_indices()) {
    const int line = byte / 64, plane = line % planes, rows = line / planes % 2 * 32;
    if (planes == 8) return {line / 16, plane / 2 + 4 * high, byte % 4, rows + plane % 2 * 16 + byte % 64 / 4};
    return {line / (2 * planes), plane, byte % 4, rows + row_in_vector};
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
  // The plane without a partner: [chunk][pair of indices][vector][byte]. Interleaving the bytes of two indices yields
  // the rows of two vectors of 16-bit lanes.
  const int in_plane = byte - chunks * chunk_pairs;
  const int half = 2 * (in / vector_bytes) + in_vector % 16 / 8, lane = in_vector / 16 * 8 + in_vector % 8;
  return {in_plane / 128, planes - 1, in_plane / 64 % 2 * 2 + high, half * lanes + RowOfLane(lane, layout.blocks)};
}

// The position of a nibble's sign among the sign bits of its scale run; the nibble is in byte `byte` of the run, at
// `place`. kVector: the sign of a vector's byte i is bit i of a 64-bit mask. kBlock: it is bit `4 * chunk + index`,
// counted from the top, of the sign byte that has the same position in the vector as the nibble's byte.
constexpr std::size_t SignBitAt(Layout layout, NibblePlace place, int byte) {
  const auto in = static_cast<std::size_t>(byte % 64), chunk = static_cast<std::size_t>(place.chunk);
  if (layout.scope == Scope::kVector) return chunk * 256 + static_cast<std::size_t>(place.row / 16) * 64 + in;
  return in * 8 + 7 - (chunk * 4 + static_cast<std::size_t>(place.index));
}

// --- Codes of 2 to 8 bits: what nibble i (0 to 3) of a row in each plane of a chunk holds.

// `count` bits of the code 4 * quad + i, from bit `from` on, are the nibble's bits from `to` on.
struct CodeField {
  int quad, from, count, to;
};
struct CodeFields {
  CodeField fields[4];
  int size;
  constexpr const CodeField* begin() const { return fields; }
  constexpr const CodeField* end() const { return fields + size; }
};

// The fields of a plane, for codes of `bits` bits. Codes of 2 bits share nibbles by pairs of quads. The first four
// planes have the low four bits of the four quads. The upper bits of codes are in further planes: two bits of two quads
// each, then one bit of all four. In codes of 3 bits the fourth quad stands in the top bits of the other three, so that
// one mask unpacks 12 of the 16 codes.
constexpr CodeFields FieldsOf(int bits, int plane) {
  if (bits == 2) return {{{2 * plane, 0, 2, 0}, {2 * plane + 1, 0, 2, 2}}, 2};
  if (bits == 3) return {{{plane, 0, 3, 0}, {3, plane, 1, 3}}, 2};
  if (plane < 4) return {{{plane, 0, 4, 0}}, 1};
  if (bits == 8) return {{{plane - 4, 4, 4, 0}}, 1};
  if (bits >= 6 && plane < 6) return {{{2 * plane - 8, 4, 2, 0}, {2 * plane - 7, 4, 2, 2}}, 2};
  const int top = bits - 1;
  return {{{0, top, 1, 0}, {1, top, 1, 1}, {2, top, 1, 2}, {3, top, 1, 3}}, 4};
}

// --- Indices as numbers in the base of an activation kind. Digit j of an index (>= 0) belongs to weight j of its g
// weights; weight 0 has the lowest digit. The table entry at an index is the sum over j of digit_j * x[j].

// The digit of weight 0: -1 or 1 in base 2; -1, 0 or 1 in base 3.
constexpr int LowDigit(const ActivationInfo& a, int index) {
  return a.base == 2 ? 2 * (index & 1) - 1 : (index + 1) % 3 - 1;
}
// The index without its lowest digit, so that weight 1 becomes weight 0.
constexpr int DropLowDigit(const ActivationInfo& a, int index) { return a.base == 2 ? index >> 1 : (index + 1) / 3; }

// Builds an index digit by digit, from weight g - 1 down to weight 0, starting with 0. In base 3 the result may be
// negative: the weights then select entry -index of the mirrored table, negated.
constexpr int AppendDigit(const ActivationInfo& a, int index, int digit) {
  return a.base == 2 ? 2 * index + (digit > 0 ? 1 : 0) : 3 * index + digit;
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
