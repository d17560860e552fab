// The solver of plan_formats: equal to an exhaustive search, never worse than one format for all layers.
#include "format_plan.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <vector>

#include "support/problem.h"

namespace lutra::examples {
namespace {

using Layers = std::vector<std::vector<FormatCost>>;

// Formats that cost more have smaller errors, but for some.
Layers RandomLayers(std::size_t count, std::size_t formats, std::uint64_t seed) {
  test::Random random(seed);
  Layers layers(count, std::vector<FormatCost>(formats));
  for (std::vector<FormatCost>& layer : layers) {
    const float size = random.Uniform(1, 20), sensitivity = random.Uniform(0, 5);
    for (std::size_t f = 0; f < formats; ++f) {
      const float bits = static_cast<float>(f + 1) + random.Uniform(-0.7f, 0.7f);
      layer[f] = {size * bits, sensitivity * size / (bits * bits)};
    }
  }
  return layers;
}

// The least error of all plans; infinity if none is within the budget.
double Exhaustive(const Layers& layers, double budget, std::size_t layer = 0) {
  if (layer == layers.size()) return budget >= 0 ? 0 : std::numeric_limits<double>::infinity();
  double least = std::numeric_limits<double>::infinity();
  for (const FormatCost& format : layers[layer]) {
    least = std::min(least, format.error + Exhaustive(layers, budget - format.cost, layer + 1));
  }
  return least;
}
double CostOf(const Layers& layers, std::size_t format) {
  return SumOf(layers, std::vector<std::size_t>(layers.size(), format)).cost;
}

TEST(FormatPlan, EqualsAnExhaustiveSearch) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const Layers layers = RandomLayers(1 + seed % 6, 1 + seed % 5, seed);
    for (const double share : {0.5, 0.9, 1.3, 2.0, 10.0}) {
      const double budget = share * CostOf(layers, 0) * (1 + 1e-9);
      const double expected = Exhaustive(layers, budget);
      const std::vector<std::size_t> plan = ChooseFormats(layers, budget);
      ASSERT_EQ(plan.empty(), expected == std::numeric_limits<double>::infinity());
      if (plan.empty()) continue;
      EXPECT_LE(SumOf(layers, plan).cost, budget * (1 + 1e-12));
      EXPECT_NEAR(SumOf(layers, plan).error, expected, 1e-9 * expected);
    }
  }
}

// With so many layers that partial plans are thinned out.
TEST(FormatPlan, IsNeverWorseThanOneFormat) {
  const std::size_t formats = 8;
  const Layers layers = RandomLayers(24, formats, 7);
  for (std::size_t format = 0; format < formats; ++format) {
    const std::vector<std::size_t> uniform(layers.size(), format);
    const std::vector<std::size_t> plan = ChooseFormats(layers, SumOf(layers, uniform).cost);
    ASSERT_EQ(plan.size(), layers.size());
    EXPECT_LE(SumOf(layers, plan).cost, SumOf(layers, uniform).cost * (1 + 1e-12));
    EXPECT_LE(SumOf(layers, plan).error, SumOf(layers, uniform).error);
  }
}

TEST(FormatPlan, TakesOddInputs) {
  EXPECT_TRUE(ChooseFormats({}, 1).empty());
  EXPECT_TRUE(ChooseFormats({{{2, 1}}}, 1).empty());
  EXPECT_EQ(ChooseFormats({{{0, 0}, {0, 0}}}, 0), std::vector<std::size_t>{0});
  EXPECT_EQ(ChooseFormats({{{1, 3}, {1, 2}}, {{1, 1}, {5, 0}}}, 2), (std::vector<std::size_t>{1, 0}));
}

}  // namespace
}  // namespace lutra::examples
