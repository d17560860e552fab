// Prepare reads columns in the order of a matrix, normalizes rows on request, and refuses values that are not finite.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

std::vector<float> Weight(std::size_t k, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> weight(k);
  for (float& value : weight) value = random.Uniform(-0.5f, 2.0f);
  return weight;
}

// Rows that are normalized on the way, from every type of x.
class PreparingRmsNorm : public SweepTest<XPart> {
 protected:
  // Preparing x normalized on the way is the same as preparing the normalized x.
  static void Check(const Case& c, const RmsNorm& norm, Executor* executor) {
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, c.target);
    Context context{executor};
    std::vector<float> normalized(c.n * c.k);
    ASSERT_TRUE(Ok(ReferenceRmsNorm(problem.x(), norm, normalized.data())));
    Activations apart, fused;
    ASSERT_TRUE(Ok(Prepare({normalized.data(), DataType::kF32, c.n, c.k, c.k}, w, c.precision, context, &apart)));
    ASSERT_TRUE(Ok(PrepareRmsNorm(problem.x(), norm, w, c.precision, context, &fused)));
    EXPECT_TRUE(fused.Fits(w));
    EXPECT_EQ(fused.n(), c.n);
    EXPECT_TRUE(SameBits(Multiplied(w, fused, DataType::kF32, 0), Multiplied(w, apart, DataType::kF32, 0), c.m));
    EXPECT_TRUE(problem.Intact());
  }
};

TEST_P(PreparingRmsNorm, EqualsTheReference) {
  ThreadPool pool(2);
  constexpr std::size_t kColumns[] = {1, 31, 33, 127, 257, 640, 1001};
  std::uint64_t seed = std::size(kColumns) * part().index;
  for (const std::size_t k : kColumns) {
    Random random(++seed);
    Case c = NewCase({3, 1 + seed % 9, k}, seed);
    c.group = random.Pick(kGroups);
    c.precision = kPrecisions[seed % 2];
    c.order = random.Below(2) == 1;
    c.x = part().x;
    c.gap = seed % 3;
    c.data = random.Pick({Data::kGaussian, Data::kEqual, Data::kZero, Data::kOutlier, Data::kHuge, Data::kDenormal});
    const std::vector<float> weight = Weight(k, seed);
    Check(c, {random.Below(3) == 0 ? nullptr : weight.data(), 1e-6f}, seed % 2 == 0 ? &pool : nullptr);
  }
}

// Every type of x for every kind of activations on every target; the formats of a kind take turns.
INSTANTIATE_TEST_SUITE_P(Sweep, PreparingRmsNorm, ::testing::ValuesIn(SharedSweep(KernelsByKind(), XParts())),
                         SweepName());

class Preparing : public KernelTest {};

TEST_P(Preparing, MatricesOfOneOrderShareActivations) {
  Case c = NewCase({70, 3, 300}, 1);
  c.order = true;
  const Problem q(c);
  c.seed = 2;
  const Problem other(c);
  c.order = false;
  const Problem none(c);
  QuantizedView same = other.w();
  const std::vector<std::uint32_t> order(q.w().order, q.w().order + c.k);
  same.order = order.data();

  PackedMatrix k;
  ASSERT_TRUE(Ok(Pack(same, {c.target, nullptr}, &k)));
  const Activations x = Prepared(q, Packed(q, c.target));
  EXPECT_TRUE(x.Fits(k));
  EXPECT_TRUE(SameBits(Multiplied(k, x, DataType::kF32, 0), Multiplied(k, Prepared(q, k), DataType::kF32, 0), c.m));

  Context context;
  Output y(c.n, c.m, 0, DataType::kF32);
  for (const Problem* problem : {&other, &none}) {
    const PackedMatrix w = Packed(*problem, c.target);
    EXPECT_FALSE(x.Fits(w));
    EXPECT_FALSE(Prepared(q, w).Fits(k));
    EXPECT_TRUE(Refused(MatMul(w, x, y.view(), context), "x"));
    EXPECT_TRUE(y.Untouched());
  }
}

// One bad value at each place of x, so in each K-block, scale run, vector and tail; in the order of x and in another;
// normalized on the way or not.
TEST_P(Preparing, ValuesThatAreNotFiniteAreRefusedAnywhere) {
  std::uint64_t seed = 0;
  for (const Precision precision : kPrecisions) {
    for (const DataType type : kFloatTypes) {
      for (const bool order : {false, true}) {
        Case c = NewCase({1, 5, 217}, ++seed);
        c.precision = precision;
        c.group = kGroups[seed % 7];
        c.x.type = type;
        c.order = order;
        c.gap = seed % 2;
        SCOPED_TRACE(c);
        const Problem problem(c);
        const PackedMatrix w = Packed(problem, c.target);
        ActivationView x = problem.x();
        const std::size_t elements = (c.n - 1) * x.row_stride + c.k;
        std::vector<std::uint8_t> copy = With(0.0f, 0, type, x.data, elements);
        x.data = copy.data();
        Context context;
        Activations prepared;
        for (std::size_t i = 0; i < c.n * c.k; ++i) {
          const std::size_t at = i / c.k * x.row_stride + i % c.k;
          const float bad = kNotFinite[i % 3], good = Load(type, x.data, at);
          Store(type, bad, copy.data(), at);
          ASSERT_TRUE(Ok(Prepare(problem.x(), w, precision, context, &prepared)));
          const Status status = i % 4 != 0 ? Prepare(x, w, precision, context, &prepared)
                                           : PrepareRmsNorm(x, {nullptr, 1e-6f}, w, precision, context, &prepared);
          ASSERT_TRUE(Refused(status, "x.data")) << bad << " at n " << i / c.k << " k " << i % c.k;
          ASSERT_EQ(prepared.n(), 0u);
          Store(type, good, copy.data(), at);
        }
      }
    }
  }
}

// A scale that is not finite, or whose product with an integer is not, for any group of any row.
TEST_P(Preparing, ScalesOfInt8ThatAreNotFiniteAreRefused) {
  for (const Precision precision : kPrecisions) {
    for (const XKind& kind : kXKinds) {
      if (kind.type != DataType::kInt8) continue;
      Case c = NewCase({1, 5, 217}, 1);
      c.precision = precision;
      c.x = kind;
      c.data = Data::kExtreme;  // 127 and -127
      SCOPED_TRACE(c);
      const Problem problem(c);
      const PackedMatrix w = Packed(problem, c.target);
      ActivationView x = problem.x();
      const std::size_t count = c.n * GroupsPerRow(c.k, kind.scale_group);
      std::vector<float> scales(x.scales, x.scales + count);
      x.scales = scales.data();
      Context context;
      Activations prepared;
      for (std::size_t i = 0; i < count; ++i) {
        for (const float bad : {kInfinity, -kInfinity, std::nanf(""), 3e38f, -2.7e36f}) {
          const float good = scales[i];
          scales[i] = bad;
          const char* const argument = std::isfinite(bad) ? "x.data" : "x.scales";
          ASSERT_TRUE(Refused(Prepare(x, w, precision, context, &prepared), argument)) << bad << " at " << i;
          ASSERT_EQ(prepared.n(), 0u);
          if (std::isfinite(bad)) {
            std::vector<double> y(c.m * c.n);
            ASSERT_TRUE(Refused(ReferenceMatMul(problem.w(), x, y.data()), argument));
          }
          scales[i] = 2.6e36f;
          ASSERT_TRUE(Ok(Prepare(x, w, precision, context, &prepared)));
          scales[i] = good;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, Preparing, ::testing::ValuesIn(Kernels()), KernelName);

// A matrix with an order is the matrix whose codes were moved to the columns that the order names.
TEST(Order, MovesColumns) {
  for (const FormatInfo& f : kFormats) {
    for (const XKind& x : kXKinds) {
      Case c;
      c.format = f.format;
      c.m = 5;
      c.n = 3;
      c.k = 130;
      c.group = kPerRow;  // so that codes may move without their scales
      c.order = true;
      c.x = x;
      SCOPED_TRACE(c);
      const Problem problem(c);
      std::vector<std::uint8_t> codes(c.m * c.k);
      for (std::size_t i = 0; i < codes.size(); ++i) {
        codes[i / c.k * c.k + problem.w().order[i % c.k]] = problem.w().codes[i];
      }
      QuantizedView moved = problem.w();
      moved.codes = codes.data();
      moved.order = nullptr;
      std::vector<double> y(c.m * c.n), expected(c.m * c.n);
      ASSERT_TRUE(Ok(ReferenceMatMul(problem.w(), problem.x(), y.data())));
      ASSERT_TRUE(Ok(ReferenceMatMul(moved, problem.x(), expected.data())));
      for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], 1e-10);
    }
  }
}

TEST(RmsNorm, IsTheFormula) {
  for (const XKind& kind : kXKinds) {
    Case c;
    c.n = 3;
    c.k = 777;
    c.gap = 1;
    c.x = kind;
    SCOPED_TRACE(c);
    const Problem problem(c);
    const ActivationView& x = problem.x();
    const std::vector<float> weight = Weight(c.k, 1);
    std::vector<float> out(c.n * c.k), ones(c.n * c.k);
    const double epsilon = 0.25f;
    ASSERT_TRUE(Ok(ReferenceRmsNorm(x, {weight.data(), 0.25f}, out.data())));
    ASSERT_TRUE(Ok(ReferenceRmsNorm(x, {nullptr, 0.25f}, ones.data())));
    const std::size_t groups = GroupsPerRow(c.k, kind.scale_group);
    for (std::size_t n = 0; n < c.n; ++n) {
      std::vector<double> row(c.k);
      double squares = 0;
      for (std::size_t k = 0; k < c.k; ++k) {
        row[k] = Load(x.type, x.data, n * x.row_stride + k);
        if (HasScales(x.type)) row[k] *= x.scales[n * groups + (groups == 1 ? 0 : k / kind.scale_group)];
        squares += row[k] * row[k];
      }
      const double scale = 1 / std::sqrt(squares / static_cast<double>(c.k) + epsilon);
      for (std::size_t k = 0; k < c.k; ++k) {
        const double expected = row[k] * scale;
        ASSERT_NEAR(ones[n * c.k + k], expected, 0x1p-22 * std::abs(expected));
        ASSERT_NEAR(out[n * c.k + k], expected * weight[k], 0x1p-22 * std::abs(expected * weight[k]));
      }
    }
  }
}

// PrepareRmsNorm and ReferenceRmsNorm refuse the argument and leave their outputs untouched.
void ExpectRefused(const ActivationView& x, const RmsNorm& norm, const char* argument) {
  Case c;
  c.n = 2;
  c.k = 150;
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, nullptr);
  for (const Precision precision : kPrecisions) {
    Context context;
    Activations activations;
    EXPECT_TRUE(Refused(PrepareRmsNorm(x, norm, w, precision, context, &activations), argument));
    EXPECT_EQ(activations.n(), 0u);
  }
  std::vector<float> out(x.n * x.k, -1.0f);
  EXPECT_TRUE(Refused(ReferenceRmsNorm(x, norm, out.data()), argument));
  EXPECT_EQ(out, std::vector<float>(out.size(), -1.0f));
}

TEST(RmsNorm, ValuesThatAreNotFiniteAreRefused) {
  std::vector<float> data(300, 1.0f);
  const ActivationView x{data.data(), DataType::kF32, 2, 150, 150};
  const std::vector<float> weight(150, 1.0f);
  for (const float bad : kNotFinite) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{149}}) {
      SCOPED_TRACE(::testing::Message() << bad << " at " << at);
      std::vector<float> spoiled = weight;
      spoiled[at] = bad;
      ExpectRefused(x, {spoiled.data(), 1e-6f}, "norm.weight");
      data[150 + at] = bad;
      ExpectRefused(x, {weight.data(), 1e-6f}, "x.data");
      data[150 + at] = 1.0f;
    }
    ExpectRefused(x, {weight.data(), bad}, "norm.epsilon");
  }
  ExpectRefused(x, {nullptr, -1e-6f}, "norm.epsilon");
  // Products that are too large; a row of zeros, and one whose mean square has no finite inverse root as a float.
  const std::vector<float> large(150, 3e38f);
  data[3] = 100.0f;
  ExpectRefused(x, {large.data(), 0.0f}, "x.data");
  for (const float small : {0.0f, 1e-40f}) {
    std::fill(data.begin() + 150, data.end(), small);
    ExpectRefused(x, {nullptr, 0.0f}, "x.data");
    EXPECT_TRUE(Ok(ReferenceRmsNorm(x, {nullptr, 1e-30f}, std::vector<float>(300).data())));
  }
}

TEST(RmsNorm, EmptySizesAndNullOutputs) {
  float out = -1.0f;
  EXPECT_TRUE(Ok(ReferenceRmsNorm({nullptr, DataType::kF32, 5, 0, 0}, {}, nullptr)));
  EXPECT_TRUE(Ok(ReferenceRmsNorm({nullptr, DataType::kF32, 0, 5, 5}, {}, nullptr)));
  EXPECT_TRUE(Refused(ReferenceRmsNorm({&out, DataType::kF32, 1, 1, 1}, {}, nullptr), "out"));
  Case c;
  c.k = 0;
  const PackedMatrix w = Packed(Problem(c), nullptr);
  Context context;
  Activations x;
  EXPECT_TRUE(Ok(PrepareRmsNorm({nullptr, DataType::kF32, 2, 0, 0}, {}, w, Precision::kInt8, context, &x)));
  EXPECT_EQ(x.n(), 2u);
  EXPECT_TRUE(Refused(PrepareRmsNorm({}, {}, w, Precision::kInt8, context, nullptr), "activations"));
}

}  // namespace
}  // namespace lutra::test
