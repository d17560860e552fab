// The scale of a matrix whose groups have scales of type E4M3 or E8M0.
#pragma once

#include <cstddef>

#include "lutra/matrix.h"
#include "memory/elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// shape.matrix_scale; if that is 0 and scales are E4M3, the factor with which the group of weights[M x K] that needs
// the largest scale gets the largest E4M3.
float MatrixScaleOf(const Elements<float>& weights, std::size_t m, std::size_t row_stride, const QuantizedView& shape);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
