// Writes random blocks of GGUF, one weight at a time, from ggml's documents and without the library's code.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lutra/lutra.h"
#include "support/gguf_grid_weights.h"
#include "support/problem.h"

namespace lutra::test {

// Random blocks of one type, and the weights that ggml dequantizes from them.
struct GgmlBlocks {
  std::vector<std::uint8_t> bytes;
  std::vector<float> weights;
};

struct BlockOptions {
  std::size_t levels = 0;  // of codes; 0: as many as ggml's quantizer uses
  float scale = 0.0f;      // of f16 and f32 scales and super-scales; 0: a random one, of any sign
  bool zeros = false;      // ternary: no other weights
  int scale_byte = -1;     // of scales of a byte; -1: a random one
};

// One block of the type with the id, appended to *to.
class BlockWriter {
 public:
  BlockWriter(std::uint32_t type, const BlockOptions& options, Random& random, GgmlBlocks* to)
      : type_(*FindGgufType(type)), options_(options), random_(random), to_(to), begin_(to->bytes.size()) {
    to->bytes.resize(begin_ + type_.bytes);
    Write(type);
  }

 private:
  struct Field {
    std::size_t byte, shift;
  };

  std::uint8_t& At(std::size_t i) { return to_->bytes[begin_ + i]; }
  void Or(Field field, unsigned value) {
    At(field.byte) = static_cast<std::uint8_t>(At(field.byte) | value << field.shift);
  }
  unsigned Integer(std::size_t end) { return static_cast<unsigned>(random_.Below(end)); }
  unsigned Code(std::size_t levels) {
    return options_.zeros ? 1 : Integer(options_.levels != 0 ? options_.levels : levels);
  }
  float RandomScale() {
    if (options_.scale != 0.0f) return options_.scale;
    const float value = random_.Uniform(0.5f, 1.5f) * 0x1p-6f;
    return random_.Below(4) == 0 ? -value : value;
  }
  // A random f16 at the byte, and its value.
  float Scale(std::size_t byte) {
    const std::uint16_t bits = F32ToF16(RandomScale());
    At(byte) = static_cast<std::uint8_t>(bits);
    At(byte + 1) = static_cast<std::uint8_t>(bits >> 8);
    return F16ToF32(bits);
  }
  unsigned ScaleByte(std::size_t byte, unsigned random) {
    if (options_.scale_byte >= 0) random = static_cast<unsigned>(options_.scale_byte);
    At(byte) = static_cast<std::uint8_t>(random);
    return random;
  }
  void Weight(float weight) { to_->weights.push_back(weight); }

  void Write(std::uint32_t type) {
    switch (type) {
      case 2:
      case 3:
        return Q4_01();
      case 6:
      case 7:
        return Q5_01();
      case 8:
        return Q8_0();
      case 10:
        return Q2_K();
      case 11:
        return Q3_K();
      case 12:
        return Q45_K(16, 0);
      case 13:
        return Q45_K(48, 16);
      case 14:
        return Q6_K();
      case 16:
      case 17:
      case 18:
      case 19:
      case 21:
      case 22:
      case 29:
        return Grids();
      case 20:
        return Iq4Nl();
      case 23:
        return Iq4Xs();
      case 34:
        return TQ1_0();
      case 35:
        return TQ2_0();
      case 36:
        return I2S();
      case 39:
        return Mxfp4();
      case 40:
        return Nvfp4();
      case 41:
        return Q1_0();
      case 42:
      case 142:
        return Q2_0();
      case 143:
        return Ptq1_0();
      default:
        ADD_FAILURE() << "no writer for blocks of type " << type;
    }
  }

  // (code + add) * scale, or with a minimum code * scale + minimum.
  template <class FieldAt>
  void OneLevel(std::size_t scale_byte, FieldAt field_at, std::size_t levels, int add, std::size_t minimum_byte = 0) {
    const float scale = Scale(scale_byte), minimum = minimum_byte != 0 ? Scale(minimum_byte) : 0.0f;
    for (std::size_t k = 0; k < type_.weights; ++k) {
      const unsigned code = Code(levels);
      Or(field_at(k), code);
      const float product = static_cast<float>(static_cast<int>(code) + add) * scale;
      Weight(minimum_byte != 0 ? product + minimum : product);
    }
  }
  void Q4_01() {
    const std::size_t codes = type_.bytes - 16;
    const auto place = [=](std::size_t k) { return Field{codes + k % 16, k / 16 * 4}; };
    return codes == 2 ? OneLevel(0, place, 16, -8) : OneLevel(0, place, 16, 0, 2);
  }
  void TQ2_0() {
    const auto place = [](std::size_t k) { return Field{k / 128 * 32 + k % 32, k % 128 / 32 * 2}; };
    OneLevel(64, place, 3, -1);
  }
  void Q2_0() {
    const auto place = [](std::size_t k) { return Field{2 + k / 4, k % 4 * 2}; };
    OneLevel(0, place, 3, -1);
  }
  void Q5_01() {
    const bool has_minimum = type_.bytes == 24;
    const std::size_t high = has_minimum ? 4 : 2;
    const float scale = Scale(0), minimum = has_minimum ? Scale(2) : 0;
    for (std::size_t k = 0; k < 32; ++k) {
      const unsigned code = Code(32);
      Or({high + k / 8, k % 8}, code >> 4);
      Or({high + 4 + k % 16, k / 16 * 4}, code & 15);
      Weight(has_minimum ? static_cast<float>(code) * scale + minimum : (static_cast<float>(code) - 16) * scale);
    }
  }
  void Q8_0() {
    const float scale = Scale(0);
    for (std::size_t k = 0; k < 32; ++k) {
      At(2 + k) = static_cast<std::uint8_t>(Integer(256));
      Weight(static_cast<float>(static_cast<std::int8_t>(At(2 + k))) * scale);
    }
  }
  void Q1_0() {
    const float scale = Scale(0);
    for (std::size_t k = 0; k < 128; ++k) {
      const unsigned bit = Code(2);
      Or({2 + k / 8, k % 8}, bit);
      Weight(bit != 0 ? scale : -scale);
    }
  }
  void Iq4Nl() {
    const float scale = Scale(0);
    for (std::size_t k = 0; k < 32; ++k) {
      const unsigned code = Code(16);
      Or({2 + k % 16, k / 16 * 4}, code);
      Weight(scale * kIq4Nl[code]);
    }
  }
  void Iq4Xs() {
    const float d = Scale(0);
    for (std::size_t i = 2; i < 8; ++i) At(i) = static_cast<std::uint8_t>(Integer(256));
    for (std::size_t k = 0; k < 256; ++k) {
      const std::size_t g = k / 32;
      const int low = At(4 + g / 2) >> (g % 2 * 4) & 15, high = At(2 + g / 4) >> (g % 4 * 2) & 3;
      const unsigned code = Code(16);
      Or({8 + g * 16 + k % 16, k % 32 / 16 * 4}, code);
      Weight(d * static_cast<float>(low + 16 * high - 32) * kIq4Nl[code]);
    }
  }
  void Mxfp4() {
    const unsigned exponent = ScaleByte(0, Integer(12) < 2 ? Integer(2) : 100 + Integer(40));
    for (std::size_t k = 0; k < 32; ++k) {
      const unsigned code = Code(16);
      Or({1 + k % 16, k / 16 * 4}, code);
      const float magnitude = std::ldexp(kFp4Magnitudes[code % 8], static_cast<int>(exponent) - 128);
      Weight(code <= 8 ? magnitude : -magnitude);  // ggml's -0 is 0
    }
  }
  void Nvfp4() {
    for (std::size_t g = 0; g < 4; ++g) {
      const unsigned byte = ScaleByte(g, Integer(128)), mantissa = byte % 8;
      const int exponent = static_cast<int>(byte / 8);
      float scale = std::ldexp(static_cast<float>(exponent == 0 ? mantissa : 8 + mantissa), std::max(exponent, 1) - 10);
      if (byte == 0x7f) scale = 0;  // as ggml has it
      for (std::size_t k = 0; k < 16; ++k) {
        const unsigned code = Code(16);
        Or({4 + 8 * g + k % 8, k / 8 * 4}, code);
        const float magnitude = 0.5f * scale * kFp4Magnitudes[code % 8];
        Weight(code <= 8 ? magnitude : -magnitude);
      }
    }
  }
  // Ternary digits: byte_of(k) has weight k as digit digit_of(k), the highest first.
  template <class ByteOf, class DigitOf>
  void Ternary(std::size_t scale_byte, ByteOf byte_of, DigitOf digit_of) {
    const float scale = Scale(scale_byte);
    std::vector<std::array<unsigned, 5>> digits(scale_byte);
    for (std::size_t k = 0; k < type_.weights; ++k) {
      const unsigned code = Code(3);
      digits[byte_of(k)][digit_of(k)] = code;
      Weight((static_cast<float>(code) - 1) * scale);
    }
    for (std::size_t i = 0; i < digits.size(); ++i) {
      unsigned number = 0;
      for (const unsigned digit : digits[i]) number = 3 * number + digit;
      At(i) = static_cast<std::uint8_t>((number * 256 + 242) / 243);
    }
  }
  void TQ1_0() {
    Ternary(
        52, [](std::size_t k) { return k < 160   ? k % 32
                                       : k < 240 ? 32 + k % 16
                                                 : 48 + k % 4; },
        [](std::size_t k) { return k < 160   ? k / 32
                                   : k < 240 ? (k - 160) / 16
                                             : (k - 240) / 4; });
  }
  void Ptq1_0() {
    Ternary(
        26, [](std::size_t k) { return k < 80    ? k % 16
                                       : k < 120 ? 16 + k % 8
                                                 : 24 + k % 2; },
        [](std::size_t k) { return k < 80    ? k / 16
                                   : k < 120 ? (k - 80) / 8
                                             : (k - 120) / 2; });
  }
  void I2S() {
    constexpr float kValues[] = {-1, 0, 1, 0};
    for (std::size_t k = 0; k < 128; ++k) {
      const unsigned code = Code(4);
      Or({k % 32, 6 - k / 32 * 2}, code);
      Weight(kValues[code] * options_.scale);
    }
  }
  void Grids() {
    for (std::size_t i = 0; i < type_.bytes; ++i) At(i) = static_cast<std::uint8_t>(Integer(256));
    if (type_.id != 29) Scale(0);
    const std::uint16_t d = F32ToF16(RandomScale());
    for (std::size_t i = 0; i < 4 && type_.id == 29; ++i) {  // iq1_m has four bits in each of four bytes
      At(49 + 2 * i) = static_cast<std::uint8_t>(At(49 + 2 * i) % 16 + (d >> 4 * i) % 16 * 16);
    }
    for (std::size_t k = 0; k < 256; ++k) Weight(GridBlock(&At(0)).Weight(type_.id, k));
  }
  void Q2_K() {
    const float d = Scale(80), dmin = Scale(82);
    for (std::size_t k = 0; k < 256; ++k) {
      if (k % 16 == 0) At(k / 16) = static_cast<std::uint8_t>(Integer(256));
      const unsigned code = Code(4), integers = At(k / 16);
      Or({16 + k / 128 * 32 + k % 32, k % 128 / 32 * 2}, code);
      Weight(d * static_cast<float>(integers & 15) * static_cast<float>(code) -
             dmin * static_cast<float>(integers >> 4));
    }
  }
  void Q3_K() {
    const float d = Scale(108);
    for (std::size_t i = 0; i < 12; ++i) At(96 + i) = static_cast<std::uint8_t>(Integer(256));
    for (std::size_t k = 0; k < 256; ++k) {
      const std::size_t g = k / 16;
      const int low = g < 8 ? At(96 + g) & 15 : At(96 + g - 8) >> 4, high = At(104 + g % 4) >> (2 * (g / 4)) & 3;
      const unsigned code = Code(8);
      Or({k % 32, k / 32}, code >> 2);
      Or({32 + k / 128 * 32 + k % 32, k % 128 / 32 * 2}, code & 3);
      Weight(d * static_cast<float>(low + 16 * high - 32) * (static_cast<float>(code) - 4));
    }
  }
  // Q4_K and Q5_K: the codes are at byte `low`, their fifth bits at byte `high`.
  void Q45_K(std::size_t low, std::size_t high) {
    const float d = Scale(0), dmin = Scale(2);
    for (std::size_t k = 0; k < 256; ++k) {
      const std::size_t g = k / 32;
      if (k % 32 == 0) {
        scale_ = Integer(64), minimum_ = Integer(64);
        Or({4 + (g < 4 ? g : g + 4), 0}, g < 4 ? scale_ : scale_ & 15);
        Or({4 + (g < 4 ? g + 4 : g + 4), g < 4 ? 0u : 4u}, g < 4 ? minimum_ : minimum_ & 15);
        if (g >= 4) {
          Or({4 + g - 4, 6}, scale_ >> 4);
          Or({4 + g, 6}, minimum_ >> 4);
        }
      }
      const unsigned code = Code(high != 0 ? 32 : 16);
      Or({low + k / 64 * 32 + k % 32, k % 64 / 32 * 4}, code & 15);
      if (high != 0) Or({high + k % 32, k / 32}, code >> 4);
      Weight(d * static_cast<float>(scale_) * static_cast<float>(code) - dmin * static_cast<float>(minimum_));
    }
  }
  void Q6_K() {
    const float d = Scale(208);
    for (std::size_t i = 192; i < 208; ++i) At(i) = static_cast<std::uint8_t>(Integer(256));
    for (std::size_t k = 0; k < 256; ++k) {
      const std::size_t quarter = k % 128 / 32;
      const unsigned code = Code(64);
      Or({k / 128 * 64 + quarter % 2 * 32 + k % 32, quarter / 2 * 4}, code & 15);
      Or({128 + k / 128 * 32 + k % 32, quarter * 2}, code >> 4);
      Weight(d * static_cast<float>(static_cast<std::int8_t>(At(192 + k / 16))) * (static_cast<float>(code) - 32));
    }
  }

  static constexpr float kFp4Magnitudes[] = {0, 1, 2, 3, 4, 6, 8, 12};
  static constexpr float kIq4Nl[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

  const GgufType& type_;
  const BlockOptions options_;
  Random& random_;
  GgmlBlocks* to_;
  std::size_t begin_;
  unsigned scale_ = 0, minimum_ = 0;
};

// The blocks of a tensor and what follows them: a scale of all weights, of any sign, and garbage.
inline GgmlBlocks MakeBlocks(std::uint32_t type, std::size_t count, Random& random, BlockOptions options = {}) {
  GgmlBlocks blocks;
  const std::size_t tail = FindGgufType(type)->tail_bytes;
  if (tail != 0 && options.scale == 0.0f) options.scale = random.Uniform(-1.5f, 1.5f);
  for (std::size_t i = 0; i < count; ++i) BlockWriter(type, options, random, &blocks);
  if (tail == 0) return blocks;
  std::uint32_t scale;
  std::memcpy(&scale, &options.scale, sizeof(scale));
  for (std::size_t i = 0; i < tail; ++i)
    blocks.bytes.push_back(static_cast<std::uint8_t>(i < 4 ? scale >> 8 * i : 0xff));
  return blocks;
}

}  // namespace lutra::test
