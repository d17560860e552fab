// See quadratic_form.h.
#include "quantize/quadratic_form.h"

#include <algorithm>

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

constexpr std::size_t kFloatSums = 32;  // products that are added in float, before their sum goes to double

// sums[r] += h[0] * e[0][r] + h[1] * e[1][r] + ...
void AddProducts(const float* h, const float* e, std::size_t count, double* sums) {
  float partial[kFormRows] = {};
  for (std::size_t j = 0; j < count; ++j) {
    for (std::size_t r = 0; r < kFormRows; ++r) partial[r] += h[j] * e[j * kFormRows + r];
  }
  for (std::size_t r = 0; r < kFormRows; ++r) sums[r] += partial[r];
}

}  // namespace

void QuadraticForms(const float* h, std::size_t k, const float* e, double* values) {
  std::fill(values, values + kFormRows, 0.0);
  for (std::size_t i = 0; i < k; ++i) {
    const float* const row = h + i * k;
    double sums[kFormRows] = {};
    for (std::size_t j = i + 1; j < k; j += kFloatSums) {
      AddProducts(row + j, e + j * kFormRows, std::min(kFloatSums, k - j), sums);
    }
    for (std::size_t r = 0; r < kFormRows; ++r) {
      const double of_i = e[i * kFormRows + r];
      values[r] += of_i * (row[i] * of_i + 2 * sums[r]);
    }
  }
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
