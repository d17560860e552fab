// Encodes the codes of a scale run to packed bytes, and decodes them, for encodings with indices, in all layouts.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lutra/format.h"
#include "lutra/layout/encodings.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

constexpr std::size_t kMaxPlanes = 2, kMaxChunkWeights = 16;                    // of encodings with indices
constexpr std::size_t kMaxRunBytes = kChunksPerRun * kMaxPlanes * kPlaneBytes;  // encodings with signs have one plane
constexpr std::uint8_t kNegative = 0x10;  // the sign of an index, above its four bits

// The nibbles and signs of a scale run, one per byte: [chunk][plane][row][index].
using Run = std::array<std::uint8_t, kChunksPerRun * kMaxPlanes * kPanelRows * kIndicesPerChunk>;
constexpr std::size_t kPlaneStride = kPanelRows * kIndicesPerChunk;
constexpr std::size_t kChunkStride = kMaxPlanes * kPlaneStride;

// The layout of scale runs with a given number of half chunks, as a table: for each nibble of the packed bytes its
// place in a Run, and the position of its sign bit.
struct RunLayout {
  std::size_t bytes;  // of packed nibbles
  std::uint16_t from[kChunksPerRun * kMaxPlanes * kPlaneBytes][2];
  std::uint16_t sign_bit[kChunksPerRun * kPlaneBytes][2];  // encodings with signs have one plane

  void Init(Layout layout, const EncodingInfo& e, std::size_t half_chunks) {
    bytes = RunIndexBytes(e, half_chunks);
    for (std::size_t i = 0; i < bytes; ++i) {
      for (int high = 0; high < 2; ++high) {
        const int byte = static_cast<int>(i);
        const NibblePlace s = PlaceOfNibble(layout, e, static_cast<int>(half_chunks), byte, high);
        const std::size_t place =
            static_cast<std::size_t>(s.chunk) * kChunkStride + static_cast<std::size_t>(s.plane) * kPlaneStride +
            static_cast<std::size_t>(s.row) * kIndicesPerChunk + static_cast<std::size_t>(s.index);
        from[i][high] = static_cast<std::uint16_t>(place);
        if (e.has_signs()) sign_bit[i][high] = static_cast<std::uint16_t>(SignBitAt(layout, s, byte));
      }
    }
  }
};

// Where the nibbles of one row stand in scale runs, for each number of half chunks from two on.
struct RunRows {
  struct Nibble {
    std::uint16_t byte, high, to, sign_bit;  // to: the place in a Run
  };
  struct {
    std::size_t size = 0;
    Nibble nibbles[kChunksPerRun * kMaxPlanes * kIndicesPerChunk];
  } of[kHalfChunksPerRun - 1];
};

// Writes scale runs of any number of half chunks to packed bytes, and reads them back.
class RunLayouts {
 public:
  RunLayouts(Layout layout, const EncodingInfo& e) : signs_(e.has_signs()) {
    for (RunLayout& none : layouts_) none.bytes = 0;
    if (!e.has_indices()) return;
    for (std::size_t half_chunks = 2; half_chunks <= kHalfChunksPerRun; half_chunks += signs_ ? 1 : 2) {
      layouts_[half_chunks - 2].Init(layout, e, half_chunks);
    }
  }

  void Write(const Run& run, std::size_t half_chunks, std::uint8_t* to) const {
    const RunLayout& layout = layouts_[half_chunks - 2];
    for (std::size_t i = 0; i < layout.bytes; ++i) {
      const std::uint16_t* const from = layout.from[i];
      to[i] = static_cast<std::uint8_t>((run[from[0]] & 0x0f) | run[from[1]] << 4);
    }
    std::uint8_t* signs = to + layout.bytes;
    if (!signs_) return;
    std::memset(signs, 0, kRunSignBytes);
    for (std::size_t i = 0; i < layout.bytes; ++i) {
      for (int high = 0; high < 2; ++high) {
        const std::size_t bit = layout.sign_bit[i][high];
        signs[bit / 8] =
            static_cast<std::uint8_t>(signs[bit / 8] | (run[layout.from[i][high]] / kNegative) << (bit % 8));
      }
    }
  }

  void Read(const std::uint8_t* from, std::size_t half_chunks, Run& run) const {
    const RunLayout& layout = layouts_[half_chunks - 2];
    for (std::size_t i = 0; i < layout.bytes; ++i) {
      for (std::uint16_t high = 0; high < 2; ++high) {
        const std::size_t sign_bit = signs_ ? layout.sign_bit[i][high] : 0;
        run[layout.from[i][high]] = NibbleOf(from, layout, i, high, sign_bit);
      }
    }
  }

  // Reads the nibbles of one row, for which `row` is RowOf.
  void ReadRow(const std::uint8_t* from, std::size_t half_chunks, const RunRows& row, Run& run) const {
    const RunLayout& layout = layouts_[half_chunks - 2];
    const auto& of = row.of[half_chunks - 2];
    for (std::size_t i = 0; i < of.size; ++i) {
      const RunRows::Nibble& nibble = of.nibbles[i];
      run[nibble.to] = NibbleOf(from, layout, nibble.byte, nibble.high, nibble.sign_bit);
    }
  }

  RunRows RowOf(std::size_t row) const {
    RunRows rows;
    for (std::size_t l = 0; l < kHalfChunksPerRun - 1; ++l) {
      const RunLayout& layout = layouts_[l];
      for (std::uint16_t i = 0; i < layout.bytes; ++i) {
        for (std::uint16_t high = 0; high < 2; ++high) {
          const std::uint16_t to = layout.from[i][high];
          if (to / kIndicesPerChunk % kPanelRows != row) continue;
          const std::uint16_t sign_bit = signs_ ? layout.sign_bit[i][high] : std::uint16_t{0};
          rows.of[l].nibbles[rows.of[l].size++] = {i, high, to, sign_bit};
        }
      }
    }
    return rows;
  }

 private:
  std::uint8_t NibbleOf(const std::uint8_t* from, const RunLayout& layout, std::size_t byte, unsigned high,
                        std::size_t sign_bit) const {
    const unsigned nibble = from[byte] >> (4 * high) & 0x0fu;
    const bool negative = signs_ && (from[layout.bytes + sign_bit / 8] >> (sign_bit % 8) & 1) != 0;
    return static_cast<std::uint8_t>(negative ? nibble | kNegative : nibble);
  }

  bool signs_;
  RunLayout layouts_[kHalfChunksPerRun - 1];  // from two half chunks on
};

// Encodes the codes of a chunk of one row to the nibbles of each plane, kPlaneStride apart, and decodes them.
class Encoder {
 public:
  explicit Encoder(const FormatInfo& f) : f_(f), e_(f.stored()), a_(Describe(e_.kind)) {
    if (!e_.has_signs()) return;
    for (int codes = 0; codes < 27; ++codes) {
      int index = 0;
      for (const int q : {codes / 9, codes / 3 % 3, codes % 3}) index = AppendDigit(a_, index, q - 1);
      ternary_[codes] = static_cast<std::uint8_t>(index < 0 ? -index | kNegative : index);
    }
  }

  // Returns false if the format does not have one of the codes.
  bool Encode(const std::uint8_t* codes, std::uint8_t* to) const {
    if (e_.has_signs()) return EncodeTernary(codes, to);
    std::uint32_t seen = 0, quads[kIndicesPerChunk];
    for (std::size_t i = 0; i < kIndicesPerChunk; ++i) {
      std::memcpy(&quads[i], codes + 4 * i, sizeof(quads[i]));  // little-endian: weight j in byte j
      seen |= quads[i];
    }
    for (int plane = 0; plane < e_.planes; ++plane, to += kPlaneStride) {
      for (std::size_t i = 0; i < kIndicesPerChunk; ++i) {
        // One product gathers bit `plane` of the four bytes: the bit of byte j becomes bit 24 + j.
        const std::uint32_t bits = ((quads[i] >> plane) & 0x01010101u) * 0x01020408u;
        to[i] = (bits >> 24) & 0x0f;
      }
    }
    return (seen & ~mask_) == 0;
  }

  void Decode(const std::uint8_t* from, std::uint8_t* codes) const {
    std::memset(codes, 0, e_.chunk_weights);
    for (int plane = 0; plane < e_.planes; ++plane, from += kPlaneStride) {
      for (int i = 0; i < static_cast<int>(kIndicesPerChunk); ++i) DecodeIndex(from[i], plane, codes + i * a_.g);
    }
  }

 private:
  bool EncodeTernary(const std::uint8_t* codes, std::uint8_t* to) const {
    int largest = 0;
    for (std::size_t i = 0; i < kIndicesPerChunk; ++i, codes += 3) {
      largest = std::max({largest, int{codes[0]}, int{codes[1]}, int{codes[2]}});
      to[i] = ternary_[std::min(codes[0] + 3 * codes[1] + 9 * codes[2], 26)];
    }
    return largest < f_.levels;
  }
  void DecodeIndex(std::uint8_t stored, int plane, std::uint8_t* codes) const {
    int index = stored & 0x0f;
    for (int j = 0; j < a_.g; ++j, index = DropLowDigit(a_, index)) {
      const int digit = LowDigit(a_, index);
      if (e_.has_signs()) codes[j] = static_cast<std::uint8_t>(1 + ((stored & kNegative) != 0 ? -digit : digit));
      if (!e_.has_signs() && digit > 0) codes[j] = static_cast<std::uint8_t>(codes[j] | 1 << plane);
    }
  }

  const FormatInfo& f_;
  const EncodingInfo& e_;
  const ActivationInfo& a_;
  const std::uint32_t mask_ = 0x01010101u * ((1u << e_.planes) - 1);  // the bits of codes, in four bytes
  std::uint8_t ternary_[27] = {};
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
