// Quantize and Dequantize.
#include "lutra/quantize.h"

#include <algorithm>
#include <cstring>

#include "float_mode.h"
#include "memory/elements.h"
#include "quantize/checks.h"
#include "quantize/fit_group.h"
#include "quantize/in_order.h"
#include "quantize/matrix_scale.h"
#include "scales.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

// Quantizes W[M x K]; M and K are not 0.
struct RowsToQuantize {
  const internal::Elements<float>& weights;
  const std::size_t row_stride;
  const QuantizeOptions& options;  // without an order
  QuantizedMatrix& w;

  static void Row(RowsToQuantize& self, std::size_t row) {
    const QuantizedView& v = self.w.view();
    const internal::GroupArrays arrays = internal::ArraysOf(self.w);
    const bool whole = v.group == kPerMatrix;
    const internal::Group all{self.weights.From(row * self.row_stride), whole ? v.m : 1, self.row_stride, v.k,
                              self.options.importance};
    const std::size_t columns = internal::FitColumns(v), per_fit = GroupsPerRow(columns, v.group);
    std::size_t at = row * GroupsPerRow(v.k, v.group);
    for (std::size_t begin = 0; begin < v.k; begin += columns, at += per_fit) {
      const internal::Group part = all.Part(begin, columns);
      internal::FitGroups(part, at, arrays, self.options.fit);
      internal::EncodeGroups(part, at, arrays, self.w.codes() + row * v.k + begin, v.code_stride);
    }
  }
};

bool AllCodesExist(const QuantizedView& w) {
  for (std::size_t m = 0; m < w.m; ++m) {
    if (!internal::AllCodesExist(Describe(w.format), w.codes + m * w.code_stride, w.k)) return false;
  }
  return true;
}

}  // namespace

Status functions::Quantize(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                           const QuantizeOptions& options, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  LUTRA_RETURN_IF_ERROR(internal::ValidateQuantizing(weights, m, k, row_stride, options));
  const bool empty = m == 0 || k == 0;
  internal::WeightsInOrder w_in_order;
  if (!empty && !w_in_order.Take(weights, m, k, row_stride, options)) return Status::OutOfMemory("w");
  QuantizedMatrix result;
  QuantizedView shape = ShapeOf(m, k, options);
  shape.matrix_scale = internal::MatrixScaleOf(w_in_order.weights, m, w_in_order.row_stride, shape);
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape));
  std::copy_n(shape.codebook, CodebookSize(shape), result.codebook());
  if (shape.order != nullptr) std::memcpy(result.order(), shape.order, k * sizeof(std::uint32_t));
  if (!empty) {
    RowsToQuantize rows{w_in_order.weights, w_in_order.row_stride, w_in_order.options, result};
    internal::RunTasks(options.executor, options.group == kPerMatrix ? 1 : m, rows, RowsToQuantize::Row);
  }
  *w = std::move(result);
  return {};
}

Status functions::Dequantize(const QuantizedView& w, float* out, std::size_t row_stride) {
  LUTRA_RETURN_IF_ERROR(internal::ValidateWeights(w));
  if (w.m == 0 || w.k == 0) return {};
  LUTRA_RETURN_IF_ERROR(internal::ValidateRows(out, w.m, w.k, row_stride, "out"));
  if (!AllCodesExist(w)) return Status::Invalid("w.codes", "holds a code that the format does not have");
  const internal::FloatMode mode;
  for (std::size_t m = 0; m < w.m; ++m) internal::DequantizeRow(w, m, out + m * row_stride);
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
