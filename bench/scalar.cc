// Plain loops, for the compiler to do with as it likes.
#include "scalar.h"

#include <cmath>
#include <cstdint>
#include <vector>

namespace lutra::bench {

void ScalarMatMul(const QuantizedView& w, const float* x, std::size_t n, float* y) {
  const FormatInfo& f = Describe(w.format);
  float values[256];
  for (int q = 0; q < f.levels; ++q) {
    values[q] = f.own_values ? static_cast<float>(w.codebook[q]) : f.value(q) - f.default_zero;
  }
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

void ScalarRmsNorm(const float* x, const RmsNorm& norm, std::size_t n, std::size_t k, float* out) {
  constexpr std::size_t kSums = 16;
  for (std::size_t i = 0; i < n; ++i, x += k, out += k) {
    float sums[kSums] = {}, sum = 0;
    const std::size_t whole = k / kSums * kSums;
    for (std::size_t j = 0; j < whole; j += kSums) {
      for (std::size_t s = 0; s < kSums; ++s) sums[s] += x[j + s] * x[j + s];
    }
    for (std::size_t j = whole; j < k; ++j) sum += x[j] * x[j];
    for (const float part : sums) sum += part;
    const float scale = 1.0f / std::sqrt(sum / static_cast<float>(k) + norm.epsilon);
    for (std::size_t j = 0; j < k; ++j) out[j] = x[j] * scale * norm.weight[j];
  }
}

void ScalarHadamard(const float* x, const Hadamard& hadamard, std::size_t n, std::size_t k, float* out) {
  const std::size_t block = hadamard.block;
  const float scale = 1.0f / std::sqrt(static_cast<float>(block));
  for (std::size_t i = 0; i < n * k; i += block, x += block, out += block) {
    const float* signs = hadamard.signs + i % k;
    for (std::size_t j = 0; j < block; ++j) out[j] = x[j] * (signs[j] * scale);
    for (std::size_t distance = 1; distance < block; distance *= 2) {
      for (std::size_t begin = 0; begin < block; begin += 2 * distance) {
        float *const lower = out + begin, *const upper = lower + distance;
        for (std::size_t j = 0; j < distance; ++j) {
          const float a = lower[j], b = upper[j];
          lower[j] = a + b;
          upper[j] = a - b;
        }
      }
    }
  }
}

}  // namespace lutra::bench
