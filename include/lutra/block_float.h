// Block floating point: rows of x whose blocks of columns share an exponent, and the order of columns that suits them.
//
//     std::vector<std::uint32_t> order(K);
//     lutra::OrderByMagnitude(magnitudes, K, order.data());       // of some rows of x, such as the mean of |x|
//     options.order = order.data();                               // QuantizeOptions: at load time
//     lutra::RoundToBlockFloat(x, {6, 32}, order.data(), context, rounded);                  // every call
//     lutra::MatMul(w, lutra::ActivationView(rounded, N, K), y, context);
//
// Channels of x that are large then share their exponents among themselves, and no longer coarsen small ones. The
// product is the same sum in another order. (https://arxiv.org/abs/2403.20137.) The K-blocks of Prepare have a scale
// each, so that the order alone makes products more accurate, without RoundToBlockFloat.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/context.h"
#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// A row of x is cut into blocks of columns, in their order. A block has one exponent e: its elements are integers of
// `mantissa_bits` bits with the sign, at most 2^(mantissa_bits - 1) - 1 in magnitude, times 2^e. 2^(mantissa_bits - 2)
// times 2^e is the largest power of two that is not above the block's largest magnitude.
struct BlockFloat {
  int mantissa_bits = 8;   // 2 to 25: that is all of a float
  std::size_t block = 32;  // columns, not 0
};

namespace functions {

// Sets order[K] to a permutation that sorts magnitudes[K] in descending order; equal ones keep theirs. Fails, with
// order unchanged, on null data of nonzero size, K of 2^32 or more, and values that are negative or NaN.
LUTRA_API Status OrderByMagnitude(const float* magnitudes, std::size_t k, std::uint32_t* order);

// out[N x K]: x rounded to block floating point, to nearest (ties to even), its columns where they were. Column j of a
// block is column order[j] of x; without an order, column j. Over context.executor. Fails, with `out` unchanged, as
// Prepare does on views, on a faulty `form` ("form.mantissa_bits", "form.block"), on an order that is not a permutation
// and on elements that are not finite ("x.data").
LUTRA_API Status RoundToBlockFloat(const ActivationView& x, const BlockFloat& form, const std::uint32_t* order,
                                   Context& context, float* out);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
