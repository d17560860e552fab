// Formats whose values belong to the matrix: against other formats with the same values, against sums by hand, with
// tables of all kinds, and in files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/packed_bytes.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

std::vector<float> Product(const QuantizedView& w, const Problem& problem, Target target) {
  PackedMatrix packed;
  EXPECT_TRUE(Ok(Pack(w, {target, nullptr}, &packed)));
  return Multiplied(packed, Prepared(problem, packed), DataType::kF32, 0);
}

constexpr std::size_t kTokens[] = {1, 2, 3, 4, 7, 33};

class Codebooks : public ::testing::TestWithParam<Kernel> {};

std::vector<Kernel> CodebookKernels() {
  std::vector<Kernel> kernels;
  for (const Kernel& kernel : Kernels()) {
    if (Describe(kernel.format).own_values) kernels.push_back(kernel);
  }
  return kernels;
}

// The format with the same encoding whose values are a table.
Format FixedFormat(Format format) { return format == Format::kCodebook3 ? Format::kIq2 : Format::kIq4nl; }

// With the table of another format results have the same bits as that format's; also if each group chooses among
// several tables, all of which are the same.
TEST_P(Codebooks, EqualFormatsWithTheirTable) {
  const FormatInfo& fixed = Describe(FixedFormat(GetParam().format));
  const auto levels = static_cast<std::size_t>(Describe(GetParam().format).levels);
  std::vector<std::int8_t> tables(kMaxTables * levels, 0);
  for (std::size_t i = 0; i < kMaxTables; ++i) {
    std::copy_n(fixed.values, fixed.levels, tables.begin() + static_cast<std::ptrdiff_t>(i * levels));
  }
  for (const std::size_t n : kTokens) {
    for (const Precision precision : kPrecisions) {
      for (const std::size_t group : {std::size_t{16}, std::size_t{128}, std::size_t{256}, kPerRow}) {
        Case c = CaseFor(KernelOf(fixed.format, GetParam().target), {70, n, 300}, n);
        c.precision = precision;
        c.group = group;
        c.zeros = n % 2 == 0 ? Zeros::kOffset : Zeros::kNone;
        SCOPED_TRACE(c);
        const Problem problem(c);
        QuantizedView w = problem.w();
        const float unit = fixed.unit;
        std::vector<std::uint16_t> scales(ScaleCount(w));
        for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = F32ToF16(Load(DataType::kF16, w.scales, i) * unit);
        const std::vector<float> expected = Product(w, problem, c.target);
        w.format = GetParam().format;
        w.scales = scales.data();  // the format's own unit is 1
        w.codebook = tables.data();
        w.codebook_tables = 1;
        EXPECT_TRUE(SameBits(Product(w, problem, c.target), expected, c.m));
        std::vector<std::uint8_t> choices(ScaleCount(w));
        Random random(5);
        for (std::uint8_t& choice : choices) choice = static_cast<std::uint8_t>(random.Below(kMaxTables));
        w.codebook_tables = kMaxTables;
        w.table_choices = choices.data();
        EXPECT_TRUE(SameBits(Product(w, problem, c.target), expected, c.m));
      }
    }
  }
}

// Exact sums reach the largest magnitudes: all weights and all x at their ends.
TEST_P(Codebooks, ReachTheEnds) {
  const auto levels = static_cast<std::size_t>(Describe(GetParam().format).levels);
  for (const std::int8_t value : {std::int8_t{-127}, std::int8_t{127}, std::int8_t{0}}) {
    for (const std::size_t tables : {std::size_t{1}, std::size_t{3}}) {
      for (const std::size_t n : {std::size_t{1}, std::size_t{4}, std::size_t{5}}) {
        for (const Precision precision : kPrecisions) {
          Case c = CaseFor(GetParam(), {66, n, 512}, 2);
          c.precision = precision;
          c.tables = tables;
          c.group = 256;
          c.x = {DataType::kInt8, kPerRow};
          c.data = Data::kExtreme;
          SCOPED_TRACE(c);
          const Problem problem(c);
          QuantizedView w = problem.w();
          const std::vector<std::int8_t> equal(tables * levels, value);
          w.codebook = equal.data();
          std::vector<float> expected(c.m * n);
          ASSERT_TRUE(Ok(ReferenceExactMatMul(w, problem.x(), expected.data())));
          EXPECT_TRUE(SameBits(Product(w, problem, c.target), expected, c.m));
        }
      }
    }
  }
}

// BitMoD: groups of 128, one of four tables each, int8 scales under a second level. All numbers are small enough for
// exact sums.
TEST_P(Codebooks, AreBitModsFormats) {
  const std::size_t m = 70, k = 512, n = 3, groups = m * k / 128;
  const auto levels = static_cast<std::size_t>(Describe(GetParam().format).levels);
  const std::int8_t* const tables = GetParam().format == Format::kCodebook3 ? kCodebook3 : kCodebook4;
  Random random(9);
  std::vector<std::uint8_t> codes(m * k), choices(groups);
  std::vector<std::int8_t> scales(groups), x(n * k);
  for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random.Below(levels));
  for (std::uint8_t& choice : choices) choice = static_cast<std::uint8_t>(random.Below(4));
  for (std::int8_t& scale : scales) scale = static_cast<std::int8_t>(random.Below(15) + 1);
  for (std::int8_t& value : x) value = static_cast<std::int8_t>(random.Below(63) - 31);
  const std::vector<std::uint16_t> super_scales(m * k / 256, F32ToF16(0x1p-5f));
  const std::vector<float> x_scales(n, 1.0f);

  QuantizedView w;
  w.format = GetParam().format;
  w.m = m;
  w.k = w.code_stride = k;
  w.codes = codes.data();
  w.scales = scales.data();
  w.scale_type = DataType::kInt8;
  w.super_scales = super_scales.data();
  w.codebook = tables;
  w.codebook_tables = 4;
  w.table_choices = choices.data();
  std::vector<float> expected(n * m, 0.0f), dequantized(m * k), y(n * m);
  ASSERT_TRUE(Ok(Dequantize(w, dequantized.data(), k)));
  for (std::size_t row = 0; row < m; ++row) {
    for (std::size_t j = 0; j < k; ++j) {
      const std::size_t group = (row * k + j) / 128;
      const float weight = 0x1p-5f * scales[group] * tables[choices[group] * levels + codes[row * k + j]];
      ASSERT_EQ(dequantized[row * k + j], weight);
      for (std::size_t i = 0; i < n; ++i) expected[i * m + row] += weight * x[i * k + j];
    }
  }
  PackedMatrix packed;
  ASSERT_TRUE(Ok(Pack(w, {GetParam().target, nullptr}, &packed)));
  Context context;
  Activations prepared;
  const ActivationView view = ActivationView::Int8(x.data(), x_scales.data(), n, k);
  ASSERT_TRUE(Ok(Prepare(view, packed, Precision::kInt16, context, &prepared)));
  ASSERT_TRUE(Ok(MatMul(packed, prepared, OutputView(y.data(), n, m), context)));
  EXPECT_TRUE(SameBits(y, expected, m));
  // Per weight: the code, the scale and the choice of a group, and a super-scale.
  const double bits = Describe(w.format).stored().planes + 16.0 / 128 + 16.0 / 256;
  EXPECT_DOUBLE_EQ(packed.bits_per_weight() * m / 128, bits);  // rows of two panels
}

INSTANTIATE_TEST_SUITE_P(Sweep, Codebooks, ::testing::ValuesIn(CodebookKernels()), KernelName);

// Quantize with several tables errs no more than with any of them, in any group.
TEST(Codebook, OfTheLeastErrorIsChosen) {
  const std::size_t m = 20, k = 512;
  Random random(4);
  std::vector<float> weights(m * k);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = random.Gaussian() + (i / 128 % 3 == 0 ? 0.7f : i / 128 % 3 == 1 ? -0.7f : 0.0f);
  }
  for (const Format format : {Format::kCodebook3, Format::kCodebook4}) {
    for (const Zeros zeros : kZeros) {
      QuantizeOptions options;
      options.format = format;
      options.scale_type = DataType::kF32;
      SetZeros(zeros, &options);
      SetCodebook(&options);
      const auto errors = [&] {  // of each group
        QuantizedMatrix q;
        EXPECT_TRUE(Ok(Quantize(weights.data(), m, k, k, options, &q)));
        std::vector<float> w(m * k);
        std::vector<double> sums(m * k / 128);
        EXPECT_TRUE(Ok(Dequantize(q.view(), w.data(), k)));
        for (std::size_t i = 0; i < w.size(); ++i) sums[i / 128] += double{w[i] - weights[i]} * (w[i] - weights[i]);
        return sums;
      };
      std::vector<double> least(m * k / 128, 1e30);
      const std::vector<double> chosen = errors();
      options.codebook_tables = 1;
      for (std::size_t i = 0; i < 4; ++i) {
        SetCodebook(&options, 1);
        options.codebook += i * static_cast<std::size_t>(Describe(format).levels);
        const std::vector<double> of_table = errors();
        for (std::size_t g = 0; g < least.size(); ++g) least[g] = std::min(least[g], of_table[g]);
      }
      for (std::size_t g = 0; g < least.size(); ++g) EXPECT_NEAR(chosen[g], least[g], 1e-5 * least[g]) << g;
    }
  }
}

// A table may have one value, or only zeros.
TEST(Codebook, MayBeDegenerate) {
  const std::vector<float> weights = {-1.0f, 0.5f, 2.0f, 0.0f, 1e-30f, -3e38f};
  for (const int value : {0, 1, -1, 127, -127}) {
    const std::vector<std::int8_t> table(2 * 16, static_cast<std::int8_t>(value));
    for (const Format format : {Format::kCodebook3, Format::kCodebook4}) {
      for (const Zeros zeros : kZeros) {
        QuantizeOptions options;
        options.format = format;
        options.scale_type = DataType::kF32;
        options.codebook = table.data();
        options.codebook_tables = 2;
        SetZeros(zeros, &options);
        QuantizedMatrix q;
        std::vector<float> w(weights.size());
        ASSERT_TRUE(Ok(Quantize(weights.data(), 1, weights.size(), weights.size(), options, &q)));
        ASSERT_TRUE(Ok(Dequantize(q.view(), w.data(), w.size())));
        for (const float weight : w) EXPECT_TRUE(std::isfinite(weight));
      }
    }
  }
}

TEST(Codebook, OfNoTableIsRefused) {
  Case c = SmallCase();
  c.format = Format::kCodebook4;
  const Problem problem(c);
  QuantizedView w = problem.w();
  PackedMatrix packed;
  w.codebook_tables = 0;
  EXPECT_TRUE(Refused(Pack(w, &packed), "w.codebook_tables"));
  w = problem.w();
  w.m = w.k = 0;  // an empty matrix has a codebook, too
  EXPECT_TRUE(Ok(Pack(w, &packed)));
  w.codebook = nullptr;
  EXPECT_TRUE(Refused(Pack(w, &packed), "w.codebook"));
}

// Pages with codebooks, and panels with choices, that Pack refuses.
TEST(Codebook, InForgedFilesIsRefused) {
  constexpr int kPageBytes = 4096, kTables = 73, kValues = 80;  // places in the page
  Case c;
  c.format = Format::kCodebook3;
  c.target = BestTarget();
  c.m = 70;
  c.k = 256;
  c.tables = 3;
  const PackedMatrix saved = Packed(Problem(c), c.target);
  PackedMatrix w;
  const auto load = [&](int at, int byte) {
    Bytes bytes(saved);
    bytes.data()[at] = static_cast<std::uint8_t>(byte);
    bytes.Seal();
    return LoadPacked(bytes.data(), bytes.size(), {c.target, nullptr}, &w);
  };
  EXPECT_TRUE(Ok(load(kTables, 3)));
  w = {};
  for (const int tables : {0, 5, 255}) EXPECT_TRUE(Refused(load(kTables, tables), "bytes"));
  EXPECT_TRUE(Refused(load(kTables, 1), "bytes"));  // packed panels of another size
  for (const int at : {0, 23}) EXPECT_TRUE(Refused(load(kValues + at, 0x80), "bytes"));
  // The choices of the first group follow its f16 scales; those of rows beyond M count, too.
  for (const int row : {0, 63}) {
    for (const int choice : {3, 4, 255}) {
      EXPECT_TRUE(Refused(load(kPageBytes + 128 + row, choice), "bytes"));
    }
    EXPECT_TRUE(Refused(load(static_cast<int>(kPage + saved.bytes() / 2) + 128 + row, 3), "bytes"));
  }
  EXPECT_EQ(w.target(), nullptr);
}

// Rows of a view keep their choices.
TEST(Codebook, ServesRows) {
  for (const std::size_t group : kGroups) {
    Case c = SmallCase();
    c.format = Format::kCodebook4;
    c.group = group;
    c.tables = 4;
    const Problem problem(c);
    std::vector<float> whole(c.m * c.k), part(c.m * c.k);
    ASSERT_TRUE(Ok(Dequantize(problem.w(), whole.data(), c.k)));
    ASSERT_TRUE(Ok(Dequantize(Rows(problem.w(), 5, 40), part.data(), c.k)));
    EXPECT_EQ(std::memcmp(part.data(), whole.data() + 5 * c.k, 35 * c.k * sizeof(float)), 0);
  }
}

}  // namespace
}  // namespace lutra::test
