// CompositeMatrix: a matrix of several parts, which one call multiplies: rows of several formats, sparse weights, a
// path of low rank; and activations whose outliers are multiplied in floats.
//
//     const lutra::PackedMatrix* matrices[] = {&q, &k, &v};                 // of any formats
//     lutra::CompositeParts parts;
//     parts.rows = {matrices, 3};
//     lutra::CompositeMatrix w;
//     lutra::Compose(parts, &w);                                            // at load time
//     lutra::MatMul(w, lutra::ActivationView(x, N, K), lutra::OutputView(y, N, w.m()), {}, context);
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "lutra/activations.h"
#include "lutra/buffer.h"
#include "lutra/context.h"
#include "lutra/export.h"
#include "lutra/grouped.h"
#include "lutra/mapped_file.h"
#include "lutra/matrix.h"
#include "lutra/packed_matrix.h"
#include "lutra/sparse.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// What a composite W[M x K] is made of; a view:
//
//     W = the rows of all matrices, in an order + sparse + up * down
//
// All matrices have the same target. Matrices of `rows` may have biases, and orders of columns.
struct CompositeParts {
  MatrixList rows = {};                  // one or more, of K columns; M is the sum of their rows
  const std::uint32_t* order = nullptr;  // [M] or null: a permutation. Row r of all gives column order[r] of y
  SparseView sparse = {};                // M x K, whose row m is added to column m of y; or 0 x 0: none
  // Both or none: down[R x K] and up[M x R], in the order of y (adapters such as LoRA,
  // https://arxiv.org/abs/2106.09685).
  const PackedMatrix* down = nullptr;
  const PackedMatrix* up = nullptr;
};

// A composite W[M x K]. Movable. Read-only after Compose or LoadComposite: any number of threads may use it at the same
// time. A moved-from matrix is 0 x 0.
class LUTRA_API CompositeMatrix {
 public:
  CompositeMatrix() = default;
  CompositeMatrix(CompositeMatrix&& other) noexcept { *this = std::move(other); }
  CompositeMatrix& operator=(CompositeMatrix&& other) noexcept {
    std::swap(parts_, other.parts_);
    std::swap(m_, other.m_);
    std::swap(k_, other.k_);
    std::swap(pointers_, other.pointers_);
    std::swap(order_, other.order_);
    std::swap(sparse_, other.sparse_);
    std::swap(loaded_, other.loaded_);
    std::swap(buffer_, other.buffer_);
    std::swap(file_, other.file_);
    return *this;
  }

  std::size_t m() const { return m_; }
  std::size_t k() const { return k_; }
  const CompositeParts& parts() const { return parts_; }

  // The bytes that a multiplication reads: of all matrices (PackedMatrix::bytes) and of the sparse weights.
  std::size_t bytes() const;
  double bits_per_weight() const {
    return m_ == 0 || k_ == 0 ? 0.0
                              : 8.0 * static_cast<double>(bytes()) / static_cast<double>(m_) / static_cast<double>(k_);
  }

 private:
  friend struct CompositeAccess;

  CompositeParts parts_;
  std::size_t m_ = 0, k_ = 0;
  Buffer pointers_, order_;                 // of parts_
  SparseMatrix sparse_;                     // of parts_
  std::unique_ptr<PackedMatrix[]> loaded_;  // by LoadComposite, from buffer_ or file_, or the caller's memory
  Buffer buffer_;
  MappedFile file_;
};

// Options of MatMul for a composite.
struct CompositeOptions {
  PrepareOptions prepare = {};
  // Elements of x whose magnitude is above it are left out of the prepared x. They are multiplied with their columns of
  // W, dequantized, in floats. (LLM.int8(), https://arxiv.org/abs/2208.07339.) Not negative, not NaN.
  float outliers = std::numeric_limits<float>::infinity();
};

namespace functions {

// Makes *w of the parts. Copies the order and the sparse weights; the matrices must outlive *w, where they are.
// Allocates the copies. Thread-safe for different *w. Fails, with *w unchanged, if there are no rows, on matrices of
// other shapes or targets ("parts.rows", "parts.down", "parts.up"), on an order that is not a permutation
// ("parts.order"), on sparse weights of another shape, with offsets that descend, columns beyond K or values that are
// not finite ("parts.sparse"), and if memory is short.
LUTRA_API Status Compose(const CompositeParts& parts, CompositeMatrix* w);

// y[N x M] = x[N x K] * W^T, over context.executor, in context.scratch and context.composite, which are the only memory
// that it allocates. Each element is the float sum, in this order, of
//
//   - what MatMul of its row's matrix gives for x prepared by options.prepare (without outliers): the same bits;
//   - the outliers of its row of x times their columns, one after the other, in ascending order of columns. Columns are
//     what MatMul gives for x of 1 in one column: W but for a few roundings to float;
//   - the sum of the row's sparse entries, one after the other, times x;
//   - what MatMul of `up` gives for x * down^T, prepared by options.prepare, where outliers are added as above;
//
// and is rounded to the type of y once. So a row of y depends on its own row of x alone, whatever N, threads or targets
// (under Choice::kInvariant; kBits is refused). If x has scales and there may be outliers, x becomes f32 before it is
// prepared.
//
// The cost of outliers: each column that has any, in any row of x, is multiplied as one more row of x with the 256
// columns of W around it; with all of W, where that is lookups of interleaved panels (int1 and ternary on AVX-512), has
// a scale per row or matrix, or an order of columns. Then floats, N * M for each column.
//
// Fails, with y unchanged, as Prepare and MatMul do, on an `outliers` that is negative or NaN ("options.outliers"), on
// an x * down^T that is not finite ("x.data"), under NonFinite::kRefuse, and if memory is short.
LUTRA_API Status MatMul(const CompositeMatrix& w, const ActivationView& x, const OutputView& y,
                        const CompositeOptions& options, Context& context);

// --- Files: a composite in one file, or in memory
//
//     head       128 bytes: magic, byte order, version, shape, which parts there are, checksums
//     sizes      a std::uint64_t for each matrix: rows, then down and up
//     order, offsets, columns and values of sparse weights, where there are some; then padding to 64 bytes
//     matrices   as SavePacked writes them, each padded to 64 bytes
//
// What packed_file.h says of byte orders, targets, threads and mapped files holds here, too.

// The number of bytes that SaveComposite writes.
LUTRA_API std::size_t CompositeFileSize(const CompositeMatrix& w);
// Writes w to bytes[0 .. size). Fails with kInvalidArgument if `bytes` is null or `size` is not CompositeFileSize(w).
LUTRA_API Status SaveComposite(const CompositeMatrix& w, void* bytes, std::size_t size);
// Writes w to a file, as SavePacked does. Takes as much memory as the file has bytes.
LUTRA_API Status SaveComposite(const CompositeMatrix& w, const char* path);

// Loads the `size` bytes that SaveComposite wrote. *w owns its matrices, which stay in `bytes`, if these are aligned to
// 64 and are packed for options.target: they must then stay unchanged as long as *w, or a matrix that it is moved to,
// exists. Fails, with *w unchanged, as LoadPacked does.
LUTRA_API Status LoadComposite(const void* bytes, std::size_t size, const PackOptions& options, CompositeMatrix* w);
// Loads a file: maps it and keeps the mapping in *w, or reads it.
LUTRA_API Status LoadComposite(const char* path, const PackOptions& options, CompositeMatrix* w,
                               FileAccess access = FileAccess::kMap);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
