// Yardsticks: what one writes without a library.
#pragma once

#include <cstddef>

#include "lutra/lutra.h"

namespace lutra::bench {

// y[N x M] = x[N x K] * W[M x K]^T: each row of W, with f16 scales per group, is dequantized to floats; then one loop
// multiplies and adds it with each row of x.
void ScalarMatMul(const QuantizedView& w, const float* x, std::size_t n, float* y);

// out[N x K] = x[N x K] normalized, see RmsNorm; sums in floats, a few at a time so that the compiler vectorizes them.
void ScalarRmsNorm(const float* x, const RmsNorm& norm, std::size_t n, std::size_t k, float* out);

// out[N x K] = x[N x K] transformed, see Hadamard: a stage at a time over each block, two runs of `distance` elements
// at a time so that the compiler vectorizes them.
void ScalarHadamard(const float* x, const Hadamard& hadamard, std::size_t n, std::size_t k, float* out);

}  // namespace lutra::bench
