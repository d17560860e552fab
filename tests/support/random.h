// Random numbers, the same everywhere, and elements of arrays of any type.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>

#include "lutra/lutra.h"

namespace lutra::test {

class Random {
 public:
  explicit Random(std::uint64_t seed) : bits_(seed) {}
  std::uint64_t Bits() { return bits_(); }
  std::size_t Below(std::size_t end) { return static_cast<std::size_t>(bits_() % end); }
  float Uniform(float begin, float end) { return begin + (end - begin) * static_cast<float>(bits_() >> 40) * 0x1p-24f; }
  // Two by two, by Marsaglia's polar method: std::normal_distribution takes a logarithm in long double for each.
  float Gaussian() {
    if (std::exchange(has_next_, false)) return next_;
    float x, y, square;
    do {
      x = Uniform(-1.0f, 1.0f);
      y = Uniform(-1.0f, 1.0f);
      square = x * x + y * y;
    } while (square > 1.0f || square == 0.0f);
    const float factor = std::sqrt(-2.0f * std::log(square) / square);
    has_next_ = true;
    next_ = x * factor;
    return y * factor;
  }
  template <class T, std::size_t kCount>
  const T& Pick(const T (&list)[kCount]) {
    return list[Below(kCount)];
  }

 private:
  std::mt19937_64 bits_;
  bool has_next_ = false;
  float next_ = 0.0f;
};

// The number that a byte of E4M3 stands for.
inline float E4M3(unsigned byte) {
  const auto mantissa = static_cast<float>(byte % 8) / 8;
  return byte < 8 ? std::ldexp(mantissa, -6) : std::ldexp(1 + mantissa, static_cast<int>(byte / 8) - 7);
}

// Element i of an array of any type.
inline float Load(DataType type, const void* data, std::size_t i) {
  const auto* const at = static_cast<const std::uint8_t*>(data) + i / PerByte(type) * SizeOf(type);
  if (type == DataType::kBits) return (*at >> i % 8) % 2 == 1 ? 1.0f : -1.0f;
  if (type == DataType::kInt4) {
    const int code = i % 2 == 0 ? *at % 16 : *at / 16;
    return static_cast<float>(code < 8 ? code : code - 16);
  }
  if (type == DataType::kInt8) return static_cast<float>(static_cast<std::int8_t>(*at));
  if (type == DataType::kE8M0) return std::ldexp(1.0f, *at - 127);
  if (type == DataType::kE4M3) return E4M3(*at);
  std::uint16_t half;
  std::memcpy(&half, at, sizeof(half));
  if (type != DataType::kF32) return type == DataType::kF16 ? F16ToF32(half) : BF16ToF32(half);
  float value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}
inline void Store(DataType type, float value, void* data, std::size_t i) {
  auto* const at = static_cast<std::uint8_t*>(data) + i / PerByte(type) * SizeOf(type);
  if (PerByte(type) != 1) {  // changes some bits of the byte
    const auto bits = static_cast<unsigned>(8 / PerByte(type)), shift = static_cast<unsigned>(i % PerByte(type)) * bits;
    const unsigned mask = (1u << bits) - 1;
    const unsigned code =
        type == DataType::kBits ? (value > 0 ? 1 : 0) : static_cast<unsigned>(static_cast<int>(value));
    *at = static_cast<std::uint8_t>((*at & ~(mask << shift)) | (code & mask) << shift);
    return;
  }
  const std::uint16_t half = type == DataType::kF16 ? F32ToF16(value) : F32ToBF16(value);
  auto byte = static_cast<std::int8_t>(type == DataType::kInt8 ? value : 0.0f);
  if (type == DataType::kE8M0) {  // the power of two below |value|
    byte = static_cast<std::int8_t>(std::clamp(value == 0 ? 0 : std::ilogb(value) + 127, 0, 254));
  }
  if (type == DataType::kE4M3) {  // the number below |value|
    while (byte < 126 && E4M3(static_cast<unsigned>(byte) + 1) <= std::fabs(value)) ++byte;
  }
  const void* const from = type == DataType::kF32 ? static_cast<const void*>(&value)
                           : SizeOf(type) == 1    ? static_cast<const void*>(&byte)
                                                  : &half;
  std::memcpy(at, from, SizeOf(type));
}

}  // namespace lutra::test
