// Conversions between float and the two float types of 16 bits, by integer arithmetic on their bits.
#include "lutra/float16.h"

#include <cstring>

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

float F16ToF32(std::uint16_t bits) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  const std::uint32_t exponent = bits >> 10 & 0x1f, mantissa = bits & 0x3ff;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t word = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
  float value;
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

std::uint16_t F32ToF16(float value) noexcept {
  std::uint32_t word;
  std::memcpy(&word, &value, sizeof(word));
  const std::uint32_t sign = word >> 16 & 0x8000;
  word &= 0x7fffffffu;
  if (word > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00);
  if (word >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00);  // 65520 and above round to infinity
  if (word < 0x38800000u) {                                                   // subnormal: a multiple of 2^-24
    const std::uint32_t exponent = word >> 23, shift = 126 - exponent;
    if (shift > 24) return static_cast<std::uint16_t>(sign);  // below half of 2^-24
    const std::uint32_t mantissa = (word & 0x7fffff) | 0x800000, odd = mantissa >> shift & 1;
    return static_cast<std::uint16_t>(sign | (mantissa + (1u << (shift - 1)) - 1 + odd) >> shift);
  }
  const std::uint32_t even = word >> 13 & 1;
  return static_cast<std::uint16_t>(sign | ((word - 0x38000000u + 0xfff + even) >> 13));
}

float BF16ToF32(std::uint16_t bits) noexcept {
  const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

std::uint16_t F32ToBF16(float value) noexcept {
  std::uint32_t word;
  std::memcpy(&word, &value, sizeof(word));
  if ((word & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(word >> 16 | 0x40);
  return static_cast<std::uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
