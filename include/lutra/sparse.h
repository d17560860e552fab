// Sparse weights beside packed ones: the few weights that low bits hold badly, by rows (CSR).
//
//     lutra::QuantizedMatrix q;
//     lutra::SparseMatrix outliers;
//     lutra::QuantizeWithOutliers(weights, M, K, K, options, 0.01, &q, &outliers);  // at most 1 % of the weights
//
// A CompositeMatrix (composite.h) multiplies both in one call. (SpQR, https://arxiv.org/abs/2306.03078.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lutra/buffer.h"
#include "lutra/export.h"
#include "lutra/quantize.h"
#include "lutra/quantized_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Sparse weights S[M x K]; a view. Row m has the entries from offsets[m] to offsets[m + 1]: entry i stands in column
// columns[i] and has the value values[i]. Entries of a row may have any order. All arrays are aligned to their
// elements.
struct SparseView {
  std::size_t m = 0, k = 0;
  const std::uint32_t* offsets = nullptr;  // [M + 1], from 0, ascending
  const void* columns = nullptr;           // std::uint16_t if K is at most 65536, otherwise std::uint32_t
  const std::uint16_t* values = nullptr;   // f16, finite
};

namespace functions {

// Bytes of an element of columns[].
constexpr std::size_t ColumnBytes(std::size_t k) { return k <= 65536 ? 2 : 4; }
// The entries of S.
constexpr std::size_t EntryCount(const SparseView& s) { return s.offsets == nullptr ? 0 : s.offsets[s.m]; }
// Bytes of the arrays: M + 1 offsets of 4 bytes, and 4 or 6 bytes for each entry.
constexpr std::size_t BytesOf(const SparseView& s) {
  return s.offsets == nullptr ? 0 : (s.m + 1) * sizeof(std::uint32_t) + EntryCount(s) * (ColumnBytes(s.k) + 2);
}

}  // namespace functions

// Owns the arrays of S[M x K]. Movable; a matrix that was moved from is empty. Any number of threads may read it at the
// same time.
class LUTRA_API SparseMatrix {
 public:
  SparseMatrix() = default;
  SparseMatrix(SparseMatrix&& other) noexcept { Swap(other); }
  SparseMatrix& operator=(SparseMatrix&& other) noexcept {
    SparseMatrix taken(std::move(other));
    Swap(taken);
    return *this;
  }
  // Valid as long as this object lives and is not allocated or assigned anew.
  const SparseView& view() const { return view_; }

  // Allocates arrays for the rows and this number of entries, below 2^32. Their contents are undefined. Fails, with
  // this object unchanged, on sizes that overflow and on short memory. Not thread-safe.
  Status Allocate(std::size_t m, std::size_t k, std::size_t entries);

  // The arrays of view(), writable.
  std::uint32_t* offsets() { return offsets_.as<std::uint32_t>(); }
  void* columns() { return columns_.data(); }
  std::uint16_t* values() { return values_.as<std::uint16_t>(); }

 private:
  void Swap(SparseMatrix& other) noexcept {
    std::swap(view_, other.view_);
    std::swap(offsets_, other.offsets_);
    std::swap(columns_, other.columns_);
    std::swap(values_, other.values_);
  }

  SparseView view_;
  Buffer offsets_, columns_, values_;
};

namespace functions {

// Quantizes weights[M x K] as Quantize does, but takes at most share * M * K of them out: of each group the weights
// that are farthest from its mean, as many as lower the sum of squared errors of all groups most. The others are
// quantized as if the mean of the rest stood in their place; an entry of *outliers is what then lacks, so that both
// together are the weight, rounded to f16. With kE4M3 and no matrix_scale, weights are chosen for the factor that all
// weights would get. Runs on options.executor; results do not depend on it. Thread-safe. Fails,
// with *w and *outliers unchanged, as Quantize does, and on a share outside [0, 1], one scale for the whole matrix
// ("options.group"), an order of columns ("options.order"), and a value that f16 does not hold.
LUTRA_API Status QuantizeWithOutliers(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                                      const QuantizeOptions& options, double share, QuantizedMatrix* w,
                                      SparseMatrix* outliers);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
