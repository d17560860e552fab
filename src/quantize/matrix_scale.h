// The scale of a matrix whose groups have scales of type E4M3 or E8M0.
#pragma once

#include <cstddef>

#include "lutra/matrix.h"
#include "memory/elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// shape.matrix_scale. If that is 0 and scales are E4M3: the factor with which the largest scale of FitRange, over all
// groups of weights[M x K], is stored as 448; 1 if all weights are 0.
float MatrixScaleOf(const Elements<float>& weights, std::size_t m, std::size_t row_stride, const QuantizedView& shape);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
