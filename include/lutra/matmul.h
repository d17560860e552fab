// y[N x M] = x[N x K] * W[M x K]^T + bias[M]
#pragma once

#include <cstddef>

#include "lutra/activations.h"
#include "lutra/context.h"
#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {

// Multiplies, over context.executor. x must fit w (Activations::Fits); y.n = x.n(), y.m = w.m(). Fails, with y
// untouched, on activations that do not fit, mismatched shapes, null data of nonzero size, a stride below M or a type
// that is not a float. Never allocates. Thread-safe: w and x are only read; y must not overlap them.
LUTRA_API Status MatMul(const PackedMatrix& w, const Activations& x, const OutputView& y, Context& context);

// Prepares x into context.scratch and multiplies, in one call: for a matrix that does not share its x with others.
// Fails as Prepare and MatMul do, with y untouched.
LUTRA_API Status MatMul(const PackedMatrix& w, const ActivationView& x, const OutputView& y, Context& context);

// Computes only the columns [m_begin, m_end) of y, on the calling thread; y describes the whole output. Any range, any
// thread; the union of ranges equals MatMul bit for bit. Multiples of 64 avoid double work at the edges.
LUTRA_API Status MatMulRange(const PackedMatrix& w, const Activations& x, const OutputView& y, std::size_t m_begin,
                             std::size_t m_end);

}  // namespace lutra
