// Quadratic forms e * H * e^T of a few rows e at a time.
#pragma once

#include <cstddef>

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

inline constexpr std::size_t kFormRows = 16;

// values[r] = sum over i, j of e[i][r] * H(i, j) * e[j][r], for e[K x kFormRows] and the symmetric H[K x K] whose upper
// triangle is given.
void QuadraticForms(const float* h, std::size_t k, const float* e, double* values);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
