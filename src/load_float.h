// Loads one element of an array of a float type or E8M0, at any address.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "lutra/float16.h"
#include "lutra/matrix.h"
#include "memory/elements.h"

namespace lutra {
namespace internal {

inline float LoadFloat(const void* data, DataType type, std::size_t i) {
  if (type == DataType::kF32) return LoadElement<float>(data, i);
  if (type == DataType::kE8M0) return std::ldexp(1.0f, static_cast<const std::uint8_t*>(data)[i] - 127);
  const auto bits = LoadElement<std::uint16_t>(data, i);
  return type == DataType::kF16 ? F16ToF32(bits) : BF16ToF32(bits);
}

}  // namespace internal
}  // namespace lutra
