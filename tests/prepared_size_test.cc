// PreparedSize is the memory that Prepare allocates, to the byte.
#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "support/c_api.h"
#include "support/c_views.h"
#include "support/faults.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class PreparedSizes : public SweepTest<GroupSize> {};

TEST_P(PreparedSizes, AreWhatPrepareAllocates) {
  for (const std::size_t k : {std::size_t{1}, std::size_t{65}, std::size_t{1000}}) {
    for (const std::size_t n : {std::size_t{1}, std::size_t{5}, std::size_t{70}}) {
      Case c = NewCase({1, n, k}, 1);
      c.group = part().size;
      SCOPED_TRACE(c);
      const Problem problem(c);
      const PackedMatrix w = Packed(problem, c.target);
      Context context;
      for (const Precision precision : kPrecisions) {
        for (const Choice choice : {Choice::kInvariant, Choice::kFastest}) {
          std::size_t bytes = 1, of_norm = 1;
          ASSERT_TRUE(Ok(PreparedSize(w, n, {precision, choice}, &bytes)));
          Activations x, normalized;
          EXPECT_EQ(x.bytes(), 0u);
          ASSERT_TRUE(Ok(Prepare(problem.x(), w, {precision, choice}, context, &x)));
          EXPECT_EQ(x.bytes(), bytes);
          ASSERT_TRUE(Ok(PrepareRmsNorm(problem.x(), {nullptr, 1.0f}, w, {precision, choice}, context, &normalized)));
          EXPECT_EQ(normalized.bytes(), bytes);
          ASSERT_TRUE(Ok(PreparedSize(w, n + 1, {precision, choice}, &of_norm)));
          EXPECT_GE(of_norm, bytes);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, PreparedSizes, ::testing::ValuesIn(Sweep(Kernels(), GroupSizes())), SweepName());

// The example of activations.h, on the target without a matrix unit that is always there.
TEST(PreparedSize, IsAsDocumented) {
  constexpr std::size_t kN = 64, kK = 4096;
  for (const Format format : {Format::kInt4, Format::kInt2}) {
    Case c;
    c.format = format;
    c.k = kK;
    const PackedMatrix w = Packed(Problem(c), RunnableTargets().end()[-1]);
    const std::size_t data = (format == Format::kInt2 ? 4 : 1) * kK * kN, scales = 64 * kK / 128 * kN;
    std::size_t bytes = 0;
    ASSERT_TRUE(Ok(PreparedSize(w, kN, Precision::kInt8, &bytes)));
    EXPECT_EQ(bytes, data + scales);
    ASSERT_TRUE(Ok(PreparedSize(w, 100 * kN, Precision::kInt8, &bytes)));
    EXPECT_EQ(bytes, 100 * (data + scales));
  }
}

TEST(PreparedSize, IsZeroWithoutRowsOrWeights) {
  const PackedMatrix w = Packed(Problem(SmallCase()), nullptr);
  std::size_t bytes = 1;
  EXPECT_TRUE(Ok(PreparedSize(w, 0, Precision::kInt8, &bytes)));
  EXPECT_EQ(bytes, 0u);
  bytes = 1;
  EXPECT_TRUE(Ok(PreparedSize(PackedMatrix(), 5, Precision::kInt8, &bytes)));
  EXPECT_EQ(bytes, 0u);
}

TEST(PreparedSize, RefusesBadArguments) {
  const PackedMatrix w = Packed(Problem(SmallCase()), nullptr);
  std::size_t bytes = 1;
  EXPECT_TRUE(Refused(PreparedSize(w, kMax, Precision::kInt8, &bytes), "n"));
  EXPECT_TRUE(Refused(PreparedSize(w, kMax / 256, Precision::kInt8, &bytes), "n"));
  EXPECT_TRUE(Refused(PreparedSize(w, 1, static_cast<Precision>(2), &bytes), "precision"));
  EXPECT_TRUE(Refused(PreparedSize(w, 1, {Precision::kInt8, static_cast<Choice>(3)}, &bytes), "choice"));
  EXPECT_TRUE(Refused(PreparedSize(w, 1, Precision::kInt8, nullptr), "bytes"));
  EXPECT_EQ(bytes, 1u);
}

TEST(PreparedSize, InC) {
  const Problem problem(SmallCase());
  const PackedMatrix expected = Packed(problem, nullptr);
  const lutra_quantized_view w_view = CView(problem.w());
  const lutra_activation_view x_view = CView(problem.x());
  CPacked w;
  CActivations x;
  lutra_activations_info info;
  ASSERT_TRUE(COk(lutra_pack(&w_view, nullptr, nullptr, &w)));
  ASSERT_TRUE(COk(lutra_activations_create(&x)));
  ASSERT_TRUE(COk(lutra_activations_get(x, &info)));
  EXPECT_EQ(info.bytes, 0u);
  for (const Precision precision : kPrecisions) {
    std::size_t bytes = 0, in_c = 0;
    const auto c_precision = static_cast<lutra_precision>(precision);
    ASSERT_TRUE(Ok(PreparedSize(expected, problem->n, precision, &bytes)));
    ASSERT_TRUE(COk(lutra_prepared_size(w, problem->n, c_precision, &in_c)));
    EXPECT_EQ(in_c, bytes);
    ASSERT_TRUE(COk(lutra_prepare(&x_view, w, c_precision, nullptr, x)));
    ASSERT_TRUE(COk(lutra_activations_get(x, &info)));
    EXPECT_EQ(info.bytes, bytes);
  }
  std::size_t bytes = 1;
  EXPECT_TRUE(CRefused(lutra_prepared_size(nullptr, 1, LUTRA_PRECISION_INT8, &bytes), "w"));
  EXPECT_TRUE(CRefused(lutra_prepared_size(w, kMax, LUTRA_PRECISION_INT8, &bytes), "n"));
  EXPECT_TRUE(CRefused(lutra_prepared_size(w, 1, 2, &bytes), "precision"));
  EXPECT_TRUE(CRefused(lutra_prepared_size(w, 1, LUTRA_PRECISION_INT8, nullptr), "bytes"));
  EXPECT_EQ(bytes, 1u);
}

}  // namespace
}  // namespace lutra::test
