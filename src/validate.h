// Checks of the caller's arguments that several entries share. Each names the argument by the text it is given.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lutra/matrix.h"
#include "lutra/status.h"

namespace lutra {
namespace internal {

#define LUTRA_RETURN_IF_ERROR(expression)         \
  do {                                            \
    const ::lutra::Status status_ = (expression); \
    if (!status_.ok()) return status_;            \
  } while (false)

// The same status under the name that a function's own argument has: `names` are pairs of old and new.
template <std::size_t kCount>
Status Renamed(const Status& status, const char* const (&names)[kCount][2]) {
  for (const auto& name : names) {
    if (std::strcmp(status.argument(), name[0]) == 0) return {status.code(), name[1], status.reason()};
  }
  return status;
}

// True if a * b * c * d does not fit, with room to spare for padding.
inline bool Overflows(std::size_t a, std::size_t b, std::size_t c = 1, std::size_t d = 1) {
  std::size_t product = 1;
  for (const std::size_t factor : {a, b, c, d}) {
    if (factor != 0 && product > static_cast<std::size_t>(-1) / 4 / factor) return true;
    product *= factor;
  }
  return false;
}

inline bool IsFinite(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return (bits & 0x7f800000u) != 0x7f800000u;
}

// `count` values of any type; integers always are.
inline bool AllFinite(const void* data, DataType type, std::size_t count) {
  if (type == DataType::kF32) {
    const auto* values = static_cast<const float*>(data);
    for (std::size_t i = 0; i < count; ++i) {
      if (!IsFinite(values[i])) return false;
    }
    return true;
  }
  if (type == DataType::kE8M0) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    return std::find(bytes, bytes + count, 255) == bytes + count;
  }
  if (!IsFloat(type)) return true;
  const std::uint16_t exponent = type == DataType::kF16 ? 0x7c00 : 0x7f80;
  const auto* values = static_cast<const std::uint16_t*>(data);
  for (std::size_t i = 0; i < count; ++i) {
    if ((values[i] & exponent) == exponent) return false;
  }
  return true;
}

// `count` bytes below 16.
inline bool AllNibbles(const void* data, std::size_t count) {
  unsigned seen = 0;
  for (std::size_t i = 0; i < count; ++i) seen |= static_cast<const std::uint8_t*>(data)[i];
  return seen < 16;
}

// order[K] is a permutation; `name` is the argument to blame. Takes K bits of memory.
Status ValidateOrder(const std::uint32_t* order, std::size_t k, const char* name);

// Everything about a view but the contents of its arrays.
Status ValidateShape(const QuantizedView& w);
// And the arrays of scales, zeros, bias and order; codes are checked where they are read.
Status ValidateWeights(const QuantizedView& w);
Status ValidateActivations(const ActivationView& x);
// All but the weight, which is checked where it is read.
Status ValidateNorm(const RmsNorm& norm);
// The refusal of normalized values that are not all finite: whose fault it is.
Status NotNormalized(const RmsNorm& norm, std::size_t k);

}  // namespace internal
}  // namespace lutra
