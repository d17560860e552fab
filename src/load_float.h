// Loads one element of an array of a float type, E8M0 or E4M3, at any address.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "lutra/float16.h"
#include "lutra/matrix.h"
#include "memory/elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

inline float LoadFloat(const void* data, DataType type, std::size_t i) {
  if (type == DataType::kF32) return LoadElement<float>(data, i);
  if (type == DataType::kE8M0) return std::ldexp(1.0f, static_cast<const std::uint8_t*>(data)[i] - 127);
  if (type == DataType::kE4M3) {
    const int bits = static_cast<const std::uint8_t*>(data)[i], exponent = bits >> 3, mantissa = bits & 7;
    return exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                         : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  }
  const auto bits = LoadElement<std::uint16_t>(data, i);
  return type == DataType::kF16 ? F16ToF32(bits) : BF16ToF32(bits);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
