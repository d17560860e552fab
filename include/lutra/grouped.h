// Products with row lists: rows of x go to one of several matrices each, such as tokens to experts, in one call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/activations.h"
#include "lutra/buffer.h"
#include "lutra/context.h"
#include "lutra/export.h"
#include "lutra/gated_unit.h"
#include "lutra/matrix.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Matrices that stand one after the other, or anywhere; a view.
class MatrixList {
 public:
  constexpr MatrixList() = default;
  constexpr MatrixList(const PackedMatrix* matrices, std::size_t count) : matrices_(matrices), size_(count) {}
  constexpr MatrixList(const PackedMatrix* const* pointers, std::size_t count) : pointers_(pointers), size_(count) {}

  std::size_t size() const { return size_; }
  const PackedMatrix& operator[](std::size_t i) const { return *at(i); }
  // Null if the pointer is, or the array.
  const PackedMatrix* at(std::size_t i) const {
    if (pointers_ != nullptr) return pointers_[i];
    return matrices_ == nullptr ? nullptr : matrices_ + i;
  }

 private:
  const PackedMatrix* matrices_ = nullptr;
  const PackedMatrix* const* pointers_ = nullptr;
  std::size_t size_ = 0;
};

// The rows of x that each matrix multiplies, and the rows of y that take the products; a view. Matrix i has the entries
// from offsets[i] to offsets[i + 1]: entry j multiplies row x_rows[j] of x and writes row y_rows[j] of y. The rows of y
// of the entries from the last offset to `size` become zeros: they belong to no matrix.
//
// Lists hold std::int32_t, because engines' lists do. A matrix may have no entries. A row of x may occur any number of
// times; a row of y once, unless products are added up.
struct RowLists {
  const std::int32_t* offsets = nullptr;  // [matrices + 1], from 0 or more, ascending
  std::size_t size = 0;                   // entries
  const std::int32_t* x_rows = nullptr;   // [size], or null: entry j reads row j
  const std::int32_t* y_rows = nullptr;   // [size], or null: entry j writes row j
};

// The (token, slot) pairs that a router chose, sorted by expert, as row lists. Reuse one for every call: its memory
// only grows.
class LUTRA_API Routing {
 public:
  // ids[token * stride + slot] is an expert, or negative: the slot has none. A token has `slots` slots. Sorts the pairs
  // by expert, then by token. Fails, with the routing unchanged, if ids is null, stride < slots (of more
  // than one token), an id is not below `experts`, there are 2^31 pairs or more, and if memory is short. Thread-safe
  // for different routings.
  Status Assign(const std::int32_t* ids, std::size_t tokens, std::size_t slots, std::size_t stride,
                std::size_t experts);

  std::size_t tokens() const { return tokens_; }
  std::size_t slots() const { return slots_; }
  std::size_t experts() const { return experts_; }

  // For the first product: x has a row for each token, y a row token * slots + slot for each pair.
  RowLists FromTokens() const { return Lists(tokens_list(), pairs_list()); }
  // For the product back: x has a row for each pair, y a row for each token; a token's products must be added up.
  RowLists ToTokens() const { return Lists(pairs_list(), tokens_list()); }

 private:
  std::size_t pairs() const { return tokens_ * slots_; }
  const std::int32_t* offsets() const { return buffer_.as<std::int32_t>(); }  // [experts + 2]: the last are of none
  const std::int32_t* pairs_list() const { return offsets() + experts_ + 2; }
  const std::int32_t* tokens_list() const { return pairs_list() + pairs(); }
  RowLists Lists(const std::int32_t* x_rows, const std::int32_t* y_rows) const {
    return {offsets(), pairs(), x_rows, y_rows};
  }

  std::size_t tokens_ = 0, slots_ = 0, experts_ = 0;
  Buffer buffer_;  // offsets, pairs, tokens
};

// Products of some rows of x with each of several matrices:
//
//     y[y_row] = x[x_row] * W^T + bias                              one matrix per expert
//     y[y_row] = unit(x[x_row] * gate^T + bias, x[x_row] * W^T + bias)     two: SwiGLU and others, in floats
//     y[y_row] = sum of weights[x_row] * (one of these)             if there are weights
//
// The first has the same bits as MatMul of each matrix with all of x. The second has the same bits as
// ReferenceGatedUnit of two such products. A sum starts from 0 and takes the products in the order of their entries:
// sum = fma(weight, product, sum). So a row of y depends only on its own rows of x and matrices, not on other rows,
// threads or pieces.
//
// All matrices have the same shape, format, group, types, target and order of columns, and x fits them.
struct GroupedProduct {
  MatrixList w;
  MatrixList gate = {};  // none, or as many
  GatedUnit unit = kSwiGlu;
  const Activations* x = nullptr;
  RowLists rows = {};  // offsets of w.size() matrices
  // [rows of x], or null: products are not added up. If there are weights, y is kF32, and rows without entries are 0.
  const float* weights = nullptr;
  OutputView y = {};
};

namespace functions {

// Computes the product over context.executor, in context.grouped, which is the only memory that it allocates. Fails,
// with y unchanged, as MatMul does (an x that does not fit is "x"), and
//   - on matrices that differ ("w", "gate"), also where they have no entries;
//   - on null offsets, offsets that descend or end beyond `size` ("rows.offsets"), and rows that x or y do not have
//     ("rows.x_rows", "rows.y_rows");
//   - with weights on a type of y other than kF32 ("y.type").
LUTRA_API Status MatMulGrouped(const GroupedProduct& product, Context& context);
// The same over `executor` (null: serial), with scratch memory of the caller's, aligned to 64 bytes, instead of an
// allocation: GroupedScratchSize for each thread that shall work. Fails, too, if it is null or not enough for one.
LUTRA_API Status MatMulGrouped(const GroupedProduct& product, Executor* executor, void* scratch, std::size_t bytes);

// The same in pieces, for engines that have threads of their own, as MatMulPieces and MatMulPiece (matmul.h). Every
// thread needs scratch memory, aligned to 64 bytes: GroupedScratchSize says how much at least, for any rows of x and
// lists. (It holds a gate's tile, and the prepared rows of a token block where these are copied side by side.) A piece
// checks what it reads: it fails as MatMulGrouped does, and on scratch that is null, not aligned or too small
// ("scratch"), but if it succeeds, others may fail.
LUTRA_API Status GroupedScratchSize(const PackedMatrix& w, const Activations& x, std::size_t* bytes);
LUTRA_API Status MatMulGroupedPieces(const GroupedProduct& product, std::size_t threads, std::size_t* count);
LUTRA_API Status MatMulGroupedPiece(const GroupedProduct& product, std::size_t i, std::size_t count, void* scratch,
                                    std::size_t bytes);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
