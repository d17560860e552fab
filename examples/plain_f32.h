// What Lutra is compared with: a multiplication of float matrices without any library, well vectorised.
#pragma once

#include <cstddef>

#include "lutra/executor.h"

namespace lutra::examples {

// y[n x m] = x[n x k] * w[m x k]^T, all dense and row-major, over the executor.
void PlainMatMul(const float* w, std::size_t m, std::size_t k, const float* x, std::size_t n, float* y,
                 Executor& executor);

}  // namespace lutra::examples
