// Writes GGUF files and the blocks in them, one weight at a time, from ggml's documents and without the library's code.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "support/problem.h"

namespace lutra::test {

// --- Blocks.

// Random blocks of one type, and the weights that ggml dequantizes from them.
struct GgmlBlocks {
  std::vector<std::uint8_t> bytes;
  std::vector<float> weights;
};

struct BlockOptions {
  std::size_t levels = 0;  // of codes; 0: as many as ggml's quantizer uses
  float scale = 0.0f;      // of blocks with one level of scales; 0: a random one, of any sign
  bool zeros = false;      // ternary: no other weights
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
  // A random f16 at the byte, and its value.
  float Scale(std::size_t byte) {
    float value = options_.scale;
    if (value == 0.0f) value = random_.Uniform(0.5f, 1.5f) * 0x1p-6f;
    if (options_.scale == 0.0f && random_.Below(4) == 0) value = -value;
    const std::uint16_t bits = F32ToF16(value);
    At(byte) = static_cast<std::uint8_t>(bits);
    At(byte + 1) = static_cast<std::uint8_t>(bits >> 8);
    return F16ToF32(bits);
  }
  void Weight(float weight) { to_->weights.push_back(weight); }

  void Write(std::uint32_t type) {
    switch (type) {
      case 2:
        return OneLevel(
            0,
            [](std::size_t k) {
              return Field{2 + k % 16, k / 16 * 4};
            },
            16, -8);
      case 3:
        return OneLevel(
            0,
            [](std::size_t k) {
              return Field{4 + k % 16, k / 16 * 4};
            },
            16, 0, 2);
      case 20:
        return Iq4Nl();
      case 39:
        return Mxfp4();
      case 10:
        return Q2_K();
      case 11:
        return Q3_K();
      case 12:
        return Q4_K();
      case 34:
        return TQ1_0();
      case 35:
        return OneLevel(
            64,
            [](std::size_t k) {
              return Field{k / 128 * 32 + k % 32, k % 128 / 32 * 2};
            },
            3, -1);
      case 41:
        return Q1_0();
      case 42:
        return OneLevel(
            0,
            [](std::size_t k) {
              return Field{2 + k / 4, k % 4 * 2};
            },
            3, -1);
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
  void Q1_0() {
    const float scale = Scale(0);
    for (std::size_t k = 0; k < 128; ++k) {
      const unsigned bit = Code(2);
      Or({2 + k / 8, k % 8}, bit);
      Weight(bit != 0 ? scale : -scale);
    }
  }
  void Iq4Nl() {
    constexpr float kValues[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    const float scale = Scale(0);
    for (std::size_t k = 0; k < 32; ++k) {
      const unsigned code = Code(16);
      Or({2 + k % 16, k / 16 * 4}, code);
      Weight(scale * kValues[code]);
    }
  }
  void Mxfp4() {
    constexpr float kMagnitudes[] = {0, 1, 2, 3, 4, 6, 8, 12};
    const unsigned exponent = options_.scale != 0.0f ? 120 : Integer(12) < 2 ? Integer(2) : 100 + Integer(40);
    At(0) = static_cast<std::uint8_t>(exponent);
    for (std::size_t k = 0; k < 32; ++k) {
      const unsigned code = Code(16);
      Or({1 + k % 16, k / 16 * 4}, code);
      const float magnitude = std::ldexp(kMagnitudes[code % 8], static_cast<int>(exponent) - 128);
      Weight(code <= 8 ? magnitude : -magnitude);  // ggml's -0 is 0
    }
  }
  void TQ1_0() {
    const float scale = Scale(52);
    std::array<std::array<unsigned, 5>, 52> digits = {};
    for (std::size_t k = 0; k < 256; ++k) {
      const unsigned code = Code(3);
      if (k < 160) digits[k % 32][k / 32] = code;
      if (k >= 160 && k < 240) digits[32 + (k - 160) % 16][(k - 160) / 16] = code;
      if (k >= 240) digits[48 + k % 4][(k - 240) / 4] = code;
      Weight((static_cast<float>(code) - 1) * scale);
    }
    for (std::size_t i = 0; i < digits.size(); ++i) {
      unsigned number = 0;
      for (const unsigned digit : digits[i]) number = 3 * number + digit;
      At(i) = static_cast<std::uint8_t>((number * 256 + 242) / 243);
    }
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
  void Q4_K() {
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
      const unsigned code = Code(16);
      Or({16 + k / 64 * 32 + k % 32, k % 64 / 32 * 4}, code);
      Weight(d * static_cast<float>(scale_) * static_cast<float>(code) - dmin * static_cast<float>(minimum_));
    }
  }

  const GgufType& type_;
  const BlockOptions options_;
  Random& random_;
  GgmlBlocks* to_;
  std::size_t begin_;
  unsigned scale_ = 0, minimum_ = 0;
};

inline GgmlBlocks MakeBlocks(std::uint32_t type, std::size_t count, Random& random, const BlockOptions& options = {}) {
  GgmlBlocks blocks;
  for (std::size_t i = 0; i < count; ++i) BlockWriter(type, options, random, &blocks);
  return blocks;
}

// --- Files.

class GgufWriter {
 public:
  explicit GgufWriter(std::uint32_t version = 3, std::size_t alignment = 32) : alignment_(alignment) {
    bytes_ = {'G', 'G', 'U', 'F'};
    Put(version);
    Put(std::uint64_t{0});
    Put(std::uint64_t{0});
  }

  template <class T>
  void Put(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  void Text(const std::string& text) {
    Put(std::uint64_t{text.size()});
    bytes_.insert(bytes_.end(), text.begin(), text.end());
  }
  // The value must follow.
  void Key(const std::string& key, std::uint32_t type) {
    Text(key);
    Put(type);
    ++bytes_[16];
  }
  // Metadata of part number `no` of a split model.
  void Split(std::uint16_t no, std::uint16_t count, std::int32_t tensors) {
    Key("split.no", 2);
    Put(no);
    Key("split.count", 2);
    Put(count);
    Key("split.tensors.count", 5);
    Put(static_cast<std::uint32_t>(tensors));
  }
  void Tensor(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
              const std::vector<std::uint8_t>& data) {
    Describe(name, dims, type, data_.size());
    data_.insert(data_.end(), data.begin(), data.end());
    data_.resize((data_.size() + alignment_ - 1) / alignment_ * alignment_);
  }
  void Describe(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                std::uint64_t offset) {
    Text(name);
    Put(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t dim : dims) Put(dim);
    Put(type);
    Put(offset);
    ++bytes_[8];
  }
  // Up to 255 keys and tensors.
  std::vector<std::uint8_t> Bytes() const {
    std::vector<std::uint8_t> bytes = bytes_;
    bytes.resize((bytes.size() + alignment_ - 1) / alignment_ * alignment_);
    bytes.insert(bytes.end(), data_.begin(), data_.end());
    return bytes;
  }

 private:
  std::size_t alignment_;
  std::vector<std::uint8_t> bytes_, data_;
};

}  // namespace lutra::test
