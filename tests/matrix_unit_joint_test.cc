// Joint K-blocks by the matrix unit's tile kernel, on emulated registers: the same bits as dot products of the same
// CPU.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lutra/lutra.h"
#include "support/emulated_unit.h"
#include "support/experts.h"
#include "support/joint_matrices.h"
#include "support/problem.h"
#include "support/stack.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class MatrixUnitJoint : public KernelTest {
 protected:
  Target base() const { return GetParam().target; }
  Target target() const { return WithUnit(base()); }

  // The plan of dot products that serves w.
  static const Plan& PlanOf(const PackedMatrix& w, std::size_t n) {
    for (const Plan& plan : Plans()) {
      if (plan.method == Method::kDot && Serves(plan, CaseOf(w, n, Precision::kInt8))) return plan;
    }
    return *(Plans().end() - 1);
  }
  static Activations PreparedFor(const PackedMatrix& w, const ActivationView& x) {
    Context context;
    Activations prepared;
    EXPECT_TRUE(Ok(Prepare(x, w, Precision::kInt8, PlanOf(w, x.n), context, &prepared)));
    return prepared;
  }
  static std::vector<float> Product(const PackedMatrix& w, const Activations& x, Executor* executor = nullptr) {
    Context context{executor};
    std::vector<float> y(x.n() * w.m());
    EXPECT_TRUE(Ok(MatMul(w, x, OutputView(y.data(), x.n(), w.m()), PlanOf(w, x.n()), context)));
    return y;
  }

  void Check(const QuantizedView& shape, std::size_t n, bool int8, Fill fill, std::uint64_t seed) const {
    SCOPED_TRACE(::testing::Message() << "group " << shape.group << ", " << Name(shape.scale_type) << ' '
                                      << Name(shape.zero_kind) << ", K " << shape.k << ", N " << n << ", int8 x "
                                      << int8);
    Random random(seed);
    const QuantizedMatrix q = MakeMatrix(shape, fill, random);
    const Rows x(n, shape.k, int8, fill, random);
    PackedMatrix dots, unit;
    ASSERT_TRUE(Ok(Pack(q.view(), {base(), nullptr}, &dots)));
    ASSERT_TRUE(Ok(Pack(q.view(), {target(), nullptr}, &unit)));
    const Activations for_dots = PreparedFor(dots, x.view), for_unit = PreparedFor(unit, x.view);
    const std::vector<float> expected = Product(dots, for_dots);
    EXPECT_TRUE(SameBits(Product(unit, for_unit), expected, shape.m));
    EXPECT_TRUE(SameBits(Product(dots, for_unit), expected, shape.m)) << "dots of the unit's rows";
    if (seed % 4 != 0) return;
    BackwardExecutor executor(3);
    EXPECT_TRUE(SameBits(Product(unit, for_unit, &executor), expected, shape.m)) << "tasks";
    EXPECT_TRUE(SameBits(Product(unit, for_dots), expected, shape.m)) << "rows of dots";
  }
};

// Rows of x in one and several parts, even and uneven; K-blocks of x that are whole joint runs, and that are not.
TEST_P(MatrixUnitJoint, ComputesTheBitsOfDots) {
  constexpr std::size_t kRows[] = {8, 33, 15, 16, 17, 9, 70}, kK[] = {256, 600, 273, 40, 17};
  std::uint64_t seed = 0;
  for (const std::size_t k : kK) {
    for (const QuantizedView& shape : JointShapes(GetParam().format, 67, k)) {
      const std::size_t n = kRows[seed++ % std::size(kRows)];
      Check(shape, n, seed % 5 == 0, Fill::kRandom, seed);
    }
  }
}

TEST_P(MatrixUnitJoint, TakesTheLargestSums) {
  std::uint64_t seed = 0;
  for (const QuantizedView& shape : JointShapes(GetParam().format, 3, 256)) {
    for (const Fill fill : {Fill::kHighest, Fill::kLowest, Fill::kHighestFolded, Fill::kLowestFolded}) {
      ++seed;
      Check(shape, 8, seed % 2 == 0, fill, seed);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, MatrixUnitJoint, ::testing::ValuesIn(KernelsWith(Method::kDot)), KernelName);

Case JointCase(Target target, std::size_t n) {
  Case c = SmallCase(70, n, 530);
  c.target = target;
  c.format = Format::kInt4;
  c.group = 32;
  c.scale_type = DataType::kInt8;
  c.zeros = Zeros::kOffset;
  return c;
}

// From 8 rows of x on, plans take the unit.
TEST(MatrixUnitJointPlan, TakesTheUnit) {
  for (const Target base : RunnableTargets()) {
    for (const std::size_t n : {std::size_t{7}, std::size_t{8}, std::size_t{40}}) {
      const Problem problem(JointCase(WithUnit(base), n));
      const PackedMatrix w = Packed(problem, WithUnit(base));
      const PlanCase what = CaseOf(w, n, Precision::kInt8);
      EXPECT_TRUE(what.joint);
      const int rows = TileOf(SelectPlan(what), what).rows;
      EXPECT_TRUE(n == 7 ? rows <= 4 : rows == (n == 8 ? 8 : 16)) << n << " rows: " << rows;
    }
  }
}

// Rows of a list: where they stand, and gathered.
TEST(MatrixUnitJointLists, AreMultiplied) {
  for (const Target base : RunnableTargets()) ExpectRowLists(JointCase(WithUnit(base), 1));
}

// Super-groups of a panel whose weights are all zero are left out.
TEST(MatrixUnitJointBlocks, AreLeftOut) {
  QuantizedView shape;
  shape.m = 130;
  shape.k = 1000;
  shape.group = 32;
  shape.scale_type = DataType::kInt8;
  const std::size_t groups = GroupsPerRow(shape.k, shape.group);
  for (const Target base : RunnableTargets()) {
    Random random(1);
    QuantizedMatrix q = MakeMatrix(shape, Fill::kRandom, random);
    const Rows x(20, shape.k, false, Fill::kRandom, random);
    for (std::size_t i = 0; i < shape.m * groups; ++i) {
      if ((i / groups / 64 + i % groups / 8) % 2 == 0) static_cast<std::int8_t*>(q.scales())[i] = 0;
    }
    PackedMatrix dots;
    BlockSparseMatrix unit;
    ASSERT_TRUE(Ok(Pack(q.view(), {base, nullptr}, &dots)));
    ASSERT_TRUE(Ok(PackBlockSparse(q.view(), {WithUnit(base), nullptr}, &unit)));
    EXPECT_EQ(unit.kept(), unit.blocks() / 2);
    Context context;
    Activations prepared;
    std::vector<float> y(20 * shape.m), expected(y.size());
    ASSERT_TRUE(Ok(Prepare(x.view, unit.shape(), Precision::kInt8, context, &prepared)));
    ASSERT_TRUE(Ok(MatMul(unit, prepared, OutputView(y.data(), 20, shape.m), context)));
    ASSERT_TRUE(Ok(MatMul(dots, x.view, OutputView(expected.data(), 20, shape.m), context)));
    EXPECT_TRUE(SameBits(y, expected, shape.m));
  }
}

#if LUTRA_MEASURES_STACK
// The emulated registers are not on the stack.
TEST(MatrixUnitJointStack, IsWhatIsDocumented) {
  Stack stack;
  for (const Target base : RunnableTargets()) {
    const Problem problem(JointCase(WithUnit(base), 130));
    const PackedMatrix w = Packed(problem, WithUnit(base));
    const Activations x = Prepared(problem, w);
    std::vector<float> y(problem->m * problem->n);
    const OutputView to(y.data(), problem->n, problem->m);
    Context context;
    Status status;
    EXPECT_LE(stack.BytesOf([&] { status = MatMul(w, x, to, context); }), kMaxStackBytes);
    EXPECT_TRUE(Ok(status));
  }
}
#endif  // LUTRA_MEASURES_STACK

}  // namespace
}  // namespace lutra::test
