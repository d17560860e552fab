// Checks of the arguments that all quantizers take.
#pragma once

#include <cstddef>

#include "lutra/quantize.h"
#include "quantize/group.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Checks weights[M x K] and the options of Quantize, but for a codebook.
Status ValidateQuantizing(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                          const QuantizeOptions& options);
// Checks the pointer and stride of a float matrix [M x K]; `name` is the argument that points to it.
Status ValidateRows(const float* data, std::size_t m, std::size_t k, std::size_t row_stride, const char* name);

// The arrays of qparams of w.
GroupArrays ArraysOf(QuantizedMatrix& w);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
