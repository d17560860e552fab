// Packs and unpacks the codes of a chunk for encodings without indices: 64 rows of 16 codes at a time, in loops that
// compilers turn into vectors.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "lutra/layout/encodings.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

inline constexpr std::size_t kCodesPerChunk = 16;  // of encodings without indices
inline constexpr std::size_t kQuads = kCodesPerChunk / 4;
inline constexpr std::size_t kLineRows = 16;  // rows in the low nibbles of a line of 64 bytes

// Codes of a chunk: four of a row in each word, [quad][row].
using Quads = std::uint32_t[kQuads][kPanelRows];

// The lowest field.count bits of four bytes.
constexpr std::uint32_t MaskOf(const CodeField& field) { return 0x01010101u * ((1u << field.count) - 1); }

// The line of a half of the panel's rows (0 or 1) and a plane, between quads and packed bytes. PlaceOfNibble
// (layout/encodings.h) has the order.
template <int kPlanes, int kPlane>
struct CodeLine {
  static constexpr CodeFields kFields = FieldsOf(kPlanes, kPlane);

  static void Write(const Quads& quads, std::size_t half, std::uint8_t* to) {
    std::uint32_t line[kLineRows];
    const std::size_t low = half * 2 * kLineRows, high = low + kLineRows;
    if constexpr (kPlanes == 8) {  // whole codes
      std::copy_n(quads[kPlane / 2] + (kPlane % 2 == 0 ? low : high), kLineRows, line);
    } else {
      for (std::size_t r = 0; r < kLineRows; ++r) {
        line[r] = NibblesOf(quads, low + r) | NibblesOf(quads, high + r) << 4;
      }
    }
    std::memcpy(to, line, sizeof(line));
  }

  static void Read(const std::uint8_t* from, std::size_t half, Quads& quads) {
    std::uint32_t line[kLineRows];
    std::memcpy(line, from, sizeof(line));
    const std::size_t low = half * 2 * kLineRows, high = low + kLineRows;
    if constexpr (kPlanes == 8) {
      std::copy_n(line, kLineRows, quads[kPlane / 2] + (kPlane % 2 == 0 ? low : high));
    } else {
      for (std::size_t r = 0; r < kLineRows; ++r) {
        AddNibbles(line[r], [&](int quad) -> std::uint32_t& { return quads[quad][low + r]; });
        AddNibbles(line[r] >> 4, [&](int quad) -> std::uint32_t& { return quads[quad][high + r]; });
      }
    }
  }

  // The same for one row of a chunk.
  static void ReadRow(const std::uint8_t* chunk, std::size_t row, std::uint32_t (&quads)[kQuads]) {
    const std::size_t half = row / (2 * kLineRows), high = row / kLineRows % 2;
    const std::uint8_t* const line = chunk + (half * kPlanes + kPlane) * sizeof(std::uint32_t) * kLineRows;
    std::uint32_t nibbles;
    std::memcpy(&nibbles, line + row % kLineRows * sizeof(nibbles), sizeof(nibbles));
    if constexpr (kPlanes == 8) {
      if (high == kPlane % 2) quads[kPlane / 2] = nibbles;
    } else {
      AddNibbles(nibbles >> (4 * high), [&](int quad) -> std::uint32_t& { return quads[quad]; });
    }
  }

 private:
  static std::uint32_t NibblesOf(const Quads& quads, std::size_t row) {
    std::uint32_t nibbles = 0;  // of all four codes at once
    for (int i = 0; i < kFields.size; ++i) {
      const CodeField& field = kFields.fields[i];
      nibbles |= (quads[field.quad][row] >> field.from & MaskOf(field)) << field.to;
    }
    return nibbles;
  }
  // Adds the nibbles to the codes quad_at(quad).
  template <class QuadAt>
  static void AddNibbles(std::uint32_t nibbles, const QuadAt& quad_at) {
    for (int i = 0; i < kFields.size; ++i) {
      const CodeField& field = kFields.fields[i];
      quad_at(field.quad) |= (nibbles >> field.to & MaskOf(field)) << field.from;
    }
  }
};

// The chunks of an encoding of kPlanes bits.
template <int kPlanes, int... kPlane>
struct CodeChunk {
  // Packs 64 rows, `stride` bytes apart. Returns the highest code, of its bits in `mask`.
  static std::uint8_t Pack(const std::uint8_t* codes, std::size_t stride, std::uint8_t mask, std::uint8_t* to) {
    Quads quads;
    for (std::size_t row = 0; row < kPanelRows; ++row) {
      std::uint32_t of_row[kQuads];
      std::memcpy(of_row, codes + row * stride, sizeof(of_row));
      for (std::size_t i = 0; i < kQuads; ++i) quads[i][row] = of_row[i];
    }
    for (std::size_t half = 0; half < 2; ++half) {
      ((CodeLine<kPlanes, kPlane>::Write(quads, half, to + (half * kPlanes + kPlane) * 64)), ...);
    }
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(quads);
    std::uint8_t highest = 0;
    for (std::size_t i = 0; i < sizeof(quads); ++i) {
      highest = std::max(highest, static_cast<std::uint8_t>(bytes[i] & mask));
    }
    return highest;
  }

  // Unpacks the rows [first, first + rows), `stride` bytes apart; of each, `count` codes.
  static void Unpack(const std::uint8_t* from, std::size_t first, std::size_t rows, std::size_t count,
                     std::uint8_t* codes, std::size_t stride) {
    Quads quads = {};
    for (std::size_t half = 0; half < 2; ++half) {
      ((CodeLine<kPlanes, kPlane>::Read(from + (half * kPlanes + kPlane) * 64, half, quads)), ...);
    }
    for (std::size_t row = 0; row < rows; ++row) {
      std::uint32_t of_row[kQuads];
      for (std::size_t i = 0; i < kQuads; ++i) of_row[i] = quads[i][first + row];
      std::memcpy(codes + row * stride, of_row, count);
    }
  }

  // Unpacks `count` codes of one row.
  static void UnpackRow(const std::uint8_t* from, std::size_t row, std::size_t count, std::uint8_t* codes) {
    std::uint32_t quads[kQuads] = {};
    (CodeLine<kPlanes, kPlane>::ReadRow(from, row, quads), ...);
    std::memcpy(codes, quads, count);
  }
};

struct CodeFunctions {
  std::uint8_t (*pack)(const std::uint8_t* codes, std::size_t stride, std::uint8_t mask, std::uint8_t* to);
  void (*unpack)(const std::uint8_t* from, std::size_t first, std::size_t rows, std::size_t count, std::uint8_t* codes,
                 std::size_t stride);
  void (*unpack_row)(const std::uint8_t* from, std::size_t row, std::size_t count, std::uint8_t* codes);
};

template <int kPlanes, int... kPlane>
constexpr CodeFunctions FunctionsOf(std::integer_sequence<int, kPlane...>) {
  using Chunk = CodeChunk<kPlanes, kPlane...>;
  return {Chunk::Pack, Chunk::Unpack, Chunk::UnpackRow};
}
// The functions of each number of planes, from kFewestPlanes on.
inline constexpr int kFewestPlanes = 2, kMostPlanes = 8;
template <int... kMore>
constexpr std::array<CodeFunctions, sizeof...(kMore)> AllFunctions(std::integer_sequence<int, kMore...>) {
  return {FunctionsOf<kFewestPlanes + kMore>(std::make_integer_sequence<int, kFewestPlanes + kMore>())...};
}
inline constexpr auto kCodeFunctions = AllFunctions(std::make_integer_sequence<int, kMostPlanes - kFewestPlanes + 1>());
constexpr const CodeFunctions& FunctionsOf(const EncodingInfo& e) {
  return kCodeFunctions[static_cast<std::size_t>(e.planes - kFewestPlanes)];
}

constexpr bool CodesHaveFunctions() {
  for (const EncodingInfo& e : kEncodings) {
    if (e.has_indices()) continue;
    if (e.planes < kFewestPlanes || e.planes > kMostPlanes || e.chunk_weights != kCodesPerChunk) return false;
  }
  return true;
}
static_assert(CodesHaveFunctions());

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
