// QuantizeWithOutliers: what it takes out, what that costs and gains, and what it refuses.
#include "lutra/sparse.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/codebooks.h"
#include "support/composites.h"
#include "support/faults.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kM = 5, kK = 160;

// Gaussian weights, of which a share of `planted` is ten times as large.
std::vector<float> Weights(std::size_t m, std::size_t k, double planted, std::uint64_t seed = 1) {
  Random random(seed);
  std::vector<float> weights(m * k);
  for (float& w : weights) {
    w = random.Gaussian();
    if (random.Uniform(0, 1) < static_cast<float>(planted)) w *= 10;
  }
  return weights;
}

// The dequantized weights and the sparse ones together.
std::vector<float> Sum(const QuantizedMatrix& w, const SparseMatrix& outliers) {
  const std::size_t m = w.view().m, k = w.view().k;
  std::vector<float> sum(m * k);
  EXPECT_TRUE(Ok(Dequantize(w.view(), sum.data(), k)));
  const SparseView& s = outliers.view();
  for (std::size_t row = 0; row < m; ++row) {
    for (std::size_t i = s.offsets[row]; i < s.offsets[row + 1]; ++i) {
      sum[row * k + ColumnOf(s, i)] += F16ToF32(s.values[i]);
    }
  }
  return sum;
}

double SquaredError(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

class Outliers : public ::testing::TestWithParam<FormatInfo> {};

// For each group, kind of zeros and share: entries restore their weights, there are no more than allowed, and the error
// is not above that without them.
TEST_P(Outliers, RestoreTheirWeights) {
  const std::vector<float> weights = Weights(kM, kK, 0.01);
  ThreadPool threads(3);
  for (const std::size_t group : {std::size_t{16}, std::size_t{128}, kPerRow}) {
    for (const Zeros zeros : kZeros) {
      if (!HasZeros(GetParam().format, zeros)) continue;
      for (const double share : {0.0, 0.004, 0.05, 1.0}) {
        QuantizeOptions options;
        options.format = GetParam().format;
        options.group = group;
        SetZeros(zeros, &options);
        SetCodebook(&options);
        SCOPED_TRACE(::testing::Message() << GroupName(group) << " " << Name(zeros) << " share " << share);
        QuantizedMatrix plain, w;
        SparseMatrix outliers;
        ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &plain)));
        ASSERT_TRUE(Ok(QuantizeWithOutliers(weights.data(), kM, kK, kK, options, share, &w, &outliers)));
        const SparseView& s = outliers.view();
        EXPECT_LE(static_cast<double>(EntryCount(s)), share * kM * kK);
        options.executor = &threads;  // on which nothing depends
        QuantizedMatrix same;
        SparseMatrix same_outliers;
        ASSERT_TRUE(Ok(QuantizeWithOutliers(weights.data(), kM, kK, kK, options, share, &same, &same_outliers)));
        ExpectSame(same.view(), w.view());
        ASSERT_EQ(BytesOf(same_outliers.view()), BytesOf(s));
        EXPECT_EQ(std::memcmp(same_outliers.offsets(), s.offsets, (kM + 1) * sizeof(*s.offsets)), 0);
        EXPECT_EQ(std::memcmp(same_outliers.columns(), s.columns, EntryCount(s) * ColumnBytes(kK)), 0);
        EXPECT_EQ(std::memcmp(same_outliers.values(), s.values, EntryCount(s) * sizeof(*s.values)), 0);
        if (share == 0) ExpectSame(w.view(), plain.view());
        std::vector<float> without(kM * kK);
        ASSERT_TRUE(Ok(Dequantize(plain.view(), without.data(), kK)));
        const std::vector<float> sum = Sum(w, outliers);
        EXPECT_LE(SquaredError(sum, weights), SquaredError(without, weights) * 1.0001);
        for (std::size_t row = 0; row < kM; ++row) {
          for (std::size_t i = s.offsets[row]; i < s.offsets[row + 1]; ++i) {
            const std::size_t at = row * kK + ColumnOf(s, i);
            const float value = F16ToF32(s.values[i]);
            // Half of f16's distance between two values, and two roundings of floats.
            EXPECT_LE(std::abs(sum[at] - weights[at]),
                      std::abs(value) * 0x1p-11f + std::abs(weights[at]) * 0x1p-22f + 0x1p-25f);
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Outliers, ::testing::ValuesIn(kFormats), FormatName);

// 1 % of planted outliers: the error of int3 with sparse weights is below that of int4 without, at fewer bits. The bits
// are those of the formula: of the codes, of the scales, 32 for each entry, and 32 for each row and one more.
TEST(Outliers, MakeInt3BetterThanInt4) {
  constexpr std::size_t kRows = 128, kColumns = 1024;
  const std::vector<float> weights = Weights(kRows, kColumns, 0.01);
  QuantizeOptions options;
  options.format = Format::kInt4;
  QuantizedMatrix int4, int3;
  SparseMatrix outliers;
  ASSERT_TRUE(Ok(Quantize(weights.data(), kRows, kColumns, kColumns, options, &int4)));
  options.format = Format::kInt3;
  ASSERT_TRUE(Ok(QuantizeWithOutliers(weights.data(), kRows, kColumns, kColumns, options, 0.012, &int3, &outliers)));
  std::vector<float> of_int4(weights.size());
  ASSERT_TRUE(Ok(Dequantize(int4.view(), of_int4.data(), kColumns)));
  const double error = SquaredError(Sum(int3, outliers), weights), error_of_int4 = SquaredError(of_int4, weights);
  RecordProperty("error_of_int4_over_int3", std::to_string(error_of_int4 / error));
  EXPECT_LT(error, error_of_int4);

  PackedMatrix packed, packed_int4;
  ASSERT_TRUE(Ok(Pack(int3.view(), &packed)));
  ASSERT_TRUE(Ok(Pack(int4.view(), &packed_int4)));
  const PackedMatrix* const rows[] = {&packed};
  CompositeParts parts;
  parts.rows = {rows, 1};
  parts.sparse = outliers.view();
  CompositeMatrix w;
  ASSERT_TRUE(Ok(Compose(parts, &w)));
  const double count = static_cast<double>(weights.size());
  const double bits =
      3 + 16.0 / 128 + 32.0 * static_cast<double>(EntryCount(outliers.view())) / count + 32.0 * (kRows + 1) / count;
  EXPECT_DOUBLE_EQ(w.bits_per_weight(), bits);
  EXPECT_LT(w.bits_per_weight(), packed_int4.bits_per_weight());
}

TEST(Outliers, RefuseFaultyArguments) {
  std::vector<float> weights = Weights(kM, kK, 0.01);
  const auto refused = [&](const QuantizeOptions& options, double share, const char* argument) {
    QuantizedMatrix w;
    SparseMatrix outliers;
    EXPECT_TRUE(Refused(QuantizeWithOutliers(weights.data(), kM, kK, kK, options, share, &w, &outliers), argument));
    EXPECT_EQ(w.view().m, 0u);
    EXPECT_EQ(outliers.view().m, 0u);
  };
  QuantizeOptions options;
  refused(options, -0.1, "share");
  refused(options, 1.1, "share");
  refused(options, std::nan(""), "share");
  options.group = kPerMatrix;
  refused(options, 0.1, "options.group");
  options.group = 77;
  refused(options, 0.1, "options.group");
  options.group = 128;
  weights[3] = 1e30f;
  refused(options, 0.1, "weights");  // f16 does not hold it
  weights[3] = kInfinity;
  refused(options, 0.1, "weights");
  SparseMatrix sparse;
  EXPECT_TRUE(Refused(sparse.Allocate(kMax, 1, 1), "m"));
  EXPECT_TRUE(Refused(sparse.Allocate(1, 1, kMax), "entries"));
}

// Without rows or columns there is nothing to take out. Columns beyond 65536 have four bytes.
TEST(Outliers, OfAnySize) {
  QuantizedMatrix w;
  SparseMatrix outliers;
  for (const Shape& shape : {Shape{0, 1, 5}, Shape{5, 1, 0}, Shape{0, 1, 0}, Shape{1, 1, 1}, Shape{2, 1, 65537}}) {
    const std::vector<float> weights = Weights(shape.m, shape.k, 0.01);
    ASSERT_TRUE(Ok(QuantizeWithOutliers(weights.data(), shape.m, shape.k, shape.k, {}, 0.02, &w, &outliers)));
    EXPECT_EQ(outliers.view().m, shape.m);
    EXPECT_EQ(outliers.view().k, shape.k);
    const std::size_t entries = EntryCount(outliers.view());
    EXPECT_EQ(entries > 1000, shape.k > 65536);
    for (std::size_t i = 0; i < entries; ++i) EXPECT_LT(ColumnOf(outliers.view(), i), shape.k);
  }
}

}  // namespace
}  // namespace lutra::test
