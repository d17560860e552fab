// The matrix unit's tile kernel, on emulated registers: targets that have everything else from this CPU compute the
// same bits as the CPU's own dot products; with bf16, within the bound. On a CPU with AMX, its registers do what the
// emulated ones do.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "lutra/lutra.h"
#include "support/emulated_unit.h"
#include "support/experts.h"
#include "support/problem.h"
#include "support/stack.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class MatrixUnit : public KernelTest {
 protected:
  Target base() const { return GetParam().target; }
  Target target() const { return WithUnit(base()); }
};

// One and several parts of at most 16 rows of x, even and uneven; K-blocks that are whole steps, and that are not.
TEST_P(MatrixUnit, ComputesTheBitsOfDots) {
  constexpr std::size_t kRows[] = {8, 9, 15, 16, 17, 31, 32, 33, 47, 64, 65, 100},
                        kK[] = {1, 16, 17, 100, 272, 400, 513};
  std::uint64_t seed = 0;
  for (const std::size_t n : kRows) {
    for (const Precision precision : kPrecisions) {
      ++seed;
      Case c = NewCase({1 + 37 * seed % 150, n, kK[seed % std::size(kK)]}, seed);
      c.group = kGroups[seed % std::size(kGroups)];
      c.zeros = kZeros[seed % std::size(kZeros)];
      c.order = seed % 4 == 0;
      c.data = kDataKinds[seed % std::size(kDataKinds)];
      c.precision = precision;
      SCOPED_TRACE(c);
      const Problem problem(c);
      const PackedMatrix dots = Packed(problem, base()), unit = Packed(problem, target());
      const std::vector<float> expected =
          Canonical(Multiplied(dots, PreparedAsIntegers(problem, dots), DataType::kF32, 1));
      const Activations x = PreparedAsIntegers(problem, unit);
      EXPECT_TRUE(SameBits(Canonical(Multiplied(unit, x, DataType::kF32, 1)), expected, c.m));
      EXPECT_TRUE(SameBits(Canonical(Multiplied(dots, x, DataType::kF32, 1)), expected, c.m)) << "dots of its rows";
      BackwardExecutor executor(3);
      EXPECT_TRUE(SameBits(Canonical(Multiplied(unit, x, DataType::kF32, 1, &executor)), expected, c.m)) << "tasks";
    }
  }
}

// Rows of x that were prepared for another target are multiplied, too, without the unit.
TEST_P(MatrixUnit, SharesActivations) {
  const Problem problem(NewCase({70, 20, 300}, 1));
  const PackedMatrix dots = Packed(problem, base()), unit = Packed(problem, target());
  const Activations x = PreparedAsIntegers(problem, dots);
  EXPECT_TRUE(x.Fits(unit));
  EXPECT_TRUE(SameBits(Multiplied(unit, x, DataType::kF32, 1), Multiplied(dots, x, DataType::kF32, 1), 70));
}

// From 16 rows of x on, kFastest takes the unit for every format; the memory is about what PreparedSize says.
TEST_P(MatrixUnit, IsWhatFastestTakes) {
  const PlanCase what{GetParam().format, target(), 16, 128};
  EXPECT_EQ(TileOf(SelectPlan(what, Choice::kFastest), what).rows, 16);
  for (const std::size_t n : {std::size_t{1}, std::size_t{16}, std::size_t{40}}) {
    const Problem problem(NewCase({70, n, 300}, n));
    const PackedMatrix w = Packed(problem, target());
    const PrepareOptions options(Precision::kInt8, Choice::kFastest);
    Context context;
    Activations x;
    std::size_t bytes = 0;
    ASSERT_TRUE(Ok(PreparedSize(w, n, options, &bytes)));
    ASSERT_TRUE(Ok(Prepare(problem.x(), w, options, context, &x)));
    EXPECT_LE(x.bytes(), bytes);
    EXPECT_LT(bytes - x.bytes(), 128u);  // the tests' allocator does not round sizes up
    EXPECT_TRUE(n == 1 || x.kind() == ActivationKind::kIntegers);
    std::vector<float> y = Multiplied(w, x, DataType::kF32, 0);
    std::vector<double> expected(y.size()), bound(y.size());
    ASSERT_TRUE(Ok(ReferenceMatMul(problem.w(), problem.x(), expected.data())));
    ASSERT_TRUE(Ok(ReferenceErrorBound(problem.w(), problem.x(), Precision::kInt8, x.kind(), bound.data())));
    EXPECT_TRUE(Within(y, expected, bound, w.m()));
  }
}

// Rows of a list: where they stand, and gathered.
TEST_P(MatrixUnit, TakesRowLists) {
  Case c = NewCase({70, 1, 272}, 3);
  c.target = target();
  ExpectRowLists(c);
}

// The unit reads beyond the last row of x: see PreparedSize.
TEST(MatrixUnitMemory, HasRowsMore) {
  Case c = SmallCase(70, 16, 256);
  c.format = Format::kInt4;
  const Problem problem(c);
  const Target base = RunnableTargets().end()[-1];
  for (const std::size_t n : {std::size_t{7}, std::size_t{8}}) {
    std::size_t bytes[2] = {};
    ASSERT_TRUE(Ok(PreparedSize(Packed(problem, base), n, {}, &bytes[0])));
    ASSERT_TRUE(Ok(PreparedSize(Packed(problem, WithUnit(base)), n, {}, &bytes[1])));
    EXPECT_EQ(bytes[1] - bytes[0], n < 8 ? 0u : 7 * 256 + 64);  // 48, rounded up
  }
}

// Rows that Hadamard transforms are stored for the unit, too.
TEST_P(MatrixUnit, TakesTransformedRows) {
  const Problem problem(NewCase({70, 19, 256}, 5));
  const PackedMatrix dots = Packed(problem, base()), unit = Packed(problem, target());
  Hadamard hadamard;
  hadamard.block = 128;
  std::vector<float> y[2];
  for (const PackedMatrix* w : {&dots, &unit}) {
    Context context;
    Activations x;
    ASSERT_TRUE(Ok(PrepareHadamard(problem.x(), hadamard, *w, {}, context, &x)));
    y[w == &unit] = Multiplied(*w, x, DataType::kF32, 1);
  }
  EXPECT_TRUE(SameBits(y[1], y[0], 70));
}

#if LUTRA_MEASURES_STACK
// The emulated registers are not on the stack.
TEST_P(MatrixUnit, TakesTheStackThatIsDocumented) {
  Stack stack;
  for (const std::size_t group : {std::size_t{16}, std::size_t{128}, kPerRow}) {
    for (const Precision precision : kPrecisions) {
      Case c = NewCase({130, 40, 300}, 1);
      c.group = group;
      c.bias = true;
      c.precision = precision;
      const Problem problem(c);
      const PackedMatrix w = Packed(problem, target());
      const Activations x = PreparedAsIntegers(problem, w);
      std::vector<float> y(c.m * c.n);
      const OutputView to(y.data(), c.n, c.m);
      const Plan& plan = SelectPlan(CaseOf(w, c.n, precision), Choice::kFastest);
      Context context;
      Status status;
      EXPECT_LE(stack.BytesOf([&] { status = MatMul(w, x, to, plan, context); }), kMaxStackBytes);
      EXPECT_TRUE(Ok(status));
    }
  }
}

#endif  // LUTRA_MEASURES_STACK

INSTANTIATE_TEST_SUITE_P(Sweep, MatrixUnit, ::testing::ValuesIn(KernelsWith(Method::kDot)), KernelName);

// Formats whose values are floats, on targets that unpack their codes to pairs of bf16.
std::vector<Kernel> KernelsOfPairs() {
  std::vector<Kernel> kernels = KernelsWith(Method::kBf16);
  const auto differs = [](const Kernel& k) { return k.target->info.extension == internal::Extension::kMatrix; };
  kernels.erase(std::remove_if(kernels.begin(), kernels.end(), differs), kernels.end());
  return kernels;
}
class MatrixUnitBf16 : public MatrixUnit {};

// The results of the unit and of pairs are within the error bound, also for K-blocks that end between two chunks of a
// step.
TEST_P(MatrixUnitBf16, IsWithinTheBound) {
  constexpr std::size_t kRows[] = {8, 15, 33, 100}, kK[] = {16, 17, 100, 272, 300, 513};
  std::uint64_t seed = GetParam().phase;
  for (const std::size_t n : kRows) {
    ++seed;
    Case c = NewCase({1 + 37 * seed % 150, n, kK[seed % std::size(kK)]}, seed);
    c.group = kGroups[seed % std::size(kGroups)];
    c.order = seed % 4 == 0;
    c.data = kDataKinds[seed % std::size(kDataKinds)];
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix dots = Packed(problem, base()), unit = Packed(problem, target());
    const Activations x = PreparedBy(problem, unit, Method::kBf16);
    std::vector<double> expected(c.m * c.n), bound(expected.size());
    ASSERT_TRUE(Ok(ReferenceMatMul(problem.w(), problem.x(), expected.data())));
    ASSERT_TRUE(Ok(ReferenceErrorBound(problem.w(), problem.x(), c.precision, x.kind(), bound.data())));
    const std::vector<float> y = Multiplied(unit, x, DataType::kF32, 1);
    EXPECT_TRUE(Within(y, expected, bound, c.m));
    EXPECT_TRUE(Within(Multiplied(dots, x, DataType::kF32, 1), expected, bound, c.m)) << "pairs of its rows";
    BackwardExecutor executor(3);
    EXPECT_TRUE(SameBits(Multiplied(unit, x, DataType::kF32, 1, &executor), y, c.m)) << "tasks";
  }
}

// x as kFastest prepares it.
Activations Fastest(const std::vector<float>& x, const PackedMatrix& w) {
  const PrepareOptions options(Precision::kInt8, Choice::kFastest, NonFinite::kPropagate);
  Context context;
  Activations prepared;
  EXPECT_TRUE(Ok(Prepare(ActivationView(x.data(), x.size() / w.k(), w.k()), w, options, context, &prepared)));
  EXPECT_EQ(prepared.kind(), ActivationKind::kBf16);
  return prepared;
}

// With one element of x in each K-block, the unit's results have the same bits as results with pairs. An element of x
// that is not finite makes its own row of y NaN, and no other.
TEST_P(MatrixUnitBf16, RowsAreApart) {
  constexpr std::size_t kM = 70, kN = 21, kK = 304;
  const Problem problem(NewCase({kM, kN, kK}, 1));
  const PackedMatrix pairs = Packed(problem, base()), unit = Packed(problem, target());
  std::vector<float> x(kN * kK);
  for (std::size_t i = 0; i < x.size(); i += 131) x[i] = static_cast<float>(i % 255) - 127.0f;
  const Activations prepared = Fastest(x, unit);
  const std::vector<float> y = Multiplied(unit, prepared, DataType::kF32, 0);
  EXPECT_TRUE(SameBits(Multiplied(pairs, prepared, DataType::kF32, 0), y, kM));
  std::vector<std::int32_t> rows(kN);
  for (std::size_t i = 0; i < kN; ++i) rows[i] = static_cast<std::int32_t>(i * 4 % kN);
  const std::int32_t offsets[] = {0, static_cast<std::int32_t>(kN)};
  const PackedMatrix* const one[] = {&unit};
  GroupedProduct p;
  p.w = {one, 1};
  p.x = &prepared;
  p.rows = {offsets, kN, rows.data(), rows.data()};
  p.y = {nullptr, DataType::kF32, kN, kM, kM};
  EXPECT_TRUE(SameBits(Grouped(p, kN), y, kM)) << "of a list";
  for (const std::size_t row : {std::size_t{4}, kN - 1}) {
    std::vector<float> with_nan = x, expected = y;
    with_nan[row * kK] = std::numeric_limits<float>::infinity();
    std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(row * kM), kM, std::numeric_limits<float>::quiet_NaN());
    const std::vector<float> products = Multiplied(unit, Fastest(with_nan, unit), DataType::kF32, 0);
    EXPECT_TRUE(SameBits(Canonical(products), expected, kM)) << row;
  }
}

// From 8 rows of x on, kFastest takes the unit; the memory is about what PreparedSize says.
TEST_P(MatrixUnitBf16, IsWhatFastestTakes) {
  for (const std::size_t n : {std::size_t{7}, std::size_t{8}, std::size_t{40}}) {
    const PlanCase what{GetParam().format, target(), n, 128};
    EXPECT_EQ(TileOf(SelectPlan(what, Choice::kFastest), what).rows, n == 7 ? 4 : n == 8 ? 8 : 16);
    const PackedMatrix w = Packed(Problem(NewCase({70, n, 300}, n)), target());
    std::size_t bytes = 0;
    ASSERT_TRUE(Ok(PreparedSize(w, n, {Precision::kInt8, Choice::kFastest}, &bytes)));
    const Activations x = Fastest(std::vector<float>(n * 300, 1.0f), w);
    EXPECT_LE(x.bytes(), bytes);
    EXPECT_LT(bytes - x.bytes(), 128u);
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, MatrixUnitBf16, ::testing::ValuesIn(KernelsOfPairs()), KernelName);

TEST(MatrixRegisters, DoWhatTheEmulatedOnesDo) {
  for (const Target target : RunnableTargets()) {
    if (target->unit.exists()) CheckRegisters(target);
  }
}

}  // namespace
}  // namespace lutra::test
