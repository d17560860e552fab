// Quantize and Dequantize: the documented scales, the best codes for them, the documented values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/misaligned.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

float Lowest(const QuantizedView& w, std::size_t group) {
  float lowest = ValueOf(w, group, 0);
  for (int q = 1; q < Describe(w.format).levels; ++q) lowest = std::min(lowest, ValueOf(w, group, q));
  return lowest;
}
float Highest(const QuantizedView& w, std::size_t group) {
  float highest = ValueOf(w, group, 0);
  for (int q = 1; q < Describe(w.format).levels; ++q) highest = std::max(highest, ValueOf(w, group, q));
  return highest;
}

class Quantizing : public ::testing::TestWithParam<std::tuple<FormatInfo, Zeros>> {
 protected:
  static constexpr std::size_t kM = 5, kK = 300, kStride = 303;

  const FormatInfo& f() const { return std::get<0>(GetParam()); }
  Zeros zeros() const { return std::get<1>(GetParam()); }
  bool HasFreeZero() const { return zeros() == Zeros::kFloat || zeros() == Zeros::kOffset; }
  bool HasMeanScale() const { return f().format == Format::kInt1 || f().format == Format::kTernary; }

  // [kM x kK] around `mean`, with gaps that must not be read as weights.
  static std::vector<float> Weights(float mean) {
    Random random(1);
    std::vector<float> weights(kM * kStride, std::numeric_limits<float>::quiet_NaN());
    for (std::size_t m = 0; m < kM; ++m) {
      for (std::size_t k = 0; k < kK; ++k) weights[m * kStride + k] = mean + random.Gaussian();
    }
    return weights;
  }
  QuantizedMatrix Quantized(const std::vector<float>& weights, std::size_t group, DataType scale_type) const {
    QuantizedMatrix q;
    QuantizeOptions options;
    options.format = f().format;
    options.group = group;
    options.scale_type = scale_type;
    SetZeros(zeros(), &options);
    SetCodebook(&options);
    EXPECT_TRUE(Ok(Quantize(weights.data(), kM, kK, kStride, options, &q)));
    return q;
  }
  static std::size_t GroupAt(std::size_t m, std::size_t k, std::size_t group) {
    if (group == kPerMatrix) return 0;
    return group == kPerRow ? m : m * GroupsPerRow(kK, group) + k / group;
  }
  double ZeroAt(const QuantizedView& w, std::size_t at) const {
    switch (zeros()) {
      case Zeros::kNone:
        return f().default_zero;
      case Zeros::kInteger:
      case Zeros::kUInt4:
        return static_cast<const std::uint8_t*>(w.zeros)[at];
      case Zeros::kFloat:
        return Load(w.scale_type, w.zeros, at);
      case Zeros::kOffset:
        break;
    }
    return -double{Load(w.scale_type, w.zeros, at)} / Load(w.scale_type, w.scales, at);
  }
};

// No other code lies nearer to the weight, given the stored scale and zero point.
TEST_P(Quantizing, CodesAreTheNearest) {
  for (const std::size_t group : kGroups) {
    for (const DataType scale_type : kFloatTypes) {
      SCOPED_TRACE(::testing::Message() << "group " << group << " scales " << Name(scale_type));
      const std::vector<float> weights = Weights(0.25f);
      const QuantizedMatrix q = Quantized(weights, group, scale_type);
      const QuantizedView& v = q.view();
      ASSERT_EQ(v.group, group);
      ASSERT_EQ(v.scale_type, scale_type);
      for (std::size_t m = 0; m < kM; ++m) {
        for (std::size_t k = 0; k < kK; ++k) {
          const std::size_t at = GroupAt(m, k, group);
          const double w = weights[m * kStride + k], scale = Load(scale_type, v.scales, at), zero = ZeroAt(v, at);
          const auto error = [&](int code) { return std::abs(w - scale * (ValueOf(v, at, code) - zero)); };
          double best = error(0);
          for (int code = 1; code < f().levels; ++code) {
            if (f().has(code)) best = std::min(best, error(code));
          }
          const int code = v.codes[m * v.code_stride + k];
          ASSERT_TRUE(f().has(code));
          ASSERT_LE(error(code), best + 1e-5 * std::abs(scale)) << "m " << m << " k " << k << " w " << w;
        }
      }
    }
  }
}

TEST_P(Quantizing, ScalesAreTheDocumentedOnes) {
  for (const std::size_t group : kGroups) {
    SCOPED_TRACE(group);
    const std::vector<float> weights = Weights(0.0f);
    const QuantizedMatrix q = Quantized(weights, group, DataType::kF32);
    std::vector<std::vector<double>> members(ScaleCount(q.view()));
    for (std::size_t m = 0; m < kM; ++m) {
      for (std::size_t k = 0; k < kK; ++k) members[GroupAt(m, k, group)].push_back(weights[m * kStride + k]);
    }
    for (std::size_t at = 0; at < members.size(); ++at) {
      const std::vector<double>& of_group = members[at];
      const double scale = Load(DataType::kF32, q.view().scales, at), zero = ZeroAt(q.view(), at);
      const auto [low, high] = std::minmax_element(of_group.begin(), of_group.end());
      double sum = 0, magnitudes = 0;
      for (const double w : of_group) sum += w, magnitudes += std::abs(w);
      const double count = static_cast<double>(of_group.size()), tolerance = 1e-5;
      if (HasMeanScale() && HasFreeZero()) {
        EXPECT_NEAR(-scale * zero, sum / count, tolerance);  // the values are centered at the mean
      } else if (HasMeanScale()) {
        EXPECT_NEAR(scale, magnitudes / count, tolerance);
        EXPECT_EQ(zero, 0.0);
      } else if (f().is_float()) {  // the extreme is the largest number, or its negative
        const double largest = f().value(f().floats.magnitudes - 1);
        EXPECT_NEAR(std::abs(scale) * largest, std::max(-*low, *high), tolerance);
      } else if (f().has_table()) {
        const float least = Lowest(q.view(), at), most = Highest(q.view(), at);
        if (HasFreeZero()) {
          EXPECT_NEAR(scale, (*high - *low) / (most - least), tolerance);
          EXPECT_NEAR(scale * (least - zero), *low, tolerance);
        } else {
          const float largest = f().own_values && most > -least ? most : least;
          EXPECT_NEAR(scale * largest, -*low > *high ? *low : *high, tolerance);
          EXPECT_EQ(zero, 0.0);
        }
      } else if (zeros() == Zeros::kNone) {
        EXPECT_EQ(-scale * f().default_zero, -*low > *high ? *low : *high);  // code 0 is the extreme, exactly
      } else {
        // Zero points of four bits may not reach far enough for codes of more bits.
        const double least = zeros() == Zeros::kUInt4 ? -*low / 15 : 0.0;
        EXPECT_NEAR(scale, std::max((*high - *low) / (f().levels - 1), least), tolerance);
        EXPECT_NEAR(-scale * zero, *low, HasFreeZero() ? tolerance : scale / 2 + tolerance);
      }
    }
  }
}

// Scales that become 0 or too large for their type, all weights equal or 0: still codes of the format, finite values.
TEST_P(Quantizing, DegenerateWeights) {
  for (const float value : {0.0f, 1.0f, -1.0f, 1e-30f, -1e-42f, 1e30f, -3e38f}) {
    for (const DataType scale_type : kFloatTypes) {
      SCOPED_TRACE(::testing::Message() << value << " scales " << Name(scale_type));
      const QuantizedMatrix q = Quantized(std::vector<float>(kM * kStride, value), 128, scale_type);
      std::vector<float> w(kM * kK);
      ASSERT_TRUE(Ok(Dequantize(q.view(), w.data(), kK)));
      for (const float weight : w) {
        ASSERT_TRUE(std::isfinite(weight));
        if (value == 0.0f) {
          ASSERT_EQ(weight, 0.0f);
        }
      }
    }
  }
}

TEST_P(Quantizing, DequantizeFollowsTheFormula) {
  double largest = f().own_values ? kHighestOwnValue : f().levels;
  for (int q = 0; q < f().code_end(); ++q) largest = std::max(largest, std::fabs(double{f().value(q)}));
  Case c;
  c.format = f().format;
  c.zeros = zeros();
  c.m = kM;
  c.k = kK;
  c.gap = 2;
  for (const std::size_t group : kGroups) {
    for (const DataType scale_type : kFloatTypes) {
      c.group = group;
      c.scale_type = scale_type;
      c.order = !c.order;
      SCOPED_TRACE(c);
      const Problem problem(c);
      const QuantizedView& v = problem.w();
      std::vector<float> w(kM * kStride, -1.0f);
      ASSERT_TRUE(Ok(Dequantize(v, w.data(), kStride)));
      for (std::size_t m = 0; m < kM; ++m) {
        for (std::size_t k = 0; k < kStride; ++k) {
          const float actual = w[m * kStride + (k < kK ? ColumnOfX(v, k) : k)];
          if (k >= kK) {
            ASSERT_EQ(actual, -1.0f);
            continue;
          }
          const std::size_t at = GroupAt(m, k, group);
          const double scale = Load(scale_type, v.scales, at), zero = ZeroAt(v, at);
          const double expected = scale * (ValueOf(v, at, v.codes[m * v.code_stride + k]) - zero);
          ASSERT_NEAR(actual, expected, 0x1p-22 * std::abs(scale) * (largest + std::abs(zero)));
        }
      }
    }
  }
}

std::string QuantizingName(const ::testing::TestParamInfo<Quantizing::ParamType>& info) {
  return std::string(std::get<0>(info.param).name) + "_" + Name(std::get<1>(info.param));
}
std::vector<Quantizing::ParamType> FormatsWithZeros() {
  std::vector<Quantizing::ParamType> all;
  for (const FormatInfo& f : kFormats) {
    for (const Zeros zeros : kZeros) {
      if (HasZeros(f.format, zeros)) all.emplace_back(f, zeros);
    }
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(Each, Quantizing, ::testing::ValuesIn(FormatsWithZeros()), QuantizingName);

TEST(Quantize, SignBitsFollowTheSign) {
  const std::vector<float> weights = {0.0f, 1.0f, -1.0f, 1e-20f, -1e-20f, -0.0f};
  QuantizedMatrix q;
  ASSERT_TRUE(Ok(Quantize(weights.data(), 1, weights.size(), 0, {Format::kInt1}, &q)));
  for (std::size_t k = 0; k < weights.size(); ++k) EXPECT_EQ(q.view().codes[k], weights[k] >= 0) << weights[k];
}

TEST(QuantizedMatrix, MakesRoomForBiasAndOrder) {
  QuantizedView shape;
  shape.m = 3;
  shape.k = 5;
  QuantizedMatrix q;
  ASSERT_TRUE(Ok(q.Allocate(shape)));
  EXPECT_EQ(q.bias(), nullptr);
  EXPECT_EQ(q.zeros(), nullptr);
  EXPECT_EQ(q.view().code_stride, 5u);
  ASSERT_TRUE(Ok(q.Allocate(shape, true)));
  ASSERT_NE(q.bias(), nullptr);
  q.bias()[2] = 1.5f;
  EXPECT_EQ(q.view().bias[2], 1.5f);
  EXPECT_EQ(q.order(), nullptr);
  const std::uint32_t order[5] = {};
  shape.order = order;
  ASSERT_TRUE(Ok(q.Allocate(shape)));
  ASSERT_NE(q.order(), nullptr);
  q.order()[4] = 3;
  EXPECT_EQ(ColumnOfX(q.view(), 4), 3u);
}

TEST(Quantize, RefusesFaultyArguments) {
  struct Call {
    const float* weights = nullptr;
    std::size_t m = 2, k = 40, row_stride = 40;
    QuantizeOptions options = {};
  };
  const Fault<Call> kFaults[] = {
      {"weights", [](Call& call) { call.weights = nullptr; }},
      {"row_stride", [](Call& call) { call.row_stride = 39; }},
      {"row_stride", [](Call& call) { call.row_stride = kMax / 2; }},
      {"options.format", [](Call& call) { call.options.format = static_cast<Format>(kFormatCount); }},
      {"options.group", [](Call& call) { call.options.group = 100; }},
      {"options.matrix_scale",
       [](Call& call) { call.options.scale_type = DataType::kE8M0, call.options.matrix_scale = -1.0f; }},
      {"options.matrix_scale",
       [](Call& call) { call.options.scale_type = DataType::kE4M3, call.options.matrix_scale = kInfinity; }},
      {"options.scale_type", [](Call& call) { call.options.scale_type = static_cast<DataType>(8); }},
      {"options.zero_kind", [](Call& call) { call.options.zero_kind = static_cast<ZeroKind>(8); }},
      {"options.zero_type",
       [](Call& call) { call.options.zero_kind = ZeroKind::kPoint, call.options.zero_type = DataType::kInt8; }},
      {"options.codebook_tables",
       [](Call& call) { call.options.format = Format::kCodebook3, SetCodebook(&call.options, 5); }},
      {"options.codebook_tables",
       [](Call& call) { call.options.format = Format::kCodebook4, SetCodebook(&call.options, 0); }},
      {"options.codebook", [](Call& call) { call.options.format = Format::kCodebook4; }},
      {"options.codebook",
       [](Call& call) { call.options.format = Format::kCodebook4, call.options.codebook = kFaultyCodebook; }},
      {"m", [](Call& call) { call.m = kMax; }},
      {"", [](Call& call) { call.m = kMax / 8; }},
      {"k", [](Call& call) { call.k = call.row_stride = kMax; }},
      {"k", [](Call& call) { call.k = call.row_stride = kMax / 2; }},
  };
  const std::vector<float> weights(80, 1.0f);
  Call good;
  good.weights = weights.data();
  QuantizedMatrix q;
  const auto quantize = [&](const Call& call) {
    return Quantize(call.weights, call.m, call.k, call.row_stride, call.options, &q);
  };
  ASSERT_TRUE(Ok(quantize(good)));
  const QuantizedView before = q.view();
  const auto expect_refused = [&](const Call& call, const char* argument) {
    EXPECT_TRUE(Refused(quantize(call), argument));
    EXPECT_EQ(q.view().codes, before.codes);
    EXPECT_EQ(q.view().m, before.m);
    EXPECT_EQ(q.view().k, before.k);
  };
  for (const Fault<Call>& fault : kFaults) {
    SCOPED_TRACE(::testing::Message() << "fault " << &fault - kFaults << " " << fault.argument);
    Call call = good;
    fault.spoil(call);
    expect_refused(call, fault.argument);
  }
  for (const float bad : kNotFinite) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{79}}) {
      std::vector<float> spoiled = weights;
      spoiled[at] = bad;
      Call call = good;
      call.weights = spoiled.data();
      expect_refused(call, "weights");
    }
  }
  EXPECT_TRUE(Refused(Quantize(weights.data(), 2, 40, 40, {}, nullptr), "w"));
}

TEST(QuantizedMatrix, RefusesFaultyShapes) {
  QuantizedMatrix q;
  QuantizedView shape;
  shape.m = 4;
  shape.k = 4;
  ASSERT_TRUE(Ok(q.Allocate(shape)));
  const std::uint8_t* const codes = q.codes();
  for (const Fault<QuantizedView>& fault : kWeightFaults) {
    QuantizedView faulty = shape;
    faulty.codes = codes;
    faulty.scales = faulty.zeros = codes;
    faulty.code_stride = 4;
    fault.spoil(faulty);
    // Pointers and strides do not matter here.
    const bool same = faulty.format == shape.format && faulty.m == shape.m && faulty.k == shape.k &&
                      faulty.group == shape.group && faulty.scale_type == shape.scale_type &&
                      faulty.zero_kind == shape.zero_kind && faulty.zero_type == shape.zero_type;
    const bool valid = faulty.format == Format::kCodebook4 && TableCount(faulty) <= kMaxTables;
    if (same || valid) continue;
    SCOPED_TRACE(::testing::Message() << "fault " << &fault - kWeightFaults << " " << fault.argument);
    EXPECT_TRUE(Refused(q.Allocate(faulty), fault.argument));
    EXPECT_EQ(q.codes(), codes);
  }
}

TEST(Quantize, TakesWeightsAtAnyAddress) {
  Random random(11);
  const std::size_t m = 3, k = 70;
  std::vector<float> weights(m * k);
  for (float& weight : weights) weight = random.Gaussian();
  const Misaligned<float> odd(weights.data(), weights.size());
  for (const FormatInfo& f : kFormats) {
    for (const std::size_t group : {std::size_t{32}, kPerMatrix}) {
      QuantizeOptions options;
      options.format = f.format;
      options.group = group;
      SetCodebook(&options);
      QuantizedMatrix expected, w;
      ASSERT_TRUE(Ok(Quantize(weights.data(), m, k, k, options, &expected)));
      ASSERT_TRUE(Ok(Quantize(odd.data(), m, k, k, options, &w)));
      ExpectSame(w.view(), expected.view());
    }
  }
}

}  // namespace
}  // namespace lutra::test
