// The C API quantizes, dequantizes, unpacks and imports the same weights as the C++ one.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "support/c_api.h"
#include "support/c_views.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class LutraCWeights : public KernelTest {};

// Quantized from floats, packed, and unpacked again.
TEST_P(LutraCWeights, QuantizesAndUnpacksTheSame) {
  Random random(7);
  const std::size_t m = 67, k = 150, stride = 153;
  std::vector<float> weights(m * stride);
  for (float& weight : weights) weight = random.Gaussian();
  for (const Zeros zeros : kZeros) {
    if (!HasZeros(GetParam().format, zeros)) continue;
    QuantizeOptions options;
    options.format = GetParam().format;
    options.group = 64;
    SetZeros(zeros, &options);
    SetCodebook(&options);
    QuantizedMatrix expected;
    ASSERT_TRUE(Ok(Quantize(weights.data(), m, k, stride, options, &expected)));
    const lutra_quantize_options c_options = {static_cast<lutra_format>(options.format),
                                              64,
                                              LUTRA_TYPE_F16,
                                              static_cast<lutra_zero_kind>(options.zero_kind),
                                              static_cast<lutra_data_type>(options.zero_type),
                                              options.codebook,
                                              options.codebook_tables,
                                              nullptr,
                                              0};
    CQuantized quantized, unpacked;
    CPacked packed;
    lutra_quantized_view view;
    ASSERT_TRUE(COk(lutra_quantize(weights.data(), m, k, stride, &c_options, &quantized)));
    ASSERT_TRUE(COk(lutra_quantized_get(quantized, &view)));
    EXPECT_EQ(std::memcmp(view.codes, expected.codes(), m * k), 0);
    EXPECT_EQ(std::memcmp(view.scales, expected.scales(), ScaleCount(expected.view()) * 2), 0);
    std::vector<float> floats(m * k), c_floats(m * k, -1.0f);
    ASSERT_TRUE(Ok(Dequantize(expected.view(), floats.data(), k)));
    ASSERT_TRUE(COk(lutra_dequantize(&view, c_floats.data(), k)));
    EXPECT_TRUE(SameBits(c_floats, floats, k));

    ASSERT_TRUE(COk(lutra_pack(&view, TargetName(GetParam().target), nullptr, &packed)));
    ASSERT_TRUE(COk(lutra_unpack(packed, &unpacked)));
    ASSERT_TRUE(COk(lutra_quantized_get(unpacked, &view)));
    EXPECT_EQ(view.m, m);
    EXPECT_EQ(view.group, 64u);
    EXPECT_EQ(view.zero_kind, c_options.zero_kind);
    EXPECT_EQ(view.zero_type, c_options.zero_type);
    ASSERT_TRUE(COk(lutra_dequantize(&view, c_floats.data(), k)));
    EXPECT_TRUE(SameBits(c_floats, floats, k));
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, LutraCWeights, ::testing::ValuesIn(Kernels()), KernelName);

// Quantize makes no scales of two levels, so they are written by hand.
TEST(LutraCViews, ShowScalesOfTwoLevels) {
  QuantizedView shape;
  shape.m = 5;
  shape.k = 600;
  shape.group = 32;
  shape.scale_type = DataType::kInt8;
  shape.zero_kind = ZeroKind::kOffset;
  shape.zero_type = shape.scale_type;
  QuantizedMatrix w;
  ASSERT_TRUE(Ok(w.Allocate(shape)));
  Random random(3);
  for (std::size_t i = 0; i < shape.m * shape.k; ++i) w.codes()[i] = static_cast<std::uint8_t>(random.Below(16));
  for (std::size_t i = 0; i < ScaleCount(shape); ++i) {
    static_cast<std::int8_t*>(w.scales())[i] = static_cast<std::int8_t>(random.Bits());
    static_cast<std::int8_t*>(w.zeros())[i] = static_cast<std::int8_t>(random.Bits());
  }
  for (std::size_t i = 0; i < SuperScaleCount(shape); ++i) {
    w.super_scales()[i] = F32ToF16(random.Uniform(0.5f, 1.0f));
    w.super_offsets()[i] = F32ToF16(random.Uniform(2.0f, 3.0f));
  }
  std::vector<float> expected(shape.m * shape.k), out(expected.size());
  ASSERT_TRUE(Ok(Dequantize(w.view(), expected.data(), shape.k)));
  const lutra_quantized_view view = CView(w.view());
  ASSERT_TRUE(COk(lutra_dequantize(&view, out.data(), shape.k)));
  EXPECT_TRUE(SameBits(out, expected, shape.k));
}

// Both functions imported the same bits from the same data.
void ExpectImported(const lutra_quantized* w, const QuantizedMatrix& expected) {
  const QuantizedView& e = expected.view();
  lutra_quantized_view view;
  ASSERT_TRUE(COk(lutra_quantized_get(w, &view)));
  ASSERT_EQ(view.m, e.m);
  ASSERT_EQ(view.k, e.k);
  EXPECT_EQ(view.order == nullptr, e.order == nullptr);
  std::vector<float> floats(e.m * e.k, -1.0f), c_floats(e.m * e.k, 1.0f);
  ASSERT_TRUE(Ok(Dequantize(e, floats.data(), e.k)));
  ASSERT_TRUE(COk(lutra_dequantize(&view, c_floats.data(), e.k)));
  EXPECT_TRUE(SameBits(c_floats, floats, e.k));
}

// The tensors of one random checkpoint; GPTQ and AWQ read the same bits differently.
class LutraCImport : public ::testing::Test {
 protected:
  static constexpr std::size_t kM = 32, kK = 96, kGroup = 32, kGroupsOfRow = kK / kGroup;

  LutraCImport() {
    Random random(2);
    for (std::uint32_t& word : words_) word = static_cast<std::uint32_t>(random.Bits());
    for (std::uint32_t& word : zeros_) word = static_cast<std::uint32_t>(random.Bits());
    for (std::uint16_t& scale : scales_) scale = F32ToF16(random.Uniform(0.5f, 1.0f));
    for (std::size_t k = 0; k < kK; ++k) g_idx_[k] = static_cast<std::int32_t>(k % kGroupsOfRow);
  }

  // The tensors that views of both languages share.
  template <class View>
  void Show(View* view) const {
    view->m = kM;
    view->k = kK;
    view->group_size = kGroup;
    view->qweight = {words_.data(), words_.size()};
    view->qzeros = {zeros_.data(), zeros_.size()};
    view->scales = {scales_.data(), scales_.size()};
  }
  template <class View>
  void ShowC(View* view) const {
    view->m = kM;
    view->k = kK;
    view->group_size = kGroup;
    view->qweight = words_.data();
    view->qweight_size = words_.size();
    view->qzeros = zeros_.data();
    view->qzeros_size = zeros_.size();
    view->scales = scales_.data();
    view->scales_size = scales_.size();
  }

  std::vector<std::uint32_t> words_ = std::vector<std::uint32_t>(kM * kK / 8);
  std::vector<std::uint32_t> zeros_ = std::vector<std::uint32_t>(kGroupsOfRow * kM / 8);
  std::vector<std::uint16_t> scales_ = std::vector<std::uint16_t>(kGroupsOfRow * kM);
  std::vector<std::int32_t> g_idx_ = std::vector<std::int32_t>(kK);
  QuantizedMatrix expected_;
  CQuantized w_;
};

TEST_F(LutraCImport, OfGptqIsTheSame) {
  for (const GptqZeros kind : {GptqZeros::kV1Words, GptqZeros::kV2, GptqZeros::kV1Fields, GptqZeros::kV1Masked}) {
    SCOPED_TRACE(static_cast<int>(kind));
    GptqView view;
    Show(&view);
    view.g_idx = {g_idx_.data(), g_idx_.size()};
    view.zeros = kind;
    lutra_gptq_view c_view = {};
    ShowC(&c_view);
    c_view.bits = 4;
    c_view.g_idx = g_idx_.data();
    c_view.g_idx_size = g_idx_.size();
    c_view.zeros = static_cast<lutra_gptq_zeros>(kind);
    CQuantized w;
    ASSERT_TRUE(Ok(ImportGptq(view, &expected_)));
    ASSERT_TRUE(COk(lutra_import_gptq(&c_view, &w)));
    ExpectImported(w, expected_);
    std::uint32_t readings = 0, c_readings = 0;
    ASSERT_TRUE(Ok(PlausibleGptqZeros(view, &readings)));
    ASSERT_TRUE(COk(lutra_gptq_plausible_zeros(&c_view, &c_readings)));
    EXPECT_EQ(c_readings, readings);
  }
}

TEST_F(LutraCImport, OfAwqIsTheSame) {
  AwqView view;
  Show(&view);
  lutra_awq_view c_view = {};
  ShowC(&c_view);
  ASSERT_TRUE(Ok(ImportAwq(view, &expected_)));
  ASSERT_TRUE(COk(lutra_import_awq(&c_view, &w_)));
  ExpectImported(w_, expected_);
}

TEST_F(LutraCImport, OfGgufIsTheSame) {
  const std::uint8_t block[] = {0, 0x3c, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};  // q4_0, scale 1
  ASSERT_TRUE(Ok(ImportGguf(2, block, sizeof(block), 1, 32, &expected_)));
  ASSERT_TRUE(COk(lutra_import_gguf(2, block, sizeof(block), 1, 32, &w_)));
  ExpectImported(w_, expected_);
}

}  // namespace
}  // namespace lutra::test
