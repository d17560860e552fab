// Decodes blocks of GGUF's IQ1, IQ2 and IQ3 types: indices of grid entries, signs, integer scales under an f16.
#include <cstddef>
#include <cstdint>

#include "import/gguf_blocks.h"
#include "import/gguf_grids.h"
#include "memory/little_endian.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

constexpr std::size_t kEights = 32;  // of a block: eight consecutive weights share a byte of signs, or a shift

std::uint16_t Load16(const std::uint8_t* bytes) { return LoadLittleEndian<std::uint16_t>(bytes); }

// The integer scale that s stands for: ggml's 0.5 + s, times 2.
std::uint8_t ScaleOf(unsigned s) { return static_cast<std::uint8_t>(2 * s + 1); }

// Scales of four bits each.
void DecodeScales(const std::uint8_t* from, std::size_t groups, std::uint8_t* scales) {
  for (std::size_t g = 0; g < groups; ++g) scales[g] = ScaleOf(from[g / 2] >> (g % 2 * 4) & 15u);
}

// Adds the eighth sign, which makes the number of negative signs even.
unsigned EvenSigns(unsigned seven) {
  unsigned parity = seven ^ seven >> 4;
  parity ^= parity >> 2;
  return seven | ((parity ^ parity >> 1) & 1) << 7;
}

// Writes the codes of an entry of kWeights magnitudes, of kBits bits each. Bit i of `signs` negates weight i. The
// format has kHalf magnitudes: its codes are the negative values in ascending order, then the positive ones.
template <std::size_t kWeights, unsigned kBits, unsigned kHalf>
void PutMagnitudes(unsigned entry, unsigned signs, std::uint8_t* codes) {
  for (std::size_t i = 0; i < kWeights; ++i) {
    const unsigned magnitude = entry >> (kBits * i) & ((1u << kBits) - 1);
    codes[i] = static_cast<std::uint8_t>((signs >> i & 1) != 0 ? kHalf - 1 - magnitude : kHalf + magnitude);
  }
}
constexpr auto* kPutIq2 = &PutMagnitudes<8, 2, 3>;
constexpr auto* kPutIq3 = &PutMagnitudes<4, 3, 8>;

// Writes the codes of an entry of IQ1, whose weights are 1/8 less, or 1/8 more if `up` is true.
void PutIq1(unsigned entry, bool up, std::uint8_t* codes) {
  for (std::size_t i = 0; i < 8; ++i) {
    codes[i] = static_cast<std::uint8_t>(2 * (entry >> (2 * i) & 3) + (up ? 1 : 0));
  }
}

}  // namespace

void DecodeIQ2_XXS(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = Load16(from);
  for (std::size_t i = 0; i < kEights; ++i) {  // per four: four indices, then four times seven signs and the scale
    const std::uint8_t* const four = from + 2 + i / 4 * 8;
    const auto signs = LoadLittleEndian<std::uint32_t>(four + 4);
    to.group_scales[i / 4] = ScaleOf(signs >> 28);
    kPutIq2(kIq2xxsGrid[four[i % 4]], EvenSigns(signs >> (i % 4 * 7) & 127), to.codes + 8 * i);
  }
}

void DecodeIQ2_XS(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = Load16(from);
  DecodeScales(from + 66, 16, to.group_scales);
  for (std::size_t i = 0; i < kEights; ++i) {
    const unsigned index = Load16(from + 2 + 2 * i);  // and seven signs above it
    kPutIq2(kIq2xsGrid[index & 511], EvenSigns(index >> 9), to.codes + 8 * i);
  }
}

void DecodeIQ2_S(const std::uint8_t* from, const GgufBlock& to) {
  const std::uint8_t *const low = from + 2, *const signs = from + 34, *const high = from + 66;
  *to.scale = Load16(from);
  DecodeScales(from + 74, 16, to.group_scales);
  for (std::size_t i = 0; i < kEights; ++i) {
    const unsigned index = low[i] | (high[i / 4] >> (i % 4 * 2) & 3u) << 8;
    kPutIq2(kIq2sGrid[index], signs[i], to.codes + 8 * i);
  }
}

void DecodeIQ3_XXS(const std::uint8_t* from, const GgufBlock& to) {
  const std::uint8_t* const indices = from + 2;
  *to.scale = Load16(from);
  for (std::size_t i = 0; i < kEights; ++i) {  // four times seven signs and a scale share a word
    const auto word = LoadLittleEndian<std::uint32_t>(from + 66 + i / 4 * 4);
    const unsigned signs = EvenSigns(word >> (i % 4 * 7) & 127);
    to.group_scales[i / 4] = ScaleOf(word >> 28);
    kPutIq3(kIq3xxsGrid[indices[2 * i]], signs, to.codes + 8 * i);
    kPutIq3(kIq3xxsGrid[indices[2 * i + 1]], signs >> 4, to.codes + 8 * i + 4);
  }
}

void DecodeIQ3_S(const std::uint8_t* from, const GgufBlock& to) {
  const std::uint8_t *const low = from + 2, *const high = from + 66, *const signs = from + 74;
  *to.scale = Load16(from);
  DecodeScales(from + 106, 8, to.group_scales);
  for (std::size_t i = 0; i < 2 * kEights; ++i) {
    const unsigned index = low[i] | (high[i / 8] >> (i % 8) & 1u) << 8;
    kPutIq3(kIq3sGrid[index], signs[i / 2] >> (i % 2 * 4), to.codes + 4 * i);
  }
}

void DecodeIQ1_S(const std::uint8_t* from, const GgufBlock& to) {
  *to.scale = Load16(from);
  for (std::size_t i = 0; i < kEights; ++i) {  // per four: three high bits of each index, the scale and the shift
    const unsigned high = Load16(from + 34 + i / 4 * 2), index = from[2 + i] | (high >> (i % 4 * 3) & 7) << 8;
    to.group_scales[i / 4] = ScaleOf(high >> 12 & 7);
    PutIq1(kIq1Grid[index], (high & 0x8000) == 0, to.codes + 8 * i);
  }
}

void DecodeIQ1_M(const std::uint8_t* from, const GgufBlock& to) {
  unsigned super_scale = 0;
  for (std::size_t g = 0; g < 16; ++g) {  // per four: three bits of each scale and four bits of the super-scale
    const unsigned scales = Load16(from + 48 + g / 4 * 2);
    to.group_scales[g] = ScaleOf(scales >> (g % 4 * 3) & 7);
    super_scale |= scales >> 12 << (g / 4 * 4);
  }
  *to.scale = static_cast<std::uint16_t>(super_scale);
  for (std::size_t i = 0; i < kEights; ++i) {
    const unsigned high = from[32 + i / 2] >> (i % 2 * 4) & 15u, index = from[i] | (high & 7) << 8;
    PutIq1(kIq1Grid[index], (high & 8) == 0, to.codes + 8 * i);
  }
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
