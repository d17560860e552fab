// MatMul: y[N x M] = x[N x K] * W[M x K]^T + bias[M]
#pragma once

#include <cstddef>

#include "lutra/activations.h"
#include "lutra/context.h"
#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// The functions of this header, of activations.h, quantize.h and reference.h compute in the standard floating-point
// mode, whatever mode their threads are in (rounding, FTZ, DAZ, traps), and leave that mode as it is.

namespace functions {

// Multiplies prepared x[N x K] with w[M x K] and writes y[N x M], over context.executor. x must fit w
// (Activations::Fits), y.n must be x.n() and y.m must be w.m(). y must not overlap w or x. Never allocates.
// Thread-safe: only reads w and x. Fails, with y unchanged, on activations that do not fit, other shapes, null data of
// nonzero size, a stride below M, and a type of y that is not a float.
LUTRA_API Status MatMul(const PackedMatrix& w, const Activations& x, const OutputView& y, Context& context);

// Prepares x[N x K] into context.scratch and multiplies, in one call, for a matrix that does not share its x with
// others. Thread-safe for different contexts. Fails as Prepare and MatMul do, with y unchanged.
LUTRA_API Status MatMul(const PackedMatrix& w, const ActivationView& x, const OutputView& y, Context& context);

// Computes the columns [m_begin, m_end) of y, m_begin <= m_end <= M, on the calling thread; y describes all of y[N x
// M]. Every element has the same bits as from MatMul. Threads may compute different ranges at the same time. Ranges
// that begin and end at multiples of 64 avoid double work. Never allocates. Fails as MatMul does, and on other ranges.
LUTRA_API Status MatMulRange(const PackedMatrix& w, const Activations& x, const OutputView& y, std::size_t m_begin,
                             std::size_t m_end);

// MatMul in pieces, for engines that have threads of their own:
//
//     MatMulPieces(w, x, threads, &count);                                    // on any thread, or on each
//     while ((i = next++) < count) MatMulPiece(w, x, y, i, count);            // on all threads; `next` is atomic
//
// MatMulPieces sets *count to the number of pieces into which MatMul splits its work for so many threads (0 counts as
// 1): some for each thread, along N and M, so that each reads long ranges of weights and keeps its rows of x in L2.
// 0 if N or M is 0. Fails, with *count unchanged, if x does not fit w.
LUTRA_API Status MatMulPieces(const PackedMatrix& w, const Activations& x, std::size_t threads, std::size_t* count);
// Computes piece i of `count` on the calling thread: some columns of some rows of y, which no other piece writes. All
// pieces together compute y, every element with the same bits as from MatMul, whatever the count; some may be empty.
// Threads may compute different pieces at the same time. Never allocates. Fails as MatMul does, and if i >= count.
LUTRA_API Status MatMulPiece(const PackedMatrix& w, const Activations& x, const OutputView& y, std::size_t i,
                             std::size_t count);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
