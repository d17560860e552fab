// Checks of the caller's arguments that several public functions share. Errors name the argument.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lutra/kernels/registry.h"
#include "lutra/matrix.h"
#include "lutra/status.h"
#include "memory/elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

#define LUTRA_RETURN_IF_ERROR(expression)         \
  do {                                            \
    const ::lutra::Status status_ = (expression); \
    if (!status_.ok()) return status_;            \
  } while (false)

// Returns the status with the argument renamed; `names` are pairs of old and new names.
template <std::size_t kCount>
Status Renamed(const Status& status, const char* const (&names)[kCount][2]) {
  for (const auto& name : names) {
    if (std::strcmp(status.argument(), name[0]) == 0) return {status.code(), name[1], status.reason()};
  }
  return status;
}

// True if a * b * c * d is more than a quarter of what std::size_t holds; the rest is room for padding.
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

// Whether `count` values of any type, at any address, are finite; of E4M3, not negative either. Integers always are.
inline bool AllFinite(const void* data, DataType type, std::size_t count) {
  if (type == DataType::kF32) {
    const Elements<float> values(data);
    for (std::size_t i = 0; i < count; ++i) {
      if (!IsFinite(values[i])) return false;
    }
    return true;
  }
  if (type == DataType::kE8M0) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    return std::find(bytes, bytes + count, 255) == bytes + count;
  }
  if (type == DataType::kE4M3) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    return std::all_of(bytes, bytes + count, [](std::uint8_t byte) { return byte < 0x7f; });
  }
  if (!IsFloat(type)) return true;
  const std::uint16_t exponent = type == DataType::kF16 ? 0x7c00 : 0x7f80;
  const Elements<std::uint16_t> values(data);
  for (std::size_t i = 0; i < count; ++i) {
    if ((values[i] & exponent) == exponent) return false;
  }
  return true;
}

// Whether `count` bytes are below 16.
inline bool AllNibbles(const void* data, std::size_t count) {
  unsigned seen = 0;
  for (std::size_t i = 0; i < count; ++i) seen |= static_cast<const std::uint8_t*>(data)[i];
  return seen < 16;
}

// Whether `count` bytes are below `end`.
inline bool AllBelow(const std::uint8_t* bytes, std::size_t count, std::size_t end) {
  return std::all_of(bytes, bytes + count, [end](std::uint8_t byte) { return byte < end; });
}

// Whether the format has all of `count` codes.
inline bool AllCodesExist(const FormatInfo& f, const std::uint8_t* codes, std::size_t count) {
  const auto mask = static_cast<std::uint8_t>(f.code_mask());
  return std::all_of(codes, codes + count, [&f, mask](std::uint8_t code) { return (code & mask) < f.code_end(); });
}

// Checks that order[K], at any address, is a permutation; `name` is the argument that an error names. Allocates K bits.
Status ValidateOrder(const std::uint32_t* order, std::size_t k, const char* name);

// Checks the fields of a view, without its pointers and arrays.
Status ValidateShape(const QuantizedView& w);
// Checks the codebook of a view whose shape is valid.
Status ValidateCodebook(const QuantizedView& w);
// Checks matrix_scale, if the scales have one.
Status ValidateMatrixScale(const QuantizedView& w);
// Checks the pointer and the stride of codes of a view that is not empty.
Status ValidateCodes(const QuantizedView& w);
// Checks the fields, and the arrays of scales, zeros, bias and order. The functions that read codes check them.
Status ValidateWeights(const QuantizedView& w);
// Checks the fields of a view of x, and its scales, which may be what `non_finite` says. The functions that read x
// check its elements.
Status ValidateActivations(const ActivationView& x, NonFinite non_finite = NonFinite::kRefuse);
// The two parts of it: all but the scales, and the scales of rows [begin, end).
Status ValidateActivationShape(const ActivationView& x);
Status ValidateActivationScales(const ActivationView& x, std::size_t begin, std::size_t end);
// Checks the fields of a view of y.
Status ValidateOutput(const OutputView& y);
// Checks epsilon. The functions that read the weight check it.
Status ValidateNorm(const RmsNorm& norm);
// Checks a Hadamard transform of rows of K elements, and its signs.
Status ValidateHadamard(const Hadamard& hadamard, std::size_t k);
// The error for values of x that are not finite after the transform: it names the norm's weight or x.
Status NotFinite(const Transform& transform, std::size_t k);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
