// The selection table: complete, without rows that nothing takes, and any row computes the same bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <set>
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

class Selection : public KernelTest {};

TEST_P(Selection, IsTheFirstRowThatServes) {
  const auto [format, target] = GetParam();
  for (std::size_t i = 0; i < std::size(kTokens) * std::size(kGroups); ++i) {
    const std::size_t n = kTokens[i % std::size(kTokens)], group = kGroups[i / std::size(kTokens)];
    const std::size_t block = BlockSize(Describe(format), group);
    const Plan& plan = SelectPlan(format, target, n, group);
    EXPECT_TRUE(Serves(plan, format, target));
    EXPECT_LE(n, plan.n);
    EXPECT_GE(block, plan.group);
    EXPECT_TRUE(HasFamily(format, plan.family));
    EXPECT_STRNE(FamilyName(plan.family), "");
    EXPECT_STRNE(plan.bound, "");
    for (const Plan* before = Plans().begin(); before != &plan; ++before) {
      EXPECT_FALSE(Serves(*before, format, target) && n <= before->n && block >= before->group);
    }
    const MicroTile tile = TileOf(plan, format, target, n);
    EXPECT_LE(static_cast<std::size_t>(tile.rows), n);
    EXPECT_EQ(tile.rows == 0, n == 0);
    EXPECT_EQ(tile.panels == 0, n == 0);
  }
}

// Each row of the table, for rows of x around its own limits, with the panels that are left over.
TEST_P(Selection, AnyRowComputesTheSame) {
  std::uint64_t seed = 0;
  for (const Plan& plan : Plans()) {
    if (!Serves(plan, GetParam().format, GetParam().target)) continue;
    for (const std::size_t n :
         {std::size_t{1}, std::size_t{2}, std::size_t{3}, plan.rows, plan.rows + 1, std::size_t{22}}) {
      for (const Precision precision : kPrecisions) {
        Case c = NewCase({64 * plan.panels + 65, n, 272}, ++seed);
        c.group = kGroups[seed % std::size(kGroups)];
        c.zero_kind = kZeroKinds[seed % std::size(kZeroKinds)];
        c.precision = precision;
        SCOPED_TRACE(c);
        const Problem problem(c);
        const PackedMatrix w = Packed(problem, c.target);
        const Activations x = Prepared(problem, w);
        EXPECT_TRUE(SameBits(Forced(w, x, plan), Multiplied(w, x, DataType::kF32, 1), c.m));
        if (HasFailure()) return;
      }
    }
  }
}

// Whatever a tuner may try.
TEST_P(Selection, AnyBlockingComputesTheSame) {
  const Problem problem(NewCase({300, 37, 400}, 1));
  const PackedMatrix w = Packed(problem, GetParam().target);
  const Activations x = Prepared(problem, w);
  const std::vector<float> expected = Multiplied(w, x, DataType::kF32, 1);
  Plan plan = SelectPlan(GetParam().format, GetParam().target, 37);
  for (const KernelFamily family :
       {KernelFamily::kLookup, KernelFamily::kUnpackedLookup, KernelFamily::kDot, KernelFamily::kUnpackedDot}) {
    if (!HasFamily(GetParam().format, family)) continue;
    plan.family = family;
    for (plan.rows = 4; plan.rows <= kMaxTileRows; plan.rows *= 2) {
      for (plan.panels = 1; plan.rows * plan.panels <= kMaxTileRows && plan.panels <= 8; ++plan.panels) {
        EXPECT_TRUE(SameBits(Forced(w, x, plan), expected, 300))
            << FamilyName(family) << ' ' << plan.rows << " rows, " << plan.panels << " panels";
      }
    }
  }
}

TEST_P(Selection, RefusesPlansThatCannotBe) {
  const Problem problem(NewCase({10, 3, 100}, 1));
  const PackedMatrix w = Packed(problem, GetParam().target);
  const Activations x = Prepared(problem, w);
  const Plan good = SelectPlan(GetParam().format, GetParam().target, 3);
  const auto refused = [&](auto change, const char* argument) {
    Plan plan = good;
    change(plan);
    Context context;
    Output y(3, 10, 1, DataType::kF32);
    EXPECT_TRUE(Refused(MatMul(w, x, y.view(), plan, context), argument));
    EXPECT_TRUE(y.Untouched());
  };
  refused([](Plan& plan) { plan.formats = 0; }, "plan");
  refused(
      [](Plan& plan) { plan.targets = plan.targets == TargetKind::kNarrow ? TargetKind::kWide : TargetKind::kNarrow; },
      "plan");
  refused(
      [&](Plan& plan) {
        plan.family =
            Describe(GetParam().format).looks_up() ? KernelFamily::kUnpackedDot : KernelFamily::kUnpackedLookup;
      },
      "plan.family");
  refused([](Plan& plan) { plan.family = static_cast<KernelFamily>(7); }, "plan.family");
  refused([](Plan& plan) { plan.rows = 0; }, "plan.rows");
  refused([](Plan& plan) { plan.rows = 6; }, "plan.rows");
  refused([](Plan& plan) { plan.panels = 0; }, "plan.panels");
  refused([](Plan& plan) { plan.panels = kMaxTileRows / plan.rows + 1; }, "plan.panels");
  refused([](Plan& plan) { plan.rows = 2 * kMaxTileRows; }, "plan.panels");
  refused([](Plan& plan) { plan.rows = static_cast<std::size_t>(-4); }, "plan.panels");
}

INSTANTIATE_TEST_SUITE_P(Sweep, Selection, ::testing::ValuesIn(Kernels()), KernelName);

// Of those for this machine's kinds of targets.
TEST(Plans, AreAllTaken) {
  std::set<const Plan*> taken;
  std::set<TargetKind> kinds;
  for (const Target target : RunnableTargets()) {
    for (const FormatInfo& f : kFormats) {
      for (const Plan& plan : Plans()) {
        if (!Serves(plan, f.format, target)) continue;
        kinds.insert(plan.targets);
        taken.insert(&SelectPlan(f.format, target, plan.n, std::max<std::size_t>(plan.group, 16)));
      }
    }
  }
  for (const Plan& plan : Plans()) {
    if (kinds.count(plan.targets) == 1) {
      EXPECT_EQ(taken.count(&plan), 1u) << "row " << &plan - Plans().begin();
    }
  }
}

}  // namespace
}  // namespace lutra::test
