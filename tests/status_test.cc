// Invalid activations and outputs are refused by name before anything is read or written.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/may_return_null.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

const Fault<ActivationView> kActivationFaults[] = {
    {"x.data", [](ActivationView& x) { x.data = nullptr; }},
    {"x.type", [](ActivationView& x) { x.type = static_cast<DataType>(5); }},
    {"x.type", [](ActivationView& x) { x.type = static_cast<DataType>(200); }},
    {"x.row_stride", [](ActivationView& x) { x.row_stride = x.k - 1; }},
    {"x.row_stride", [](ActivationView& x) { x.row_stride = 0; }},
    {"x.row_stride", [](ActivationView& x) { x.row_stride = kMax / 2; }},
    {"x.k", [](ActivationView& x) { --x.k; }},
    {"x.k", [](ActivationView& x) { x.k = 0; }},
    {"x.k", [](ActivationView& x) { x.k = x.row_stride = kMax / 2; }},
    {"", [](ActivationView& x) { x.n = kMax; }},
    {"", [](ActivationView& x) { x.n = kMax / 2; }},
    {"", [](ActivationView& x) { x.n = kMax / 160; }},
};

// --- Prepare, and the references for their x.

class ActivationStatus : public ::testing::Test {
 protected:
  void ExpectRefused(const ActivationView& x, const char* argument, Precision precision = Precision::kInt8) {
    Activations normalized;
    EXPECT_TRUE(Refused(PrepareRmsNorm(x, {nullptr, 1e-6f}, w_, precision, context_, &normalized), argument));
    EXPECT_EQ(normalized.n(), 0u);
    Activations transformed;
    EXPECT_TRUE(Refused(PrepareHadamard(x, {nullptr, 2}, w_, precision, context_, &transformed), argument));
    EXPECT_EQ(transformed.n(), 0u);
    EXPECT_TRUE(Refused(Prepare(x, w_, precision, context_, &prepared_), argument));
    // Nothing that could be multiplied is left.
    EXPECT_EQ(prepared_.n(), 0u);
    Output y(problem_->n, problem_->m, 0, DataType::kF32);
    EXPECT_TRUE(Refused(MatMul(w_, prepared_, y.view(), context_), "y.n"));
    EXPECT_TRUE(y.Untouched());
    prepared_ = Prepared(problem_, w_);

    if (precision > Precision::kInt16) return;
    std::vector<double> sums(problem_->n * problem_->m, -1.0);
    std::vector<float> exact(sums.size(), -1.0f);
    EXPECT_TRUE(Refused(ReferenceMatMul(problem_.w(), x, sums.data()), argument));
    EXPECT_TRUE(Refused(ReferenceErrorBound(problem_.w(), x, precision, sums.data()), argument));
    EXPECT_TRUE(Refused(ReferenceExactMatMul(problem_.w(), x, exact.data()), argument));
    EXPECT_EQ(sums, std::vector<double>(sums.size(), -1.0));
    EXPECT_EQ(exact, std::vector<float>(exact.size(), -1.0f));
  }

  Problem problem_{SmallCase(3, 2, 150)};
  PackedMatrix w_ = Packed(problem_, nullptr);
  Context context_;
  Activations prepared_ = Prepared(problem_, w_);
};

TEST_F(ActivationStatus, FaultyViews) {
  for (const Fault<ActivationView>& fault : kActivationFaults) {
    SCOPED_TRACE(::testing::Message() << "fault " << &fault - kActivationFaults << " " << fault.argument);
    ActivationView x = problem_.x();
    fault.spoil(x);
    ExpectRefused(x, fault.argument);
  }
}

TEST_F(ActivationStatus, ValuesThatAreNotFinite) {
  for (const DataType type : kFloatTypes) {
    for (const float bad : kNotFinite) {
      for (const std::size_t at : {std::size_t{0}, std::size_t{127}, std::size_t{149}, std::size_t{299}}) {
        for (const Precision precision : kPrecisions) {
          SCOPED_TRACE(::testing::Message() << bad << " at " << at << " in " << Name(type));
          Case c = SmallCase(3, 2, 150);
          c.x.type = type;
          const Problem problem(c);
          ActivationView x = problem.x();
          const std::vector<std::uint8_t> data = With(bad, at, type, x.data, c.n * c.k);
          x.data = data.data();
          ExpectRefused(x, "x.data", precision);
        }
      }
    }
  }
}

TEST_F(ActivationStatus, ScalesOfInt8) {
  Case c = SmallCase(3, 2, 150);
  c.x = {DataType::kInt8, 40};
  const Problem problem(c);
  ActivationView x = problem.x();
  x.scales = nullptr;
  ExpectRefused(x, "x.scales");
  for (const float bad : kNotFinite) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{7}}) {
      SCOPED_TRACE(::testing::Message() << bad << " at " << at);
      std::vector<float> scales(problem.x().scales, problem.x().scales + 8);
      scales[at] = bad;
      x.scales = scales.data();
      ExpectRefused(x, "x.scales");
    }
  }
  x = problem.x();
  x.scale_group = kPerMatrix;
  ExpectRefused(x, "x.scale_group");
}

TEST_F(ActivationStatus, OtherArguments) {
  ExpectRefused(problem_.x(), "precision", static_cast<Precision>(2));
  EXPECT_TRUE(Refused(Prepare(problem_.x(), w_, Precision::kInt8, context_, nullptr), "activations"));
}

// --- MatMul and MatMulRange.

class MatMulStatus : public KernelTest {};

TEST_P(MatMulStatus, FaultyOutputs) {
  const Fault<OutputView> kFaults[] = {
      {"y.data", [](OutputView& y) { y.data = nullptr; }},
      {"y.type", [](OutputView& y) { y.type = DataType::kInt8; }},
      {"y.type", [](OutputView& y) { y.type = static_cast<DataType>(9); }},
      {"y.n", [](OutputView& y) { ++y.n; }},
      {"y.n", [](OutputView& y) { y.n = 0; }},
      {"y.n", [](OutputView& y) { y.n = kMax; }},
      {"y.m", [](OutputView& y) { --y.m; }},
      {"y.m", [](OutputView& y) { y.m = kMax / 2; }},
      {"y.row_stride", [](OutputView& y) { y.row_stride = y.m - 1; }},
      {"y.row_stride", [](OutputView& y) { y.row_stride = kMax / 2; }},
  };
  Case c = SmallCase(3, 2, 150);
  c.format = GetParam().format;
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, GetParam().target);
  const Activations x = Prepared(problem, w);
  Context context;
  Output y(c.n, c.m, 2, DataType::kF32);
  for (const Fault<OutputView>& fault : kFaults) {
    SCOPED_TRACE(::testing::Message() << "fault " << &fault - kFaults << " " << fault.argument);
    OutputView view = y.view();
    fault.spoil(view);
    EXPECT_TRUE(Refused(MatMul(w, x, view, context), fault.argument));
    EXPECT_TRUE(Refused(MatMulRange(w, x, view, 0, c.m), fault.argument));
    EXPECT_TRUE(Refused(MatMulPiece(w, x, view, 0, 1), fault.argument));
    EXPECT_TRUE(Refused(MatMul(w, problem.x(), view, context), fault.argument));
    EXPECT_TRUE(y.Untouched());
  }
  EXPECT_TRUE(Refused(MatMulRange(w, x, y.view(), 2, 1), "m_begin"));
  EXPECT_TRUE(Refused(MatMulRange(w, x, y.view(), 0, c.m + 1), "m_end"));
  EXPECT_TRUE(Refused(MatMulRange(w, x, y.view(), 1, kMax), "m_end"));
  EXPECT_TRUE(Refused(MatMulPiece(w, x, y.view(), 0, 0), "i"));
  EXPECT_TRUE(Refused(MatMulPiece(w, x, y.view(), 5, 5), "i"));
  EXPECT_TRUE(Refused(MatMulPieces(w, x, 1, nullptr), "count"));
  EXPECT_TRUE(Refused(MatMul(w, Activations(), y.view(), context), "y.n"));
  ActivationView x_view = problem.x();
  x_view.k -= 1;
  EXPECT_TRUE(Refused(MatMul(w, x_view, y.view(), context), "x.k"));
  EXPECT_TRUE(y.Untouched());
}

TEST_P(MatMulStatus, FaultyChoice) {
  const Case c = NewCase({10, 3, 100}, 1);
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, c.target);
  Activations x = Prepared(problem, w);
  Context context;
  EXPECT_TRUE(Refused(Prepare(problem.x(), w, {Precision::kInt8, static_cast<Choice>(3)}, context, &x), "choice"));
  EXPECT_EQ(x.n(), 0u);
}

// Nothing to compute, or nothing to add: pointers and strides that are not used do not matter.
TEST_P(MatMulStatus, ZeroSizesAreValid) {
  for (const std::size_t m : {0u, 1u, 5u}) {
    for (const std::size_t n : {0u, 1u, 3u}) {
      for (const std::size_t k : {0u, 1u, 200u}) {
        for (const Precision precision : kPrecisions) {
          Case c = SmallCase(3, 2, 150);
          c.format = GetParam().format;
          c.target = GetParam().target;
          c.precision = precision;
          c.m = m;
          c.n = n;
          c.k = k;
          SCOPED_TRACE(c);
          const Problem problem(c);
          QuantizedView view = problem.w();
          ActivationView x_view = problem.x();
          if (m * k == 0) view.codes = nullptr, view.scales = view.zeros = nullptr;
          if (n * k == 0) x_view.data = nullptr;
          if (m <= 1) view.code_stride = 0;
          if (n <= 1) x_view.row_stride = 0;
          PackedMatrix w;
          ASSERT_TRUE(Ok(Pack(view, {c.target}, &w)));
          QuantizedMatrix unpacked;
          ASSERT_TRUE(Ok(Unpack(w, &unpacked)));
          EXPECT_EQ(unpacked.view().m, m);
          EXPECT_EQ(unpacked.view().k, k);
          Context context;
          Activations x;
          ASSERT_TRUE(Ok(Prepare(x_view, w, precision, context, &x)));
          std::vector<float> y(n * m, kInfinity);
          const OutputView y_view{y.empty() ? nullptr : y.data(), DataType::kF32, n, m, n <= 1 ? 0 : m};
          ASSERT_TRUE(Ok(MatMul(w, x, y_view, context)));
          const Reference reference(problem);
          EXPECT_TRUE(Within(y, reference.y, reference.bound, m));
          for (std::size_t i = 0; k == 0 && i < y.size(); ++i) EXPECT_EQ(y[i], view.bias[i % m]);
          ASSERT_TRUE(Ok(MatMulRange(w, x, y_view, m, m)));
          std::size_t count = kMax;
          ASSERT_TRUE(Ok(MatMulPieces(w, x, 3, &count)));
          EXPECT_EQ(count == 0, n * m == 0);
          ASSERT_TRUE(Ok(MatMulPiece(w, x, y_view, count, count + 1)));
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, MatMulStatus, ::testing::ValuesIn(Kernels()), KernelName);

TEST(MatMulStatus, WithoutBiasAnEmptySumIsZero) {
  Case c;
  c.m = 70;
  c.n = 2;
  c.k = 0;
  const Problem problem(c);
  EXPECT_EQ(Multiplied(problem, nullptr), std::vector<float>(140, 0.0f));
}

TEST(Buffer, IsAlignedGrowsAndSaysWhenMemoryIsShort) {
  Buffer buffer;
  EXPECT_EQ(buffer.size(), 0u);
  ASSERT_TRUE(buffer.Reserve(1));
  const std::uint8_t* const first = buffer.data();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % Buffer::kAlignment, 0u);
  const std::size_t size = buffer.size();
  EXPECT_GE(size, 1u);
  EXPECT_TRUE(buffer.Reserve(0));
  for (const std::size_t huge : {kMax, kMax - 63, kMax / 2, kMax / 4}) EXPECT_FALSE(buffer.Reserve(huge));
  EXPECT_EQ(buffer.data(), first);
  EXPECT_EQ(buffer.size(), size);
  Buffer other = std::move(buffer);
  EXPECT_EQ(other.data(), first);
  ASSERT_TRUE(other.Reserve(size + (std::size_t{4} << 20)));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(other.data()) % Buffer::kAlignment, 0u);
}

}  // namespace
}  // namespace lutra::test
