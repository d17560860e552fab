// Quantize with scales of a byte: E8M0 (MXFP4, MXFP8), and E4M3 under a scale of the matrix (NVFP4).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/panels.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kM = 70, kK = 304;

struct ByteScales {
  Format format;
  std::size_t group;
  DataType type;
  float largest;  // value of a code
};
constexpr ByteScales kSchemes[] = {
    {Format::kFp4, 32, DataType::kE8M0, 6.0f},          // MXFP4
    {Format::kFp8E4M3, 32, DataType::kE8M0, 448.0f},    // MXFP8
    {Format::kFp8E5M2, 32, DataType::kE8M0, 57344.0f},  // MXFP8
    {Format::kFp6E2M3, 32, DataType::kE8M0, 7.5f},      // MXFP6
    {Format::kFp4, 16, DataType::kE4M3, 6.0f},          // NVFP4
};

QuantizeOptions OptionsOf(const ByteScales& s) {
  QuantizeOptions options;
  options.format = s.format;
  options.group = s.group;
  options.scale_type = s.type;
  return options;
}

float ScaleOf(const QuantizedView& w, unsigned byte) {
  return w.matrix_scale *
         (w.scale_type == DataType::kE8M0 ? std::ldexp(1.0f, static_cast<int>(byte) - 127) : E4M3(byte));
}
unsigned LastByte(DataType type) { return type == DataType::kE8M0 ? 254 : 126; }

// The squared error of weights with a scale, whose codes are the nearest ones of all.
double ErrorWith(const FormatInfo& f, float scale, const float* weights, std::size_t count) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    double least = std::numeric_limits<double>::infinity();
    for (int q = 0; q < f.levels; ++q) {
      if (f.has(q)) least = std::min(least, std::fabs(double{weights[i]} - double{scale} * f.value(q)));
    }
    sum += least * least;
  }
  return sum;
}

std::vector<float> Weights(float factor) {
  Random random(5);
  std::vector<float> weights(kM * kK);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = factor * random.Gaussian() * std::exp2(static_cast<float>(i / kK % 8));
  }
  return weights;
}

// Of the scales below and above max|w| / the largest value, each group has the one with the smaller error.
TEST(ByteScales, TakeTheNeighbourWithLessError) {
  const std::vector<float> weights = Weights(0.02f);
  for (const ByteScales& s : kSchemes) {
    SCOPED_TRACE(::testing::Message() << Name(s.format) << ' ' << Name(s.type));
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, OptionsOf(s), &w)));
    const QuantizedView& v = w.view();
    const std::size_t groups = GroupsPerRow(kK, s.group);
    const auto* const bytes = static_cast<const std::uint8_t*>(v.scales);
    unsigned highest = 0;
    for (std::size_t i = 0; i < kM * groups; ++i) {
      const std::size_t begin = i % groups * s.group, count = std::min(s.group, kK - begin);
      const float* const of_group = weights.data() + i / groups * kK + begin;
      float max = 0;
      for (std::size_t j = 0; j < count; ++j) max = std::max(max, std::fabs(of_group[j]));
      unsigned above = 0;
      while (above < LastByte(s.type) && ScaleOf(v, above) < max / s.largest * (1 - 1e-6f)) ++above;
      highest = std::max(highest, above);
      const FormatInfo& f = Describe(s.format);
      const double of_above = ErrorWith(f, ScaleOf(v, above), of_group, count);
      const double of_below = above == 0 ? of_above : ErrorWith(f, ScaleOf(v, above - 1), of_group, count);
      ASSERT_NEAR(ErrorWith(f, ScaleOf(v, bytes[i]), of_group, count), std::min(of_above, of_below), 1e-4 * of_above);
    }
    EXPECT_EQ(v.matrix_scale == 1.0f, s.type == DataType::kE8M0);
    if (s.type == DataType::kE4M3) {
      EXPECT_GE(highest, 125u);  // the scale of the matrix uses the range
    }
  }
}

// Searches are never worse than the nearest scales, and both have little error.
TEST(ByteScales, HaveSmallErrors) {
  const std::vector<float> weights = Weights(0.02f);
  double squares = 0;
  for (const float weight : weights) squares += double{weight} * weight;
  constexpr double kMostError[] = {0.018, 0.0012, 0.0045, 0.0012, 0.011};  // NMSE
  for (const ByteScales& s : kSchemes) {
    SCOPED_TRACE(::testing::Message() << Name(s.format) << ' ' << Name(s.type));
    double errors[2] = {};
    for (const Fit fit : {Fit::kRange, Fit::kLeastError}) {
      QuantizeOptions options = OptionsOf(s);
      options.fit = fit;
      QuantizedMatrix w;
      ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &w)));
      std::vector<float> out(weights.size());
      ASSERT_TRUE(Ok(Dequantize(w.view(), out.data(), kK)));
      for (std::size_t i = 0; i < out.size(); ++i)
        errors[fit == Fit::kRange ? 0 : 1] += std::pow(out[i] - weights[i], 2);
    }
    EXPECT_LT(errors[0], kMostError[&s - kSchemes] * squares);
    EXPECT_LE(errors[1], errors[0]);
  }
}

// Scales of E4M3 that cannot reach the weights: zero points are 0, as no weight is negative, and codes are the highest.
TEST(ByteScales, KeepZeroPointsInRange) {
  std::vector<float> weights = Weights(1e5f);
  for (float& weight : weights) weight = std::fabs(weight);
  QuantizeOptions options;
  options.group = 32;
  options.scale_type = DataType::kE4M3;
  options.zero_kind = ZeroKind::kPoint;
  options.zero_type = DataType::kUInt8;
  for (const float matrix_scale : {1e-38f, 1.0f}) {
    SCOPED_TRACE(matrix_scale);
    options.matrix_scale = matrix_scale;
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &w)));
    const auto* const zeros = static_cast<const std::uint8_t*>(w.view().zeros);
    for (std::size_t i = 0; i < kM * ((kK + 31) / 32); ++i) ASSERT_EQ(zeros[i], 0u);
    if (matrix_scale == 1.0f) continue;
    for (std::size_t i = 0; i < weights.size(); ++i) ASSERT_EQ(w.view().codes[i], weights[i] > 0.0f ? 15u : 0u);
  }
}

TEST(ByteScales, HoldExtremes) {
  for (const float factor : {0.0f, 1e-42f, 1e-38f, 1e30f, 1e35f}) {
    const std::vector<float> weights = Weights(factor);
    for (const ByteScales& s : kSchemes) {
      SCOPED_TRACE(::testing::Message() << factor << ' ' << Name(s.format) << ' ' << Name(s.type));
      QuantizedMatrix w;
      ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, OptionsOf(s), &w)));
      std::vector<float> out(weights.size());
      ASSERT_TRUE(Ok(Dequantize(w.view(), out.data(), kK)));
      for (std::size_t i = 0; i < out.size(); ++i) {
        ASSERT_TRUE(std::isfinite(out[i]));
        // No weight becomes larger than by the coarsest rounding; zeros stay zeros.
        ASSERT_LE(std::fabs(out[i]), 2 * std::fabs(weights[i]) + 6e-39f + 0.5f * factor);
        if (weights[i] == 0.0f) {
          ASSERT_EQ(out[i], 0.0f);
        }
      }
      PackedMatrix packed;
      EXPECT_TRUE(Ok(Pack(w.view(), &packed)));
    }
  }
}

// PackPanels quantizes rows to the same bytes, with the scale of the matrix of the layout.
TEST(ByteScales, PackFromFloats) {
  const std::vector<float> weights = Weights(0.02f);
  for (const ByteScales& s : kSchemes) {
    SCOPED_TRACE(::testing::Message() << Name(s.format) << ' ' << Name(s.type));
    QuantizeOptions options = OptionsOf(s);
    PackedLayout layout;
    if (s.type == DataType::kE4M3) {
      EXPECT_TRUE(Refused(LayoutOf(ShapeOf(kM, kK, options), {}, &layout), "w.matrix_scale"));
      options.matrix_scale = 0.001f;
    }
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(Quantize(weights.data(), kM, kK, kK, options, &w)));
    PackedMatrix expected, actual;
    ASSERT_TRUE(Ok(Pack(w.view(), &expected)));
    ASSERT_TRUE(Ok(LayoutOf(ShapeOf(kM, kK, options), {}, &layout)));
    LayoutMemory memory(layout);
    const FloatRows rows{weights.data(), kK};
    ASSERT_TRUE(Ok(PackPanels(layout, rows, 0, layout.panels(), memory.data(), memory.size())));
    ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), 0, &actual)));
    ExpectSameMatrix(actual, expected);
    QuantizedView shape = ShapeOf(kM, kK, options);
    shape.matrix_scale = -1.0f;
    ASSERT_TRUE(Ok(LayoutOf(shape, {}, &layout)));
    EXPECT_TRUE(Refused(PackPanels(layout, rows, 0, layout.panels(), memory.data(), memory.size()), "layout"));
  }
}

}  // namespace
}  // namespace lutra::test
