// GPTQ checkpoints: the imported weights are the checkpoint's, bit for bit, and multiply within the bound.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "lutra/lutra.h"
#include "support/checkpoints.h"
#include "support/faults.h"
#include "support/imported.h"
#include "support/misaligned.h"
#include "support/panels.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

using GptqParam = std::tuple<unsigned, std::ptrdiff_t, GptqZeros, bool, bool>;

constexpr GptqZeros kReadings[] = {GptqZeros::kV1Words, GptqZeros::kV2, GptqZeros::kV1Fields, GptqZeros::kV1Masked};

class Gptq : public ::testing::TestWithParam<GptqParam> {
 protected:
  static constexpr std::size_t kM = 96, kK = 288;  // not whole groups, but of 32

  static Grouped Matrix(const GptqParam& param) {
    const auto [bits, group_size, reading, one_zero, act_order] = param;
    Grouped w(bits, kM, kK, group_size, one_zero, act_order);
    if (reading == GptqZeros::kV1Fields) w.RaiseZeros(bits);
    return w;
  }
};

TEST_P(Gptq, IsBitForBitTheMatrix) {
  const auto [bits, group_size, reading, one_zero, act_order] = GetParam();
  const Grouped expected = Matrix(GetParam());
  const GptqTensors tensors(expected, bits, group_size, reading);
  QuantizedMatrix w;
  ASSERT_TRUE(Ok(ImportGptq(tensors.view, &w)));
  const QuantizedView& v = w.view();
  EXPECT_EQ(v.format, bits == 2 ? Format::kInt2 : bits == 3 ? Format::kInt3 : Format::kInt4);
  EXPECT_EQ(v.group, group_size == -1 ? kPerRow : static_cast<std::size_t>(group_size));
  EXPECT_EQ(v.zero_kind, one_zero ? ZeroKind::kNone : ZeroKind::kPoint);
  const bool has_16 = std::count(expected.zeros.begin(), expected.zeros.end(), 16u) != 0;
  EXPECT_EQ(v.zero_type, has_16 ? DataType::kUInt8 : DataType::kUInt4);
  EXPECT_EQ(v.order != nullptr, act_order && expected.groups > 1);
  EXPECT_TRUE(SameBits(Dequantized(v), expected.Weights(), kK));
  ExpectPanelsOfPack(tensors.view, v);
  for (std::size_t j = 0; j + 1 < kK && v.order != nullptr; ++j) {  // stable: columns of a group keep their order
    const bool same_group = expected.g_idx[v.order[j]] == expected.g_idx[v.order[j + 1]];
    EXPECT_TRUE(!same_group || v.order[j] < v.order[j + 1]) << j;
  }
  if (!act_order) {
    QuantizedMatrix same;
    GptqView without = tensors.view;
    without.g_idx = {};
    ASSERT_TRUE(Ok(ImportGptq(without, &same)));
    EXPECT_TRUE(SameBits(Dequantized(same.view()), expected.Weights(), kK));
  }
}

TEST_P(Gptq, MultipliesWithinTheBound) {
  const auto [bits, group_size, reading, one_zero, act_order] = GetParam();
  const Grouped expected = Matrix(GetParam());
  QuantizedMatrix w;
  ASSERT_TRUE(Ok(ImportGptq(GptqTensors(expected, bits, group_size, reading).view, &w)));
  ExpectRightProducts(w.view());

  // The reference multiplies column k of the checkpoint with column k of x.
  std::vector<float> x(kK);
  for (std::size_t column = 0; column < kK; ++column) x[column] = static_cast<float>(column % 7) - 2;
  std::vector<double> y(kM);
  ASSERT_TRUE(Ok(ReferenceMatMul(w.view(), {x.data(), DataType::kF32, 1, kK, kK}, y.data())));
  const std::vector<float> weights = expected.Weights();
  for (std::size_t row = 0; row < kM; ++row) {
    EXPECT_NEAR(y[row], std::inner_product(x.begin(), x.end(), &weights[row * kK], 0.0), 1e-3) << row;
  }
}

std::string GptqName(const ::testing::TestParamInfo<GptqParam>& info) {
  const auto [bits, group_size, reading, one_zero, act_order] = info.param;
  return std::to_string(bits) + "bits_" + (group_size == -1 ? std::string("row") : std::to_string(group_size)) + "_" +
         Name(reading) + (one_zero ? "_one_zero" : "") + (act_order ? "_act_order" : "");
}
INSTANTIATE_TEST_SUITE_P(Each, Gptq,
                         ::testing::Combine(::testing::Values(2u, 3u, 4u), ::testing::Values(-1, 16, 32, 64, 128, 256),
                                            ::testing::ValuesIn(kReadings), ::testing::Bool(), ::testing::Bool()),
                         GptqName);

TEST(GptqView, RefusesFaultyArguments) {
  const Grouped w(4, 64, 256, 128, false, false);
  const GptqTensors tensors(w, 4, 128, GptqZeros::kV1Words);
  const GptqView good = tensors.view;
  std::vector<std::int32_t> few(w.g_idx), negative(w.g_idx), beyond(w.g_idx);
  few[0] = 1, negative[7] = -1, beyond[255] = 2;
  const Fault<GptqView> kFaults[] = {
      {"gptq.bits", [](GptqView& v) { v.bits = 0; }},
      {"gptq.bits", [](GptqView& v) { v.bits = 1; }},
      {"gptq.bits", [](GptqView& v) { v.bits = 5; }},
      {"gptq.bits", [](GptqView& v) { v.bits = -4; }},
      {"gptq.m", [](GptqView& v) { v.m = 60; }},
      {"gptq.m", [](GptqView& v) { v.m = kMax; }},
      {"gptq.k", [](GptqView& v) { v.k = 252; }},
      {"gptq.k", [](GptqView& v) { v.k = kMax - 31; }},
      {"gptq.group_size", [](GptqView& v) { v.group_size = 0; }},
      {"gptq.group_size", [](GptqView& v) { v.group_size = -2; }},
      {"gptq.qweight", [](GptqView& v) { v.m = 72; }},
      {"gptq.qweight", [](GptqView& v) { v.k = 264; }},
      {"gptq.qweight", [](GptqView& v) { v.qweight.size -= 1; }},
      {"gptq.qweight", [](GptqView& v) { v.qweight.data = nullptr; }},
      {"gptq.qzeros", [](GptqView& v) { v.qzeros.size += 1; }},
      {"gptq.qzeros", [](GptqView& v) { v.qzeros.data = nullptr; }},
      {"gptq.qzeros", [](GptqView& v) { v.group_size = 64; }},
      {"gptq.scales", [](GptqView& v) { v.scales.size -= 1; }},
      {"gptq.scales", [](GptqView& v) { v.scales.data = nullptr; }},
      {"gptq.g_idx", [](GptqView& v) { v.g_idx.size -= 1; }},
      {"gptq.g_idx", [](GptqView& v) { v.g_idx.data = nullptr; }},
      {"gptq.g_idx", [&](GptqView& v) { v.g_idx.data = negative.data(); }},
      {"gptq.g_idx", [&](GptqView& v) { v.g_idx.data = beyond.data(); }},
      {"gptq.zeros", [](GptqView& v) { v.zeros = static_cast<GptqZeros>(4); }},
  };
  QuantizedMatrix q;
  ASSERT_TRUE(Ok(ImportGptq(good, &q)));
  const std::uint8_t* const codes = q.codes();
  for (const Fault<GptqView>& fault : kFaults) {
    SCOPED_TRACE(::testing::Message() << "fault " << &fault - kFaults << " " << fault.argument);
    GptqView view = good;
    fault.spoil(view);
    EXPECT_TRUE(Refused(ImportGptq(view, &q), fault.argument));
    EXPECT_EQ(q.codes(), codes);
  }
  const Fault<GptqView> kNotSupported[] = {
      {"gptq.bits", [](GptqView& v) { v.bits = 8; }},
      {"gptq.group_size", [](GptqView& v) { v.group_size = 40; }},
      {"gptq.group_size", [](GptqView& v) { v.group_size = 8; }},
      {"gptq.g_idx", [&](GptqView& v) { v.g_idx.data = few.data(); }},
  };
  for (const Fault<GptqView>& fault : kNotSupported) {
    GptqView view = good;
    fault.spoil(view);
    EXPECT_TRUE(NotSupported(ImportGptq(view, &q), fault.argument));
    EXPECT_EQ(q.codes(), codes);
  }
  for (const float bad : kNotFinite) {
    std::vector<std::uint16_t> scales = w.scales;
    scales.back() = F32ToF16(bad);
    GptqView view = good;
    view.scales.data = scales.data();
    EXPECT_TRUE(Refused(ImportGptq(view, &q), "gptq.scales"));
  }
  EXPECT_TRUE(Refused(ImportGptq(good, nullptr), "w"));
}

// A zero point of 0 borrows from its neighbour where a writer subtracts 1 from all fields of a word at once.
TEST(GptqView, ReadsZerosAsTheirWriterDoes) {
  const std::size_t m = 8, k = 32;
  const std::vector<std::uint32_t> qweight(4 * m);
  const std::uint32_t qzeros = 0x55555550u - 0x11111111u;
  ASSERT_EQ(qzeros, 0x4444443fu);
  const std::vector<std::uint16_t> scales(m, F32ToF16(1.0f));
  GptqView view;
  view.m = m;
  view.k = k;
  view.group_size = -1;
  view.qweight = {qweight.data(), qweight.size()};
  view.qzeros = {&qzeros, 1};
  view.scales = {scales.data(), scales.size()};
  struct Expected {
    GptqZeros zeros;
    float first, second, others;
  };
  const Expected kExpected[] = {
      {GptqZeros::kV1Words, 0, -5, -5},
      {GptqZeros::kV2, -15, -3, -4},
      {GptqZeros::kV1Fields, -16, -4, -5},
      {GptqZeros::kV1Masked, 0, -4, -5},
  };
  for (const Expected& expected : kExpected) {
    SCOPED_TRACE(Name(expected.zeros));
    view.zeros = expected.zeros;
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportGptq(view, &w)));
    const std::vector<float> weights = Dequantized(w.view());
    for (std::size_t i = 0; i < m * k; ++i) {
      EXPECT_EQ(weights[i], i < k ? expected.first : i < 2 * k ? expected.second : expected.others) << i;
    }
    ExpectRightProducts(w.view());
  }
  EXPECT_EQ(GptqView().zeros, GptqZeros::kV1Words);
}

TEST(GptqView, TellsVersionsOfSymmetricCheckpoints) {
  const std::uint32_t v1 = Reading(GptqZeros::kV1Words) | Reading(GptqZeros::kV1Fields) | Reading(GptqZeros::kV1Masked),
                      v2 = Reading(GptqZeros::kV2);
  for (const unsigned bits : {2u, 3u, 4u}) {
    for (const GptqZeros reading : kReadings) {
      SCOPED_TRACE(::testing::Message() << bits << " bits, " << Name(reading));
      std::uint32_t readings = 77;
      const Grouped symmetric(bits, 64, 256, 128, true, false);
      ASSERT_TRUE(Ok(PlausibleGptqZeros(GptqTensors(symmetric, bits, 128, reading).view, &readings)));
      EXPECT_EQ(readings, reading == GptqZeros::kV2 ? v2 : v1);
      Grouped asymmetric(bits, 64, 256, 128, false, false);
      asymmetric.RaiseZeros(bits);
      for (unsigned& zero : asymmetric.zeros) zero = std::min(zero, (1u << bits) - 1);
      ASSERT_TRUE(Ok(PlausibleGptqZeros(GptqTensors(asymmetric, bits, 128, reading).view, &readings)));
      EXPECT_EQ(readings, v1 | v2);
    }
  }
  const Grouped w(4, 64, 256, 128, true, false);
  const GptqTensors tensors(w, 4, 128, GptqZeros::kV2);
  const Fault<GptqView> kFaults[] = {
      {"gptq.bits", [](GptqView& v) { v.bits = 1; }},
      {"gptq.m", [](GptqView& v) { v.m = 60; }},
      {"gptq.m", [](GptqView& v) { v.m = kMax - 31; }},
      {"gptq.qzeros", [](GptqView& v) { v.qzeros.size -= 1; }},
      {"gptq.qzeros", [](GptqView& v) { v.qzeros.data = nullptr; }},
      {"gptq.qzeros", [](GptqView& v) { v.m = 0; }},
  };
  std::uint32_t readings = 77;
  for (const Fault<GptqView>& fault : kFaults) {
    SCOPED_TRACE(::testing::Message() << "fault " << &fault - kFaults << " " << fault.argument);
    GptqView view = tensors.view;
    fault.spoil(view);
    EXPECT_TRUE(Refused(PlausibleGptqZeros(view, &readings), fault.argument));
    EXPECT_EQ(readings, 77u);
  }
  EXPECT_TRUE(Refused(PlausibleGptqZeros(tensors.view, nullptr), "readings"));
  EXPECT_TRUE(Ok(PlausibleGptqZeros({}, &readings)));
  EXPECT_EQ(readings, v1 | v2);
}

// Groups that no format has become several with the same scale.
TEST(GptqView, TakesGroupsOfAnyMultipleOf16) {
  constexpr std::pair<std::ptrdiff_t, std::size_t> kSizes[] = {{512, 256}, {1024, 256}, {768, 256}, {384, 128},
                                                               {192, 64},  {96, 32},    {48, 16},   {1040, 16}};
  for (const auto& [size, group] : kSizes) {
    for (const bool act_order : {false, true}) {
      for (const unsigned bits : {2u, 3u, 4u}) {
        SCOPED_TRACE(::testing::Message() << "group " << size << ", " << bits << " bits, order " << act_order);
        const std::size_t k = 2336;  // not whole groups
        const Grouped expected(bits, 32, k, size, false, act_order);
        QuantizedMatrix w;
        ASSERT_TRUE(Ok(ImportGptq(GptqTensors(expected, bits, size, GptqZeros::kV2).view, &w)));
        EXPECT_EQ(w.view().group, group);
        EXPECT_TRUE(SameBits(Dequantized(w.view()), expected.Weights(), k));
      }
    }
  }
}

TEST(GptqView, SaysThatGroupsOfZerosAreNone) {
  const Grouped w(4, 64, 256, 64, false, false);
  const std::vector<std::int32_t> none(256);
  GptqTensors tensors(w, 4, 64, GptqZeros::kV2);
  tensors.view.g_idx.data = none.data();
  QuantizedMatrix q;
  const Status status = ImportGptq(tensors.view, &q);
  EXPECT_TRUE(NotSupported(status, "gptq.g_idx"));
  EXPECT_NE(std::string(status.reason()).find("pass no g_idx"), std::string::npos) << status.reason();
  tensors.view.g_idx = {};
  EXPECT_TRUE(Ok(ImportGptq(tensors.view, &q)));
}

// Tensors of safetensors files begin at any byte.
TEST(GptqView, MayBeAtAnyAddress) {
  for (const unsigned bits : {2u, 3u, 4u}) {
    const Grouped expected(bits, 64, 256, 64, false, true);
    const GptqTensors tensors(expected, bits, 64, GptqZeros::kV1Words);
    GptqView view = tensors.view;
    const Misaligned<std::uint32_t> qweight(view.qweight), qzeros(view.qzeros);
    const Misaligned<std::uint16_t> scales(view.scales);
    const Misaligned<std::int32_t> g_idx(view.g_idx);
    view.qweight = qweight.view();
    view.qzeros = qzeros.view();
    view.scales = scales.view();
    view.g_idx = g_idx.view();
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportGptq(view, &w)));
    EXPECT_TRUE(SameBits(Dequantized(w.view()), expected.Weights(), 256));
    std::uint32_t readings;
    EXPECT_TRUE(Ok(PlausibleGptqZeros(view, &readings)));
  }
}

// The order of columns does not count, as g_idx has 32 bits per column, too. Rows of 288 end with a part of 256, and
// rows of 352 with an odd number of groups. (A row of less than 128 weights may take one byte more.)
TEST(GptqView, PacksIntoBarelyMoreBytes) {
  for (const unsigned bits : {2u, 3u, 4u}) {
    for (const std::ptrdiff_t group_size : {-1, 16, 32, 64, 128, 256}) {
      for (const std::size_t k : {std::size_t{128}, std::size_t{288}, std::size_t{352}, std::size_t{4096}}) {
        for (const bool one_zero : {false, true}) {
          SCOPED_TRACE(::testing::Message()
                       << bits << " bits, group " << group_size << ", K " << k << ", " << one_zero);
          const Grouped grouped(bits, 64, k, group_size, one_zero, false);
          const GptqTensors tensors(grouped, bits, group_size, GptqZeros::kV1Words);
          const GptqView& v = tensors.view;
          const std::size_t bytes = 4 * (v.qweight.size + v.qzeros.size) + 2 * v.scales.size;
          QuantizedMatrix w;
          ASSERT_TRUE(Ok(ImportGptq(v, &w)));
          for (const Target target : RunnableTargets()) EXPECT_LE(PackedPerFile(w, bytes, target), kMostBytes);
        }
      }
    }
  }
}

TEST(GptqView, GroupsAsLongAsRowsAreRows) {
  const Grouped w(4, 32, 96, -1, false, false);
  GptqTensors tensors(w, 4, -1, GptqZeros::kV2);
  for (const std::ptrdiff_t group_size : {96, 97, 128, 1000}) {
    tensors.view.group_size = group_size;
    QuantizedMatrix q;
    ASSERT_TRUE(Ok(ImportGptq(tensors.view, &q)));
    EXPECT_EQ(q.view().group, kPerRow);
    EXPECT_TRUE(SameBits(Dequantized(q.view()), w.Weights(), 96));
  }
}

TEST(GptqView, TakesEmptyMatrices) {
  GptqView view;
  QuantizedMatrix q;
  ASSERT_TRUE(Ok(ImportGptq(view, &q)));
  EXPECT_EQ(q.view().m, 0u);
  view.k = 64;
  EXPECT_TRUE(Ok(ImportGptq(view, &q)));
  EXPECT_EQ(q.view().k, 64u);
}

}  // namespace
}  // namespace lutra::test
