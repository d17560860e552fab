// Gated units: kernels give the bits of the reference on every target, and the reference is near the true function.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include "lutra/kernels/fma.h"
#include "lutra/kernels/registry.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

const GatedUnit kUnits[] = {kSwiGlu, kGeGlu, kClampedSwiGlu, {-3.0f, 0.25f, 1.5f, 0.125f}};

// Ordinary values, special ones, and those about where something is cut.
std::vector<float> Values(std::uint64_t seed) {
  constexpr float kMost = std::numeric_limits<float>::max(), kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> values = {0.0f,       -0.0f,         1e-45f,  -1e-40f, kMost,   -kMost, kInfinity,
                               -kInfinity, std::nanf(""), 7.0f,    -7.0f,   7.0001f, 86.9f,  87.1f,
                               -87.9f,     -88.1f,        -200.0f, 1e20f,   -1e20f,  1e13f,  -1e13f};
  Random random(seed);
  while (values.size() < 3000) values.push_back(random.Gaussian() * (values.size() % 3 == 0 ? 30.0f : 2.0f));
  return values;
}

TEST(GatedUnits, KernelsEqualTheReference) {
  std::vector<float> gate = Values(1), up = Values(2);
  for (std::size_t i = 0; i < 441; ++i) gate[i] = gate[i / 21], up[i] = up[i % 21];  // all pairs of special values
  const std::vector<float> bias(gate.size(), 0.25f);
  for (const GatedUnit& unit : kUnits) {
    for (const bool with_bias : {false, true}) {
      std::vector<float> g = gate, u = up, expected(gate.size()), y(gate.size());
      for (std::size_t i = 0; i < gate.size() && with_bias; ++i) g[i] += bias[i], u[i] += bias[i];
      ReferenceGatedUnit(unit, g.data(), u.data(), g.size(), expected.data());
      for (const Target target : RunnableTargets()) {
        for (const std::size_t count : {gate.size(), std::size_t{1}, std::size_t{7}, std::size_t{33}}) {
          internal::GatedArgs args = {};
          args.unit = unit;
          args.gate = gate.data();
          args.up = up.data();
          args.gate_bias = args.up_bias = with_bias ? bias.data() : nullptr;
          args.count = count;
          args.to = y.data();
          target->gated(args);
          EXPECT_EQ(std::memcmp(y.data(), expected.data(), count * sizeof(float)), 0) << TargetName(target) << count;
        }
      }
    }
  }
}

TEST(GatedUnits, ReferenceIsAccurate) {
  const std::vector<float> gate = Values(3), up = Values(4);
  for (const GatedUnit& unit : kUnits) {
    std::vector<float> y(gate.size());
    ReferenceGatedUnit(unit, gate.data(), up.data(), y.size(), y.data());
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (std::isnan(gate[i]) || std::isnan(up[i])) {
        EXPECT_TRUE(std::isnan(y[i]));
        continue;
      }
      const double g = std::fmin(gate[i], unit.limit), u = std::fmax(std::fmin(up[i], unit.limit), -unit.limit);
      const double exponent = -g * (double{unit.slope} + double{unit.cubic} * g * g);
      if (!(std::fabs(exponent) < 87) || std::fabs(g) > 1e10 || std::fabs(u) > 1e10) continue;
      const double expected = (u + double{unit.offset}) * g / (1 + std::exp(exponent));
      // sigmoid errs by the roundings of its exponent, too.
      const double bound =
          (0x1p-21 + std::fabs(exponent) * 0x1p-22) * std::fabs(expected) + 0x1p-24 * std::fabs(g) * 1e-30;
      const double offset = std::fabs(double{unit.offset}) * 0x1p-23 * std::fabs(g);
      EXPECT_NEAR(y[i], expected, bound + offset + 1e-37) << gate[i] << " " << up[i] << " slope " << unit.slope;
    }
  }
}

// GELU by its usual formula.
TEST(GatedUnits, GeGluIsGelu) {
  for (float g = -6; g < 6; g += 0.01f) {
    const float one = 1.0f;
    float y;
    ReferenceGatedUnit(kGeGlu, &g, &one, 1, &y);
    const double x = g;
    const double expected =
        0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    EXPECT_NEAR(y, expected, 2e-6);
  }
}

TEST(AddingUp, RoundsOnce) {
  const std::vector<float> tile = Values(5), bias(tile.size(), 0.5f);
  std::vector<float> expected(tile.size(), 0.1f);
  for (std::size_t i = 0; i < tile.size(); ++i) expected[i] = internal::Fma(0.3f, tile[i] + bias[i], expected[i]);
  for (const Target target : RunnableTargets()) {
    std::vector<float> y(tile.size(), 0.1f);
    target->add(tile.data(), bias.data(), tile.size(), 0.3f, y.data());
    EXPECT_TRUE(SameBits(Canonical(y), Canonical(expected), y.size())) << TargetName(target);
  }
}

}  // namespace
}  // namespace lutra::test
