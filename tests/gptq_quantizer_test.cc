// QuantizeGptq and QuantizeWithFeedback: no row's error of x * W^T is larger than Quantize's, for the given Hessian.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "lutra/eigen/gptq.h"
#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kM = 17, kK = 300, kN = 320;

// x whose columns are correlated, some larger than others; column 7 is 0.
std::vector<float> CorrelatedRows(std::size_t n = kN, std::size_t k = kK) {
  Random random(2);
  std::vector<float> x(n * k);
  for (std::size_t i = 0; i < n; ++i) {
    float last = 0;
    for (std::size_t j = 0; j < k; ++j) {
      last = 0.8f * last + 0.6f * random.Gaussian();
      x[i * k + j] = j == 7 ? 0.0f : last * (j % 13 == 0 ? 8.0f : 1.0f);
    }
  }
  return x;
}
std::vector<float> HessianOf(const std::vector<float>& x, std::size_t k = kK) {
  std::vector<float> hessian(k * k);
  AddToHessian(x.data(), x.size() / k / 2, k, k, hessian.data());
  AddToHessian(x.data() + x.size() / k / 2 * k, x.size() / k - x.size() / k / 2, k, k, hessian.data());
  return hessian;
}
std::vector<float> Weights(float scale = 1.0f) {
  Random random(1);
  std::vector<float> weights(kM * kK);
  for (float& weight : weights) weight = scale * random.Gaussian();
  return weights;
}

// The squared error of x * W^T, for each row of W.
std::vector<double> ProductErrors(const QuantizedView& w, const std::vector<float>& weights,
                                  const std::vector<float>& x) {
  std::vector<float> out(w.m * w.k);
  EXPECT_TRUE(Ok(Dequantize(w, out.data(), w.k)));
  std::vector<double> errors(w.m);
  for (std::size_t m = 0; m < w.m; ++m) {
    for (std::size_t n = 0; n < x.size() / w.k; ++n) {
      double sum = 0;
      for (std::size_t k = 0; k < w.k; ++k) {
        sum += (double{weights[m * w.k + k]} - out[m * w.k + k]) * x[n * w.k + k];
      }
      errors[m] += sum * sum;
    }
  }
  return errors;
}
double Sum(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

class Gptq : public ::testing::TestWithParam<FormatInfo> {};

TEST_P(Gptq, IsNeverWorse) {
  const std::vector<float> x = CorrelatedRows(), hessian = HessianOf(x), weights = Weights();
  constexpr ParamKind kSome[] = {{DataType::kF16, Zeros::kNone},    {DataType::kBF16, Zeros::kFloat},
                                 {DataType::kF32, Zeros::kOffset},  {DataType::kF16, Zeros::kUInt4},
                                 {DataType::kInt8, Zeros::kOffset}, {DataType::kUInt4, Zeros::kNone}};
  for (const ParamKind kind : kSome) {
    for (const std::size_t group : {std::size_t{16}, std::size_t{64}, std::size_t{256}, kPerRow, kPerMatrix}) {
      if (!Exists(group, kind) || !HasZeros(GetParam().format, kind.zeros)) continue;
      SCOPED_TRACE(::testing::Message() << Name(kind.scale_type) << " " << Name(kind.zeros) << " " << GroupName(group));
      QuantizeOptions options;
      options.format = GetParam().format;
      options.group = group;
      options.scale_type = kind.scale_type;
      SetZeros(kind.zeros, &options);
      SetCodebook(&options);
      const bool by_diagonal = group == 64 || group == kPerMatrix;
      QuantizedMatrix plain, fed_back;
      std::vector<float> ordered(weights.size());  // as GPTQ sees the columns
      ASSERT_TRUE(
          Ok(QuantizeGptq(weights.data(), kM, kK, kK, options, hessian.data(), {0.01, by_diagonal}, &fed_back)));
      const QuantizedView view = fed_back.view();
      ASSERT_EQ(view.order != nullptr, by_diagonal);
      for (std::size_t i = 0; i < weights.size(); ++i) ordered[i] = weights[i / kK * kK + ColumnOfX(view, i % kK)];
      ASSERT_TRUE(Ok(Quantize(ordered.data(), kM, kK, kK, options, &plain)));
      QuantizedView of_plain = plain.view();
      of_plain.order = view.order;
      const std::vector<double> errors = ProductErrors(view, weights, x), most = ProductErrors(of_plain, weights, x);
      for (std::size_t m = 0; m < kM; ++m) EXPECT_LE(errors[m], most[m] * 1.0001) << m;
      if (!HasTwoLevels(kind.scale_type) && group != kPerMatrix) {
        EXPECT_LT(Sum(errors), 0.95 * Sum(most));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Each, Gptq, ::testing::ValuesIn(kFormats), FormatName);

// With the search, too; the order of columns by the diagonal serves columns that are large.
TEST(GptqFits, WorkTogether) {
  const std::vector<float> x = CorrelatedRows(), hessian = HessianOf(x), weights = Weights();
  for (const Format format : {Format::kInt2, Format::kInt3, Format::kInt4, Format::kFp4, Format::kTernary}) {
    QuantizeOptions options;
    options.format = format;
    options.group = 64;
    double errors[2][2];
    for (const Fit fit : {Fit::kRange, Fit::kLeastError}) {
      options.fit = fit;
      QuantizedMatrix plain, fed_back;
      ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &plain)));
      ASSERT_TRUE(Ok(QuantizeGptq(weights.data(), kM, kK, kK, options, hessian.data(), {}, &fed_back)));
      errors[static_cast<int>(fit)][0] = Sum(ProductErrors(plain.view(), weights, x));
      errors[static_cast<int>(fit)][1] = Sum(ProductErrors(fed_back.view(), weights, x));
    }
    EXPECT_LT(errors[0][1], 0.7 * errors[0][0]) << Name(format);
    EXPECT_LT(errors[1][1], 0.7 * errors[1][0]) << Name(format);
    EXPECT_LT(errors[1][1], errors[0][1]) << Name(format);
  }
}

TEST(GptqFits, DoNotDependOnThreads) {
  const std::vector<float> hessian = HessianOf(CorrelatedRows()), weights = Weights();
  ThreadPool threads(3);
  for (const bool by_diagonal : {false, true}) {
    QuantizeOptions options;
    options.fit = Fit::kLeastError;
    QuantizedMatrix expected, w;
    ASSERT_TRUE(Ok(QuantizeGptq(weights.data(), kM, kK, kK, options, hessian.data(), {0.01, by_diagonal}, &expected)));
    options.executor = &threads;
    ASSERT_TRUE(Ok(QuantizeGptq(weights.data(), kM, kK, kK, options, hessian.data(), {0.01, by_diagonal}, &w)));
    ExpectSame(w.view(), expected.view());
  }
}

// Hessians of zeros or of rank 1, huge and tiny weights, and a factor that blows errors up: finite, never worse.
TEST(GptqFits, TakeOddInputs) {
  std::vector<float> zeros(kK * kK), rank_1(kK * kK);
  const std::vector<float> x = CorrelatedRows(1);
  AddToHessian(x.data(), 1, kK, kK, rank_1.data());
  for (const float scale : {0.0f, 1e-42f, 1.0f, 1e37f}) {
    const std::vector<float> weights = Weights(scale);
    QuantizeOptions options;
    options.scale_type = DataType::kF32;
    QuantizedMatrix w, plain;
    std::vector<float> out(weights.size());
    ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &plain)));
    for (const std::vector<float>* hessian : {&zeros, &rank_1}) {
      ASSERT_TRUE(Ok(QuantizeGptq(weights.data(), kM, kK, kK, options, hessian->data(), {}, &w)));
      ASSERT_TRUE(Ok(Dequantize(w.view(), out.data(), kK)));
      for (const float weight : out) ASSERT_TRUE(std::isfinite(weight));
    }
    std::vector<float> factor(kK * kK, 1e20f);
    ASSERT_TRUE(Ok(QuantizeWithFeedback(weights.data(), kM, kK, kK, options, {rank_1.data(), factor.data()}, &w)));
    ASSERT_TRUE(Ok(Dequantize(w.view(), out.data(), kK)));
    for (const float weight : out) ASSERT_TRUE(std::isfinite(weight));
  }
}

TEST(GptqFits, RefuseFaultyArguments) {
  const std::vector<float> weights = Weights();
  std::vector<float> hessian = HessianOf(CorrelatedRows()), factor(kK * kK, 1.0f);
  const std::vector<std::uint32_t> order(kK, 0);
  QuantizeOptions options;
  QuantizedMatrix w;
  const auto gptq = [&](double damping) {
    return QuantizeGptq(weights.data(), kM, kK, kK, options, hessian.data(), {damping, false}, &w);
  };
  const auto quantize = [&](const Feedback& feedback) {
    return QuantizeWithFeedback(weights.data(), kM, kK, kK, options, feedback, &w);
  };
  EXPECT_TRUE(Refused(gptq(-1), "gptq.damping"));
  EXPECT_TRUE(Refused(gptq(std::numeric_limits<double>::quiet_NaN()), "gptq.damping"));
  EXPECT_TRUE(Refused(gptq(0), "hessian"));  // column 7 is 0
  EXPECT_TRUE(Refused(QuantizeGptq(weights.data(), kM, kK, kK, options, nullptr, {}, &w), "hessian"));
  EXPECT_TRUE(Refused(quantize({nullptr, factor.data()}), "feedback.hessian"));
  EXPECT_TRUE(Refused(quantize({hessian.data(), nullptr}), "feedback.factor"));
  options.order = order.data();
  EXPECT_TRUE(Refused(quantize({hessian.data(), factor.data()}), "options.order"));
  EXPECT_TRUE(Refused(gptq(0.01), "options.order"));
  options.order = nullptr;
  factor[5 * kK + 5] = 0.0f;
  EXPECT_TRUE(Refused(quantize({hessian.data(), factor.data()}), "feedback.factor"));
  hessian[3 * kK + 9] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(Refused(gptq(0.01), "hessian"));
  EXPECT_TRUE(Refused(quantize({hessian.data(), factor.data()}), "feedback.hessian"));
  options.importance = factor.data();
  EXPECT_TRUE(Refused(quantize({hessian.data(), factor.data()}), "options.importance"));
  EXPECT_EQ(w.view().m, 0u);
}

}  // namespace
}  // namespace lutra::test
