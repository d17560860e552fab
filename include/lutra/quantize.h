// Quantize and Dequantize: a simple quantizer, so that examples and tests can start from float weights. The codes of
// quantized models are better.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/quantized_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Options of Quantize.
struct QuantizeOptions {
  Format format = Format::kInt4;
  std::size_t group = 128;               // 16, 32, 64, 128, 256, kPerRow or kPerMatrix
  DataType scale_type = DataType::kF16;  // kF32, kF16 or kBF16
  ZeroKind zero_kind = ZeroKind::kNone;
  DataType zero_type = DataType::kF16;  // as QuantizedView::zero_type
  // Formats with own_values: the tables, as in QuantizedView. They are copied.
  const std::int8_t* codebook = nullptr;
  std::size_t codebook_tables = 1;
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
  return shape;
}

// Quantizes weights[M x K] (row-major, row_stride elements from row to row, finite, at any address). For each group:
//   int1     scale = mean|w|, code = w >= 0 (BWN, https://arxiv.org/abs/1603.05279)
//   ternary  scale = mean|w|, code = round(w / scale) clipped to -1..1 (absmean, BitNet b1.58,
//            https://arxiv.org/abs/2402.17764)
//   int2..4  round to nearest: without zero points scale = max|w| / 2^(b-1), the sign chosen so that the extreme is
//            exact (as ggml does); with zero points the range [min, max] is spread over all codes.
//   fp8, fp6 scale = max|w| / the largest number; round to the nearest number, of two to the even one
//   tables   round to the nearest value of the table, whose lowest stands for the extreme weight; with float zero
//            points or offsets the range [min, max] is spread over the table.
//   codebook the same, but that the value of the largest magnitude stands for the extreme weight. Of several tables, a
//            group gets the one with the least sum of squared errors.
// Integer zero points of tables are 0. For int1 and ternary, zero points of a float type and offsets stand for the mean
// of the group, and integer zero points are 0. The scale is rounded to scale_type first, and codes are chosen for the
// rounded scale. Thread-safe. Fails, with *w unchanged, on weights that are null or not finite, a stride below K,
// invalid options or codebooks, sizes that overflow, and short memory.
LUTRA_API Status Quantize(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                          const QuantizeOptions& options, QuantizedMatrix* w);

// Writes W in float, rounded to nearest, to out[M x K] (row-major, row_stride elements from row to row, aligned to 4
// bytes). Column j of the codes goes to column ColumnOfX(w, j). Thread-safe. Fails, with `out` unchanged, on views that
// Pack refuses, a null `out` and a stride below K.
LUTRA_API Status Dequantize(const QuantizedView& w, float* out, std::size_t row_stride);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
