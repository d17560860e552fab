// BlockSparseMatrix: packed weights without the blocks that are zero. A block is 64 rows times some columns: a group
// or, if that is more, ColumnUnit (shards.h) columns. Pruning by blocks makes such weights (LPViT,
// https://arxiv.org/abs/2407.02068).
//
//     lutra::BlockSparseMatrix w;
//     lutra::PackBlockSparse(view, {}, &w);
//     lutra::Prepare(x, w.shape(), {}, context, &activations);  // or activations that fit w.shape()
//     lutra::MatMul(w, activations, y, context);
//
// Bytes and time of a product fall about as the share of blocks that are kept. A product has the bits of the product
// with PackedMatrix of the same weights. Exceptions are zero blocks whose sum is rounded there, and exactly 0 here:
// codes that equal a zero point or cancel an offset, and int2's zero point of 2 in tables of 8 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lutra/activations.h"
#include "lutra/buffer.h"
#include "lutra/context.h"
#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

namespace internal {

// A panel: the blocks that are kept, packed as a matrix of fewer columns.
struct KeptBlocks {
  std::size_t offset;   // of its packed bytes
  std::size_t columns;  // K of it
  std::size_t list;     // where its K-blocks begin in the list
};

// The properties of a BlockSparseMatrix, and the addresses of its bytes.
struct BlockSparseFields {
  std::size_t m = 0, columns = 0, kept = 0, bytes = 0;
  const float* bias = nullptr;          // [M] or null
  const KeptBlocks* panels = nullptr;   // of each panel
  const std::uint32_t* list = nullptr;  // the K-blocks that each panel keeps
  const std::uint8_t* data = nullptr;
};

}  // namespace internal

// W[M x K] without the blocks that are zero. Read-only after PackBlockSparse: any number of threads may use it. A
// moved-from matrix is 0 x 0.
class LUTRA_API BlockSparseMatrix {
 public:
  BlockSparseMatrix() = default;
  BlockSparseMatrix(BlockSparseMatrix&& other) noexcept { *this = std::move(other); }
  BlockSparseMatrix& operator=(BlockSparseMatrix&& other) noexcept {
    std::swap(shape_, other.shape_);
    std::swap(fields_, other.fields_);
    std::swap(data_, other.data_);
    std::swap(lists_, other.lists_);
    return *this;
  }

  // A matrix without rows that has the K, format, types, codebook, target and order of this one: for Prepare,
  // PreparedSize, PreparePart and Activations::Fits. Other matrices of this shape share activations with it.
  const PackedMatrix& shape() const { return shape_; }

  Format format() const { return shape_.format(); }
  std::size_t m() const { return fields_.m; }
  std::size_t k() const { return shape_.k(); }
  Target target() const { return shape_.target(); }
  bool has_bias() const { return fields_.bias != nullptr; }

  std::size_t block_columns() const { return fields_.columns; }  // of a block; of the last one of a row perhaps fewer
  std::size_t blocks() const {                                   // all, zero or not
    const std::size_t columns = fields_.columns;
    return columns == 0 ? 0 : (m() / 64 + (m() % 64 != 0)) * (k() / columns + (k() % columns != 0));
  }
  std::size_t kept() const { return fields_.kept; }  // blocks that are not zero
  // The bytes that a multiplication reads: packed blocks with scales, and the lists of blocks.
  std::size_t bytes() const { return fields_.bytes; }

 private:
  friend struct BlockSparseAccess;

  PackedMatrix shape_;
  internal::BlockSparseFields fields_;
  Buffer data_, lists_;  // packed blocks; bias, panels and list
};

namespace functions {

// Packs W[M x K] for options.target without its zero blocks, over options.executor. A block is zero if each of its
// weights is, as a number: scale * (value - zero), or scale * value + offset. Thread-safe for different *packed. Fails,
// with *packed unchanged, as Pack does.
LUTRA_API Status PackBlockSparse(const QuantizedView& w, const PackOptions& options, BlockSparseMatrix* packed);

// y[N x M] = x[N x K] * W^T + bias over context.executor; x must fit w.shape(). Does not read K-blocks of x that all
// blocks leave out, except to find out which rows are not finite: NonFinite::kPropagate holds. Never allocates.
// Thread-safe: only reads w and x. Fails, with y unchanged, as MatMul of a PackedMatrix does.
LUTRA_API Status MatMul(const BlockSparseMatrix& w, const Activations& x, const OutputView& y, Context& context);
// The same with x that is prepared in context.scratch.
LUTRA_API Status MatMul(const BlockSparseMatrix& w, const ActivationView& x, const OutputView& y, Context& context);
// The columns [m_begin, m_end) of y, on the calling thread, as MatMulRange of a PackedMatrix.
LUTRA_API Status MatMulRange(const BlockSparseMatrix& w, const Activations& x, const OutputView& y, std::size_t m_begin,
                             std::size_t m_end);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
