// Encodes blocks of GGUF, one function per type: the inverses of gguf_blocks.cc.
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "import/gguf_blocks.h"
#include "lutra/matrix.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

void StoreF16(std::uint16_t bits, std::uint8_t* to) {
  to[0] = static_cast<std::uint8_t>(bits);
  to[1] = static_cast<std::uint8_t>(bits >> 8);
}

// ggml subtracts offsets, Lutra adds them.
std::uint16_t NegatedF16(std::uint16_t bits) { return bits ^ 0x8000; }

// Packs the bits [kFrom, kFrom + kBits) of codes to `size` bytes, kBytes at a time: to the lowest field of each byte,
// then to the next field of each.
template <std::size_t kBytes, int kBits, int kFrom = 0>
void PackFields(const std::uint8_t* codes, std::size_t size, std::uint8_t* bytes) {
  constexpr unsigned kMask = (1u << kBits) - 1;
  for (const std::uint8_t* const end = bytes + size; bytes != end; bytes += kBytes) {
    std::fill_n(bytes, kBytes, std::uint8_t{0});
    for (int shift = 0; shift < 8; shift += kBits) {
      for (std::size_t i = 0; i < kBytes; ++i) {
        const unsigned field = (static_cast<unsigned>(codes[i]) >> kFrom) & kMask;
        bytes[i] = static_cast<std::uint8_t>(bytes[i] | field << shift);
      }
      codes += kBytes;
    }
  }
}

// Packs `digits` digits in base 3 to each of `count` bytes: the highest digit of each byte, then the next digit of
// each. byte / 256 is the smallest such fraction that is not below the digits. Returns the end of the codes.
const std::uint8_t* PackDigits(const std::uint8_t* codes, std::size_t count, int digits, std::uint8_t* bytes) {
  constexpr int kDigits = 5;  // of a byte; digits that are not given are 0
  for (std::size_t i = 0; i < count; ++i) {
    unsigned number = 0;
    for (int digit = 0; digit < kDigits; ++digit) {
      number = 3 * number + (digit < digits ? codes[static_cast<std::size_t>(digit) * count + i] : 0u);
    }
    bytes[i] = static_cast<std::uint8_t>((number * 256 + 242) / 243);
  }
  return codes + static_cast<std::size_t>(digits) * count;
}

// The scales and offsets of Q4_K and Q5_K.
void EncodeScalesOfQ4_K(const GgufContents& from, std::uint8_t* to) {
  StoreF16(from.scale, to);
  StoreF16(NegatedF16(from.offset), to + 2);
  const std::uint8_t *const scales = from.group_scales, *const offsets = from.group_offsets;
  for (std::size_t g = 0; g < 4; ++g) {
    to[4 + g] = static_cast<std::uint8_t>(scales[g] | scales[g + 4] >> 4 << 6);
    to[8 + g] = static_cast<std::uint8_t>(offsets[g] | offsets[g + 4] >> 4 << 6);
    to[12 + g] = static_cast<std::uint8_t>((scales[g + 4] & 15) | (offsets[g + 4] & 15) << 4);
  }
}

}  // namespace

void EncodeQ1_0(const GgufContents& from, std::uint8_t* to) {
  StoreF16(from.scale, to);
  PackFields<1, 1>(from.codes, 16, to + 2);
}

void EncodeQ2_0(const GgufContents& from, std::uint8_t* to) {
  StoreF16(from.scale, to);
  PackFields<1, 2>(from.codes, 16, to + 2);
}

void EncodePQ2_0(const GgufContents& from, std::uint8_t* to) {
  StoreF16(from.scale, to);
  PackFields<1, 2>(from.codes, 32, to + 2);
}

void EncodeQ4_0(const GgufContents& from, std::uint8_t* to) {
  StoreF16(from.scale, to);
  PackFields<16, 4>(from.codes, 16, to + 2);
}

void EncodeQ5_0(const GgufContents& from, std::uint8_t* to) {
  StoreF16(from.scale, to);
  PackFields<1, 1, 4>(from.codes, 4, to + 2);
  PackFields<16, 4>(from.codes, 16, to + 6);
}

void EncodeQ8_0(const GgufContents& from, std::uint8_t* to) {
  StoreF16(from.scale, to);
  for (std::size_t k = 0; k < 32; ++k) to[2 + k] = from.codes[k] ^ 0x80;
}

void EncodeMxfp4(const GgufContents& from, std::uint8_t* to) {
  to[0] = from.group_scales[0];
  PackFields<16, 4>(from.codes, 16, to + 1);
}

void EncodeQ4_1(const GgufContents& from, std::uint8_t* to) {
  StoreF16(from.scale, to);
  StoreF16(from.offset, to + 2);
  PackFields<16, 4>(from.codes, 16, to + 4);
}

void EncodeQ5_1(const GgufContents& from, std::uint8_t* to) {
  StoreF16(from.scale, to);
  StoreF16(from.offset, to + 2);
  PackFields<1, 1, 4>(from.codes, 4, to + 4);
  PackFields<16, 4>(from.codes, 16, to + 8);
}

void EncodeNvfp4(const GgufContents& from, std::uint8_t* to) {
  std::copy_n(from.group_scales, 4, to);
  PackFields<8, 4>(from.codes, 32, to + 4);
}

void EncodeQ2_K(const GgufContents& from, std::uint8_t* to) {
  for (std::size_t g = 0; g < 16; ++g) {
    to[g] = static_cast<std::uint8_t>(from.group_scales[g] | from.group_offsets[g] << 4);
  }
  PackFields<32, 2>(from.codes, 64, to + 16);
  StoreF16(from.scale, to + 80);
  StoreF16(NegatedF16(from.offset), to + 82);
}

void EncodeQ3_K(const GgufContents& from, std::uint8_t* to) {
  PackFields<32, 1, 2>(from.codes, 32, to);
  PackFields<32, 2>(from.codes, 64, to + 32);
  std::uint8_t* const scales = to + 96;
  std::fill_n(scales, 12, std::uint8_t{0});
  for (std::size_t g = 0; g < 16; ++g) {
    const unsigned scale = static_cast<unsigned>(from.group_scales[g] + 32) & 63;
    scales[g % 8] = static_cast<std::uint8_t>(scales[g % 8] | (scale & 15) << (g < 8 ? 0 : 4));
    scales[8 + g % 4] = static_cast<std::uint8_t>(scales[8 + g % 4] | scale >> 4 << (g / 4 * 2));
  }
  StoreF16(from.scale, to + 108);
}

void EncodeQ4_K(const GgufContents& from, std::uint8_t* to) {
  EncodeScalesOfQ4_K(from, to);
  PackFields<32, 4>(from.codes, 128, to + 16);
}

void EncodeQ5_K(const GgufContents& from, std::uint8_t* to) {
  EncodeScalesOfQ4_K(from, to);
  PackFields<32, 1, 4>(from.codes, 32, to + 16);
  PackFields<32, 4>(from.codes, 128, to + 48);
}

void EncodeQ6_K(const GgufContents& from, std::uint8_t* to) {
  PackFields<64, 4>(from.codes, 128, to);
  PackFields<32, 2, 4>(from.codes, 64, to + 128);
  std::copy_n(from.group_scales, 16, to + 192);
  StoreF16(from.scale, to + 208);
}

void EncodeIQ4_XS(const GgufContents& from, std::uint8_t* to) {
  StoreF16(from.scale, to);
  std::fill_n(to + 4, 4, std::uint8_t{0});
  unsigned high = 0;
  for (std::size_t g = 0; g < 8; ++g) {
    const unsigned scale = static_cast<unsigned>(from.group_scales[g] + 32) & 63;
    to[4 + g / 2] = static_cast<std::uint8_t>(to[4 + g / 2] | (scale & 15) << (g % 2 * 4));
    high |= scale >> 4 << (2 * g);
  }
  StoreF16(static_cast<std::uint16_t>(high), to + 2);
  PackFields<16, 4>(from.codes, 128, to + 8);
}

void EncodeTQ1_0(const GgufContents& from, std::uint8_t* to) {
  const std::uint8_t* codes = PackDigits(from.codes, 32, 5, to);
  codes = PackDigits(codes, 16, 5, to + 32);
  PackDigits(codes, 4, 4, to + 48);
  StoreF16(from.scale, to + 52);
}

void EncodeTQ2_0(const GgufContents& from, std::uint8_t* to) {
  PackFields<32, 2>(from.codes, 64, to);
  StoreF16(from.scale, to + 64);
}

void EncodePTQ1_0(const GgufContents& from, std::uint8_t* to) {
  const std::uint8_t* codes = PackDigits(from.codes, 16, 5, to);
  codes = PackDigits(codes, 8, 5, to + 16);
  PackDigits(codes, 2, 4, to + 24);
  StoreF16(from.scale, to + 26);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
