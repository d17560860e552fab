// Functions that decode a block of GGUF, and functions that encode one, one per type.
#pragma once

#include <cstdint>

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Where a decode function writes the contents of a block. With scales of two levels, the block is a super-group:
// `scale` and `offset` are the super-scale and super-offset, and the groups have integers. Pointers that the type does
// not need are ignored.
struct GgufBlock {
  std::uint8_t* codes;                         // one per weight of the block
  std::uint16_t *scale, *offset;               // f16
  std::uint8_t *group_scales, *group_offsets;  // one per group; two levels, or bytes
};

using GgufDecode = void(const std::uint8_t* from, const GgufBlock& to);

GgufDecode DecodeQ1_0, DecodeQ2_0, DecodePQ2_0, DecodeQ4_0, DecodeQ4_1, DecodeQ5_0, DecodeQ5_1, DecodeQ8_0;
GgufDecode DecodeQ2_K, DecodeQ3_K, DecodeQ4_K, DecodeQ5_K, DecodeQ6_K, DecodeIQ4_XS;
GgufDecode DecodeTQ1_0, DecodeTQ2_0, DecodePTQ1_0, DecodeI2_S, DecodeMxfp4, DecodeNvfp4;
// gguf_grid_blocks.cc
GgufDecode DecodeIQ1_S, DecodeIQ1_M, DecodeIQ2_XXS, DecodeIQ2_XS, DecodeIQ2_S, DecodeIQ3_XXS, DecodeIQ3_S;

// --- The way back, for types of which the decoded block keeps every bit.

// The contents of a block, as a GgufBlock has them.
struct GgufContents {
  const std::uint8_t* codes;
  std::uint16_t scale, offset;
  const std::uint8_t *group_scales, *group_offsets;
};

// Writes all bytes of the block.
using GgufEncode = void(const GgufContents& from, std::uint8_t* to);

// gguf_encode.cc
GgufEncode EncodeQ1_0, EncodeQ2_0, EncodePQ2_0, EncodeQ4_0, EncodeQ4_1, EncodeQ5_0, EncodeQ5_1, EncodeQ8_0;
GgufEncode EncodeQ2_K, EncodeQ3_K, EncodeQ4_K, EncodeQ5_K, EncodeQ6_K, EncodeIQ4_XS;
GgufEncode EncodeTQ1_0, EncodeTQ2_0, EncodePTQ1_0, EncodeMxfp4, EncodeNvfp4;

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
