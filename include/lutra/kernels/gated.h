// The constants of gated units, which kernels and the reference share, and the arguments of the kernels.
#pragma once

#include <cstddef>

#include "lutra/gated_unit.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// See ReferenceGatedUnit. n * kUpperLn2 is exact, because n and kUpperLn2 have 7 and 15 bits.
inline constexpr float kMostInSigmoid = 0x1p40f, kLeastExponent = -87.0f, kMostExponent = 88.0f;
inline constexpr float kInverseLn2 = 1.44269504f, kUpperLn2 = 0x1.62e4p-1f, kLowerLn2 = 1.42860682e-6f;
inline constexpr float kExpTerms[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};

// to[0 .. count) = the unit of gate + gate_bias and up + up_bias; a bias may be null.
struct GatedArgs {
  GatedUnit unit;
  const float *gate, *gate_bias, *up, *up_bias;
  std::size_t count;
  float* to;
};
using GatedFunction = void (*)(const GatedArgs& args);

// y[0 .. count) += weight * (tile + bias), rounded once; bias may be null.
using AddFunction = void (*)(const float* tile, const float* bias, std::size_t count, float weight, float* y);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
