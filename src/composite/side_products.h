// The side products of a composite in plain float code, the same on every target: sparse weights times x, and outliers
// of x times columns of W. (Compiled without contraction, so that each product and each sum rounds.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "composite/composite_access.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// --- x in floats

// Whether an element of x is left out of prepared x. What is not finite stays: it makes its row NaN, or Prepare fail.
inline bool IsOutlier(float x, float threshold) {
  const float magnitude = x < 0 ? -x : x;
  return magnitude > threshold && magnitude <= std::numeric_limits<float>::max();
}

// Writes the elements [begin, end) of row n of x in float.
void LoadRow(const ActivationView& x, std::size_t n, std::size_t begin, std::size_t end, float* to);

// Divides `count` elements into outliers and others, each with zeros in the place of the others. Makes found[i] other
// than 0 if element i is an outlier.
inline void SplitOutliers(const float* x, std::size_t count, float threshold, float* others, float* outliers,
                          float* found) {
  for (std::size_t i = 0; i < count; ++i) {
    const bool outlier = IsOutlier(x[i], threshold);
    others[i] = outlier ? 0.0f : x[i];
    outliers[i] = outlier ? x[i] : 0.0f;
    found[i] = outlier ? 1.0f : found[i];
  }
}

// --- Sparse weights. Rows of x stand side by side, [K][lanes], so that an entry multiplies all lanes at once.

// The lanes that serve N rows of x: 1, 4 or 16.
constexpr std::size_t LanesFor(std::size_t n) { return n == 1 ? 1 : n <= 4 ? 4 : 16; }
inline constexpr std::size_t kMaxLanes = 16;

// sums[lanes] = the entries of row m, one after the other, times x.
using SparseFunction = void (*)(const SparseView& sparse, std::size_t m, const float* x, float* sums);
SparseFunction SparseFunctionFor(std::size_t k, std::size_t lanes);

// --- Outliers

// to[0 .. count) += x * column[0 .. count).
inline void AddColumn(float x, const float* column, std::size_t count, float* to) {
  for (std::size_t i = 0; i < count; ++i) to[i] += x * column[i];
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
