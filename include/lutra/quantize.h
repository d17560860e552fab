// Quantize and Dequantize: float weights to codes and qparams, by rounding to nearest, by a search for the least error,
// or with error feedback (lutra/eigen/gptq.h); tables by k-means.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/executor.h"
#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/quantized_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// How Quantize chooses the qparams of a group. Codes are the nearest ones in either case.
//
//   kRange        from the range of the weights, or from their mean: see Quantize. Fast.
//   kLeastError   the sum of squared errors, each times the importance of its column, is the least that a search finds:
//                 over a grid of scales and ranges; then codes and qparams in turns, by least squares. Never worse than
//                 kRange in any group (scales of two levels: super-group). It takes some 100 times as long.
enum class Fit : std::uint8_t { kRange, kLeastError };

namespace functions {

// "range" or "least_error".
constexpr const char* Name(Fit fit) noexcept {
  return fit == Fit::kRange ? "range" : fit == Fit::kLeastError ? "least_error" : "?";
}

}  // namespace functions

// Options of Quantize.
struct QuantizeOptions {
  Format format = Format::kInt4;
  std::size_t group = 128;  // 16, 32, 64, 128, 256, kPerRow or kPerMatrix
  // kF32, kF16 or kBF16. Two levels: kInt8 or kUInt4, with zero_kind kNone or kOffset (SpQR's quantized scales and zero
  // points, https://arxiv.org/abs/2306.03078, as the K-quants of GGUF have them). One byte: kE8M0 or kE4M3. With
  // kE8M0 in groups of 32, fp4 is MXFP4 and fp8_e4m3 or fp8_e5m2 is MXFP8; fp4 in groups of 16 with kE4M3 is NVFP4.
  DataType scale_type = DataType::kF16;
  ZeroKind zero_kind = ZeroKind::kNone;
  DataType zero_type = DataType::kF16;  // as QuantizedView::zero_type
  // Formats with own_values: the tables, as in QuantizedView. They are copied.
  const std::int8_t* codebook = nullptr;
  std::size_t codebook_tables = 1;
  // [K] or null: a permutation, as QuantizedView::order, such as OrderByMagnitude gives (block_float.h). Column j of
  // the codes is column order[j] of the weights. It is copied.
  const std::uint32_t* order = nullptr;
  Fit fit = Fit::kRange;
  // [K] or null: ones. What the squared error of a weight in each column counts, when errors are compared: the mean of
  // x(n, k)^2, say. Finite, not negative, aligned to 4 bytes.
  const float* importance = nullptr;
  Executor* executor = nullptr;  // null: the calling thread. Results do not depend on it.
  // Factor of all scales of type kE8M0 or kE4M3 (QuantizedView::matrix_scale): finite, not negative; other types ignore
  // it. 0 means 1 for kE8M0. For kE4M3, 0 lets the quantizers compute the factor with which the largest scale of
  // Fit::kRange is stored as 448; LayoutOf(ShapeOf(...)) cannot, and fails on 0 ("w.matrix_scale").
  float matrix_scale = 0.0f;
};

namespace functions {

// The view that Quantize makes of M x K weights, without its arrays: the shape for LayoutOf (packed_layout.h).
inline QuantizedView ShapeOf(std::size_t m, std::size_t k, const QuantizeOptions& options) {
  QuantizedView shape;
  shape.format = options.format;
  shape.m = m;
  shape.k = k;
  shape.group = options.group;
  shape.scale_type = options.scale_type;
  shape.zero_kind = options.zero_kind;
  shape.zero_type = options.zero_type;
  shape.codebook = options.codebook;
  shape.codebook_tables = options.codebook_tables;
  shape.order = options.order;
  if (options.matrix_scale != 0.0f || options.scale_type == DataType::kE4M3) shape.matrix_scale = options.matrix_scale;
  return shape;
}

// Quantizes weights[M x K] (row-major, row_stride elements from row to row, finite, at any address). For each group:
//   int1     scale = mean|w|, code = w >= 0 (BWN, https://arxiv.org/abs/1603.05279)
//   ternary  scale = mean|w|, code = round(w / scale) clipped to -1..1 (absmean, BitNet b1.58,
//            https://arxiv.org/abs/2402.17764)
//   int2..4  round to nearest: without zero points scale = max|w| / 2^(b-1), the sign chosen so that the extreme is
//            exact (as ggml does); with zero points the range [min, max] is spread over all codes.
//   fp8, fp6_e3m2
//            scale = max|w| / the largest number; round to the nearest number, of two to the even one
//   tables   round to the nearest value of the table, whose lowest stands for the extreme weight; with float zero
//            points or offsets the range [min, max] is spread over the table.
//   codebook the same, but that the value of the largest magnitude stands for the extreme weight. Of several tables, a
//            group gets the one with the least sum of squared errors (BitMoD, https://arxiv.org/abs/2411.11745).
// This is Fit::kRange; kLeastError starts from it. Integer zero points of tables are 0. For int1 and ternary, zero
// points of a float type and offsets stand for the mean of the group, and integer zero points are 0. Scales of two
// levels are these, rounded to multiples of the super-scale, which is the largest of them divided by 127 or 15; under
// kUInt4 they are positive. Scales of type kE8M0 and kE4M3 are not negative: of the two numbers of the type next to the
// scale above, a group gets the one with the smaller squared error. (Tables and integers without zero points: the scale
// above is then the least one with which no weight lies beyond the values.) Under the lower number, weights beyond the
// values are clipped. Codes are chosen for rounded qparams. Results are the same bits on every CPU. Thread-safe.
// Fails, with *w unchanged, on weights that are null or not finite, a stride below K, invalid options or codebooks,
// sizes that overflow, and short memory.
LUTRA_API Status Quantize(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                          const QuantizeOptions& options, QuantizedMatrix* w);

// Learns the codebook of a format with own_values by k-means: options.codebook_tables tables, which go to `codebook`,
// an array of as many values as options.codebook would have. It starts from options.codebook, or from tables of its own
// if that is null; then qparams (with options.fit) and tables are chosen in turns. For given qparams a table is the
// best one, but for the rounding of its values. The sum of squared errors of Quantize with the result, each times the
// importance of its column, is at most that with options.codebook. Some rows of a large matrix suffice. Results,
// threads and errors as for Quantize; `codebook` is unchanged then.
LUTRA_API Status LearnCodebook(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                               const QuantizeOptions& options, std::int8_t* codebook);

}  // namespace functions

// What QuantizeWithFeedback knows of x. All arrays are aligned to their elements.
struct Feedback {
  // H[K x K], row-major: the sum of x(n, i) * x(n, j) over tokens n, of x as it is. Its upper triangle is read.
  const float* hessian = nullptr;
  // U[K x K], row-major: an upper triangular matrix with U^T * U = H'^-1, where H' is H with something added to its
  // diagonal, and both have their rows and columns in options.order. The upper triangle is read.
  const float* factor = nullptr;
};

namespace functions {

// Quantizes with error feedback (GPTQ, https://arxiv.org/abs/2210.17323): column after column is rounded, and the
// columns after it make up for its error in x * W^T. The qparams of a group are fitted, by options.fit, to the weights
// as they are when its first column is reached. QuantizeGptq (lutra/eigen/gptq.h) computes the factor. The squared
// error of x * W^T, which is e * H * e^T for the errors e of a row, is in no row larger than that of Quantize, whose
// codes a row gets otherwise. options.importance must be null. Results, threads and errors as for Quantize.
LUTRA_API Status QuantizeWithFeedback(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                                      const QuantizeOptions& options, const Feedback& feedback, QuantizedMatrix* w);

// Writes W in float, rounded to nearest, to out[M x K] (row-major, row_stride elements from row to row, aligned to 4
// bytes). Column j of the codes goes to column ColumnOfX(w, j). Thread-safe. Fails, with `out` unchanged, on views that
// Pack refuses, a null `out` and a stride below K.
LUTRA_API Status Dequantize(const QuantizedView& w, float* out, std::size_t row_stride);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
