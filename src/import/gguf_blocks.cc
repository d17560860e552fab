// Decodes blocks of GGUF whose fields are codes, one function per type. ggml defines the places of the fields.
#include "import/gguf_blocks.h"

#include <algorithm>
#include <cstddef>

#include "lutra/matrix.h"
#include "memory/little_endian.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

std::uint16_t LoadF16(const std::uint8_t* bytes) { return LoadLittleEndian<std::uint16_t>(bytes); }

// ggml subtracts offsets, Lutra adds them.
std::uint16_t NegatedF16(std::uint16_t bits) { return bits ^ 0x8000; }

// Unpacks codes of kBits bits, kBytes bytes at a time: the lowest field of each byte, then the next field of each.
template <std::size_t kBytes, int kBits>
void UnpackFields(const std::uint8_t* bytes, std::size_t size, std::uint8_t* codes) {
  constexpr int kMask = (1 << kBits) - 1;
  for (const std::uint8_t* const end = bytes + size; bytes != end; bytes += kBytes) {
    for (int shift = 0; shift < 8; shift += kBits) {
      for (std::size_t i = 0; i < kBytes; ++i) codes[i] = static_cast<std::uint8_t>(bytes[i] >> shift & kMask);
      codes += kBytes;
    }
  }
}

// Adds the upper bits of codes whose lowest kBits are known: kHighBits of each, in the fields that UnpackFields reads.
template <std::size_t kBytes, int kHighBits, int kBits>
void AddHighFields(const std::uint8_t* bytes, std::size_t size, std::uint8_t* codes) {
  std::uint8_t high[kSuperGroup];
  UnpackFields<kBytes, kHighBits>(bytes, size, high);
  for (std::size_t k = 0; k < size * 8 / kHighBits; ++k) {
    codes[k] = static_cast<std::uint8_t>(codes[k] | high[k] << kBits);
  }
}

// Unpacks codes that are digits in base 3. byte / 256 is a fraction; its first `digits` digits are codes. The result
// has the highest digit of each of `count` bytes (at most 32), then the next digit of each. Returns the end of the
// codes.
std::uint8_t* UnpackDigits(const std::uint8_t* bytes, std::size_t count, int digits, std::uint8_t* codes) {
  std::uint8_t rest[32];
  std::copy_n(bytes, count, rest);
  for (int digit = 0; digit < digits; ++digit) {
    for (std::size_t i = 0; i < count; ++i) {
      const int times_3 = rest[i] * 3;
      *codes++ = static_cast<std::uint8_t>(times_3 >> 8);
      rest[i] = static_cast<std::uint8_t>(times_3);
    }
  }
  return codes;
}

// The scales and offsets of Q4_K and Q5_K.
void DecodeScalesOfQ4_K(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  *to.offset = NegatedF16(LoadF16(from + 2));
  const std::uint8_t* const s = from + 4;  // 6 bits each: of groups 0 to 3 whole, of 4 to 7 in two parts
  for (std::size_t g = 0; g < 4; ++g) {
    to.group_scales[g] = s[g] & 63;
    to.group_offsets[g] = s[g + 4] & 63;
    to.group_scales[g + 4] = static_cast<std::uint8_t>((s[g + 8] & 15) | s[g] >> 6 << 4);
    to.group_offsets[g + 4] = static_cast<std::uint8_t>(s[g + 8] >> 4 | s[g + 4] >> 6 << 4);
  }
}

}  // namespace

void DecodeQ1_0(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  UnpackFields<1, 1>(from + 2, 16, to.codes);
}

void DecodeQ2_0(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  UnpackFields<1, 2>(from + 2, 16, to.codes);
}

void DecodePQ2_0(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  UnpackFields<1, 2>(from + 2, 32, to.codes);
}

void DecodeQ4_0(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  UnpackFields<16, 4>(from + 2, 16, to.codes);
}

void DecodeQ5_0(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  UnpackFields<16, 4>(from + 6, 16, to.codes);
  AddHighFields<1, 1, 4>(from + 2, 4, to.codes);
}

void DecodeQ8_0(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  for (std::size_t k = 0; k < 32; ++k) to.codes[k] = from[2 + k] ^ 0x80;  // int8 plus 128
}

void DecodeMxfp4(const std::uint8_t* from, const GgufBlock& to) {
  *to.group_scales = from[0];
  UnpackFields<16, 4>(from + 1, 16, to.codes);
}

void DecodeQ4_1(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  *to.offset = LoadF16(from + 2);
  UnpackFields<16, 4>(from + 4, 16, to.codes);
}

void DecodeQ5_1(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  *to.offset = LoadF16(from + 2);
  UnpackFields<16, 4>(from + 8, 16, to.codes);
  AddHighFields<1, 1, 4>(from + 4, 4, to.codes);
}

void DecodeNvfp4(const std::uint8_t* from, const GgufBlock& to) {
  for (std::size_t g = 0; g < 4; ++g) to.group_scales[g] = from[g] == 0x7f ? 0 : from[g];  // ggml takes NaN for 0
  UnpackFields<8, 4>(from + 4, 32, to.codes);
}

void DecodeQ2_K(const std::uint8_t* from, const GgufBlock& to) {
  for (std::size_t g = 0; g < 16; ++g) {
    to.group_scales[g] = from[g] & 15;
    to.group_offsets[g] = from[g] >> 4;
  }
  UnpackFields<32, 2>(from + 16, 64, to.codes);
  *to.scale = LoadF16(from + 80);
  *to.offset = NegatedF16(LoadF16(from + 82));
}

void DecodeQ3_K(const std::uint8_t* from, const GgufBlock& to) {
  const std::uint8_t *const high_bits = from, *const low_bits = from + 32, *const scales = from + 96;
  UnpackFields<32, 2>(low_bits, 64, to.codes);
  AddHighFields<32, 1, 2>(high_bits, 32, to.codes);
  for (std::size_t g = 0; g < 16; ++g) {  // four low bits in bytes 0 to 7, two high bits in bytes 8 to 11
    const int low = scales[g % 8] >> (g < 8 ? 0 : 4) & 15, top = scales[8 + g % 4] >> (g / 4 * 2) & 3;
    to.group_scales[g] = static_cast<std::uint8_t>((low | top << 4) - 32);
  }
  *to.scale = LoadF16(from + 108);
}

void DecodeQ4_K(const std::uint8_t* from, const GgufBlock& to) {
  DecodeScalesOfQ4_K(from, to);
  UnpackFields<32, 4>(from + 16, 128, to.codes);
}

void DecodeQ5_K(const std::uint8_t* from, const GgufBlock& to) {
  DecodeScalesOfQ4_K(from, to);
  UnpackFields<32, 4>(from + 48, 128, to.codes);
  AddHighFields<32, 1, 4>(from + 16, 32, to.codes);
}

void DecodeQ6_K(const std::uint8_t* from, const GgufBlock& to) {
  UnpackFields<64, 4>(from, 128, to.codes);
  AddHighFields<32, 2, 4>(from + 128, 64, to.codes);
  std::copy_n(from + 192, 16, to.group_scales);
  *to.scale = LoadF16(from + 208);
}

void DecodeIQ4_XS(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  const auto high = LoadLittleEndian<std::uint16_t>(from + 2);
  for (std::size_t g = 0; g < 8; ++g) {
    const int low = from[4 + g / 2] >> (g % 2 * 4) & 15, top = high >> (2 * g) & 3;
    to.group_scales[g] = static_cast<std::uint8_t>((low | top << 4) - 32);
  }
  UnpackFields<16, 4>(from + 8, 128, to.codes);
}

void DecodeTQ1_0(const std::uint8_t* from, const GgufBlock& to) {
  std::uint8_t* codes = UnpackDigits(from, 32, 5, to.codes);
  codes = UnpackDigits(from + 32, 16, 5, codes);
  UnpackDigits(from + 48, 4, 4, codes);
  *to.scale = LoadF16(from + 52);
}

void DecodeTQ2_0(const std::uint8_t* from, const GgufBlock& to) {
  UnpackFields<32, 2>(from, 64, to.codes);
  *to.scale = LoadF16(from + 64);
}

void DecodePTQ1_0(const std::uint8_t* from, const GgufBlock& to) {
  std::uint8_t* codes = UnpackDigits(from, 16, 5, to.codes);
  codes = UnpackDigits(from + 16, 8, 5, codes);
  UnpackDigits(from + 24, 2, 4, codes);
  *to.scale = LoadF16(from + 26);
}

void DecodeI2_S(const std::uint8_t* from, const GgufBlock& to) {  // the scale follows the blocks
  for (std::size_t k = 0; k < 128; ++k) {                         // the highest field of each byte comes first
    const int field = from[k % 32] >> (6 - k / 32 * 2) & 3;
    to.codes[k] = static_cast<std::uint8_t>(field == 3 ? 1 : field);  // bitnet.cpp takes the fourth code for 0
  }
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
