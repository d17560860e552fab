// Decodes blocks of GGUF, one function per type. ggml defines the places of the fields.
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

}  // namespace

void DecodeQ1_0(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  UnpackFields<1, 1>(from + 2, 16, to.codes);
}

void DecodeQ2_0(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  UnpackFields<1, 2>(from + 2, 16, to.codes);
}

void DecodeQ4_0(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  UnpackFields<16, 4>(from + 2, 16, to.codes);
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
  std::uint8_t high[kSuperGroup];
  UnpackFields<32, 1>(high_bits, 32, high);
  UnpackFields<32, 2>(low_bits, 64, to.codes);
  std::uint8_t* const codes = to.codes;
  for (std::size_t k = 0; k < kSuperGroup; ++k) codes[k] = static_cast<std::uint8_t>(codes[k] | high[k] << 2);
  for (std::size_t g = 0; g < 16; ++g) {  // four low bits in bytes 0 to 7, two high bits in bytes 8 to 11
    const int low = scales[g % 8] >> (g < 8 ? 0 : 4) & 15, top = scales[8 + g % 4] >> (g / 4 * 2) & 3;
    to.group_scales[g] = static_cast<std::uint8_t>((low | top << 4) - 32);
  }
  *to.scale = LoadF16(from + 108);
}

void DecodeQ4_K(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = LoadF16(from);
  *to.offset = NegatedF16(LoadF16(from + 2));
  const std::uint8_t* const s = from + 4;  // 6 bits each: of groups 0 to 3 whole, of 4 to 7 in two parts
  for (std::size_t g = 0; g < 4; ++g) {
    to.group_scales[g] = s[g] & 63;
    to.group_offsets[g] = s[g + 4] & 63;
    to.group_scales[g + 4] = static_cast<std::uint8_t>((s[g + 8] & 15) | s[g] >> 6 << 4);
    to.group_offsets[g + 4] = static_cast<std::uint8_t>(s[g + 8] >> 4 | s[g + 4] >> 6 << 4);
  }
  UnpackFields<32, 4>(from + 16, 128, to.codes);
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

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
