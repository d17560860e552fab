// AWQ checkpoints: the imported weights are the checkpoint's, bit for bit, and multiply within the bound.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
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

struct AwqTensors {
  std::vector<std::uint32_t> qweight, qzeros;
  AwqView view;

  AwqTensors(const Grouped& w, std::ptrdiff_t group_size)
      : qweight(Words(w.codes)),
        qzeros(Words(w.zeros)),
        view{w.m,
             w.k,
             group_size,
             {qweight.data(), qweight.size()},
             {qzeros.data(), qzeros.size()},
             {w.scales.data(), w.scales.size()}} {}
  // As AWQ's tools pack: nibble i of a word is column order[i] of its eight.
  static std::vector<std::uint32_t> Words(const std::vector<unsigned>& values) {
    constexpr std::size_t kOrder[] = {0, 2, 4, 6, 1, 3, 5, 7};
    std::vector<std::uint32_t> words;
    for (std::size_t i = 0; i < values.size(); i += 8) {
      words.push_back(0);
      for (std::size_t j = 0; j < 8; ++j) words.back() |= values[i + kOrder[j]] << (4 * j);
    }
    return words;
  }
};

TEST(Awq, IsBitForBitTheMatrix) {
  for (const std::ptrdiff_t group_size : {-1, 16, 32, 64, 128, 256}) {
    for (const bool one_zero : {false, true}) {
      for (const std::size_t k : {std::size_t{256}, std::size_t{300}}) {
        SCOPED_TRACE(::testing::Message() << "group " << group_size << ", one zero " << one_zero << ", K " << k);
        const Grouped expected(4, 72, k, group_size, one_zero, false);
        const AwqTensors tensors(expected, group_size);
        QuantizedMatrix w;
        ASSERT_TRUE(Ok(ImportAwq(tensors.view, &w)));
        EXPECT_EQ(w.view().format, Format::kInt4);
        EXPECT_EQ(w.view().zero_kind, one_zero ? ZeroKind::kNone : ZeroKind::kPoint);
        EXPECT_EQ(w.view().zero_type, DataType::kUInt4);
        EXPECT_EQ(w.view().order, nullptr);
        EXPECT_TRUE(SameBits(Dequantized(w.view()), expected.Weights(), k));
        ExpectPanelsOfPack(tensors.view, w.view());
        ExpectRightProducts(w.view());
      }
    }
  }
}

// Groups that no format has become several with the same scale.
TEST(Awq, TakesGroupsOfAnyMultipleOf16) {
  for (const std::ptrdiff_t group_size : {512, 1024, 48}) {
    const Grouped expected(4, 24, 2330, group_size, false, false);
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportAwq(AwqTensors(expected, group_size).view, &w)));
    EXPECT_EQ(w.view().group, group_size == 48 ? 16u : 256u);
    EXPECT_TRUE(SameBits(Dequantized(w.view()), expected.Weights(), 2330));
  }
}

// Tensors of safetensors files begin at any byte.
TEST(Awq, MayBeAtAnyAddress) {
  const Grouped expected(4, 24, 300, 64, false, false);
  const AwqTensors tensors(expected, 64);
  const Misaligned<std::uint32_t> qweight(tensors.view.qweight), qzeros(tensors.view.qzeros);
  const Misaligned<std::uint16_t> scales(tensors.view.scales);
  QuantizedMatrix w;
  ASSERT_TRUE(Ok(ImportAwq({24, 300, 64, qweight.view(), qzeros.view(), scales.view()}, &w)));
  EXPECT_TRUE(SameBits(Dequantized(w.view()), expected.Weights(), 300));
}

TEST(Awq, PacksIntoBarelyMoreBytes) {
  for (const std::ptrdiff_t group_size : {-1, 16, 32, 64, 128, 256}) {
    const Grouped grouped(4, 64, 352, group_size, false, false);
    const AwqTensors tensors(grouped, group_size);
    const std::size_t bytes = 4 * (tensors.qweight.size() + tensors.qzeros.size()) + 2 * tensors.view.scales.size;
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportAwq(tensors.view, &w)));
    for (const Target target : RunnableTargets()) {
      EXPECT_LE(PackedPerFile(w, bytes, target), kMostBytes) << "group " << group_size;
    }
  }
}

TEST(Awq, RefusesFaultyArguments) {
  const Grouped w(4, 64, 256, 128, false, false);
  const AwqTensors tensors(w, 128);
  const Fault<AwqView> kFaults[] = {
      {"awq.m", [](AwqView& v) { v.m = 60; }},
      {"awq.m", [](AwqView& v) { v.m = kMax; }},
      {"awq.k", [](AwqView& v) { v.k = kMax; }},
      {"awq.group_size", [](AwqView& v) { v.group_size = 0; }},
      {"awq.group_size", [](AwqView& v) { v.group_size = -7; }},
      {"awq.qweight", [](AwqView& v) { v.m = 72; }},
      {"awq.qweight", [](AwqView& v) { v.k = 255; }},
      {"awq.qweight", [](AwqView& v) { v.qweight.data = nullptr; }},
      {"awq.qzeros", [](AwqView& v) { v.qzeros.size -= 1; }},
      {"awq.qzeros", [](AwqView& v) { v.group_size = 32; }},
      {"awq.scales", [](AwqView& v) { v.scales.size += 1; }},
      {"awq.scales", [](AwqView& v) { v.scales.data = nullptr; }},
  };
  QuantizedMatrix q;
  ASSERT_TRUE(Ok(ImportAwq(tensors.view, &q)));
  const std::uint8_t* const codes = q.codes();
  for (const Fault<AwqView>& fault : kFaults) {
    SCOPED_TRACE(::testing::Message() << "fault " << &fault - kFaults << " " << fault.argument);
    AwqView view = tensors.view;
    fault.spoil(view);
    EXPECT_TRUE(Refused(ImportAwq(view, &q), fault.argument));
    EXPECT_EQ(q.codes(), codes);
  }
  AwqView odd = tensors.view;
  odd.group_size = 100;
  EXPECT_TRUE(NotSupported(ImportAwq(odd, &q), "awq.group_size"));
  std::vector<std::uint16_t> scales = w.scales;
  scales[5] = 0x7c00;
  AwqView infinite = tensors.view;
  infinite.scales.data = scales.data();
  EXPECT_TRUE(Refused(ImportAwq(infinite, &q), "awq.scales"));
  EXPECT_TRUE(Refused(ImportAwq(tensors.view, nullptr), "w"));
}

TEST(Awq, TakesEmptyMatrices) {
  QuantizedMatrix q;
  EXPECT_TRUE(Ok(ImportAwq({}, &q)));
  EXPECT_EQ(q.view().k, 0u);
}

}  // namespace
}  // namespace lutra::test
