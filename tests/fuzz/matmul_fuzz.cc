// Multiplications of any kind: every target against the references, every way to call against MatMul; inputs that are
// not valid are refused by all functions under the same name.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "fuzz/input.h"
#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kProducts = 8192;

// Edits a few bytes of what the views show, which may make codes, scales or x anything.
void Spoil(Input& input, Problem* problem) {
  for (std::size_t edits = input.Below(8); edits > 0; --edits) {
    const auto inputs = problem->Inputs();
    Guarded& edited = *inputs[input.Below(inputs.size())];
    const std::size_t at = input.Below(65536), count = 1 + input.Below(4);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t byte = input.Byte();
      if (edited.size() != 0) edited.data()[(at + i) % edited.size()] = byte;
    }
    edited.Seal();
  }
}

// Whether nothing on the way to y can overflow, where the bound says nothing: x is of safe magnitudes (Prepare), and so
// are sums, of whose terms a bound is at least six roundings.
bool IsSafe(const ActivationView& x, const Reference& reference) {
  const std::size_t group = x.scale_group == kPerRow ? std::max<std::size_t>(x.k, 1) : x.scale_group;
  for (std::size_t n = 0; n < x.n; ++n) {
    for (std::size_t k = 0; k < x.k; ++k) {
      const float scale = HasScales(x.type) ? x.scales[n * GroupsPerRow(x.k, group) + k / group] : 1.0f;
      if (std::fabs(Load(x.type, x.data, n * x.row_stride + k) * scale) > 1e32f) return false;
    }
  }
  constexpr double kLargest = 6 * 0x1p-23 * 0x1p127;
  return std::all_of(reference.bound.begin(), reference.bound.end(), [](double bound) { return bound < kLargest; });
}

std::size_t PickConcurrency(Input& input) {
  constexpr auto kMost = std::numeric_limits<std::size_t>::max();
  constexpr std::size_t kConcurrency[] = {1, 2, 3, 4, 5, 7, 9, 16, 0, kMost, kMost / 2, kMost / 4 + 1};
  return input.Pick(kConcurrency);
}

::testing::AssertionResult SameRefusal(const Status& actual, const Status& expected) {
  if (actual.code() == expected.code() && actual.message() == expected.message()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << actual.message() << " instead of " << expected.message();
}

// The f32 outputs of one multiplication by all ways to call it.
class Ways {
 public:
  Ways(const PackedMatrix& w, const Activations& x, std::size_t gap) : w_(w), x_(x), gap_(gap) {
    y_ = Canonical(Multiplied(w, x, DataType::kF32, gap));
  }
  const std::vector<float>& y() const { return y_; }

  void CheckThreads(Input& input) const {
    static ThreadPool pool(3);
    BackwardExecutor backwards(PickConcurrency(input));
    Executor* const executor = input.Rarely(8) ? static_cast<Executor*>(&pool) : &backwards;
    EXPECT_TRUE(Same(Multiplied(w_, x_, DataType::kF32, gap_, executor)));
  }
  void CheckType(DataType type) const {
    EXPECT_TRUE(SameBits(Canonical(Multiplied(w_, x_, type, gap_)), Canonical(Rounded(y_, type)), w_.m()));
  }
  // The union of ranges, and that the first writes nothing else.
  void CheckRanges(Input& input) const {
    Output y(x_.n(), w_.m(), gap_, DataType::kF32);
    std::size_t begin = 0;
    do {
      const std::size_t end = input.empty() ? w_.m() : begin + input.Below(w_.m() - begin + 1);
      EXPECT_TRUE(Ok(MatMulRange(w_, x_, y.view(), begin, end)));
      EXPECT_TRUE(y.Filled(end, w_.m() + gap_));
      begin = end;
    } while (begin < w_.m() && !input.Rarely(16));
    EXPECT_TRUE(Ok(MatMulRange(w_, x_, y.view(), begin, w_.m())));
    EXPECT_TRUE(y.SurroundingsIntact());
    EXPECT_TRUE(Same(y.Floats()));
  }
  // All pieces of a split, the last first.
  void CheckPieces(Input& input) const {
    std::size_t count = 0;
    EXPECT_TRUE(Ok(MatMulPieces(w_, x_, PickConcurrency(input), &count)));
    if (input.Flag()) count = input.Size(100);
    Output y(x_.n(), w_.m(), gap_, DataType::kF32);
    for (std::size_t i = count; i-- > 0;) EXPECT_TRUE(Ok(MatMulPiece(w_, x_, y.view(), i, count)));
    EXPECT_TRUE(Refused(MatMulPiece(w_, x_, y.view(), count, count), "i"));
    EXPECT_TRUE(y.SurroundingsIntact());
    EXPECT_TRUE(count == 0 || Same(y.Floats()));
  }
  // Some rows of x to some rows of y, or zeros.
  void CheckRows(Input& input) const {
    if (x_.n() == 0) return;
    const std::size_t count = input.Below(40);
    std::vector<std::int32_t> rows(count);
    for (std::int32_t& row : rows) row = static_cast<std::int32_t>(input.Below(x_.n()));
    const std::int32_t offsets[] = {0, static_cast<std::int32_t>(input.Below(count + 1))};
    std::vector<float> expected(count * w_.m());
    for (std::size_t i = 0; i < static_cast<std::size_t>(offsets[1]); ++i) {
      std::copy_n(y_.data() + static_cast<std::size_t>(rows[i]) * w_.m(), w_.m(), expected.data() + i * w_.m());
    }
    Output y(count, w_.m(), gap_, DataType::kF32);
    GroupedProduct p;
    p.w = {&w_, 1};
    p.x = &x_;
    p.rows = {offsets, count, rows.data(), nullptr};
    p.y = y.view();
    BackwardExecutor executor(PickConcurrency(input) % 5000);
    Context context{&executor};
    EXPECT_TRUE(Ok(MatMulGrouped(p, context)));
    EXPECT_TRUE(y.SurroundingsIntact());
    EXPECT_TRUE(SameBits(Canonical(y.Floats()), expected, w_.m()));
  }
  // A plan of the table, or of none.
  void CheckPlan(Input& input) const {
    Plan plan = Plans().data[input.Below(Plans().size)];
    PlanCase what{w_.format(), w_.target(), input.Size(200), w_.group()};
    if (input.Flag()) plan = SelectPlan(what);
    if (input.Flag()) plan.method = static_cast<Method>(input.Below(std::size(kMethods)));
    if (input.Flag()) plan.unpack = input.Flag();
    if (input.Flag()) plan.token_block = input.Rarely(4) ? input.Below(200) : 4 * (1 + input.Below(32));
    if (input.Flag()) plan.panels = input.Below(40);
    if (input.Flag()) plan.prefetch = input.Below(65536);
    const bool has_kernel = plan.unpack || MethodOf(w_.format()).kind == x_.kind();
    const bool valid = HasMethod(w_.format(), plan.method) && KindOf(plan.method, w_.format()) == x_.kind() &&
                       has_kernel && plan.token_block != 0 && plan.token_block % 4 == 0 && plan.panels != 0 &&
                       plan.token_block * plan.panels <= kMaxTileRows;
    if (valid) {
      what.n = x_.n();
      const MicroTile tile = TileOf(plan, what);
      EXPECT_LE(static_cast<std::size_t>(tile.rows), x_.n());
      EXPECT_EQ(tile.panels > 0, x_.n() > 0);
    }
    Output y(x_.n(), w_.m(), gap_, DataType::kF32);
    BackwardExecutor executor(PickConcurrency(input));
    Context context{&executor};
    const Status status = MatMul(w_, x_, y.view(), plan, context);
    EXPECT_EQ(status.ok(), valid || y_.empty()) << status.message();
    if (!status.ok()) {
      EXPECT_TRUE(y.Untouched());
      return;
    }
    EXPECT_TRUE(y.SurroundingsIntact());
    EXPECT_TRUE(Same(y.Floats()));
  }

 private:
  ::testing::AssertionResult Same(const std::vector<float>& y) const { return SameBits(Canonical(y), y_, w_.m()); }

  const PackedMatrix& w_;
  const Activations& x_;
  std::size_t gap_;
  std::vector<float> y_;
};

// PrepareRmsNorm is Prepare of ReferenceRmsNorm's output.
void CheckRmsNorm(Input& input, const Problem& problem, const PackedMatrix& w) {
  const ActivationView& x = problem.x();
  std::vector<float> weight(x.k), normalized(x.n * x.k);
  Random random(problem->seed);
  for (float& value : weight) value = random.Gaussian();
  if (input.Rarely(8) && x.k != 0) weight[input.Below(x.k)] = input.Number<float>();
  RmsNorm norm{input.Flag() ? weight.data() : nullptr, 1e-6f};
  if (input.Rarely(4)) norm.epsilon = input.Number<float>();
  Activations actual, expected;
  Context context;
  const Status status = PrepareRmsNorm(x, norm, w, problem->precision, context, &actual);
  EXPECT_TRUE(problem.Intact());
  EXPECT_TRUE(SameRefusal(status, ReferenceRmsNorm(x, norm, normalized.data())));
  if (!status.ok()) {
    EXPECT_EQ(actual.n(), 0u);
    return;
  }
  const ActivationView view = {normalized.data(), DataType::kF32, x.n, x.k, x.k};
  EXPECT_TRUE(Ok(Prepare(view, w, problem->precision, context, &expected)));
  EXPECT_TRUE(SameBits(Canonical(Multiplied(w, actual, DataType::kF32, 0)),
                       Canonical(Multiplied(w, expected, DataType::kF32, 0)), w.m()));
}

// PrepareHadamard is Prepare of ReferenceHadamard's output.
void CheckHadamard(Input& input, const Problem& problem, const PackedMatrix& w) {
  const ActivationView& x = problem.x();
  std::vector<float> signs(x.k), transformed(x.n * x.k);
  Random random(problem->seed);
  for (float& sign : signs) sign = random.Below(2) == 1 ? 1.0f : -1.0f;
  if (input.Rarely(8) && x.k != 0) signs[input.Below(x.k)] = input.Number<float>();
  Hadamard hadamard{input.Flag() ? signs.data() : nullptr, std::size_t{1} << (1 + input.Below(10))};
  while (hadamard.block > 2 && x.k % hadamard.block != 0) hadamard.block /= 2;
  if (input.Rarely(8)) hadamard.block = input.Number<std::uint32_t>();
  Activations actual, expected;
  BackwardExecutor executor(PickConcurrency(input));
  Context context{&executor};
  const Status status = PrepareHadamard(x, hadamard, w, problem->precision, context, &actual);
  EXPECT_TRUE(problem.Intact());
  EXPECT_TRUE(SameRefusal(status, ReferenceHadamard(x, hadamard, transformed.data())));
  if (!status.ok()) {
    EXPECT_EQ(actual.n(), 0u);
    return;
  }
  EXPECT_TRUE(Ok(Prepare(ActivationView(transformed.data(), x.n, x.k), w, problem->precision, context, &expected)));
  EXPECT_TRUE(SameBits(Canonical(Multiplied(w, actual, DataType::kF32, 0)),
                       Canonical(Multiplied(w, expected, DataType::kF32, 0)), w.m()));
}

// x tables for w; or none, if it is refused, as the references refuse it.
bool PreparesAlike(const Problem& problem, const PackedMatrix& w, Activations* x, Executor* executor) {
  Context context{executor};
  const Status status = Prepare(problem.x(), w, problem->precision, context, x);
  EXPECT_TRUE(problem.Intact());
  std::vector<double> y(w.m() * problem->n);
  EXPECT_TRUE(SameRefusal(status, ReferenceMatMul(problem.w(), problem.x(), y.data())));
  if (!status.ok()) {
    EXPECT_EQ(x->n(), 0u);
  }
  return status.ok();
}

// The same matrix on every target, or a refusal by all.
bool PacksAlike(const Problem& problem, PackedMatrix* w, PackedMatrix* best) {
  const QuantizedView& view = problem.w();
  const Status status = Pack(view, {problem->target, nullptr}, w);
  EXPECT_TRUE(SameRefusal(Pack(view, best), status));
  std::vector<float> weights(view.m * view.k);
  EXPECT_TRUE(SameRefusal(Dequantize(view, weights.data(), view.k), status));
  EXPECT_TRUE(problem.Intact());
  if (!status.ok()) {
    EXPECT_EQ(w->target(), nullptr);
    return false;
  }
  QuantizedMatrix unpacked;
  EXPECT_TRUE(Ok(Unpack(*w, &unpacked)));
  ExpectSame(unpacked.view(), view);
  return true;
}

// Bits times bits, or a refusal.
void CheckBits(const Problem& problem, const PackedMatrix& w) {
  Context context;
  Activations x;
  const Status status = Prepare(problem.x(), w, {problem->precision, Choice::kBits}, context, &x);
  std::vector<float> exact(w.m() * problem->n);
  const bool finite = ReferenceExactMatMul(problem.w(), problem.x(), ActivationKind::kBits, exact.data()).ok();
  const ActivationView& view = problem.x();
  const bool one_scale = view.scale_group == kPerRow || view.scale_group >= view.k || w.order() == nullptr;
  const bool takes = HasBits(w.format()) && view.type == DataType::kBits && one_scale;
  EXPECT_TRUE(!status.ok() || (takes && finite)) << status.message();
  EXPECT_TRUE(status.ok() || !takes || !finite || view.scale_group != kPerRow) << status.message();
  if (status.ok()) {
    EXPECT_TRUE(SameBits(Canonical(Multiplied(w, x, DataType::kF32, 0)), Canonical(exact), w.m()));
  }
}

void Check(Input& input, const Problem& problem) {
  PackedMatrix w, best;
  if (!PacksAlike(problem, &w, &best)) return;
  Activations x, best_x;
  BackwardExecutor executor(PickConcurrency(input));
  const unsigned ways_to_call = input.Byte();
  if (ways_to_call % 8 == 7) CheckRmsNorm(input, problem, w);
  if (ways_to_call % 8 == 6) CheckHadamard(input, problem, w);
  if (ways_to_call % 4 == 1) CheckBits(problem, w);
  if (!PreparesAlike(problem, w, &x, nullptr) || !PreparesAlike(problem, best, &best_x, &executor)) return;
  const Ways ways(w, x, problem->gap);
  const Reference reference(problem);
  if (IsSafe(problem.x(), reference)) {
    EXPECT_TRUE(Within(ways.y(), reference.y, reference.bound, w.m()));
  }
  const bool exact = problem->precision == Precision::kInt16;
  const std::vector<float> expected = exact ? reference.exact : Multiplied(best, best_x, DataType::kF32, 0);
  EXPECT_TRUE(SameBits(ways.y(), Canonical(expected), w.m()));
  switch (ways_to_call / 8 % 6) {
    case 0:
      ways.CheckType(problem->y_type);
      break;
    case 1:
      ways.CheckThreads(input);
      break;
    case 2:
      ways.CheckPlan(input);
      break;
    case 3:
      ways.CheckRanges(input);
      break;
    case 4:
      ways.CheckRows(input);
      break;
    default:
      ways.CheckPieces(input);
  }
  EXPECT_TRUE(problem.Intact());
}

}  // namespace

void CheckInput(Input& input) {
  Problem problem(PickCase(input, kProducts));
  SCOPED_TRACE(*problem);
  Spoil(input, &problem);
  Check(input, problem);
}

}  // namespace lutra::test
