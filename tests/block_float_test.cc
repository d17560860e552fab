// Block floating point and the order of columns by magnitude: rounding, less error with planted channels, the same
// product in exact arithmetic, and what is refused.
#include "lutra/block_float.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lutra/lutra.h"
#include "support/codebooks.h"
#include "support/composites.h"
#include "support/faults.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

std::vector<std::uint32_t> OrderOf(const std::vector<float>& magnitudes) {
  std::vector<std::uint32_t> order(magnitudes.size());
  EXPECT_TRUE(Ok(OrderByMagnitude(magnitudes.data(), magnitudes.size(), order.data())));
  return order;
}

TEST(BlockFloat, OrdersByMagnitude) {
  EXPECT_EQ(OrderOf({1, 3, 2, 3, 0}), (std::vector<std::uint32_t>{1, 3, 2, 0, 4}));
  EXPECT_EQ(OrderOf({}), std::vector<std::uint32_t>{});
}

TEST(BlockFloat, RoundsToTheBlocksExponent) {
  // 3 bits: -3 to 3 times a power of two. Blocks are columns 0 and 2, and 1 and 3.
  const std::vector<float> x = {5.0f, 0.3f, -0.9f, 0.4f, 0.0f, -8.0f, 0.0f, 1.0f};
  const std::uint32_t order[] = {0, 2, 1, 3};
  std::vector<float> out(8);
  Context context;
  ASSERT_TRUE(Ok(RoundToBlockFloat({x.data(), 2, 4}, {3, 2}, order, context, out.data())));
  EXPECT_EQ(out, (std::vector<float>{4.0f, 0.25f, 0.0f, 0.375f, 0.0f, -8.0f, 0.0f, 0.0f}));
}

// Each element is off by at most half a step, or a step where the largest integer is not enough; 25 bits lose nothing
// of a block of one.
TEST(BlockFloat, ErrorIsAtMostAStep) {
  for (const XKind& kind : kXKinds) {
    Case c = SmallCase(1, 3, 100);
    c.x = kind;
    const Problem problem(c);
    for (const int bits : {2, 4, 8, 25}) {
      for (const std::size_t block : {std::size_t{1}, std::size_t{7}, std::size_t{32}, kMax}) {
        std::vector<float> out(c.n * c.k);
        Context context;
        BackwardExecutor executor(3);
        context.executor = &executor;
        ASSERT_TRUE(Ok(RoundToBlockFloat(problem.x(), {bits, block}, nullptr, context, out.data())));
        for (std::size_t i = 0; i < out.size(); ++i) {
          const std::size_t n = i / c.k, k = i % c.k, begin = block > c.k ? 0 : k / block * block;
          float largest = 0;
          for (std::size_t j = begin; j < c.k && j - begin < block; ++j) {
            largest = std::max(largest, std::abs(ElementOf(problem.x(), n, j)));
          }
          const float value = ElementOf(problem.x(), n, k),
                      step = largest == 0 ? 0.0f : std::ldexp(1.0f, std::ilogb(largest) - (bits - 2));
          EXPECT_LE(std::abs(out[i] - value), step);
          if (bits == 25 && block == 1) {
            EXPECT_EQ(out[i], value);
          }
        }
      }
    }
  }
}

// 16 of 512 channels of x are 30 times the others.
class PlantedChannels : public ::testing::Test {
 protected:
  static constexpr std::size_t kM = 64, kN = 8, kK = 512;

  PlantedChannels() : weights_(kM * kK), x_(kN * kK) {
    Random random(5);
    for (float& w : weights_) w = random.Gaussian();
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] = random.Gaussian() * (i % kK % 32 == 3 ? 30.0f : 1.0f);
    std::vector<float> magnitudes(kK);
    for (std::size_t i = 0; i < x_.size(); ++i) magnitudes[i % kK] += std::abs(x_[i]);
    order_ = OrderOf(magnitudes);
  }

  QuantizedMatrix Quantized(std::size_t group, bool ordered) const {
    QuantizeOptions options;
    options.group = group;
    if (ordered) options.order = order_.data();
    QuantizedMatrix w;
    EXPECT_TRUE(Ok(Quantize(weights_.data(), kM, kK, kK, options, &w)));
    return w;
  }
  std::vector<double> Exact(const QuantizedMatrix& w) const {
    std::vector<double> y(kM * kN);
    EXPECT_TRUE(Ok(ReferenceMatMul(w.view(), {x_.data(), kN, kK}, y.data())));
    return y;
  }
  // The root of the mean squared error of a product with x rounded to `bits`, 0: not rounded.
  double Error(bool ordered, int bits) const {
    const QuantizedMatrix q = Quantized(128, ordered);
    PackedMatrix w;
    EXPECT_TRUE(Ok(Pack(q.view(), &w)));
    Context context;
    std::vector<float> x(x_), y(kM * kN);
    if (bits != 0) {
      EXPECT_TRUE(
          Ok(RoundToBlockFloat({x_.data(), kN, kK}, {bits, 32}, ordered ? order_.data() : nullptr, context, x.data())));
    }
    EXPECT_TRUE(Ok(MatMul(w, ActivationView(x.data(), kN, kK), OutputView(y.data(), kN, kM), context)));
    const std::vector<double> exact = Exact(q);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += (y[i] - exact[i]) * (y[i] - exact[i]);
    return std::sqrt(sum / static_cast<double>(y.size()));
  }

  std::vector<float> weights_, x_;
  std::vector<std::uint32_t> order_;
};

TEST_F(PlantedChannels, CostLessWithChannelsInOrder) {
  for (const int bits : {4, 5, 6, 0}) {
    const double before = Error(false, bits), after = Error(true, bits);
    RecordProperty("bits_" + std::to_string(bits), std::to_string(before) + " to " + std::to_string(after));
    EXPECT_LT(after, before / 1.2) << bits;
  }
}

// With a scale per row the order changes no weight, and the product in exact arithmetic is the same.
TEST_F(PlantedChannels, AreTheSameProductInExactArithmetic) {
  const QuantizedMatrix plain = Quantized(kPerRow, false), ordered = Quantized(kPerRow, true);
  std::vector<float> a(kM * kK), b(kM * kK);
  ASSERT_TRUE(Ok(Dequantize(plain.view(), a.data(), kK)));
  ASSERT_TRUE(Ok(Dequantize(ordered.view(), b.data(), kK)));
  EXPECT_EQ(a, b);
  const std::vector<double> of_plain = Exact(plain), of_ordered = Exact(ordered);
  for (std::size_t i = 0; i < of_plain.size(); ++i) EXPECT_NEAR(of_ordered[i], of_plain[i], 1e-9);
}

// Every format is quantized in an order as its columns would be.
TEST_F(PlantedChannels, QuantizeInOrder) {
  std::vector<float> permuted(weights_.size());
  for (std::size_t i = 0; i < permuted.size(); ++i) permuted[i] = weights_[i / kK * kK + order_[i % kK]];
  for (const FormatInfo& f : kFormats) {
    QuantizeOptions options;
    options.format = f.format;
    SetCodebook(&options);
    QuantizedMatrix expected, w;
    ASSERT_TRUE(Ok(Quantize(permuted.data(), kM, kK, kK, options, &expected)));
    options.order = order_.data();
    ASSERT_TRUE(Ok(Quantize(weights_.data(), kM, kK, kK, options, &w)));
    QuantizedView view = expected.view();
    view.order = order_.data();
    ExpectSame(w.view(), view);
  }
}

TEST_F(PlantedChannels, FaultyArgumentsAreRefused) {
  Context context;
  std::vector<float> out(x_.size(), -1.0f);
  ActivationView x(x_.data(), kN, kK);
  const auto refused = [&](const BlockFloat& form, const std::uint32_t* order, const char* argument) {
    EXPECT_TRUE(Refused(RoundToBlockFloat(x, form, order, context, out.data()), argument));
    EXPECT_EQ(out, std::vector<float>(out.size(), -1.0f));
  };
  refused({1, 32}, nullptr, "form.mantissa_bits");
  refused({26, 32}, nullptr, "form.mantissa_bits");
  refused({8, 0}, nullptr, "form.block");
  refused({8, 32}, kFirstOnly, "order");
  EXPECT_TRUE(Refused(RoundToBlockFloat(x, {}, nullptr, context, nullptr), "out"));
  x_[5] = kInfinity;
  refused({8, 32}, nullptr, "x.data");
  x.data = nullptr;
  refused({8, 32}, nullptr, "x.data");
  const float magnitudes[] = {1.0f, -1.0f};
  std::uint32_t order[2];
  EXPECT_TRUE(Refused(OrderByMagnitude(magnitudes, 2, order), "magnitudes"));
  EXPECT_TRUE(Refused(OrderByMagnitude(nullptr, 2, order), "magnitudes"));
  EXPECT_TRUE(Refused(OrderByMagnitude(magnitudes, 1, nullptr), "order"));
  QuantizeOptions options;
  options.order = kFirstOnly;
  QuantizedMatrix w;
  EXPECT_TRUE(Refused(Quantize(weights_.data(), kM, kK, kK, options, &w), "options.order"));
  options.order = order_.data();
  SparseMatrix outliers;
  EXPECT_TRUE(
      Refused(QuantizeWithOutliers(weights_.data(), kM, kK, kK, options, 0.01, &w, &outliers), "options.order"));
}

}  // namespace
}  // namespace lutra::test
