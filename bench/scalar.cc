// Dequantize a row, multiply and add: plain loops, for the compiler to do with as it likes.
#include "scalar.h"

#include <cstdint>
#include <vector>

namespace lutra::bench {

void ScalarMatMul(const QuantizedView& w, const float* x, std::size_t n, float* y) {
  const FormatInfo& f = Describe(w.format);
  float values[16];
  for (int q = 0; q < f.levels; ++q) values[q] = f.value(q) - f.default_zero;
  const std::size_t groups = GroupsPerRow(w.k, w.group);
  std::vector<float> row(w.k);
  for (std::size_t m = 0; m < w.m; ++m) {
    const std::uint8_t* codes = w.codes + m * w.code_stride;
    const auto* scales = static_cast<const std::uint16_t*>(w.scales) + m * groups;
    for (std::size_t group = 0, k = 0; group < groups; ++group) {
      const float scale = F16ToF32(scales[group]);
      for (std::size_t i = 0; i < w.group && k < w.k; ++i, ++k) row[k] = scale * values[codes[k]];
    }
    for (std::size_t i = 0; i < n; ++i) {
      float sum = 0;
      for (std::size_t k = 0; k < w.k; ++k) sum += row[k] * x[i * w.k + k];
      y[i * w.m + m] = sum;
    }
  }
}

}  // namespace lutra::bench
