// See matrix_scale.h.
#include "quantize/matrix_scale.h"

#include <algorithm>
#include <limits>

#include "float_mode.h"
#include "quantize/fit_range.h"
#include "quantize/group.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

float MatrixScaleOf(const Elements<float>& weights, std::size_t m, std::size_t row_stride, const QuantizedView& shape) {
  if (shape.matrix_scale != 0.0f || shape.scale_type != DataType::kE4M3) return shape.matrix_scale;
  const FormatInfo& f = Describe(shape.format);
  const FloatCode& e4m3 = Describe(Format::kFp8E4M3).floats;
  const bool whole = shape.group == kPerMatrix;
  const std::size_t size = HasRowScales(shape.group) ? shape.k : shape.group;
  const FloatMode mode;
  float largest = 0;
  for (std::size_t row = 0; shape.k != 0 && row < (whole ? std::min<std::size_t>(m, 1) : m); ++row) {
    const Group all{weights.From(row * row_stride), whole ? m : 1, row_stride, shape.k};
    for (std::size_t begin = 0; begin < shape.k; begin += size) {
      for (std::size_t table = 0; table < TablesOf(f, shape); ++table) {
        largest = std::max(largest, FitRange(all.Part(begin, size), shape, TableOf(f, shape, table)).scale);
      }
    }
  }
  if (largest == 0.0f) return 1.0f;
  return std::max(largest / e4m3.value(e4m3.magnitudes - 1), std::numeric_limits<float>::min());
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
