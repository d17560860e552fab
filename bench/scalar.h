// The yardstick of the portable target: what one writes without a library.
#pragma once

#include <cstddef>

#include "lutra/lutra.h"

namespace lutra::bench {

// y[N x M] = x[N x K] * W[M x K]^T: each row of W, with f16 scales per group, is dequantized to floats; then one loop
// multiplies and adds it with each row of x.
void ScalarMatMul(const QuantizedView& w, const float* x, std::size_t n, float* y);

}  // namespace lutra::bench
