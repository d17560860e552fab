// Fma: a * b + c of floats with a single rounding, as results have the same bits on every CPU and system.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

inline float Fma(float a, float b, float c) {
#if defined(__MINGW32__)
  // The std::fma of MinGW rounds twice. A product of floats is exact in double. The sum is rounded to odd, by its
  // error: rounding that to float gives what rounding the exact sum gives.
  const double product = double{a} * b;
  double sum = product + c;
  const double part = sum - product;
  const double error = (product - (sum - part)) + (c - part);
  std::uint64_t bits;
  std::memcpy(&bits, &sum, sizeof(bits));
  if (std::isfinite(sum) && error != 0 && bits % 2 == 0) {
    if ((error > 0) == (sum > 0)) {
      ++bits;
    } else {
      --bits;
    }
    std::memcpy(&sum, &bits, sizeof(bits));
  }
  return static_cast<float>(sum);
#else
  return std::fma(a, b, c);
#endif
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
