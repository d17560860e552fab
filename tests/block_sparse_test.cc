// Weights without their zero blocks: products have the bits of those with all blocks.
#include "lutra/block_sparse.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "lutra/shards.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

// The problem's weights, some blocks of which are zero: the first panel keeps none, the others one of `one_of`.
class Pruned {
 public:
  Pruned(const Problem& problem, std::size_t one_of) {
    PackedMatrix packed;
    EXPECT_TRUE(Ok(Pack(problem.w(), &packed)));
    EXPECT_TRUE(Ok(Unpack(packed, &w_)));
    const std::size_t columns = ColumnUnit(view());
    Random random(problem->seed);
    for (std::size_t row = 0; row < view().m; row += 64) {
      for (std::size_t k = 0; k < view().k; k += columns) {
        const bool zero = row == 0 || random.Below(one_of) != 0;
        if (!zero) ++kept;
        for (std::size_t m = row; zero && m < std::min(row + 64, view().m); ++m) {
          Clear(m, k, std::min(k + columns, view().k));
        }
      }
    }
  }
  const QuantizedView& view() const { return w_.view(); }

  std::size_t kept = 0;

 private:
  // Scales and offsets of 0, or, where a row or the matrix has one scale, codes whose value is the zero point.
  void Clear(std::size_t m, std::size_t begin, std::size_t end) {
    const QuantizedView& w = view();
    if (HasRowScales(w.group)) {
      int zero = 0;
      while (Describe(w.format).value(zero) != Describe(w.format).default_zero) ++zero;
      std::memset(w_.codes() + m * w.k + begin, zero, end - begin);
      return;
    }
    for (std::size_t k = begin; k < end; k += w.group) {
      const std::size_t i = m * GroupsPerRow(w.k, w.group) + k / w.group, size = SizeOf(w.scale_type);
      std::memset(static_cast<std::uint8_t*>(w_.scales()) + i * size, 0, size);
      if (w.zero_kind == ZeroKind::kOffset) {
        std::memset(static_cast<std::uint8_t*>(w_.zeros()) + i * ZeroSize(w), 0, ZeroSize(w));
      }
    }
  }

  QuantizedMatrix w_;
};

std::vector<float> Product(const BlockSparseMatrix& w, const Activations& x, std::size_t gap = 0,
                           Executor* executor = nullptr, DataType type = DataType::kF32) {
  Context context{executor};
  Output y(x.n(), w.m(), gap, type);
  EXPECT_TRUE(Ok(MatMul(w, x, y.view(), context)));
  EXPECT_TRUE(y.SurroundingsIntact());
  return y.Floats();
}

// Every format on every target.
class BlockSparse : public KernelTest {
 protected:
  // A format has a code of value 0, or its groups can have a scale of 0.
  static bool CanBeZero(const Case& c) {
    if (!HasRowScales(c.group)) return c.scale_type != DataType::kE8M0;
    const FormatInfo& f = Describe(c.format);
    for (int q = 0; q < f.levels && !f.own_values; ++q) {
      if (f.value(q) == f.default_zero) return c.zeros == Zeros::kNone;
    }
    return false;
  }
  PackOptions Options(Executor* executor = nullptr) const {
    PackOptions options;
    options.target = GetParam().target;
    options.executor = executor;
    return options;
  }
  void ExpectAsDense(const Case& c, std::size_t one_of) const;
};

void BlockSparse::ExpectAsDense(const Case& c, std::size_t one_of) const {
  SCOPED_TRACE(c);
  const Problem problem(c);
  const Pruned pruned(problem, one_of);
  PackedMatrix dense;
  BlockSparseMatrix w;
  ASSERT_TRUE(Ok(Pack(pruned.view(), Options(), &dense)));
  BackwardExecutor executor(2);
  ASSERT_TRUE(Ok(PackBlockSparse(pruned.view(), Options(&executor), &w)));
  EXPECT_EQ(w.kept(), pruned.kept);
  EXPECT_EQ(w.blocks(), (c.m + 63) / 64 * ((c.k + w.block_columns() - 1) / w.block_columns()));
  Context context;
  for (const Choice choice : {Choice::kInvariant, Choice::kFastest}) {
    Activations x;
    ASSERT_TRUE(Ok(Prepare(problem.x(), w.shape(), {c.precision, choice}, context, &x)));
    ASSERT_TRUE(x.Fits(dense));
    const std::vector<float> y = Product(w, x, c.gap, &executor), expected = Multiplied(dense, x, DataType::kF32, 0);
    // Where scales are 0, so is each step of the flush; so is the integer sum of codes without zero points.
    EXPECT_TRUE(SameBits(y, expected, c.m));
    EXPECT_TRUE(SameBits(Product(w, x, 0, nullptr, DataType::kBF16), Rounded(expected, DataType::kBF16), c.m));
  }
}

TEST_P(BlockSparse, MultipliesAsDense) {
  std::size_t i = GetParam().phase;
  for (const std::size_t group : kGroups) {
    for (std::size_t j = 0; j < 4; ++j, ++i) {
      const ParamKind kind = kParamKinds[i * 7 % std::size(kParamKinds)];
      Case c = NewCase({130, 1 + i % 6, 500 + i % 3 * 100}, i);
      if (!Exists(group, kind)) continue;
      c.group = group;
      c.zeros = kind.zeros;
      c.scale_type = kind.scale_type;
      c.bias = i % 2 == 0;
      c.order = i % 5 == 0;
      c.precision = i % 3 == 0 ? Precision::kInt16 : Precision::kInt8;
      c.gap = i % 4;
      // Entries of int8 tables are rounded: those of int2's zero point, 2, do not cancel exactly.
      if (c.format == Format::kInt2 && HasRowScales(group)) c.precision = Precision::kInt16;
      if (CanBeZero(c)) ExpectAsDense(c, 1 + i % 3);
    }
  }
}

// Codes of a zero point: the sum of a zero block is rounded in the dense product only.
TEST_P(BlockSparse, ZeroPointsAreExact) {
  Case c = NewCase({130, 3, 600}, 3);
  c.scale_type = DataType::kF16;
  c.zeros = Zeros::kInteger;
  const Problem problem(c);
  const FormatInfo& f = Describe(c.format);
  QuantizedMatrix w;
  PackedMatrix packed;
  ASSERT_TRUE(Ok(Pack(problem.w(), &packed)));
  ASSERT_TRUE(Ok(Unpack(packed, &w)));
  int code = 0;
  const float zero = w.zeros() != nullptr ? 1.0f : 0.0f;  // floats have no zero points
  while (code < f.levels && (f.own_values || f.value(code) != zero)) ++code;
  if (code == f.levels) code = 0, std::memset(w.scales(), 0, ScaleCount(w.view()) * 2);
  if (w.zeros() != nullptr) std::memset(w.zeros(), 1, ScaleCount(w.view()));
  for (std::size_t m = 0; m < c.m; ++m) std::memset(w.codes() + m * c.k + 128, code, 256);
  BlockSparseMatrix sparse;
  ASSERT_TRUE(Ok(PackBlockSparse(w.view(), Options(), &sparse)));
  EXPECT_LE(sparse.kept(), sparse.blocks() - 6);
  Context context;
  Activations x;
  ASSERT_TRUE(Ok(Prepare(problem.x(), sparse.shape(), {}, context, &x)));
  const std::vector<float> y = Product(sparse, x);
  const Reference reference(problem, w.view());
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_LE(std::fabs(y[i] - reference.y[i]), reference.bound[i]);
}

// Rows that are not finite stay so where every block of a panel is zero.
TEST_P(BlockSparse, PropagatesNan) {
  for (const DataType scales : {DataType::kF16, DataType::kUInt4}) {
    Case c = NewCase({200, 7, 700}, 5);
    c.group = 32;
    c.scale_type = scales;
    const Problem problem(c);
    const Pruned pruned(problem, 3);
    BlockSparseMatrix w;
    ASSERT_TRUE(Ok(PackBlockSparse(pruned.view(), Options(), &w)));
    std::vector<float> x(c.n * c.k, 1.0f);
    x[5 * c.k + 650] = std::numeric_limits<float>::infinity();
    x[2 * c.k] = std::numeric_limits<float>::quiet_NaN();
    PackedMatrix dense;
    ASSERT_TRUE(Ok(Pack(pruned.view(), Options(), &dense)));
    Context context;
    Activations prepared;
    const PrepareOptions options = {Precision::kInt8, Choice::kInvariant, NonFinite::kPropagate};
    ASSERT_TRUE(Ok(Prepare(ActivationView(x.data(), c.n, c.k), dense, options, context, &prepared)));
    EXPECT_TRUE(SameBits(Product(w, prepared), Multiplied(dense, prepared, DataType::kF32, 0), c.m));
  }
}
INSTANTIATE_TEST_SUITE_P(Sweep, BlockSparse, ::testing::ValuesIn(Kernels()), KernelName);

TEST(BlockSparseMatrixOf, RangesAndBytes) {
  Case c = SmallCase(320, 4, 1024);
  c.zeros = Zeros::kNone;
  const Problem problem(c);
  std::size_t last = std::numeric_limits<std::size_t>::max();
  for (const std::size_t one_of : {1u, 2u, 10u}) {
    const Pruned pruned(problem, one_of);
    BlockSparseMatrix w;
    ASSERT_TRUE(Ok(PackBlockSparse(pruned.view(), {}, &w)));
    EXPECT_LT(w.bytes(), last);
    last = w.bytes();
    const std::size_t block = 64 * 128 / 2 + 64 * 2;
    EXPECT_EQ(w.bytes(), w.kept() * (block + sizeof(std::uint32_t)) + 5 * sizeof(internal::KeptBlocks));
    Context context;
    ASSERT_TRUE(Ok(Prepare(problem.x(), w.shape(), {}, context, &context.scratch)));
    const std::vector<float> expected = Product(w, context.scratch);
    Output y(c.n, c.m, 0, DataType::kF32);
    for (const std::size_t begin : {0u, 70u, 128u, 319u}) {
      const std::size_t end = begin == 0 ? 70 : begin == 70 ? 128 : begin == 128 ? 319 : 320;
      ASSERT_TRUE(Ok(MatMulRange(w, context.scratch, y.view(), begin, end)));
    }
    EXPECT_TRUE(SameBits(y.Floats(), expected, c.m));
    Output z(c.n, c.m, 0, DataType::kF32);
    ASSERT_TRUE(Ok(MatMul(w, problem.x(), z.view(), context)));
    EXPECT_TRUE(SameBits(z.Floats(), expected, c.m));
  }
}

TEST(BlockSparseMatrixOf, OddMatricesAndRefusals) {
  Context context;
  Activations x;
  for (const Case& c : {SmallCase(0, 1, 200), SmallCase(70, 2, 0)}) {
    const Problem problem(c);
    BlockSparseMatrix w;
    ASSERT_TRUE(Ok(PackBlockSparse(problem.w(), {}, &w)));
    ASSERT_TRUE(Ok(Prepare(problem.x(), w.shape(), {}, context, &x)));
    const std::vector<float> y = Product(w, x);
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], Load(DataType::kF32, problem.w().bias, i % c.m));
  }
  const Problem problem(SmallCase());
  BlockSparseMatrix w;
  ASSERT_TRUE(Ok(PackBlockSparse(problem.w(), {}, &w)));
  EXPECT_TRUE(Refused(PackBlockSparse(problem.w(), {}, nullptr), "packed"));
  QuantizedView wrong = problem.w();
  wrong.format = Format::kInt2;
  BlockSparseMatrix other;
  EXPECT_TRUE(Refused(PackBlockSparse(wrong, {}, &other), "w.codes"));
  wrong.scales = nullptr;
  EXPECT_TRUE(Refused(PackBlockSparse(wrong, {}, &other), "w.scales"));
  EXPECT_EQ(other.m(), 0u);

  Output y(problem->n, problem->m, 0, DataType::kF32);
  ASSERT_TRUE(Ok(Prepare(problem.x(), w.shape(), {}, context, &x)));
  EXPECT_TRUE(Refused(MatMul(w, x, OutputView(static_cast<float*>(y.view().data), 2, 70), context), "y.n"));
  EXPECT_TRUE(Refused(MatMul(w, x, OutputView(static_cast<float*>(y.view().data), 3, 69), context), "y.m"));
  EXPECT_TRUE(Refused(MatMulRange(w, x, y.view(), 0, 71), "m_end"));
  EXPECT_TRUE(Refused(MatMulRange(w, x, y.view(), 2, 1), "m_begin"));
  EXPECT_TRUE(Refused(MatMul(w, Activations(), OutputView(static_cast<float*>(nullptr), 3, 70), context), "y.n"));
  const Problem longer(SmallCase(70, 3, 300));
  PackedMatrix dense = Packed(longer, BestTarget());
  EXPECT_TRUE(Refused(MatMul(w, Prepared(longer, dense), y.view(), context), "x"));
  EXPECT_TRUE(y.Untouched());

  const BlockSparseMatrix moved = std::move(w);
  EXPECT_EQ(w.m(), 0u);  // NOLINT: what is moved from is defined
  EXPECT_EQ(w.blocks(), 0u);
  EXPECT_EQ(moved.m(), problem->m);
  EXPECT_TRUE(moved.has_bias());
  EXPECT_EQ(moved.format(), Format::kInt4);
}

}  // namespace
}  // namespace lutra::test
