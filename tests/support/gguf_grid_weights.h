// The weights of blocks of ggml's IQ1, IQ2 and IQ3 types, one at a time, in the order of ggml's roundings. Only the
// grids are the library's.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

#include "../src/import/gguf_grids.h"
#include "lutra/lutra.h"

namespace lutra::test {

// A block of 256 weights.
class GridBlock {
 public:
  explicit GridBlock(const std::uint8_t* bytes) : bytes_(bytes) {}

  float Weight(std::uint32_t type, std::size_t k) const {
    const std::size_t eight = k / 8, of_eight = k % 8, of_four = k % 4;  // index of k among its eight or four
    switch (type) {
      case 16: {  // iq2_xxs
        const unsigned index = bytes_[2 + k / 32 * 8 + eight % 4], word = Word(2 + k / 32 * 8 + 4);
        return F16(0) * (0.5f + static_cast<float>(word >> 28)) * 0.25f * Iq2(internal::kIq2xxsGrid[index], of_eight) *
               EvenSign(word >> (7 * (eight % 4)), of_eight);
      }
      case 17: {  // iq2_xs
        const unsigned code = Half(2 + 2 * eight);
        return F16(0) * (0.5f + Nibble(66, k / 16)) * 0.25f * Iq2(internal::kIq2xsGrid[code % 512], of_eight) *
               EvenSign(code / 512, of_eight);
      }
      case 22: {  // iq2_s
        const unsigned index = bytes_[2 + eight] + 256u * (bytes_[66 + k / 32] >> (2 * (eight % 4)) & 3u);
        return F16(0) * (0.5f + Nibble(74, k / 16)) * 0.25f * Iq2(internal::kIq2sGrid[index], of_eight) *
               Sign(bytes_[34 + eight], of_eight);
      }
      case 18: {  // iq3_xxs
        const unsigned index = bytes_[2 + k / 4], word = Word(66 + k / 32 * 4);
        return F16(0) * (0.5f + static_cast<float>(word >> 28)) * 0.5f *
               static_cast<float>(Iq3(internal::kIq3xxsGrid[index], of_four, kIq3xxs)) *
               EvenSign(word >> (7 * (eight % 4)), of_eight);
      }
      case 21: {  // iq3_s
        const unsigned index = bytes_[2 + k / 4] + 256u * (bytes_[66 + k / 32] >> (k % 32 / 4) & 1u);
        return F16(0) * (1 + 2 * Nibble(106, k / 32)) *
               static_cast<float>(Iq3(internal::kIq3sGrid[index], of_four, kIq3s)) * Sign(bytes_[74 + eight], of_eight);
      }
      case 19: {  // iq1_s
        const unsigned high = Half(34 + k / 32 * 2), index = bytes_[2 + eight] + 256u * (high >> 3 * (eight % 4) & 7u);
        return F16(0) * static_cast<float>(2 * (high >> 12 & 7) + 1) * Iq1(index, of_eight, (high & 0x8000) != 0);
      }
      case 29: {  // iq1_m
        const unsigned high = bytes_[32 + eight / 2] >> 4 * (eight % 2) & 15u,
                       index = bytes_[eight] + 256u * (high & 7u);
        const unsigned d = Half(48) >> 12 | Half(50) >> 12 << 4 | Half(52) >> 12 << 8 | Half(54) >> 12 << 12;
        const unsigned scale = Half(48 + k / 64 * 2) >> 3 * (k % 64 / 16) & 7u;
        return F16ToF32(static_cast<std::uint16_t>(d)) * static_cast<float>(2 * scale + 1) *
               Iq1(index, of_eight, (high & 8) != 0);
      }
      default:
        ADD_FAILURE() << "no grid of type " << type;
        return 0;
    }
  }

 private:
  static constexpr int kIq3xxs[] = {4, 12, 20, 28, 36, 44, 52, 62}, kIq3s[] = {1, 3, 5, 7, 9, 11, 13, 15};

  unsigned Half(std::size_t at) const { return bytes_[at] + 256u * bytes_[at + 1]; }
  unsigned Word(std::size_t at) const { return Half(at) + (Half(at + 2) << 16); }
  float F16(std::size_t at) const { return F16ToF32(static_cast<std::uint16_t>(Half(at))); }
  float Nibble(std::size_t at, std::size_t i) const {
    return static_cast<float>(i % 2 == 0 ? bytes_[at + i / 2] % 16 : bytes_[at + i / 2] / 16);
  }
  static float Sign(unsigned signs, std::size_t i) { return (signs >> i & 1) != 0 ? -1.0f : 1.0f; }
  // The last of eight signs is the product of the others.
  static float EvenSign(unsigned signs, std::size_t i) {
    float product = 1;
    for (std::size_t j = 0; j < 7; ++j) product *= Sign(signs, j);
    return i < 7 ? Sign(signs, i) : product;
  }
  static float Iq2(unsigned entry, std::size_t i) {
    constexpr float kMagnitudes[] = {8, 25, 43};
    return kMagnitudes[entry >> 2 * i & 3];
  }
  static int Iq3(unsigned entry, std::size_t i, const int* magnitudes) { return magnitudes[entry >> 3 * i & 7]; }
  static float Iq1(unsigned index, std::size_t i, bool down) {
    return static_cast<float>(internal::kIq1Grid[index] >> 2 * i & 3) - 1 + (down ? -0.125f : 0.125f);
  }

  const std::uint8_t* bytes_;
};

}  // namespace lutra::test
