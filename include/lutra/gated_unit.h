// GatedUnit: how the gate and the up product of a feed-forward layer become one: SwiGLU, GELU and others.
#pragma once

#include <cstddef>
#include <limits>

#include "lutra/export.h"
#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// y = (u + offset) * g * sigmoid(g * (slope + cubic * g^2)), where g = min(gate, limit), and u is up, cut to -limit and
// limit (https://arxiv.org/abs/2002.05202). A unit of a program's own is as fast as these.
struct GatedUnit {
  float slope = 1.0f;
  float cubic = 0.0f;
  float limit = std::numeric_limits<float>::infinity();
  float offset = 0.0f;
};
inline constexpr GatedUnit kSwiGlu = {};
// GELU as tanh: 0.5 * g * (1 + tanh(sqrt(2 / pi) * (g + 0.044715 * g^3))). The parameters are 2 * sqrt(2 / pi) and
// 0.044715 times that.
inline constexpr GatedUnit kGeGlu = {1.59576912f, 0.0713548162f, std::numeric_limits<float>::infinity(), 0.0f};
// SwiGLU of gpt-oss.
inline constexpr GatedUnit kClampedSwiGlu = {1.702f, 0.0f, 7.0f, 1.0f};

namespace functions {

// y[i] of gate[i] and up[i], for i below `count`; y may be gate or up. Has the same bits as the kernels, which compute,
// in floats, where fma rounds once:
//
//     c = g, cut to -2^40 and 2^40                  // sigmoid is 0 or 1 long before
//     t = -c * fma(c * c, cubic, slope), cut to -87 and 88
//     n = t / ln 2, rounded to the nearest integer (ties to even): fma(t, 1 / ln 2, 1.5 * 2^23) - 1.5 * 2^23
//     r = fma(n, -(ln 2 - 0x1.62e4p-1), fma(n, -0x1.62e4p-1, t))
//     e = 2^n * (Taylor's polynomial of exp(r) up to r^7 / 7!, by Horner's rule, with fma)
//     y = (u + offset) * (g / (1 + e))
//
// Where t is not cut, sigmoid errs by less than 2^-22 of its value. NaN in gate or up gives the positive quiet NaN
// without payload. Thread-safe.
LUTRA_API void ReferenceGatedUnit(const GatedUnit& unit, const float* gate, const float* up, std::size_t count,
                                  float* y);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
