// The error of results against the double reference, on a sample of the rows of W; for examples, benchmarks and tools.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lutra/matrix.h"
#include "lutra/reference.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

struct RowRange {
  std::size_t begin, end;
};

inline constexpr std::size_t kSampledRows = 256;  // few enough for the slow reference

namespace functions {

// Four ranges of rows, kSampledRows in all, spread from the first row to the last. All rows of a smaller matrix.
inline std::vector<RowRange> SampleRows(std::size_t m) {
  constexpr std::size_t kRanges = 4, kRows = kSampledRows / kRanges;
  if (m <= kSampledRows) return {{0, m}};
  std::vector<RowRange> ranges;
  for (std::size_t i = 0; i < kRanges; ++i) {
    const std::size_t begin = (m - kRows) * i / (kRanges - 1);
    ranges.push_back({begin, begin + kRows});
  }
  return ranges;
}

}  // namespace functions

// Normalized mean squared error: the sum of squared errors over the sum of squared expected results.
class Nmse {
 public:
  void Add(double got, double expected) {
    error_ += (got - expected) * (got - expected);
    energy_ += expected * expected;
  }
  double value() const { return error_ == 0 ? 0 : error_ / energy_; }

 private:
  double error_ = 0, energy_ = 0;
};

namespace functions {

// Compares y[N x M] (row-major, dense) with the reference, in the sampled rows of w. Adds the errors to *nmse. Fails as
// ReferenceMatMul does.
inline Status CompareWithReference(const QuantizedView& w, const ActivationView& x, const float* y, Nmse* nmse) {
  for (const RowRange& rows : SampleRows(w.m)) {
    const QuantizedView part = Rows(w, rows.begin, rows.end);
    std::vector<double> expected(x.n * part.m);
    if (const Status status = ReferenceMatMul(part, x, expected.data()); !status.ok()) return status;
    for (std::size_t n = 0; n < x.n; ++n) {
      for (std::size_t m = 0; m < part.m; ++m) nmse->Add(y[n * w.m + rows.begin + m], expected[n * part.m + m]);
    }
  }
  return {};
}

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
