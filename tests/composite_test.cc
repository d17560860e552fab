// Composites: bit for bit what their parts give one by one, for every format and target, N, executor and type of y;
// what they refuse.
#include "lutra/composite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/allocator.h"
#include "support/composites.h"
#include "support/faults.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr Sides kSides[] = {
    {false, false, false}, {true, false, false}, {false, true, false}, {false, false, true}, {true, true, true}};

class CompositeKernels : public KernelTest {
 protected:
  // The format and two others.
  std::vector<Format> Formats() const {
    const auto first = static_cast<std::size_t>(GetParam().format);
    return {GetParam().format, kFormats[(first + 3) % kFormatCount].format, Format::kInt4};
  }
  Case CompositeCase(std::size_t n, std::size_t seed) const {
    Case c = NewCase({seed % 2 == 0 ? std::size_t{70} : 33, n, 200}, seed);
    c.tables = 1;
    c.bias = true;
    c.group = seed % 2 == 0 ? 32 : 128;
    c.zeros = kZeros[seed % 3];
    c.precision = kPrecisions[seed % 2];
    return c;
  }
};

TEST_P(CompositeKernels, EqualTheirParts) {
  std::size_t seed = GetParam().phase;
  ThreadPool pool(3);
  for (const Sides& sides : kSides) {
    for (const std::size_t n : {std::size_t{1}, std::size_t{3}, std::size_t{18}}) {
      Case c = CompositeCase(n, ++seed);
      c.x = kXKinds[seed % std::size(kXKinds)];
      SCOPED_TRACE(c);
      const Composite composite(Formats(), c, sides);
      const PrepareOptions options = c.precision;
      const DataType type = kFloatTypes[seed % 3];
      const std::vector<float> expected = composite.Expected(composite.x(), options, type);
      EXPECT_TRUE(SameBits(Composite::Multiply(composite.w, composite.x(), {options}, type), expected, composite.rows));
      EXPECT_TRUE(
          SameBits(Composite::Multiply(composite.w, composite.x(), {options}, type, &pool), expected, composite.rows));
    }
  }
}

// Without outliers that are above the threshold, x is what it was: the same bits. Of int8, x becomes floats first.
TEST_P(CompositeKernels, ThresholdOutOfReachChangesNothing) {
  const Case c = CompositeCase(5, GetParam().phase);
  const Composite composite(Formats(), c, {true, true, true});
  const std::vector<float> expected = composite.Expected(composite.x(), c.precision, DataType::kF32);
  EXPECT_TRUE(
      SameBits(Composite::Multiply(composite.w, composite.x(), {c.precision, 1e30f}), expected, composite.rows));
}

// Threshold 0: the product of x with the dequantized weights, but for roundings to float. A column of W takes at most 8
// roundings of values up to |W| and its parts; a sum of K products K more.
TEST_P(CompositeKernels, ThresholdZeroIsTheFloatProduct) {
  const Case c = CompositeCase(3, GetParam().phase);
  SCOPED_TRACE(c);
  const Composite composite({c.format}, c, {});
  const Problem& problem = *composite.problems[0];
  std::vector<double> expected(c.n * c.m), bound(c.n * c.m);
  ASSERT_TRUE(Ok(ReferenceMatMul(problem.w(), problem.x(), expected.data())));
  std::vector<float> column(c.m * c.k), ones(c.k * c.k);
  for (std::size_t k = 0; k < c.k; ++k) ones[k * c.k + k] = 1.0f;
  std::vector<double> error(c.k * c.m), of_x(c.k * c.m);
  const ActivationView unit(ones.data(), c.k, c.k);
  ASSERT_TRUE(Ok(ReferenceErrorBound(problem.w(), unit, Precision::kInt16, error.data())));
  ASSERT_TRUE(Ok(ReferenceMatMul(problem.w(), unit, of_x.data())));
  for (std::size_t i = 0; i < bound.size(); ++i) {
    const double bias = problem.w().bias[i % c.m];
    double magnitudes = std::abs(bias);
    for (std::size_t k = 0; k < c.k; ++k) {
      const double x = std::abs(ElementOf(problem.x(), i / c.m, k)), w = std::abs(of_x[k * c.m + i % c.m] - bias);
      bound[i] += x * error[k * c.m + i % c.m];
      magnitudes += x * w;
    }
    bound[i] += magnitudes * static_cast<double>(c.k + 2) * 0x1p-23;
  }
  const CompositeOptions options{c.precision, 0.0f};
  EXPECT_TRUE(Within(Composite::Multiply(composite.w, composite.x(), options), expected, bound, c.m));
}

// A row of y depends on its own row of x alone, also where other rows have outliers in other columns.
TEST_P(CompositeKernels, RowsDoNotDependOnOthers) {
  const Case c = CompositeCase(6, GetParam().phase);
  const Composite composite(Formats(), c, {true, true, true});
  const CompositeOptions options{c.precision, 1.5f};
  const std::vector<float> all = Composite::Multiply(composite.w, composite.x(), options);
  for (std::size_t n = 0; n < c.n; ++n) {
    ActivationView x = composite.x();
    x.data = static_cast<const float*>(x.data) + n * x.row_stride;
    x.n = 1;
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(n * composite.rows);
    const std::vector<float> row(begin, begin + static_cast<std::ptrdiff_t>(composite.rows));
    EXPECT_TRUE(SameBits(Composite::Multiply(composite.w, x, options), row, composite.rows));
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, CompositeKernels, ::testing::ValuesIn(Kernels()), KernelName);

// The same bits on every target, with all parts.
TEST(Composite, HasTheSameBitsOnEveryTarget) {
  std::vector<float> first;
  for (const Target target : RunnableTargets()) {
    Case c = SmallCase(70, 5, 300);
    c.target = target;
    const Composite composite({Format::kInt2, Format::kTernary, Format::kInt5}, c, {true, true, true});
    const std::vector<float> y = Composite::Multiply(composite.w, composite.x(), {Precision::kInt8, 2.0f});
    if (first.empty()) first = y;
    EXPECT_TRUE(SameBits(y, first, composite.rows)) << TargetName(target);
  }
}

// 4 of 512 columns of x are 20 times the others.
TEST(Composite, OutliersOfXNoLongerCoarsenTheOthers) {
  Case c = SmallCase(64, 16, 512);
  c.bias = false;
  const Composite composite({Format::kInt4}, c, {});
  std::vector<float> x(c.n * c.k);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = ElementOf(composite.x(), i / c.k, i % c.k);
    x[i] = std::min(std::max(x[i], -3.0f), 3.0f);
    if (i % c.k % 128 == 5) x[i] = 20 * (x[i] < 0 ? -2.0f : 2.0f);  // one in each K-block
  }
  const ActivationView view(x.data(), c.n, c.k);
  std::vector<double> expected(c.n * c.m);
  ASSERT_TRUE(Ok(ReferenceMatMul(composite.problems[0]->w(), view, expected.data())));
  const auto squared_error = [&](float threshold) {
    const std::vector<float> y = Composite::Multiply(composite.w, view, {Precision::kInt8, threshold});
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += (y[i] - expected[i]) * (y[i] - expected[i]);
    return sum;
  };
  const double plain = squared_error(kInfinity), apart = squared_error(6.0f);
  RecordProperty("error_falls_by", std::to_string(std::sqrt(plain / apart)));
  EXPECT_GE(std::sqrt(plain / apart), 10.0);
}

TEST(Composite, RowsThatAreNotFiniteBecomeNaN) {
  Case c = SmallCase(70, 4, 200);
  const Composite composite({Format::kInt3, Format::kInt4}, c, {true, true, true});
  std::vector<float> x(c.n * c.k, 1.0f);
  x[c.k + 7] = kInfinity;
  const ActivationView view(x.data(), c.n, c.k);
  Context context;
  Output y(c.n, composite.rows, 0, DataType::kF16);
  EXPECT_TRUE(Refused(MatMul(composite.w, view, y.view(), {Precision::kInt8, 0.5f}, context), "x.data"));
  EXPECT_TRUE(y.Untouched());
  const PrepareOptions propagate(Precision::kInt8, Choice::kInvariant, NonFinite::kPropagate);
  const std::vector<float> all = Composite::Multiply(composite.w, view, {propagate, 0.5f});
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(std::isnan(all[i]), i / composite.rows == 1);
    EXPECT_FALSE(std::isnan(all[i]) && std::signbit(all[i]));
  }
}

TEST(Composite, MemoryIsTheContexts) {
  Case c = SmallCase(70, 4, 200);
  const Composite composite({Format::kInt3, Format::kInt4}, c, {true, true, true});
  Context context;
  Output y(c.n, composite.rows, 0, DataType::kF32);
  const CompositeOptions options{Precision::kInt8, 1.0f};
#if !defined(LUTRA_SHARED)
  for (std::size_t call = 0;; ++call) {  // each allocation fails once
    Allocator& allocator = TheAllocator();
    allocator.refused = allocator.calls + call;
    Context fresh;
    const Status status = MatMul(composite.w, composite.x(), y.view(), options, fresh);
    allocator.refused = Allocator::kNever;
    if (status.ok()) break;
    EXPECT_EQ(status.code(), StatusCode::kOutOfMemory);
    EXPECT_TRUE(y.Untouched());
  }
  ASSERT_TRUE(Ok(MatMul(composite.w, composite.x(), y.view(), options, context)));
  const std::size_t calls = TheAllocator().calls;
  ASSERT_TRUE(Ok(MatMul(composite.w, composite.x(), y.view(), options, context)));
  EXPECT_EQ(TheAllocator().calls, calls);
#endif
}

TEST(Composite, RefusesPartsThatDoNotFit) {
  const Composite composite({Format::kInt3, Format::kInt4}, SmallCase(70, 4, 200), {true, true, true});
  const PackedMatrix other = Packed(*std::make_unique<Problem>(SmallCase(70, 4, 100)), nullptr), none;
  const SparseMatrix sparse = RandomSparse(composite.rows, 100, 9, 1);
  std::vector<std::uint32_t> twice(composite.order);
  twice[1] = twice[0];
  std::vector<std::uint32_t> offsets(sparse.view().offsets, sparse.view().offsets + composite.rows + 1);
  offsets[1] = offsets[2] + 1;
  std::vector<std::uint16_t> columns(EntryCount(composite.sparse.view()), 200);
  std::vector<std::uint16_t> values(columns.size(), 0x7c00);
  const PackedMatrix* const mixed[] = {composite.matrices[0].get(), &other};
  const PackedMatrix* const unpacked[] = {composite.matrices[0].get(), &none};
  const Fault<CompositeParts> faults[] = {
      {"parts.rows", [&](CompositeParts& p) { p.rows = {}; }},
      {"parts.rows",
       [&](CompositeParts& p) {
         p.rows = {mixed, 2};
       }},
      {"parts.rows",
       [&](CompositeParts& p) {
         p.rows = {unpacked, 2};
       }},
      {"parts.order", [&](CompositeParts& p) { p.order = twice.data(); }},
      {"parts.sparse", [&](CompositeParts& p) { p.sparse = sparse.view(); }},
      {"parts.sparse", [&](CompositeParts& p) { p.sparse.offsets = nullptr; }},
      {"parts.sparse", [&](CompositeParts& p) { p.sparse.offsets = offsets.data(); }},
      {"parts.sparse", [&](CompositeParts& p) { p.sparse.columns = columns.data(); }},
      {"parts.sparse", [&](CompositeParts& p) { p.sparse.values = values.data(); }},
      {"parts.sparse", [&](CompositeParts& p) { p.sparse.values = nullptr; }},
      {"parts.down", [&](CompositeParts& p) { p.down = nullptr; }},
      {"parts.up", [&](CompositeParts& p) { p.up = nullptr; }},
      {"parts.down", [&](CompositeParts& p) { p.down = &other; }},
      {"parts.up", [&](CompositeParts& p) { p.up = &other; }},
  };
  for (const Fault<CompositeParts>& fault : faults) {
    CompositeParts parts = composite.parts;
    fault.spoil(parts);
    CompositeMatrix w;
    EXPECT_TRUE(Refused(Compose(parts, &w), fault.argument));
    EXPECT_EQ(w.m(), 0u);
  }
  EXPECT_TRUE(Refused(Compose(composite.parts, nullptr), "w"));
}

TEST(Composite, RefusesFaultyCalls) {
  const Composite composite({Format::kInt3, Format::kInt4}, SmallCase(70, 4, 200), {true, true, true});
  Context context;
  Output y(4, composite.rows, 0, DataType::kF32);
  const auto refused = [&](const ActivationView& x, const OutputView& to, const CompositeOptions& options,
                           const char* argument) {
    EXPECT_TRUE(Refused(MatMul(composite.w, x, to, options, context), argument));
    EXPECT_TRUE(y.Untouched());
  };
  ActivationView x = composite.x();
  x.data = nullptr;
  refused(x, y.view(), {}, "x.data");
  x = composite.x();
  --x.k;
  refused(x, y.view(), {}, "x.k");
  OutputView to = y.view();
  --to.m;
  refused(composite.x(), to, {}, "y.m");
  to = y.view();
  --to.n;
  refused(composite.x(), to, {}, "y.n");
  to = y.view();
  to.type = DataType::kInt8;
  refused(composite.x(), to, {}, "y.type");
  refused(composite.x(), y.view(), {Precision::kInt8, -1.0f}, "options.outliers");
  refused(composite.x(), y.view(), {Precision::kInt8, std::nanf("")}, "options.outliers");
  refused(composite.x(), y.view(), {static_cast<Precision>(9), 1.0f}, "precision");
  const CompositeMatrix none;
  EXPECT_TRUE(Ok(MatMul(none, ActivationView(), OutputView(), {}, context)));
}

}  // namespace
}  // namespace lutra::test
