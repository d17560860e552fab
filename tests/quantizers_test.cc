// Quantizers: a search is never worse than round to nearest on its own measure; tables by k-means; two levels.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/misaligned.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kM = 2, kK = 300;

enum class Weights { kGaussian, kShifted, kOutlier, kZero, kConstant, kDenormal, kHuge, kOneHuge };
constexpr Weights kWeights[] = {Weights::kGaussian, Weights::kShifted,  Weights::kOutlier, Weights::kZero,
                                Weights::kConstant, Weights::kDenormal, Weights::kHuge,    Weights::kOneHuge};

std::vector<float> Make(Weights kind, std::size_t size = kM * kK) {
  Random random(7);
  std::vector<float> weights(size);
  for (std::size_t i = 0; i < size; ++i) {
    const float gaussian = random.Gaussian();
    weights[i] = kind == Weights::kShifted    ? 3.0f + gaussian
                 : kind == Weights::kOutlier  ? gaussian * (i % 97 == 0 ? 30.0f : 1.0f)
                 : kind == Weights::kZero     ? 0.0f
                 : kind == Weights::kConstant ? -0.3f
                 : kind == Weights::kDenormal ? gaussian * 1e-40f
                 : kind == Weights::kHuge     ? gaussian * 2e37f
                 : kind == Weights::kOneHuge  ? (i == size / 2 ? 3e38f : gaussian)
                                              : gaussian;
  }
  return weights;
}
std::vector<float> Importance(std::size_t k = kK) {
  Random random(8);
  std::vector<float> importance(k);
  for (std::size_t i = 0; i < k; ++i) importance[i] = i % 11 == 0 ? 0.0f : std::exp(2 * random.Gaussian());
  return importance;
}

// The squared error of each row, each weight's times the importance of its column.
std::vector<double> Errors(const QuantizedView& w, const std::vector<float>& weights, const float* importance) {
  std::vector<float> out(w.m * w.k);
  EXPECT_TRUE(Ok(Dequantize(w, out.data(), w.k)));
  std::vector<double> errors(w.m);
  for (std::size_t i = 0; i < out.size(); ++i) {
    EXPECT_TRUE(std::isfinite(out[i]));
    const double difference = double{weights[i]} - out[i];
    errors[i / w.k] += difference * difference * (importance == nullptr ? 1.0 : importance[i % w.k]);
  }
  return errors;
}

// `better` is at most `worse`, in each row; for one scale, in sum.
void ExpectNotWorse(const std::vector<double>& better, const std::vector<double>& worse, std::size_t group) {
  constexpr double kRounding = 1 + 1e-5;  // Dequantize rounds to float
  double sum_better = 0, sum_worse = 0;
  for (std::size_t row = 0; row < better.size(); ++row) {
    sum_better += better[row], sum_worse += worse[row];
    if (group != kPerMatrix) {
      EXPECT_LE(better[row], worse[row] * kRounding) << row;
    }
  }
  EXPECT_LE(sum_better, sum_worse * kRounding);
}

QuantizeOptions OptionsOf(const FormatInfo& f, ParamKind kind, std::size_t group) {
  QuantizeOptions options;
  options.format = f.format;
  options.group = group;
  options.scale_type = kind.scale_type;
  SetZeros(kind.zeros, &options);
  SetCodebook(&options);
  return options;
}

class Quantizers : public ::testing::TestWithParam<FormatInfo> {
 protected:
  // Calls the function with options for each scheme of qparams that Quantize makes, and some groups.
  template <class Function>
  void ForEachScheme(const Function& function) {
    constexpr std::size_t kSome[] = {16, 128, kPerRow, kPerMatrix};
    for (const ParamKind kind : kParamKinds) {
      for (const std::size_t group : kSome) {
        if (!Exists(group, kind) || !HasZeros(GetParam().format, kind.zeros)) continue;
        SCOPED_TRACE(::testing::Message()
                     << Name(kind.scale_type) << " " << Name(kind.zeros) << " " << GroupName(group));
        function(OptionsOf(GetParam(), kind, group));
      }
    }
  }
};

// With importance in every second case.
TEST_P(Quantizers, SearchesAreNeverWorse) {
  const std::vector<float> importance = Importance();
  int number = 0;
  for (const Weights kind : kWeights) {
    const std::vector<float> weights = Make(kind);
    ++number;  // so that the next kind has it where this one has not
    ForEachScheme([&](QuantizeOptions options) {
      options.importance = ++number % 2 == 0 ? importance.data() : nullptr;
      SCOPED_TRACE(::testing::Message() << "weights " << static_cast<int>(kind) << " case " << number);
      QuantizedMatrix range, least;
      options.fit = Fit::kRange;
      ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &range)));
      options.fit = Fit::kLeastError;
      ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &least)));
      ExpectNotWorse(Errors(least.view(), weights, options.importance),
                     Errors(range.view(), weights, options.importance), options.group);
      PackedMatrix packed;
      ASSERT_TRUE(Ok(Pack(least.view(), &packed)));
    });
  }
}

// Few bits gain: at least a tenth of the error of Gaussian weights, and most of that of columns that do not matter.
TEST_P(Quantizers, SearchesGain) {
  const std::vector<float> weights = Make(Weights::kGaussian), importance = Importance();
  QuantizeOptions options = OptionsOf(GetParam(), {DataType::kF16, Zeros::kNone}, 64);
  const bool mean_scale = GetParam().format == Format::kInt1;  // whose scale is the best one
  if (GetParam().levels > 16 || mean_scale) return;
  const auto error = [&](Fit fit, const float* of_columns) {
    options.fit = fit;
    options.importance = of_columns;
    QuantizedMatrix w;
    EXPECT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &w)));
    double sum = 0;
    for (const double of_row : Errors(w.view(), weights, importance.data())) sum += of_row;
    return sum;
  };
  const double range = error(Fit::kRange, nullptr), least = error(Fit::kLeastError, nullptr);
  const double weighted = error(Fit::kLeastError, importance.data());
  EXPECT_LT(weighted, 0.95 * range);
  EXPECT_LT(weighted, least);
}

TEST_P(Quantizers, ResultsDoNotDependOnThreads) {
  const std::vector<float> weights = Make(Weights::kOutlier), importance = Importance();
  const Misaligned<float> odd(weights.data(), weights.size());
  ThreadPool threads(3);
  ForEachScheme([&](QuantizeOptions options) {
    options.fit = Fit::kLeastError;
    options.importance = importance.data();
    QuantizedMatrix expected, w;
    ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &expected)));
    options.executor = &threads;
    ASSERT_TRUE(Ok(Quantize(odd.data(), kM, kK, kK, options, &w)));
    ExpectSame(w.view(), expected.view());
  });
}

INSTANTIATE_TEST_SUITE_P(Each, Quantizers, ::testing::ValuesIn(kFormats), FormatName);

// With exact values of a format, a search finds them again: scales of powers of two, half of the largest code unused.
TEST(Quantizers, SearchesFindExactValues) {
  Random random(3);
  std::vector<float> weights(kM * kK);
  for (float& weight : weights) weight = 0.25f * (static_cast<float>(random.Below(3)) - 1);
  for (const Format format : {Format::kTernary, Format::kInt2, Format::kInt4, Format::kFp4, Format::kIq3s}) {
    QuantizeOptions options;
    options.format = format;
    options.fit = Fit::kLeastError;
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &w)));
    if (format == Format::kIq3s) continue;  // has no 0
    for (const double error : Errors(w.view(), weights, nullptr)) EXPECT_LT(error, 1e-6) << Name(format);
  }
}

// Scales of two levels cost little: less than 1.25 times the error of f16 scales and offsets.
TEST(Quantizers, TwoLevelsAreNearOne) {
  const std::vector<float> weights = Make(Weights::kShifted, 16 * 1024);
  for (const DataType type : {DataType::kInt8, DataType::kUInt4}) {
    for (const Format format : {Format::kInt2, Format::kInt3, Format::kInt4}) {
      double errors[2] = {};
      for (const bool two : {false, true}) {
        QuantizeOptions options = OptionsOf(Describe(format), {two ? type : DataType::kF16, Zeros::kOffset}, 32);
        options.fit = Fit::kLeastError;
        QuantizedMatrix w;
        ASSERT_TRUE(Ok(Quantize(weights.data(), 16, 1024, 1024, options, &w)));
        for (const double error : Errors(w.view(), weights, nullptr)) errors[two ? 1 : 0] += error;
      }
      EXPECT_LT(errors[1], 1.25 * errors[0]) << Name(format) << " " << Name(type);
    }
  }
}

TEST(Codebooks, ArePrecise) {
  // Weights of seven values: tables of 8 hold them but for their rounding to 1/127.
  Random random(5);
  const float values[] = {-1.0f, -0.63f, -0.31f, 0.02f, 0.2f, 0.44f, 0.87f};
  std::vector<float> weights(16 * 256);
  for (float& weight : weights) weight = random.Pick(values);
  QuantizeOptions options;
  options.format = Format::kCodebook3;
  options.fit = Fit::kLeastError;
  std::int8_t tables[8];
  ASSERT_TRUE(Ok(LearnCodebook(weights.data(), 16, 256, 256, options, tables)));
  options.codebook = tables;
  QuantizedMatrix w;
  ASSERT_TRUE(Ok(Quantize(weights.data(), 16, 256, 256, options, &w)));
  for (const double error : Errors(w.view(), weights, nullptr)) EXPECT_LT(error / 256, 1e-5);
}

TEST(Codebooks, AreNeverWorseThanTheirStart) {
  const std::vector<float> importance = Importance();
  for (const Weights kind : kWeights) {
    const std::vector<float> weights = Make(kind);
    for (const Format format : {Format::kCodebook3, Format::kCodebook4}) {
      for (std::size_t tables = 1; tables <= kMaxTables; ++tables) {
        for (const std::size_t group : {std::size_t{64}, kPerRow, kPerMatrix}) {
          QuantizeOptions options = OptionsOf(Describe(format), {DataType::kF32, Zeros::kNone}, group);
          options.codebook_tables = tables;
          options.importance = importance.data();
          QuantizedMatrix start, learned;
          ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &start)));
          std::int8_t codebook[kMaxTables * 16];
          ASSERT_TRUE(Ok(LearnCodebook(weights.data(), kM, kK, kK, options, codebook)));
          options.codebook = codebook;
          ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &learned)));
          ExpectNotWorse(Errors(learned.view(), weights, importance.data()),
                         Errors(start.view(), weights, importance.data()), kPerMatrix);
        }
      }
    }
  }
}

// Learned tables are better than NF4's on weights that are not Gaussian, and four are better than one.
TEST(Codebooks, Gain) {
  Random random(6);
  std::vector<float> weights(32 * 512);
  for (float& weight : weights) weight = std::pow(random.Gaussian(), 3.0f);
  double errors[3] = {};
  const std::int8_t nf4[16] = {-127, -88, -67, -50, -36, -23, -12, 0, 10, 20, 31, 43, 56, 71, 92, 127};
  for (int i = 0; i < 3; ++i) {
    QuantizeOptions options;
    options.format = Format::kCodebook4;
    options.fit = Fit::kLeastError;
    options.codebook_tables = i == 2 ? 4 : 1;
    std::int8_t codebook[kMaxTables * 16];
    ASSERT_TRUE(Ok(LearnCodebook(weights.data(), 32, 512, 512, options, codebook)));
    options.codebook = i == 0 ? nf4 : codebook;
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(Quantize(weights.data(), 32, 512, 512, options, &w)));
    for (const double error : Errors(w.view(), weights, nullptr)) errors[i] += error;
  }
  EXPECT_LT(errors[1], 0.9 * errors[0]);
  EXPECT_LT(errors[2], 0.95 * errors[1]);
}

TEST(Codebooks, RefuseFaultyArguments) {
  const std::vector<float> weights = Make(Weights::kGaussian);
  QuantizeOptions options;
  std::int8_t codebook[16] = {1};
  const auto learn = [&] { return LearnCodebook(weights.data(), kM, kK, kK, options, codebook); };
  EXPECT_TRUE(Refused(learn(), "options.format"));
  options.format = Format::kCodebook4;
  EXPECT_TRUE(Refused(LearnCodebook(weights.data(), kM, kK, kK, options, nullptr), "codebook"));
  EXPECT_TRUE(Refused(LearnCodebook(nullptr, kM, kK, kK, options, codebook), "weights"));
  options.codebook = kFaultyCodebook;
  EXPECT_TRUE(Refused(learn(), "options.codebook"));
  options.codebook = nullptr;
  options.codebook_tables = 5;
  EXPECT_TRUE(Refused(learn(), "options.codebook_tables"));
  EXPECT_EQ(codebook[0], 1);
}

TEST(Quantizers, RefuseFaultyArguments) {
  const std::vector<float> weights = Make(Weights::kGaussian);
  QuantizeOptions options;
  QuantizedMatrix w;
  const auto quantize = [&] { return Quantize(weights.data(), kM, kK, kK, options, &w); };
  options.fit = static_cast<Fit>(2);
  EXPECT_TRUE(Refused(quantize(), "options.fit"));
  options.fit = Fit::kLeastError;
  for (const float bad : {-1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> importance = Importance();
    importance.back() = bad;
    options.importance = importance.data();
    EXPECT_TRUE(Refused(quantize(), "options.importance"));
  }
}

}  // namespace
}  // namespace lutra::test
