// Reference functions: the results that kernels must have, in plain scalar code. Slow; for tests, examples and readers.
//
// w is M x K and x is N x K. All functions are thread-safe. They fail, with the output unchanged, on views that Pack
// and Prepare refuse, on K of x other than K of w, on a null output of nonzero size, and if memory is short.
#pragma once

#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

namespace functions {

// y[N x M], row-major and dense: x times the dequantized W, plus bias, in double.
LUTRA_API Status ReferenceMatMul(const QuantizedView& w, const ActivationView& x, double* y);

// y[N x M], with the same bits as MatMul under Precision::kInt16 with f32 output: x in integers, integer sums per
// K-block, then a fixed sequence of float operations (std::fma). Formats whose values are floats: sums of floats in the
// order of the kernels, with the same bits as MatMul under either precision.
LUTRA_API Status ReferenceExactMatMul(const QuantizedView& w, const ActivationView& x, float* y);
// The same for activations prepared as `kind` (Choice::kFastest): the format's own activation kind, kIntegers, or kBf16
// for formats that are floats. With kBf16, x is rounded to bf16, but products are added in the order of kFloats. MatMul
// adds them in another order, so its bits differ.
LUTRA_API Status ReferenceExactMatMul(const QuantizedView& w, const ActivationView& x, ActivationKind kind, float* y);

// bound[N x M]: an upper bound of |MatMul - ReferenceMatMul| for each element of y, with f32 output. It covers the
// rounding of table entries and of x, and the float operations that follow; reference.cc derives it.
LUTRA_API Status ReferenceErrorBound(const QuantizedView& w, const ActivationView& x, Precision precision,
                                     double* bound);
LUTRA_API Status ReferenceErrorBound(const QuantizedView& w, const ActivationView& x, Precision precision,
                                     ActivationKind kind, double* bound);

// out[N x K]: x normalized by RMSNorm, exactly the floats that PrepareRmsNorm prepares. The arithmetic is fixed:
// squares are exact in double. There are 32 sums; x(n, k)^2 is added to sum k % 32, in ascending k. Then sum i + 16 is
// added to sum i, sum i + 8 to sum i, and so on. s = 1 / sqrt(sum / K + epsilon) is computed in double and rounded to
// float. out = (x(n, k) * s) * weight[k] in float. Fails as PrepareRmsNorm does.
LUTRA_API Status ReferenceRmsNorm(const ActivationView& x, const RmsNorm& norm, float* out);

// out[N x K]: x transformed by a Hadamard matrix, exactly the floats that PrepareHadamard prepares. The arithmetic is
// fixed: v[k] = x(n, k) * signs[k]. For h = 1, 2, 4, ..., block / 2, each pair of elements of a block whose indices
// differ by h, v[i] and v[i + h], becomes v[i] + v[i + h] and v[i] - v[i + h] in float. out = v * s, where s is
// 1 / sqrt(block) rounded to float. Fails as PrepareHadamard does.
LUTRA_API Status ReferenceHadamard(const ActivationView& x, const Hadamard& hadamard, float* out);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
