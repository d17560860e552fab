// Rows of nothing but zero weights give 0, or, for int2 under kInt8, no more than the bound that format.h states.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lutra/layout/k_blocks.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kM = 70, kN = 6;

// The largest |y| of a row of int2 whose weights are 0 and whose scales are 1.
double Bound(const float* x, std::size_t k, std::size_t group) {
  constexpr std::size_t kFour = 4, kRun = 32;  // weights of a table, and of a scale run
  const FormatInfo& f = Describe(Format::kInt2);
  double bound = 0;
  for (std::size_t begin = 0, end; begin < k; begin = end) {
    end = BlockEnd(f, group, begin, k);
    std::vector<double> sums;  // of |x| over four
    for (std::size_t at = begin; at < end; at += kFour) {
      sums.push_back(0);
      for (std::size_t i = at; i < std::min(at + kFour, end); ++i) sums.back() += std::fabs(double{x[i]});
    }
    const double largest = *std::max_element(sums.begin(), sums.end());
    for (std::size_t first = 0; first < sums.size(); first += kRun / kFour) {
      const std::size_t last = std::min(first + kRun / kFour, sums.size());
      const double in_run = *std::max_element(sums.begin() + static_cast<std::ptrdiff_t>(first),
                                              sums.begin() + static_cast<std::ptrdiff_t>(last));
      bound += static_cast<double>(last - first) / 4 * (in_run + largest / 31) / 127 * 1.01;
    }
  }
  return bound;
}

enum class Kind { kGaussian, kPositive, kEqual, kOutlier, kHalfSteps };
constexpr Kind kKinds[] = {Kind::kGaussian, Kind::kPositive, Kind::kEqual, Kind::kOutlier, Kind::kHalfSteps};

std::vector<float> MakeX(Kind kind, std::size_t k) {
  Random random(1);
  std::vector<float> x(kN * k);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float any = random.Gaussian();
    x[i] = kind == Kind::kGaussian   ? any
           : kind == Kind::kPositive ? std::fabs(any)
           : kind == Kind::kEqual    ? 1.0f
           : kind == Kind::kOutlier  ? (i % k == 5 ? 1000.0f : any)
           : i % k / 4 % 8 == 0      ? 10.0f
                                     : 0.04f;  // half a step, nearly: 10 / 127 / 2
  }
  return x;
}

// The code of a weight of 0; -1 if the format has none.
int ZeroCode(const FormatInfo& f) {
  for (int code = 0; code < f.levels; ++code) {
    if (f.value(static_cast<std::uint8_t>(code)) == f.default_zero) return code;
  }
  return -1;
}
std::vector<Kernel> KernelsWithZeroWeights() {
  std::vector<Kernel> kernels = Kernels();
  kernels.erase(std::remove_if(kernels.begin(), kernels.end(),
                               [](const Kernel& kernel) { return ZeroCode(Describe(kernel.format)) < 0; }),
                kernels.end());
  return kernels;
}

class ZeroWeights : public KernelTest {
 protected:
  // y of rows of the code, times x, with scales of 1.
  static std::vector<float> Products(const PackedMatrix& w, const std::vector<float>& x, Precision precision,
                                     Choice choice) {
    Context context;
    Activations prepared;
    std::vector<float> y(kM * kN);
    EXPECT_TRUE(Ok(Prepare(ActivationView(x.data(), kN, w.k()), w, {precision, choice}, context, &prepared)));
    EXPECT_TRUE(Ok(MatMul(w, prepared, OutputView(y.data(), kN, kM), context)));
    return y;
  }
};

TEST_P(ZeroWeights, GiveZeroOrTheDocumentedError) {
  const FormatInfo& f = Describe(GetParam().format);
  const int code = ZeroCode(f);
  const bool rounds = MethodOf(f.format).looks_up() && MethodOf(f.format).start() != 0;
  EXPECT_EQ(rounds, f.format == Format::kInt2);
  for (const std::size_t k : {std::size_t{128}, std::size_t{1000}}) {
    for (const std::size_t group : {std::size_t{16}, std::size_t{128}, kPerRow}) {
      const std::vector<std::uint8_t> codes(kM * k, static_cast<std::uint8_t>(code));
      const std::vector<float> scales(kM * GroupsPerRow(k, group), 1.0f);
      QuantizedView view;
      view.format = f.format;
      view.m = kM;
      view.k = view.code_stride = k;
      view.codes = codes.data();
      view.group = group;
      view.scales = scales.data();
      view.scale_type = DataType::kF32;
      view.codebook = kCodebook4;  // of formats with own_values; code 0 is 0
      PackedMatrix w;
      ASSERT_TRUE(Ok(Pack(view, {GetParam().target, nullptr}, &w)));
      for (const Kind kind : kKinds) {
        const std::vector<float> x = MakeX(kind, k);
        SCOPED_TRACE(::testing::Message() << "K " << k << ", group " << group << ", x " << static_cast<int>(kind));
        for (const float y : Products(w, x, Precision::kInt16, Choice::kInvariant)) ASSERT_EQ(y, 0.0f);
        const std::vector<float> y = Products(w, x, Precision::kInt8, Choice::kInvariant);
        for (std::size_t i = 0; i < y.size(); ++i) {
          const float* const row = &x[i / kM * k];
          const double bound = rounds ? Bound(row, k, group) : 0.0;
          ASSERT_LE(std::fabs(double{y[i]}), bound);
          double sum = 0;
          for (std::size_t j = 0; j < k; ++j) sum += std::fabs(double{row[j]});
          ASSERT_LE(bound, 0.018 * 1.01 * sum);
          const bool usual = kind == Kind::kGaussian || kind == Kind::kEqual;
          ASSERT_LE(std::fabs(double{y[i]}), (usual ? 0.002 : 0.02) * sum);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, ZeroWeights, ::testing::ValuesIn(KernelsWithZeroWeights()), KernelName);

}  // namespace
}  // namespace lutra::test
