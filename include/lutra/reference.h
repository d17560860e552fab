// What the kernels must compute, in the plainest code. Slow. For tests, examples and readers.
#pragma once

#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/status.h"

namespace lutra {

// y[n * m_total + m], m_total = w.m: dequantize, then multiply, in double, from the original activations; bias
// included.
LUTRA_API Status ReferenceMatMul(const QuantizedView& w, const ActivationView& x, double* y);

// What Precision::kInt16 computes, bit for bit, in scalar code: x in integers, integer sums per block, then one fixed
// sequence of float operations (std::fma). Output as above, in float.
LUTRA_API Status ReferenceExactMatMul(const QuantizedView& w, const ActivationView& x, float* y);
// The same with activations of a kind that multiplies the format (Choice::kFastest): its own, or kIntegers.
LUTRA_API Status ReferenceExactMatMul(const QuantizedView& w, const ActivationView& x, ActivationKind kind, float* y);

// An upper bound of |MatMul - ReferenceMatMul| per element of y (f32 output): half a step of the table scale for each
// lookup, the rounding of x, and the float operations that follow. Derived in reference.cc. Output as above.
LUTRA_API Status ReferenceErrorBound(const QuantizedView& w, const ActivationView& x, Precision precision,
                                     double* bound);
LUTRA_API Status ReferenceErrorBound(const QuantizedView& w, const ActivationView& x, Precision precision,
                                     ActivationKind kind, double* bound);

// out[n * x.k + k]: x normalized, exactly the floats that PrepareRmsNorm prepares. The squares, exact in double, are
// added up in 32 sums, x(n, k)^2 to sum k % 32 in the order of k, then sum i + 16 to sum i, i + 8 to i, and so on; from
// them comes the float s = 1 / sqrt(sum / K + epsilon), computed in double. out = (x(n, k) * s) * weight[k] in floats.
// Fails as PrepareRmsNorm does.
LUTRA_API Status ReferenceRmsNorm(const ActivationView& x, const RmsNorm& norm, float* out);

}  // namespace lutra
