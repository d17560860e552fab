// The C API of engines: the same bytes and the same refusals as the C++ functions.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "lutra/lutra_c_checkpoint.h"
#include "lutra/lutra_c_engine.h"
#include "support/c_api.h"
#include "support/c_api_fixture.h"
#include "support/c_views.h"
#include "support/checkpoints.h"
#include "support/gguf_blocks.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class LutraCEngine : public CApiTest {
 protected:
  // The memory of a layout, and its matrix number `index`.
  struct Memory {
    Buffer bytes;
    lutra_layout_info info = {};
    explicit Memory(const lutra_layout* layout) {
      EXPECT_TRUE(COk(lutra_layout_get(layout, &info)));
      EXPECT_TRUE(bytes.Reserve(info.bytes));
    }
  };
  static void ExpectBytes(const Memory& memory, std::size_t index, const QuantizedView& w) {
    PackedMatrix expected;
    ASSERT_TRUE(Ok(Pack(w, &expected)));
    EXPECT_EQ(std::memcmp(memory.bytes.data() + index * memory.info.stride, expected.data(), expected.bytes()), 0);
  }
};

TEST_F(LutraCEngine, PacksBlocksOfExperts) {
  constexpr std::size_t kM = 70, kK = 512, kCount = 2;
  Random random(1);
  const GgmlBlocks made = MakeBlocks(12, kCount * kM * kK / 256, random);
  const lutra_gguf_blocks blocks = {12, made.bytes.data(), made.bytes.size(), 0, 0};
  lutra_layout_options options = {};
  options.count = kCount;
  options.bias = true;
  CLayout layout;
  ASSERT_TRUE(COk(lutra_layout_create_gguf(12, kM, kK, &options, &layout)));
  Memory memory(layout);
  EXPECT_EQ(memory.info.format, LUTRA_FORMAT_INT4);
  EXPECT_EQ(memory.info.m, kM);
  EXPECT_EQ(memory.info.k, kK);
  EXPECT_EQ(memory.info.group, 32u);
  EXPECT_EQ(memory.info.count, kCount);
  EXPECT_EQ(memory.info.panels, 4u);
  EXPECT_EQ(memory.info.bytes, kCount * memory.info.stride);
  EXPECT_EQ(memory.info.alignment, 64u);
  EXPECT_TRUE(memory.info.has_bias);
  EXPECT_FALSE(memory.info.has_order);
  EXPECT_STREQ(memory.info.target, TargetName(BestTarget()));
  ASSERT_TRUE(COk(lutra_pack_panels_gguf(layout, &blocks, 0, 2, memory.bytes.data(), memory.info.bytes)));
  constexpr std::size_t kBytes = kM * kK / 256 * 144;  // of an expert
  const lutra_gguf_blocks second = {12, made.bytes.data() + kBytes, kBytes, kM, kM};
  ASSERT_TRUE(COk(lutra_pack_panels_gguf(layout, &second, 2, 4, memory.bytes.data(), memory.info.bytes)));
  const std::vector<float> bias(kCount * kM, 0.5f);
  ASSERT_TRUE(COk(lutra_pack_bias(layout, bias.data(), memory.bytes.data(), memory.info.bytes)));
  QuantizedMatrix imported;
  ASSERT_TRUE(Ok(ImportGguf(12, blocks.data, blocks.size, kCount * kM, kK, &imported)));
  CPacked w;
  for (std::size_t i = 0; i < kCount; ++i) ExpectBytes(memory, i, Rows(imported.view(), i * kM, (i + 1) * kM));
  ASSERT_TRUE(COk(lutra_view(layout, memory.bytes.data(), memory.info.bytes, 1, &w)));

  const std::int32_t row = 69;
  std::vector<float> y(kK);
  ASSERT_TRUE(COk(lutra_dequantize_rows(w, &row, 1, y.data(), kK)));
  EXPECT_TRUE(SameBits(y, {made.weights.end() - kK, made.weights.end()}, kK));
  std::vector<std::uint8_t> restored(2 * 144);
  ASSERT_TRUE(COk(lutra_unpack_gguf(w, 12, 69, 70, restored.data(), restored.size())));
  EXPECT_TRUE(std::equal(restored.begin(), restored.end(), made.bytes.end() - 288));
}

TEST_F(LutraCEngine, PacksEverySource) {
  const auto whole = [](const lutra_layout* layout, const auto& pack, const QuantizedView& expected) {
    Memory memory(layout);
    ASSERT_TRUE(COk(pack(memory.info.panels, memory.bytes.data(), memory.info.bytes)));
    ExpectBytes(memory, 0, expected);
  };
  CLayout of_view, of_floats, of_gptq, of_awq, of_blocks;
  ASSERT_TRUE(COk(lutra_layout_create(&w_view_, nullptr, &of_view)));
  whole(
      of_view,
      [&](std::size_t panels, void* to, std::size_t size) {
        return lutra_pack_panels(of_view, &w_view_, 0, panels, to, size);
      },
      problem_.w());

  const std::vector<float> weights(70 * 130, 0.25f);
  QuantizedMatrix quantized;
  QuantizeOptions options;
  options.group = 32;
  ASSERT_TRUE(Ok(Quantize(weights.data(), 70, 130, 130, options, &quantized)));
  const lutra_quantized_view shape = CView(ShapeOf(70, 130, options));
  ASSERT_TRUE(COk(lutra_layout_create(&shape, nullptr, &of_floats)));
  whole(
      of_floats,
      [&](std::size_t panels, void* to, std::size_t size) {
        return lutra_pack_panels_floats(of_floats, weights.data(), 130, 0, panels, to, size);
      },
      quantized.view());

  const Grouped checkpoint(4, 64, 256, 64, false, true);
  const GptqTensors tensors(checkpoint, 4, 64, GptqZeros::kV2);
  const GptqView& v = tensors.view;
  const lutra_gptq_view gptq = {
      v.bits,        v.m,           v.k,           v.group_size, v.qweight.data, v.qweight.size,     v.qzeros.data,
      v.qzeros.size, v.scales.data, v.scales.size, v.g_idx.data, v.g_idx.size,   LUTRA_GPTQ_ZEROS_V2};
  QuantizedMatrix imported;
  ASSERT_TRUE(Ok(ImportGptq(v, &imported)));
  ASSERT_TRUE(COk(lutra_layout_create_gptq(&gptq, nullptr, &of_gptq)));
  whole(
      of_gptq,
      [&](std::size_t panels, void* to, std::size_t size) {
        return lutra_pack_panels_gptq(of_gptq, &gptq, 0, panels, to, size);
      },
      imported.view());

  const std::vector<std::uint32_t> words(128 * 8, 0x12345678u), zeros(8, 0x88888888u);
  const std::vector<std::uint16_t> scales(64, 0x3c00);
  const lutra_awq_view awq = {64, 128, 128, words.data(), words.size(), zeros.data(), zeros.size(), scales.data(), 64};
  const AwqView awq_view = {
      64, 128, 128, {words.data(), words.size()}, {zeros.data(), zeros.size()}, {scales.data(), 64}};
  ASSERT_TRUE(Ok(ImportAwq(awq_view, &imported)));
  ASSERT_TRUE(COk(lutra_layout_create_awq(&awq, nullptr, &of_awq)));
  whole(
      of_awq,
      [&](std::size_t panels, void* to, std::size_t size) {
        return lutra_pack_panels_awq(of_awq, &awq, 0, panels, to, size);
      },
      imported.view());

  Random random(1);
  const GgmlBlocks made = MakeBlocks(35, 64, random, {0, 0.5f});  // tq2_0 with one scale
  const lutra_gguf_blocks blocks = {35, made.bytes.data(), made.bytes.size(), 0, 0};
  ASSERT_TRUE(COk(lutra_layout_create_gguf_blocks(&blocks, 64, 256, nullptr, &of_blocks)));
  ASSERT_TRUE(Ok(ImportGguf(35, blocks.data, blocks.size, 64, 256, &imported)));
  whole(
      of_blocks,
      [&](std::size_t panels, void* to, std::size_t size) {
        return lutra_pack_panels_gguf(of_blocks, &blocks, 0, panels, to, size);
      },
      imported.view());
}

TEST_F(LutraCEngine, PreparesInParts) {
  std::size_t bytes = 0, of_layout = 0;
  CLayout layout;
  ASSERT_TRUE(COk(lutra_prepared_size(packed_, problem_->n, LUTRA_PRECISION_INT8, &bytes)));
  ASSERT_TRUE(COk(lutra_layout_create(&w_view_, nullptr, &layout)));
  ASSERT_TRUE(COk(lutra_layout_prepared_size(layout, problem_->n, LUTRA_PRECISION_INT8, &of_layout)));
  EXPECT_EQ(of_layout, bytes);
  Buffer memory;
  ASSERT_TRUE(memory.Reserve(bytes));
  const std::vector<float> norm(problem_->k, 1.5f);
  for (const bool normalizes : {false, true}) {
    CActivations apart;
    ASSERT_TRUE(COk(lutra_activations_create(&apart)));
    for (std::size_t part = 0; part < 2; ++part) {
      ASSERT_TRUE(
          COk(normalizes ? lutra_prepare_part_rms_norm(&x_view_, norm.data(), 1e-5f, packed_, LUTRA_PRECISION_INT8,
                                                       part, 2, memory.data(), bytes)
                         : lutra_prepare_part(&x_view_, packed_, LUTRA_PRECISION_INT8, part, 2, memory.data(), bytes)));
    }
    ASSERT_TRUE(COk(lutra_activations_view(packed_, problem_->n, LUTRA_PRECISION_INT8, memory.data(), bytes, apart)));
    if (normalizes) {
      ASSERT_TRUE(
          COk(lutra_prepare_rms_norm(&x_view_, norm.data(), 1e-5f, packed_, LUTRA_PRECISION_INT8, nullptr, x_)));
    }
    ASSERT_TRUE(COk(lutra_matmul(packed_, x_, &y_view_, nullptr)));
    const std::vector<float> expected = y_.Floats();
    ExpectProducts(packed_, apart, problem_, nullptr, expected);
  }
}

TEST_F(LutraCEngine, RefusesNullsAndOtherKinds) {
  CLayout layout;
  ASSERT_TRUE(COk(lutra_layout_create(&w_view_, nullptr, &layout)));
  Memory memory(layout);
  void* const to = memory.bytes.data();
  const std::size_t size = memory.info.bytes;
  const auto refuses = [&](const lutra_layout* wrong) {
    std::size_t bytes;
    lutra_layout_info info;
    CPacked w;
    const float* const floats = nullptr;
    const lutra_gguf_blocks blocks = {};
    const lutra_gptq_view gptq = {};
    const lutra_awq_view awq = {};
    const lutra_checkpoint_view checkpoint = {};
    EXPECT_TRUE(CRefused(lutra_layout_get(wrong, &info), "layout"));
    EXPECT_TRUE(CRefused(lutra_layout_prepared_size(wrong, 1, LUTRA_PRECISION_INT8, &bytes), "layout"));
    EXPECT_TRUE(CRefused(lutra_pack_panels(wrong, &w_view_, 0, 1, to, size), "layout"));
    EXPECT_TRUE(CRefused(lutra_pack_panels_gguf(wrong, &blocks, 0, 1, to, size), "layout"));
    EXPECT_TRUE(CRefused(lutra_pack_panels_gptq(wrong, &gptq, 0, 1, to, size), "layout"));
    EXPECT_TRUE(CRefused(lutra_pack_panels_awq(wrong, &awq, 0, 1, to, size), "layout"));
    EXPECT_TRUE(CRefused(lutra_pack_panels_checkpoint(wrong, &checkpoint, 0, 1, to, size), "layout"));
    EXPECT_TRUE(CRefused(lutra_pack_panels_floats(wrong, floats, 0, 0, 1, to, size), "layout"));
    EXPECT_TRUE(CRefused(lutra_pack_bias(wrong, floats, to, size), "layout"));
    EXPECT_TRUE(CRefused(lutra_view(wrong, to, size, 0, &w), "layout"));
  };
  refuses(nullptr);
  refuses(packed_.As<lutra_layout>());
  lutra_layout* out = nullptr;
  EXPECT_TRUE(CRefused(lutra_layout_create(nullptr, nullptr, &out), "shape"));
  EXPECT_TRUE(CRefused(lutra_layout_create(&w_view_, nullptr, nullptr), "layout"));
  EXPECT_TRUE(CRefused(lutra_layout_create_gguf_blocks(nullptr, 1, 1, nullptr, &out), "blocks"));
  EXPECT_TRUE(CRefused(lutra_layout_create_gptq(nullptr, nullptr, &out), "gptq"));
  EXPECT_TRUE(CRefused(lutra_layout_create_awq(nullptr, nullptr, &out), "awq"));
  EXPECT_TRUE(CRefused(lutra_layout_create_checkpoint(nullptr, nullptr, &out), "checkpoint"));
  lutra_layout_options options = {};
  options.target = "ABACUS";
  EXPECT_TRUE(CRefused(lutra_layout_create(&w_view_, &options, &out), "target", LUTRA_UNSUPPORTED));
  EXPECT_TRUE(CRefused(lutra_layout_get(layout, nullptr), "info"));
  EXPECT_TRUE(CRefused(lutra_pack_panels(layout, nullptr, 0, 1, to, size), "w"));
  EXPECT_TRUE(CRefused(lutra_pack_panels(layout, &w_view_, 0, 1, to, size - 1), "size"));
  EXPECT_TRUE(CRefused(lutra_view(layout, to, size, 0, nullptr), "w"));
  const lutra_packed* const wrong = x_.As<lutra_packed>();
  EXPECT_TRUE(CRefused(lutra_dequantize_rows(wrong, nullptr, 0, nullptr, 0), "w"));
  EXPECT_TRUE(CRefused(lutra_unpack_gguf(wrong, 12, 0, 0, nullptr, 0), "w"));
  EXPECT_TRUE(CRefused(lutra_prepare_part(nullptr, packed_, LUTRA_PRECISION_INT8, 0, 1, to, size), "x"));
  EXPECT_TRUE(CRefused(lutra_prepare_part(&x_view_, wrong, LUTRA_PRECISION_INT8, 0, 1, to, size), "w"));
  EXPECT_TRUE(
      CRefused(lutra_prepare_part_rms_norm(&x_view_, nullptr, 0, wrong, LUTRA_PRECISION_INT8, 0, 1, to, size), "w"));
  EXPECT_TRUE(CRefused(lutra_prepare_part(&x_view_, packed_, 7, 0, 1, to, size), "precision"));
  EXPECT_TRUE(
      CRefused(lutra_activations_view(packed_, 1, LUTRA_PRECISION_INT8, to, size, packed_.As<lutra_activations>()),
               "activations"));
  EXPECT_TRUE(CRefused(lutra_activations_view(wrong, 1, LUTRA_PRECISION_INT8, to, size, x_), "w"));
  lutra_layout* of_another_kind = packed_.As<lutra_layout>();
  EXPECT_TRUE(CRefused(lutra_layout_destroy(&of_another_kind), "layout"));
  EXPECT_TRUE(COk(lutra_layout_destroy(nullptr)));
}

}  // namespace
}  // namespace lutra::test
