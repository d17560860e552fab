// The table of plans: complete, without rows that no case takes; a row computes the same bits as others of its method.
#include "lutra/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <tuple>
#include <vector>

#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/shapes.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kTokens[] = {0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 32, 33, 64, 100, 129, 1000};

std::vector<float> Forced(const PackedMatrix& w, const Activations& x, const Plan& plan) {
  Context context;
  Output y(x.n(), w.m(), 1, DataType::kF32);
  EXPECT_TRUE(Ok(MatMul(w, x, y.view(), plan, context)));
  EXPECT_TRUE(y.SurroundingsIntact());
  return y.Floats();
}

// x prepared as a method multiplies it: as bits, or as a kind that does not depend on the type of x.
Activations PreparedFor(const Problem& problem, const PackedMatrix& w, Method method) {
  if (method == Method::kPopcount) {
    Context context;
    Activations x;
    EXPECT_TRUE(Ok(Prepare(problem.x(), w, {problem->precision, Choice::kBits}, context, &x)));
    return x;
  }
  return PreparedBy(problem, w, method);
}

class PlanTable : public KernelTest {
 protected:
  PlanCase What(std::size_t n, std::size_t group) const { return {GetParam().format, GetParam().target, n, group}; }
};

TEST_P(PlanTable, SelectsTheFirstRowThatServes) {
  for (std::size_t i = 0; i < std::size(kTokens) * std::size(kGroups); ++i) {
    const std::size_t n = kTokens[i % std::size(kTokens)], group = kGroups[i / std::size(kTokens)];
    const PlanCase what = What(n, group);
    for (const Choice choice : {Choice::kInvariant, Choice::kFastest}) {
      const Plan& plan = SelectPlan(what, choice);
      EXPECT_TRUE(Serves(plan, what));
      EXPECT_TRUE(HasMethod(what.format, plan.method));
      EXPECT_STRNE(plan.bound, "");
      const bool own = KindOf(plan.method, what.format) == MethodOf(what.format).kind;
      EXPECT_TRUE(own || choice == Choice::kFastest);
      for (const Plan* before = Plans().begin(); before != &plan; ++before) {
        const bool any = choice == Choice::kFastest && before->method != Method::kPopcount;
        EXPECT_FALSE(Serves(*before, what) && (any || before->method == plan.method));
      }
      const MicroTile tile = TileOf(plan, what);
      EXPECT_LE(static_cast<std::size_t>(tile.rows), n);
      EXPECT_EQ(tile.rows == 0, n == 0);
      EXPECT_EQ(tile.panels == 0, n == 0);
    }
  }
}

// All but products with bf16, and dot products of indices, have a kernel on packed codes, too.
TEST_P(PlanTable, HasItsKernels) {
  for (const auto& [method, name, unpacked_name, kind] : kMethods) {
    if (!HasMethod(GetParam().format, method)) continue;
    const bool indices = Describe(GetParam().format).stored().has_indices();
    const bool packed = method != Method::kBf16 && !(method == Method::kDot && indices);
    EXPECT_EQ(HasKernel(GetParam().format, GetParam().target, method, false), packed) << name;
    EXPECT_TRUE(HasKernel(GetParam().format, GetParam().target, method, true)) << name;
  }
}

// Whether a row before this one computes in the same way, for other cases.
bool IsRepeated(const Plan& plan) {
  const auto how = [](const Plan& p) { return std::tie(p.method, p.unpack, p.token_block, p.panels, p.prefetch); };
  return std::any_of(Plans().begin(), &plan, [&](const Plan& before) { return how(before) == how(plan); });
}

// Each way to compute in the table, for rows of x around the limits of its first row, with panels that are left over.
TEST_P(PlanTable, AnyRowComputesTheSame) {
  std::uint64_t seed = 0;
  for (const Plan& plan : Plans()) {
    if (IsRepeated(plan) || !HasMethod(GetParam().format, plan.method)) continue;
    // Indices, for instance, are unpacked to be multiplied.
    if (!HasKernel(GetParam().format, GetParam().target, plan.method, plan.unpack)) continue;
    for (const std::size_t n :
         {std::size_t{1}, std::size_t{2}, std::size_t{3}, plan.token_block, plan.token_block + 1, std::size_t{22}}) {
      // Precisions take turns, and the next format begins with the other one.
      Case c = NewCase({64 * plan.panels + 65, n, 272}, ++seed);
      c.group = kGroups[seed % std::size(kGroups)];
      c.zeros = kZeros[seed % std::size(kZeros)];
      c.precision = kPrecisions[(seed + static_cast<std::uint64_t>(c.format)) % std::size(kPrecisions)];
      if (plan.method == Method::kPopcount) c.x = {DataType::kBits, kPerRow};
      SCOPED_TRACE(c);
      const Problem problem(c);
      const PackedMatrix w = Packed(problem, c.target);
      const Activations x = PreparedFor(problem, w, plan.method);
      ASSERT_TRUE(SameBits(Forced(w, x, plan), Multiplied(w, x, DataType::kF32, 1), c.m)) << Name(plan);
    }
  }
}

// Whatever a tuner may try.
TEST_P(PlanTable, AnyBlockingComputesTheSame) {
  for (const auto& [method, name, unpacked_name, kind] : kMethods) {
    if (!HasMethod(GetParam().format, method)) continue;
    Case c = NewCase({300, 37, 210}, 1);
    if (method == Method::kPopcount) c.x = {DataType::kBits, kPerRow};
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, GetParam().target);
    const Activations x = PreparedFor(problem, w, method);
    const std::vector<float> expected = Multiplied(w, x, DataType::kF32, 1);
    Plan plan = SelectPlan(What(37, 128));
    plan.method = method;
    for (const bool unpack : {false, true}) {
      plan.unpack = unpack;
      if (!HasKernel(GetParam().format, GetParam().target, method, unpack)) continue;
      for (plan.token_block = 4; plan.token_block <= kMaxTileRows; plan.token_block *= 2) {
        for (plan.panels = 1; plan.token_block * plan.panels <= kMaxTileRows && plan.panels <= 8; ++plan.panels) {
          EXPECT_TRUE(SameBits(Forced(w, x, plan), expected, 300))
              << Name(plan) << ' ' << plan.token_block << " rows, " << plan.panels << " panels";
        }
      }
    }
  }
}

// Kernels on packed codes, which convert qparams themselves with few rows of x, compute the bits of those on unpacked
// codes, for all types of qparams.
TEST_P(PlanTable, PackedCodesComputeTheSame) {
  const Kernel& kernel = GetParam();
  if (!HasKernel(kernel.format, kernel.target, Method::kDot, false)) return;
  constexpr std::size_t kRows[] = {1, 4, 1, 2, 5}, kK[] = {40, 272, 600, 513, 256, 300, 700};
  std::uint64_t seed = 0;
  for (const GroupedScheme& scheme : GroupedSchemes()) {
    for (const Precision precision : kPrecisions) {
      Case c = NewCase({70, kRows[seed % 5], kK[seed % 7]}, seed);
      ++seed;
      c.group = scheme.group;
      c.zeros = scheme.kind.zeros;
      c.scale_type = scheme.kind.scale_type;
      c.precision = precision;
      c.tables = Describe(c.format).own_values && seed % 2 == 0 ? 4 : 1;
      if (!HasZeros(c.format, c.zeros)) continue;
      SCOPED_TRACE(c);
      const Problem problem(c);
      const PackedMatrix w = Packed(problem, c.target);
      const Activations x = PreparedBy(problem, w, Method::kDot);
      Plan plan = SelectPlan(CaseOf(w, c.n, precision));
      plan.method = Method::kDot;
      plan.panels = 1;
      std::vector<float> y[2];
      for (const bool unpack : {false, true}) {
        plan.unpack = unpack;
        Context context;
        y[unpack].resize(c.n * c.m);
        ASSERT_TRUE(Ok(MatMul(w, x, OutputView(y[unpack].data(), c.n, c.m), plan, context)));
      }
      EXPECT_TRUE(SameBits(y[0], y[1], c.m));
    }
  }
}

// A format's encoding unpacked to bytes and multiplied with integers is exact, and in bounds, as its own method is.
TEST_P(PlanTable, IntegersMultiplyAnyEncoding) {
  if (!HasMethod(GetParam().format, Method::kDot)) return;  // it is refused: RefusesPlansThatCannotBe
  std::uint64_t seed = 100;
  for (const std::size_t group : kGroups) {
    for (const Zeros zeros : kZeros) {
      for (const std::size_t k : {std::size_t{1}, std::size_t{17}, std::size_t{200}, std::size_t{500}}) {
        ++seed;
        Case c = NewCase({70 + seed % 80, 1 + seed % 6, k}, seed);
        c.group = group;
        c.zeros = zeros;
        c.order = seed % 3 == 0;
        c.x = kXKinds[seed % std::size(kXKinds)];
        c.data = kDataKinds[seed % std::size(kDataKinds)];
        c.precision = Precision::kInt16;
        SCOPED_TRACE(c);
        const Problem problem(c);
        const PackedMatrix w = Packed(problem, c.target);
        const Activations x = PreparedAsIntegers(problem, w);
        EXPECT_TRUE(x.Fits(w));
        std::vector<float> exact(c.m * c.n);
        ASSERT_TRUE(Ok(ReferenceExactMatMul(problem.w(), problem.x(), ActivationKind::kIntegers, exact.data())));
        ASSERT_TRUE(SameBits(Canonical(Multiplied(w, x, DataType::kF32, 1)), Canonical(exact), c.m));
      }
    }
  }
}

TEST_P(PlanTable, RefusesPlansThatCannotBe) {
  const Problem problem(NewCase({10, 3, 100}, 1));
  const PackedMatrix w = Packed(problem, GetParam().target);
  const Activations x = Prepared(problem, w);
  const Plan good = SelectPlan(What(3, 128));
  const auto refused = [&](auto change, const char* argument) {
    Plan plan = good;
    change(plan);
    Context context;
    Output y(3, 10, 1, DataType::kF32);
    EXPECT_TRUE(Refused(MatMul(w, x, y.view(), plan, context), argument));
    EXPECT_TRUE(y.Untouched());
  };
  const bool looks_up = good.method == Method::kLookup;
  refused([&](Plan& plan) { plan.method = looks_up ? Method::kDot : Method::kLookup; }, "plan.method");
  refused([&](Plan& plan) { plan.method = good.method == Method::kFloat ? Method::kDot : Method::kFloat; },
          "plan.method");
  refused([](Plan& plan) { plan.method = static_cast<Method>(7); }, "plan.method");
  refused([](Plan& plan) { plan.token_block = 0; }, "plan.token_block");
  refused([](Plan& plan) { plan.token_block = 6; }, "plan.token_block");
  refused([](Plan& plan) { plan.panels = 0; }, "plan.panels");
  refused([](Plan& plan) { plan.panels = kMaxTileRows / plan.token_block + 1; }, "plan.panels");
  refused([](Plan& plan) { plan.token_block = 2 * kMaxTileRows; }, "plan.panels");
  refused([](Plan& plan) { plan.token_block = static_cast<std::size_t>(-4); }, "plan.panels");
  if (!looks_up) return;
  // Integers are not multiplied with packed indices.
  const Activations integers = PreparedAsIntegers(problem, w);
  Plan plan = good;
  plan.method = Method::kDot;
  plan.unpack = false;
  Context context;
  Output y(3, 10, 1, DataType::kF32);
  EXPECT_TRUE(Refused(MatMul(w, integers, y.view(), plan, context), "plan.unpack"));
  EXPECT_TRUE(y.Untouched());
}

// What kFastest chooses is what the plan names, and within the bounds of that kind.
TEST_P(PlanTable, FastestPreparesWhatThePlanNames) {
  for (const std::size_t n : {std::size_t{1}, std::size_t{16}, std::size_t{33}, std::size_t{130}}) {
    const Problem problem(NewCase({130, n, 300}, n));
    const PackedMatrix w = Packed(problem, GetParam().target);
    Context context;
    Activations x;
    ASSERT_TRUE(Ok(Prepare(problem.x(), w, {Precision::kInt8, Choice::kFastest}, context, &x)));
    const Plan& plan = SelectPlan(What(n, problem->group), Choice::kFastest);
    EXPECT_EQ(x.kind(), KindOf(plan.method, GetParam().format));
    EXPECT_TRUE(x.Fits(w));
    const std::vector<float> y = Multiplied(w, x, DataType::kF32, 0);
    EXPECT_TRUE(SameBits(Forced(w, x, plan), y, w.m()));
    std::vector<double> expected(y.size()), bound(y.size());
    ASSERT_TRUE(Ok(ReferenceMatMul(problem.w(), problem.x(), expected.data())));
    ASSERT_TRUE(Ok(ReferenceErrorBound(problem.w(), problem.x(), Precision::kInt8, x.kind(), bound.data())));
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_LE(std::abs(y[i] - expected[i]), bound[i]) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, PlanTable, ::testing::ValuesIn(Kernels()), KernelName);

// A choice takes the first row that serves the case with one of its methods.
TEST(Plans, AreTakenInOrder) {
  const auto may_choose = [](const PlanCase& what, Choice choice, Method method) {
    if (choice == Choice::kFastest) return method != Method::kPopcount;
    const bool bits = choice == Choice::kBits && HasBits(what.format);
    return method == MethodFor(bits ? ActivationKind::kBits : MethodOf(what.format).kind);
  };
  std::set<const Plan*> taken;
  for (const Target target : RunnableTargets()) {
    for (const FormatInfo& f : kFormats) {
      for (const std::size_t group : {std::size_t{16}, std::size_t{128}}) {
        for (std::size_t n = 1; n < 300; ++n) {
          const PlanCase what{f.format, target, n, group};
          for (const Choice choice : {Choice::kInvariant, Choice::kFastest, Choice::kBits}) {
            const Plan* const selected = &SelectPlan(what, choice);
            const Plan* first = Plans().begin();
            while (first != Plans().end() && !(may_choose(what, choice, first->method) && Serves(*first, what)))
              ++first;
            ASSERT_EQ(selected, first) << Name(f.format) << ' ' << target->info.name << ' ' << n;
            taken.insert(selected);
          }
        }
      }
    }
  }
  EXPECT_GE(taken.size(), 3u);
}

}  // namespace
}  // namespace lutra::test
