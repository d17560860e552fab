// The references against still simpler code, and the conversions against their definition.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/shapes.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class Referring : public SweepTest<GroupedScheme> {
 protected:
  // Two shapes of x and W; the data are Gaussian unless a test says otherwise.
  std::vector<Case> Cases() const {
    std::vector<Case> cases;
    for (const std::size_t seed : {part().index, part().index + GroupedSchemes().size()}) {
      const Shape shape = MixedShape(seed);
      Case c = NewCase({shape.m, std::min<std::size_t>(shape.n, 33), shape.k}, seed);
      c.group = part().group;
      c.zeros = part().kind.zeros;
      c.scale_type = part().kind.scale_type;
      c.bias = seed % 2 == 1;
      c.order = seed % 3 == 1;
      c.x = kXKinds[(seed + seed / 16) % std::size(kXKinds)];
      c.gap = seed % 4;
      cases.push_back(c);
    }
    return cases;
  }
};

double XAt(const ActivationView& x, std::size_t n, std::size_t k) {
  const double value = Load(x.type, x.data, n * x.row_stride + k);
  if (!HasScales(x.type)) return value;
  const std::size_t groups = x.scale_group == kPerRow ? 1 : (x.k - 1) / x.scale_group + 1;
  return value * x.scales[n * groups + (x.scale_group == kPerRow ? 0 : k / x.scale_group)];
}

struct Product {
  std::vector<double> y, magnitudes;  // sums of w * x, and of their moduli, both with bias
  std::vector<double> x_moduli;       // of a row, the sum of |x|
};
Product Multiply(const Problem& problem) {
  const QuantizedView& v = problem.w();
  std::vector<float> w(v.m * v.k);
  EXPECT_TRUE(Ok(Dequantize(v, w.data(), v.k)));
  Product product{std::vector<double>(problem->n * v.m), std::vector<double>(problem->n * v.m),
                  std::vector<double>(problem->n)};
  std::vector<double> x(v.k);
  for (std::size_t n = 0; n < problem->n; ++n) {
    for (std::size_t k = 0; k < v.k; ++k) {
      x[k] = XAt(problem.x(), n, k);
      product.x_moduli[n] += std::abs(x[k]);
    }
    for (std::size_t m = 0; m < v.m; ++m) {
      double sum = v.bias == nullptr ? 0.0 : static_cast<double>(v.bias[m]), magnitude = std::abs(sum);
      for (std::size_t k = 0; k < v.k; ++k) {
        const double term = w[m * v.k + k] * x[k];
        sum += term;
        magnitude += std::abs(term);
      }
      product.y[n * v.m + m] = sum;
      product.magnitudes[n * v.m + m] = magnitude;
    }
  }
  return product;
}

TEST_P(Referring, MatMulIsDequantizeAndALoop) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c);
    const Problem problem(c);
    const Product product = Multiply(problem);
    std::vector<double> y(product.y.size());
    ASSERT_TRUE(Ok(ReferenceMatMul(problem.w(), problem.x(), y.data())));
    for (std::size_t i = 0; i < y.size(); ++i) {
      // Dequantize and int8 times its scale round to float; a weight may be the small difference of value and zero, or
      // of an offset and up to `levels` times a scale.
      const double largest = product.x_moduli[i / c.m] * Describe(c.format).levels;
      const double rounding = 0x1p-21 * product.magnitudes[i] + (c.zeros == Zeros::kOffset ? 0x1p-24 : 0) * largest;
      ASSERT_NEAR(y[i], product.y[i], rounding) << "n " << i / c.m << " m " << i % c.m;
    }
    EXPECT_TRUE(problem.Intact());
  }
}

// Integers lose nothing: on integers with a scale per row only float operations round.
TEST_P(Referring, ExactMatMulIsExactOnIntegers) {
  for (Case c : Cases()) {
    if (!HasScales(c.x.type) || c.x.scale_group != kPerRow) continue;
    c.precision = Precision::kInt16;
    SCOPED_TRACE(c);
    const Problem problem(c);
    const Product product = Multiply(problem);
    const Reference reference(problem);
    const FormatInfo& f = Describe(c.format);
    for (std::size_t i = 0; i < reference.y.size(); ++i) {
      // Value and center, zero and scale stand in separate terms, each as large as levels times the scale. One float
      // operation per term and block rounds, and so do the sums of x.
      const double largest = product.x_moduli[i / c.m] * 0x1p-4 * (f.levels + 255);
      const double operations = 8 + static_cast<double>(c.k) / 16;
      ASSERT_NEAR(reference.exact[i], reference.y[i], operations * 0x1p-24 * (largest + product.magnitudes[i]))
          << "n " << i / c.m << " m " << i % c.m;
    }
  }
}

TEST_P(Referring, ExactMatMulLiesWithinItsBound) {
  for (Case c : Cases()) {
    c.data = Random(c.seed).Pick(kDataKinds);
    c.bias = c.bias && c.data != Data::kDenormal;
    c.precision = Precision::kInt16;
    SCOPED_TRACE(c);
    const Reference reference{Problem(c)};
    ASSERT_TRUE(Within(reference.exact, reference.y, reference.bound, c.m));
  }
}

INSTANTIATE_TEST_SUITE_P(Each, Referring, ::testing::ValuesIn(SweepFormats(GroupedSchemes())), SweepName());

// A bound that is too generous would hide errors.
class ReferringBounds : public ::testing::TestWithParam<FormatInfo> {};

TEST_P(ReferringBounds, AreTight) {
  Case c;
  c.format = GetParam().format;
  c.m = 8;
  c.n = 8;
  c.k = 1024;
  for (const Precision precision : kPrecisions) {
    c.precision = precision;
    SCOPED_TRACE(c);
    const Problem problem(c);
    const Product product = Multiply(problem);
    const Reference reference(problem);
    // kInt8: half a step per lookup, 1/254 of the largest sum of |x|, which is about twice a usual one. kInt16: half a
    // unit per weight, 1/8158 of the largest |x|, which is about four times a usual one; and |value| + |center - zero|
    // may be several times |w|. Integers of kInt8: half a unit per weight, 1/254 of the largest |x|, four times a usual
    // one, and the largest |w| is twice a usual one, or a little more in tables of values.
    const double int8_share = MethodOf(c.format).looks_up() ? 0.03 : !Describe(c.format).has_table() ? 0.04 : 0.05;
    const double share = precision == Precision::kInt8 ? int8_share : 0.003;
    for (std::size_t i = 0; i < reference.bound.size(); ++i) {
      ASSERT_GT(reference.bound[i], 0.0);
      ASSERT_LT(reference.bound[i], share * product.magnitudes[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Each, ReferringBounds, ::testing::ValuesIn(kFormats), FormatName);

float FloatOf(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// The value of a finite or infinite binary16.
double ValueOfF16(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double modulus = exponent == 31  ? std::numeric_limits<double>::infinity()
                         : exponent == 0 ? std::ldexp(fraction, -24)
                                         : std::ldexp(1024 + fraction, exponent - 25);
  return (bits & 0x8000) != 0 ? -modulus : modulus;
}

TEST(Conversions, EveryF16) {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    if ((bits & 0x7fff) > 0x7c00) {
      EXPECT_TRUE(std::isnan(F16ToF32(bits)));
      EXPECT_GT(F32ToF16(F16ToF32(bits)) & 0x7fff, 0x7c00);
    } else {
      ASSERT_EQ(F16ToF32(bits), ValueOfF16(bits)) << i;
      ASSERT_EQ(F32ToF16(F16ToF32(bits)), bits);
    }
  }
}

TEST(Conversions, EveryBF16) {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const float value = FloatOf(i << 16);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(BF16ToF32(bits)));
      EXPECT_TRUE(std::isnan(BF16ToF32(F32ToBF16(value))));
    } else {
      ASSERT_EQ(BF16ToF32(bits), value);
      ASSERT_EQ(F32ToBF16(value), bits);
    }
  }
}

// Halfway between neighbours the even one wins; a float to either side goes to its own neighbour.
TEST(Conversions, RoundToNearestEven) {
  const auto check = [](std::uint16_t (*round)(float), float low, float high, std::uint16_t bits) {
    // In double the middle is exact, and in float as well: one bit more than 8 or 11, unless float is subnormal.
    const auto middle = static_cast<float>((static_cast<double>(low) + high) / 2);
    const auto even = static_cast<std::uint16_t>(bits + bits % 2), next = static_cast<std::uint16_t>(bits + 1);
    EXPECT_EQ(round(middle), even) << middle;
    EXPECT_EQ(round(std::nextafter(middle, low)), bits) << middle;
    EXPECT_EQ(round(std::nextafter(middle, high)), next) << middle;
    EXPECT_EQ(round(-middle), even | 0x8000) << middle;
  };
  for (std::uint16_t bits = 0; bits < 0x7bff; ++bits) check(F32ToF16, F16ToF32(bits), F16ToF32(bits + 1), bits);
  for (std::uint16_t bits = 0; bits < 0x7f7f; ++bits) check(F32ToBF16, BF16ToF32(bits), BF16ToF32(bits + 1), bits);
}

TEST(Conversions, TooLargeIsInfinite) {
  EXPECT_EQ(F32ToF16(65519.9f), 0x7bff);
  EXPECT_EQ(F32ToF16(65520.0f), 0x7c00);
  EXPECT_EQ(F32ToF16(-1e30f), 0xfc00);
  EXPECT_EQ(F32ToF16(1e-30f), 0);
  EXPECT_EQ(F32ToBF16(std::numeric_limits<float>::max()), 0x7f80);
}

}  // namespace
}  // namespace lutra::test
