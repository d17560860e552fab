// Products with x in bf16: within the bound, exact where sums need no rounding, and chosen by kFastest alone.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "lutra/grouped.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

std::vector<Kernel> Bf16Kernels() { return KernelsWith(Method::kBf16); }

// x[N x K] prepared as a method multiplies it.
Activations PreparedFloats(const std::vector<float>& x, const PackedMatrix& w, Method method) {
  Plan plan = *(Plans().end() - 1);
  plan.method = method;
  Context context;
  Activations prepared;
  const ActivationView view(x.data(), x.size() / w.k(), w.k());
  EXPECT_TRUE(Ok(Prepare(view, w, Precision::kInt8, plan, context, &prepared)));
  return prepared;
}

// Every kind of data in every type of x.
class Bf16Data : public SweepTest<DataPart> {};

TEST_P(Bf16Data, IsWithinTheBound) {
  Random random(part().index + 1);
  Case c = NewCase({60 + random.Below(80), 1 + random.Below(9), 100 + random.Below(300)}, part().index + 1);
  c.group = random.Pick(kGroups);
  c.scale_type = random.Pick(kFloatTypes);
  c.bias = part().data != Data::kDenormal && random.Below(2) == 1;
  c.order = random.Below(2) == 1;
  c.gap = random.Below(20);
  c.x = part().x;
  c.data = part().data;
  SCOPED_TRACE(c);
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, c.target);
  const Activations x = PreparedBy(problem, w, Method::kBf16);
  std::vector<double> expected(c.m * c.n), bound(expected.size());
  ASSERT_TRUE(Ok(ReferenceMatMul(problem.w(), problem.x(), expected.data())));
  ASSERT_TRUE(Ok(ReferenceErrorBound(problem.w(), problem.x(), c.precision, x.kind(), bound.data())));
  EXPECT_TRUE(Within(Multiplied(w, x, DataType::kF32, c.gap), expected, bound, c.m));
}

INSTANTIATE_TEST_SUITE_P(Sweep, Bf16Data, ::testing::ValuesIn(SharedSweep(Bf16Kernels(), DataParts())), SweepName());

class Bf16 : public KernelTest {};

// One element of a K-block is not 0, and has few bits: a product then has the bits of floats, for every code.
TEST_P(Bf16, ProductsAreExact) {
  for (const std::size_t group : kGroups) {
    Case c = NewCase({70, 131, 300}, group);
    c.group = group;
    c.bias = true;
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, c.target);
    std::vector<float> x(c.n * c.k);
    for (std::size_t n = 0; n < c.n; ++n) {
      for (std::size_t k = n; k < c.k; k += c.n) x[n * c.k + k] = static_cast<float>((n + k) % 255) - 127.0f;
    }
    const std::vector<float> floats = Multiplied(w, PreparedFloats(x, w, Method::kFloat), DataType::kF32, 0);
    EXPECT_TRUE(SameBits(Multiplied(w, PreparedFloats(x, w, Method::kBf16), DataType::kF32, 0), floats, c.m));
  }
}

// The bound without the rounding of x: it is rounded beforehand.
TEST_P(Bf16, XOfTypeBf16IsNotRounded) {
  Case c = NewCase({70, 5, 300}, 3);
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, c.target);
  c.x = {DataType::kBF16, kPerRow};
  const Problem of_bf16(c);
  std::vector<float> x(c.n * c.k);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = Load(DataType::kBF16, of_bf16.x().data, i / c.k * of_bf16.x().row_stride + i % c.k);
  }
  const std::vector<float> y = Multiplied(w, PreparedFloats(x, w, Method::kBf16), DataType::kF32, 0);
  for (float& value : x) value *= 1.0f + 0x1p-10f;  // rounds back
  EXPECT_TRUE(SameBits(Multiplied(w, PreparedFloats(x, w, Method::kBf16), DataType::kF32, 0), y, c.m));
  EXPECT_TRUE(SameBits(Multiplied(w, PreparedBy(of_bf16, w, Method::kBf16), DataType::kF32, 0), y, c.m));
}

// No element of x becomes infinite: times a weight of 0 it adds 0.
TEST_P(Bf16, LargestXStaysFinite) {
  const std::vector<std::uint8_t> codes(64 * 48);
  const float scale = 1.0f, largest = std::numeric_limits<float>::max();
  QuantizedView view;
  view.format = GetParam().format;
  view.m = 64, view.k = view.code_stride = 48;
  view.codes = codes.data();
  view.group = kPerMatrix;
  view.scales = &scale;
  view.scale_type = DataType::kF32;
  PackedMatrix w;
  ASSERT_TRUE(Ok(Pack(view, {GetParam().target, nullptr}, &w)));
  std::vector<float> x(4 * 48, largest);
  x[5] = -largest;
  for (const float y : Multiplied(w, PreparedFloats(x, w, Method::kBf16), DataType::kF32, 0)) ASSERT_EQ(y, 0.0f);
  std::vector<double> bounds(4 * 64);
  ASSERT_TRUE(Ok(ReferenceErrorBound(view, ActivationView(x.data(), 4, 48), Precision::kInt8, ActivationKind::kBf16,
                                     bounds.data())));
  for (const double error : bounds) ASSERT_TRUE(std::isfinite(error));
}

// Only kFastest, and not under kInt16, chooses bf16; a row of y has the same bits wherever its row of x stands.
TEST_P(Bf16, OnlyFastestChoosesIt) {
  const bool chosen = GetParam().target->info.bf16;
  for (const std::size_t n : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{300}}) {
    PlanCase what{GetParam().format, GetParam().target, n, 128};
    EXPECT_EQ(SelectPlan(what).method, Method::kFloat);
    EXPECT_EQ(SelectPlan(what, Choice::kFastest).method, chosen && n > 2 ? Method::kBf16 : Method::kFloat);
    what.precision = Precision::kInt16;
    EXPECT_EQ(SelectPlan(what, Choice::kFastest).method, Method::kFloat);
  }
  const Problem problem(NewCase({130, 40, 300}, 4));
  const PackedMatrix w = Packed(problem, GetParam().target);
  Context context;
  Activations exact;
  ASSERT_TRUE(Ok(Prepare(problem.x(), w, {Precision::kInt16, Choice::kFastest}, context, &exact)));
  EXPECT_EQ(exact.kind(), ActivationKind::kFloats);
  const Activations x = PreparedBy(problem, w, Method::kBf16);
  EXPECT_LT(x.bytes(), exact.bytes());
  const std::vector<float> y = Multiplied(w, x, DataType::kF32, 0);
  std::vector<std::int32_t> rows(x.n());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int32_t>(i * 7 % rows.size());
  const std::int32_t offsets[] = {0, static_cast<std::int32_t>(rows.size())};
  const PackedMatrix* const one[] = {&w};
  Output to(x.n(), w.m(), 0, DataType::kF32);
  GroupedProduct product;
  product.w = {one, 1};
  product.x = &x;
  product.rows = {offsets, rows.size(), rows.data(), rows.data()};
  product.y = to.view();
  ASSERT_TRUE(Ok(MatMulGrouped(product, context)));
  EXPECT_TRUE(SameBits(to.Floats(), y, w.m()));
}

TEST_P(Bf16, NonFiniteRowsAreNaN) {
  const Problem problem(NewCase({70, 6, 300}, 5));
  const PackedMatrix w = Packed(problem, GetParam().target);
  std::vector<float> x(6 * 300, 0.5f);
  const std::vector<float> finite = Multiplied(w, PreparedFloats(x, w, Method::kBf16), DataType::kF32, 0);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    x[4 * 300 + 299] = bad;
    Context context;
    Activations prepared;
    const PrepareOptions options(Precision::kInt8, Choice::kFastest, NonFinite::kPropagate);
    ASSERT_TRUE(Ok(Prepare(ActivationView(x.data(), 6, 300), w, options, context, &prepared)));
    if (!w.target()->info.bf16) {  // it takes floats, whose rows NonFiniteX tests
      ASSERT_EQ(prepared.kind(), ActivationKind::kFloats);
      return;
    }
    ASSERT_EQ(prepared.kind(), ActivationKind::kBf16);
    std::vector<float> expected = finite;
    for (std::size_t m = 0; m < w.m(); ++m) expected[4 * w.m() + m] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(SameBits(Canonical(Multiplied(w, prepared, DataType::kF32, 0)), expected, w.m()));
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, Bf16, ::testing::ValuesIn(Bf16Kernels()), KernelName);

}  // namespace
}  // namespace lutra::test
