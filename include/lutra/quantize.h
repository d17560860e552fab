// A simple quantizer, so that examples and tests can start from float weights. Models bring better codes of their own.
#pragma once

#include <cstddef>

#include "lutra/buffer.h"
#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/status.h"

namespace lutra {

// Owns what a QuantizedView points to.
class LUTRA_API QuantizedMatrix {
 public:
  // Valid as long as this object lives and is not allocated or assigned anew.
  const QuantizedView& view() const { return view_; }

  // Makes room for a matrix of the format, shape, group and types of `shape`, with an order if shape.order is not null
  // and with `bias` for M floats; its other pointers and code_stride (here: k) do not matter. The contents are
  // undefined.
  Status Allocate(const QuantizedView& shape, bool bias = false);

  std::uint8_t* codes() { return codes_.data(); }
  void* scales() { return scales_.data(); }
  void* zeros() { return view_.zero_kind == ZeroKind::kNone ? nullptr : zeros_.data(); }
  std::uint16_t* super_scales() { return super_scales_.as<std::uint16_t>(); }    // null if scales have one level
  std::uint16_t* super_offsets() { return super_offsets_.as<std::uint16_t>(); }  // null besides if there are no offsets
  float* bias() { return view_.bias == nullptr ? nullptr : bias_.as<float>(); }
  std::uint32_t* order() { return view_.order == nullptr ? nullptr : order_.as<std::uint32_t>(); }

 private:
  QuantizedView view_;
  Buffer codes_, scales_, zeros_, super_scales_, super_offsets_, bias_, order_;
};

struct QuantizeOptions {
  Format format = Format::kInt4;
  std::size_t group = 128;               // 16, 32, 64, 128, 256, kPerRow or kPerMatrix
  DataType scale_type = DataType::kF16;  // kF32, kF16 or kBF16
  ZeroKind zero_kind = ZeroKind::kNone;
};

// Quantizes weights[M x K] (row-major, row_stride elements from row to row, finite). Per group:
//   int1     scale = mean|w|, code = w >= 0 (BWN, https://arxiv.org/abs/1603.05279)
//   ternary  scale = mean|w|, code = round(w / scale) clipped to -1..1 (absmean, BitNet b1.58,
//            https://arxiv.org/abs/2402.17764)
//   int2..4  round to nearest: without zero points scale = max|w| / 2^(b-1), the sign chosen so that the extreme is
//            exact (as ggml does); with zero points the range [min, max] is spread over all codes.
// For int1 and ternary a zero point is the group's mean (float, offset) or 0 (integer).
// The scale is rounded to scale_type first, then codes are chosen against the rounded one.
LUTRA_API Status Quantize(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                          const QuantizeOptions& options, QuantizedMatrix* w);

// out[M x K] = W in float, column j of the codes in column ColumnOfX(w, j) (double is not needed: value and zero are
// small integers, or rounded here to nearest).
LUTRA_API Status Dequantize(const QuantizedView& w, float* out, std::size_t row_stride);

}  // namespace lutra
