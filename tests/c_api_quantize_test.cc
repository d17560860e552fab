// The C API of quantizers does what the C++ functions do.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c_quantize.h"
#include "support/c_api.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kM = 20, kK = 96;

class LutraCQuantize : public ::testing::Test {
 protected:
  LutraCQuantize() {
    Random random(1);
    for (float& weight : weights_) weight = random.Gaussian();
    for (float& value : importance_) value = random.Uniform(0, 2);
    for (std::size_t i = 0; i < kK; ++i) factor_[i * kK + i] = hessian_[i * kK + i] = 1.0f;
    for (std::size_t i = 0; i + 1 < kK; ++i) factor_[i * kK + i + 1] = -0.5f;
    options_.format = LUTRA_FORMAT_INT3;
    options_.group = 32;
    options_.scale_type = LUTRA_TYPE_F16;
    cpp_.format = Format::kInt3;
    cpp_.group = 32;
    cpp_.fit = Fit::kLeastError;
  }
  // The handle holds the same as the matrix.
  static void ExpectEqual(const lutra_quantized* w, const QuantizedMatrix& expected) {
    lutra_quantized_view view;
    ASSERT_TRUE(COk(lutra_quantized_get(w, &view)));
    const QuantizedView& e = expected.view();
    EXPECT_EQ(std::memcmp(view.codes, e.codes, e.m * e.k), 0);
    EXPECT_EQ(std::memcmp(view.scales, e.scales, ScaleCount(e) * SizeOf(e.scale_type)), 0);
  }

  std::vector<float> weights_ = std::vector<float>(kM * kK), importance_ = std::vector<float>(kK);
  std::vector<float> hessian_ = std::vector<float>(kK * kK), factor_ = std::vector<float>(kK * kK);
  lutra_quantize_options options_ = {};
  lutra_fit_options fit_ = {LUTRA_FIT_LEAST_ERROR, nullptr, nullptr};
  QuantizeOptions cpp_;
  CQuantized w_;
  QuantizedMatrix expected_;
};

TEST_F(LutraCQuantize, Fits) {
  fit_.importance = cpp_.importance = importance_.data();
  ASSERT_TRUE(Ok(Quantize(weights_.data(), kM, kK, kK, cpp_, &expected_)));
  ASSERT_TRUE(COk(lutra_quantize_fit(weights_.data(), kM, kK, kK, &options_, &fit_, &w_)));
  ExpectEqual(w_, expected_);
}

TEST_F(LutraCQuantize, FeedsBack) {
  const lutra_feedback feedback = {hessian_.data(), factor_.data()};
  const Feedback known{hessian_.data(), factor_.data()};
  ASSERT_TRUE(Ok(QuantizeWithFeedback(weights_.data(), kM, kK, kK, cpp_, known, &expected_)));
  ASSERT_TRUE(COk(lutra_quantize_with_feedback(weights_.data(), kM, kK, kK, &options_, &fit_, &feedback, &w_)));
  ExpectEqual(w_, expected_);
}

TEST_F(LutraCQuantize, LearnsCodebooks) {
  options_.format = LUTRA_FORMAT_CODEBOOK3;
  cpp_.format = Format::kCodebook3;
  std::int8_t tables[8], expected[8];
  ASSERT_TRUE(Ok(LearnCodebook(weights_.data(), kM, kK, kK, cpp_, expected)));
  ASSERT_TRUE(COk(lutra_learn_codebook(weights_.data(), kM, kK, kK, &options_, &fit_, tables)));
  EXPECT_EQ(std::memcmp(tables, expected, sizeof(tables)), 0);
}

TEST_F(LutraCQuantize, RefusesFaultyArguments) {
  const auto quantize = [&](const lutra_quantize_options* options, const lutra_fit_options* fit) {
    return lutra_quantize_fit(weights_.data(), kM, kK, kK, options, fit, &w_);
  };
  EXPECT_TRUE(CRefused(quantize(nullptr, &fit_), "options"));
  EXPECT_TRUE(CRefused(quantize(&options_, nullptr), "fit"));
  EXPECT_TRUE(CRefused(lutra_quantize_fit(weights_.data(), kM, kK, kK, &options_, &fit_, nullptr), "w"));
  EXPECT_TRUE(
      CRefused(lutra_quantize_with_feedback(weights_.data(), kM, kK, kK, &options_, &fit_, nullptr, &w_), "feedback"));
  EXPECT_TRUE(CRefused(lutra_learn_codebook(weights_.data(), kM, kK, kK, &options_, &fit_, nullptr), "codebook"));
  for (const lutra_fit bad : {-1, 2, 256}) {
    fit_.fit = bad;
    EXPECT_TRUE(CRefused(quantize(&options_, &fit_), "options.fit"));
  }
}

}  // namespace
}  // namespace lutra::test
