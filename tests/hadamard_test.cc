// PrepareHadamard prepares what ReferenceHadamard computes, and both refuse the same arguments.
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

std::vector<float> Signs(std::size_t k, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> signs(k);
  for (float& sign : signs) sign = random.Below(2) == 1 ? 1.0f : -1.0f;
  return signs;
}

class PreparingHadamard : public SweepTest<XPart> {
 protected:
  // Preparing x transformed on the way is the same as preparing the transformed x. `norm` may be null.
  static void Check(const Case& c, const RmsNorm* norm, const Hadamard& hadamard, Executor* executor) {
    SCOPED_TRACE(c);
    SCOPED_TRACE(hadamard.block);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, c.target);
    Context context{executor};
    std::vector<float> normalized(c.n * c.k), transformed(c.n * c.k);
    ActivationView x = problem.x();
    if (norm != nullptr) {
      ASSERT_TRUE(Ok(ReferenceRmsNorm(x, *norm, normalized.data())));
      x = ActivationView(normalized.data(), c.n, c.k);
    }
    ASSERT_TRUE(Ok(ReferenceHadamard(x, hadamard, transformed.data())));
    Activations apart, fused;
    ASSERT_TRUE(Ok(Prepare(ActivationView(transformed.data(), c.n, c.k), w, c.precision, context, &apart)));
    ASSERT_TRUE(Ok(norm == nullptr ? PrepareHadamard(problem.x(), hadamard, w, c.precision, context, &fused)
                                   : PrepareHadamard(problem.x(), *norm, hadamard, w, c.precision, context, &fused)));
    EXPECT_TRUE(fused.Fits(w));
    EXPECT_EQ(fused.n(), c.n);
    EXPECT_TRUE(SameBits(Canonical(Multiplied(w, fused, DataType::kF32, 0)),
                         Canonical(Multiplied(w, apart, DataType::kF32, 0)), c.m));
    EXPECT_TRUE(problem.Intact());
  }
};

// Blocks below, of and above the pieces that kernels take at a time; K that ends within a piece.
TEST_P(PreparingHadamard, EqualsTheReference) {
  ThreadPool pool(2);
  constexpr struct {
    std::size_t block, blocks;
  } kShapes[] = {{2, 1}, {2, 95}, {4, 33}, {8, 5}, {16, 10}, {32, 3}, {64, 5}, {128, 3}, {256, 2}, {512, 1}, {1024, 2}};
  std::uint64_t seed = std::size(kShapes) * part().index;
  for (const auto& shape : kShapes) {
    Random random(++seed);
    Case c = NewCase({3, 1 + seed % 9, shape.block * shape.blocks}, seed);
    c.group = random.Pick(kGroups);
    c.precision = kPrecisions[seed % 2];
    c.order = random.Below(2) == 1;
    c.x = part().x;
    c.gap = seed % 3;
    c.data = random.Pick({Data::kGaussian, Data::kEqual, Data::kZero, Data::kOutlier, Data::kHuge, Data::kDenormal});
    const std::vector<float> signs = Signs(c.k, seed);
    const RmsNorm norm{nullptr, 1e-6f};
    Check(c, random.Below(3) == 0 ? &norm : nullptr, {random.Below(3) == 0 ? nullptr : signs.data(), shape.block},
          seed % 2 == 0 ? &pool : nullptr);
  }
}

// Every type of x for every kind of activations on every target; the formats of a kind take turns.
INSTANTIATE_TEST_SUITE_P(Sweep, PreparingHadamard, ::testing::ValuesIn(SharedSweep(KernelsByKind(), XParts())),
                         SweepName());

// Every block, so every sequence of passes, on every target.
TEST(Hadamard, BlocksOfAllSizes) {
  for (const Target target : RunnableTargets()) {
    for (std::size_t block = 2; block <= kMaxHadamardBlock; block *= 2) {
      Case c;
      c.target = target;
      c.k = block;
      SCOPED_TRACE(c);
      const Problem problem(c);
      const PackedMatrix w = Packed(problem, target);
      const std::vector<float> signs = Signs(c.k, block);
      const Hadamard hadamard{signs.data(), block};
      std::vector<float> transformed(c.k);
      ASSERT_TRUE(Ok(ReferenceHadamard(problem.x(), hadamard, transformed.data())));
      Context context;
      Activations apart, fused;
      ASSERT_TRUE(Ok(Prepare(ActivationView(transformed.data(), 1, c.k), w, c.precision, context, &apart)));
      ASSERT_TRUE(Ok(PrepareHadamard(problem.x(), hadamard, w, c.precision, context, &fused)));
      EXPECT_TRUE(SameBits(Multiplied(w, fused, DataType::kF32, 0), Multiplied(w, apart, DataType::kF32, 0), c.m));
    }
  }
}

// The same bits for any number of tasks and any order of them, and if an object is used again.
TEST(Hadamard, ThreadsChangeNothing) {
  Case c;
  c.n = 23;
  c.k = 384;
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, nullptr);
  const Hadamard hadamard{nullptr, 128};
  Context context;
  Activations serial, x;
  ASSERT_TRUE(Ok(PrepareHadamard(problem.x(), hadamard, w, c.precision, context, &serial)));
  const std::vector<float> expected = Multiplied(w, serial, DataType::kF32, 0);
  for (const std::size_t concurrency : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{5}, kMax}) {
    BackwardExecutor executor(concurrency);
    Context over{&executor};
    ASSERT_TRUE(Ok(PrepareHadamard(problem.x(), hadamard, w, c.precision, over, &x)));
    EXPECT_TRUE(SameBits(Multiplied(w, x, DataType::kF32, 0), expected, c.m));
  }
}

// The definition, in double. Each of log2(block) stages rounds once, and so do the scale and the product with it: at
// most 2^-24 of the sum of |x| each.
TEST(Hadamard, IsTheDefinition) {
  for (const XKind& kind : kXKinds) {
    for (std::size_t block = 2, stages = 1; block <= 512; block *= 2, ++stages) {
      Case c;
      c.n = 2;
      c.k = 2 * block;
      c.gap = 1;
      c.x = kind;
      SCOPED_TRACE(c);
      const Problem problem(c);
      const ActivationView& x = problem.x();
      const std::vector<float> signs = Signs(c.k, block);
      std::vector<float> out(c.n * c.k);
      ASSERT_TRUE(Ok(ReferenceHadamard(x, {signs.data(), block}, out.data())));
      const std::size_t groups = GroupsPerRow(c.k, kind.scale_group);
      const double scale = 1 / std::sqrt(static_cast<double>(block));
      const double roundings = static_cast<double>(stages) + 3;
      for (std::size_t n = 0; n < c.n; ++n) {
        for (std::size_t k = 0; k < c.k; ++k) {
          double sum = 0, magnitude = 0;
          for (std::size_t j = k / block * block, end = j + block; j < end; ++j) {
            double value = Load(x.type, x.data, n * x.row_stride + j);
            if (HasScales(x.type)) value *= x.scales[n * groups + (groups == 1 ? 0 : j / kind.scale_group)];
            bool negative = false;
            for (std::size_t both = (k % block) & (j % block); both != 0; both /= 2) negative ^= both % 2 == 1;
            sum += (negative ? -1 : 1) * value * signs[j];
            magnitude += std::abs(value);
          }
          ASSERT_NEAR(out[n * c.k + k], sum * scale, roundings * 0x1p-24 * magnitude * scale)
              << "n " << n << " k " << k;
        }
      }
    }
  }
}

// Twice the transform without signs is x.
TEST(Hadamard, IsItsOwnInverse) {
  std::vector<float> x(3 * 1024), once(x.size()), twice(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(static_cast<int>(i * i % 1013) - 506);
  ASSERT_TRUE(Ok(ReferenceHadamard(ActivationView(x.data(), 1, x.size()), {nullptr, 1024}, once.data())));
  ASSERT_TRUE(Ok(ReferenceHadamard(ActivationView(once.data(), 1, x.size()), {nullptr, 1024}, twice.data())));
  EXPECT_EQ(twice, x);  // sums of small integers, times powers of two, are exact
}

// PrepareHadamard and ReferenceHadamard refuse the argument and leave their outputs untouched.
void ExpectRefused(const ActivationView& x, const Hadamard& hadamard, const char* argument) {
  Case c;
  c.n = x.n;
  c.k = x.k;
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, nullptr);
  const RmsNorm norm{nullptr, 1e-6f};
  for (const Precision precision : kPrecisions) {
    Context context;
    Activations activations;
    EXPECT_TRUE(Refused(PrepareHadamard(x, hadamard, w, precision, context, &activations), argument));
    EXPECT_EQ(activations.n(), 0u);
    EXPECT_TRUE(Refused(PrepareHadamard(x, norm, hadamard, w, precision, context, &activations), argument));
    EXPECT_EQ(activations.n(), 0u);
  }
  std::vector<float> out(x.n * x.k, -1.0f);
  EXPECT_TRUE(Refused(ReferenceHadamard(x, hadamard, out.data()), argument));
  EXPECT_EQ(out, std::vector<float>(out.size(), -1.0f));
}

TEST(Hadamard, FaultyArgumentsAreRefused) {
  std::vector<float> data(320, 1.0f), signs(160, -1.0f);
  const ActivationView x(data.data(), 2, 160);
  for (const std::size_t block : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{5}, std::size_t{24},
                                  std::size_t{64}, std::size_t{160}, std::size_t{1024}, 2 * kMaxHadamardBlock, kMax}) {
    ExpectRefused(x, {signs.data(), block}, "hadamard.block");
  }
  for (const float bad : {0.0f, -0.0f, 2.0f, 1.0000001f, 0x1p-149f, kInfinity, -kInfinity, std::nanf("")}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{159}}) {
      std::vector<float> spoiled = signs;
      spoiled[at] = bad;
      ExpectRefused(x, {spoiled.data(), 32}, "hadamard.signs");
    }
  }
  for (const float bad : kNotFinite) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{159}, std::size_t{160}, std::size_t{319}}) {
      data[at] = bad;
      ExpectRefused(x, {signs.data(), 32}, "x.data");
      ExpectRefused(x, {nullptr, 2}, "x.data");
      data[at] = 1.0f;
    }
  }
}

// Sums that overflow, although the definition's result would not.
TEST(Hadamard, SumsThatOverflowAreRefused) {
  const std::vector<float> data(64, 1e37f);
  const ActivationView x(data.data(), 1, 64);
  Case c;
  c.k = 64;
  const PackedMatrix w = Packed(Problem(c), nullptr);
  std::vector<float> out(64);
  Context context;
  Activations activations;
  EXPECT_TRUE(Ok(ReferenceHadamard(x, {nullptr, 32}, out.data())));
  EXPECT_TRUE(Ok(PrepareHadamard(x, {nullptr, 32}, w, Precision::kInt16, context, &activations)));
  EXPECT_TRUE(Refused(ReferenceHadamard(x, {nullptr, 64}, out.data()), "x.data"));
  EXPECT_TRUE(Refused(PrepareHadamard(x, {nullptr, 64}, w, Precision::kInt16, context, &activations), "x.data"));
}

TEST(Hadamard, ErrorsOfTheNormAreRefused) {
  std::vector<float> data(64, 1.0f), weight(64, 1.0f);
  const ActivationView x(data.data(), 1, 64);
  Case c;
  c.k = 64;
  const PackedMatrix w = Packed(Problem(c), nullptr);
  Context context;
  Activations activations;
  const auto prepare = [&](const RmsNorm& norm) {
    return PrepareHadamard(x, norm, {nullptr, 64}, w, Precision::kInt8, context, &activations);
  };
  EXPECT_TRUE(Refused(prepare({nullptr, -1.0f}), "norm.epsilon"));
  weight[63] = kInfinity;
  EXPECT_TRUE(Refused(prepare({weight.data(), 1e-6f}), "norm.weight"));
  std::fill(data.begin(), data.end(), 0.0f);
  EXPECT_TRUE(Refused(prepare({nullptr, 0.0f}), "x.data"));
}

TEST(Hadamard, EmptySizesAndNullOutputs) {
  float out = -1.0f;
  EXPECT_TRUE(Ok(ReferenceHadamard({nullptr, DataType::kF32, 5, 0, 0}, {}, nullptr)));
  EXPECT_TRUE(Ok(ReferenceHadamard({nullptr, DataType::kF32, 0, 1024, 1024}, {}, nullptr)));
  EXPECT_TRUE(Refused(ReferenceHadamard({nullptr, DataType::kF32, 0, 5, 5}, {}, nullptr), "hadamard.block"));
  EXPECT_TRUE(Refused(ReferenceHadamard({&out, DataType::kF32, 1, 2, 2}, {nullptr, 2}, nullptr), "out"));
  Context context;
  Activations x;
  Case c;
  c.k = 0;
  PackedMatrix w = Packed(Problem(c), nullptr);
  EXPECT_TRUE(Ok(PrepareHadamard({nullptr, DataType::kF32, 2, 0, 0}, {}, w, Precision::kInt8, context, &x)));
  EXPECT_EQ(x.n(), 2u);
  EXPECT_TRUE(Refused(PrepareHadamard({}, {}, w, Precision::kInt8, context, nullptr), "activations"));
  EXPECT_TRUE(Refused(PrepareHadamard({}, {nullptr, 3}, w, Precision::kInt8, context, &x), "hadamard.block"));
  EXPECT_EQ(x.n(), 0u);
  c.k = 1024;
  w = Packed(Problem(c), nullptr);
  EXPECT_TRUE(Ok(PrepareHadamard({nullptr, DataType::kF32, 0, 1024, 1024}, {}, w, Precision::kInt8, context, &x)));
  EXPECT_EQ(x.n(), 0u);
}

}  // namespace
}  // namespace lutra::test
