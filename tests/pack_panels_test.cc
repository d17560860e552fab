// PackedLayout, PackPanels and View: the caller's memory gets the bytes of Pack, in any split, order and number of
// threads. And the way back: rows in float, and blocks of GGUF.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/gguf_blocks.h"
#include "support/imported.h"
#include "support/panels.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

// Tables of any values, for formats that have their own.
std::vector<std::int8_t> SomeCodebook(Format format, std::size_t tables, Random& random) {
  std::vector<std::int8_t> values(tables * static_cast<std::size_t>(Describe(format).levels));
  for (std::int8_t& value : values) value = static_cast<std::int8_t>(static_cast<int>(random.Below(255)) - 127);
  return values;
}

class PackedLayouts : public KernelTest {};

TEST_P(PackedLayouts, HaveTheBytesOfPack) {
  for (const Case& c : PackCases()) {
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix expected = Packed(problem, c.target);
    PackedLayout layout;
    ASSERT_TRUE(Ok(LayoutOf(problem.w(), {c.target}, &layout)));
    EXPECT_EQ(layout.bytes(), LayoutOf(expected).bytes());
    EXPECT_EQ(layout.count(), 1u);
    LayoutMemory memory(layout);
    PackInParts(layout, problem.w(), 1 + c.seed % 2, memory);
    if (layout.panels() == 0) {
      ASSERT_TRUE(Ok(PackPanels(layout, problem.w(), 0, 0, memory.data(), memory.size())));
    }
    PackedMatrix packed;
    ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), 0, &packed)));
    EXPECT_EQ(packed.data(), memory.data());
    ExpectSameMatrix(packed, expected);
    if (HasFailure()) return;
  }
}

// Weights that are quantized on the way.
TEST_P(PackedLayouts, QuantizeFloatRows) {
  std::size_t i = 0;
  for (const std::size_t group : kGroups) {
    for (const ParamKind& kind : kParamKinds) {
      if (group == kPerMatrix || !IsFloat(kind.scale_type) || ++i % 5 != 0) continue;
      if (!HasZeros(GetParam().format, kind.zeros)) continue;
      // Longer rows are quantized in pieces: the row of ternary weights with one scale in two, of 768 and 82 weights.
      const bool pieces = group == kPerRow && GetParam().format == Format::kTernary;
      const std::size_t m = 72, k = pieces ? 850 : 200 + 45 * (i % 8);
      Random random(i);
      std::vector<float> weights(m * (k + 1));
      for (float& weight : weights) weight = random.Gaussian();
      QuantizeOptions options;
      options.format = GetParam().format;
      options.group = group;
      options.scale_type = kind.scale_type;
      SetZeros(kind.zeros, &options);
      const std::vector<std::int8_t> codebook = SomeCodebook(options.format, 1 + i % kMaxTables, random);
      options.codebook = codebook.data();
      options.codebook_tables = 1 + i % kMaxTables;
      QuantizedMatrix quantized;
      PackedMatrix expected, packed;
      PackedLayout layout;
      ASSERT_TRUE(Ok(Quantize(weights.data(), m, k, k + 1, options, &quantized)));
      ASSERT_TRUE(Ok(Pack(quantized.view(), {GetParam().target, nullptr}, &expected)));
      ASSERT_TRUE(Ok(LayoutOf(ShapeOf(m, k, options), {GetParam().target}, &layout)));
      LayoutMemory memory(layout);
      PackInParts(layout, FloatRows{weights.data(), k + 1}, 1, memory);
      ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), 0, &packed)));
      ExpectSameMatrix(packed, expected);
      weights[70 * (k + 1) + 3] = HUGE_VALF;
      const auto pack = [&](std::size_t panel) {
        return PackPanels(layout, FloatRows{weights.data(), k + 1}, panel, panel + 1, memory.data(), memory.size());
      };
      EXPECT_TRUE(Ok(pack(0)));
      EXPECT_TRUE(Refused(pack(1), "weights"));
      if (HasFailure()) return;
    }
  }
}

TEST_P(PackedLayouts, GiveRowsInFloat) {
  std::size_t i = 0;
  for (const std::size_t group : kGroups) {
    for (const ParamKind& kind : kParamKinds) {
      if (!Exists(group, kind) || ++i % 3 != 0) continue;
      Case c = NewCase({130, 0, 333 + 70 * (i % 9)}, i);
      c.group = group;
      c.zeros = kind.zeros;
      c.scale_type = kind.scale_type;
      c.order = i % 2 == 0;
      SCOPED_TRACE(c);
      const Problem problem(c);
      const PackedMatrix w = Packed(problem, c.target);
      const std::vector<float> all = Dequantized(problem.w());
      const std::int32_t rows[] = {129, 1, 40, 1, 64};
      constexpr std::size_t kGap = 3;
      std::vector<float> y(std::size(rows) * (c.k + kGap), -5.0f);
      ASSERT_TRUE(Ok(DequantizeRows(w, rows, std::size(rows), y.data(), c.k + kGap)));
      for (std::size_t r = 0; r < std::size(rows); ++r) {
        const float* const actual = y.data() + r * (c.k + kGap);
        const float* const expected = all.data() + static_cast<std::size_t>(rows[r]) * c.k;
        EXPECT_EQ(std::memcmp(actual, expected, c.k * sizeof(float)), 0) << "row " << rows[r];
        EXPECT_TRUE(std::all_of(actual + c.k, actual + c.k + kGap, [](float value) { return value == -5.0f; }));
      }
      if (HasFailure()) return;
    }
  }
}

// Experts: the rows of all matrices follow each other.
TEST_P(PackedLayouts, HoldSeveralMatrices) {
  constexpr std::size_t kCount = 3, kM = 70;
  Case c = NewCase({kCount * kM, 0, 300}, 7);
  c.bias = c.order = true;
  const Problem problem(c);
  QuantizedView shape = problem.w();
  shape.m = kM;
  PackedLayout layout;
  ASSERT_TRUE(Ok(LayoutOf(shape, {c.target, kCount}, &layout)));
  EXPECT_EQ(layout.panels(), 2 * kCount);
  EXPECT_EQ(layout.bytes(), kCount * layout.stride());
  LayoutMemory memory(layout);
  PackInParts(layout, problem.w(), 4, memory);
  for (std::size_t i = 0; i < kCount; ++i) {
    PackedMatrix packed, expected;
    ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), i, &packed)));
    ASSERT_TRUE(Ok(Pack(Rows(problem.w(), i * kM, (i + 1) * kM), {c.target, nullptr}, &expected)));
    ExpectSameMatrix(packed, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, PackedLayouts, ::testing::ValuesIn(Kernels()), KernelName);

struct GgufCase {
  GgufType type;
  Target target;
};
std::vector<GgufCase> GgufCases() {
  std::vector<GgufCase> cases;
  for (const GgufType& type : GgufTypes()) {
    if (type.refusal != nullptr) continue;
    for (const Target target : RunnableTargets()) cases.push_back({type, target});
  }
  return cases;
}
void PrintTo(const GgufCase& c, std::ostream* out) { *out << c.type.name << " on " << TargetName(c.target); }
std::string GgufCaseName(const ::testing::TestParamInfo<GgufCase>& info) {
  return std::string(info.param.type.name) + "_" + TargetName(info.param.target);
}

class GgufPanels : public ::testing::TestWithParam<GgufCase> {
 protected:
  const GgufType& type() const { return GetParam().type; }
  bool ternary() const { return type().format == Format::kTernary && type().scale_type == DataType::kF16; }
};

// The matrix whose group and types are the file's.
PackedMatrix PackedAsLayout(const PackedLayout& layout, const GgmlBlocks& blocks, const GgufType& type, std::size_t m,
                            std::size_t k) {
  const QuantizedMatrix imported = Imported(type.id, blocks.bytes, m, k);
  PackedMatrix packed;
  EXPECT_EQ(imported.view().group, layout.group());
  EXPECT_EQ(imported.view().format, layout.format());
  EXPECT_TRUE(Ok(Pack(imported.view(), {layout.target(), nullptr}, &packed)));
  return packed;
}

TEST_P(GgufPanels, HaveTheBytesOfPack) {
  for (const std::size_t m : {std::size_t{1}, std::size_t{64}, std::size_t{201}, std::size_t{327}}) {
    for (const std::size_t k : {type().weights, 5 * type().weights, std::size_t{1792}}) {
      Random random(m + k);
      const GgmlBlocks blocks = MakeBlocks(type().id, m * k / type().weights, random);
      if (ternary() && (m == 1 || k == type().weights)) continue;  // the import finds one scale per row or matrix
      SCOPED_TRACE(::testing::Message() << "M " << m << " K " << k);
      PackedLayout layout;
      ASSERT_TRUE(Ok(LayoutOfGguf(type().id, m, k, {GetParam().target}, &layout)));
      LayoutMemory memory(layout);
      PackInParts(layout, GgufBlocks{type().id, blocks.bytes.data(), blocks.bytes.size()}, 2, memory);
      const std::size_t row_bytes = k / type().weights * type().bytes;
      for (std::size_t p = 0; p < layout.panels() && type().tail_bytes == 0; ++p) {  // from its own rows alone
        const std::size_t first = p * 64, rows = std::min<std::size_t>(64, m - first);
        const GgufBlocks part{type().id, blocks.bytes.data() + first * row_bytes, rows * row_bytes, first, rows};
        ASSERT_TRUE(Ok(PackPanels(layout, part, p, p + 1, memory.data(), memory.size())));
      }
      PackedMatrix packed;
      ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), 0, &packed)));
      ExpectSameMatrix(packed, PackedAsLayout(layout, blocks, type(), m, k));
    }
  }
}

// Restorable types give their blocks back; all types give the rows that ggml dequantizes.
TEST_P(GgufPanels, GiveBlocksAndRowsBack) {
  constexpr std::size_t kM = 150;
  const std::size_t k = type().weights == 128 ? 1408 : 1792, row_bytes = k / type().weights * type().bytes;
  Random random(9);
  const GgmlBlocks blocks = MakeBlocks(type().id, kM * k / type().weights, random);
  PackedLayout layout;
  ASSERT_TRUE(Ok(LayoutOfGguf(type().id, kM, k, {GetParam().target}, &layout)));
  LayoutMemory memory(layout);
  PackInParts(layout, GgufBlocks{type().id, blocks.bytes.data(), blocks.bytes.size()}, 2, memory);
  PackedMatrix w;
  ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), 0, &w)));

  const std::int32_t rows[] = {149, 0, 63, 64, 63, 17, 33, 100};
  std::vector<float> y(std::size(rows) * k), expected;
  ASSERT_TRUE(Ok(DequantizeRows(w, rows, std::size(rows), y.data(), k)));
  for (const std::int32_t row : rows) {
    const auto from = blocks.weights.begin() + row * static_cast<std::ptrdiff_t>(k);
    expected.insert(expected.end(), from, from + static_cast<std::ptrdiff_t>(k));
  }
  EXPECT_TRUE(SameBits(y, expected, k));

  std::vector<std::uint8_t> bytes = blocks.bytes;
  for (std::size_t i = 0; type().scale_type == DataType::kE4M3 && i < bytes.size(); ++i) {
    if (i % type().bytes < 4 && bytes[i] == 0x7f) bytes[i] = 0;  // a scale that is NaN
  }
  for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, kM}, {70, 71}, {60, 130}, {5, 5}}) {
    std::vector<std::uint8_t> restored((end - begin) * row_bytes);
    const Status status = UnpackGguf(w, type().id, begin, end, restored.data(), restored.size());
    if (!type().restorable) {
      EXPECT_TRUE(NotSupported(status, "type"));
      continue;
    }
    ASSERT_TRUE(Ok(status));
    EXPECT_TRUE(
        std::equal(restored.begin(), restored.end(), bytes.begin() + static_cast<std::ptrdiff_t>(begin * row_bytes)));
  }
}

// Ternary blocks whose scales are equal, or whose codes are not ternary.
TEST_P(GgufPanels, MayChooseTheLayoutThatTheImportChooses) {
  constexpr std::size_t kM = 70;
  const std::size_t k = 1792;
  for (const BlockOptions options : {BlockOptions{}, BlockOptions{0, 0.5f}, BlockOptions{4}, BlockOptions{4, 0.5f}}) {
    Random random(5);
    const GgmlBlocks blocks = MakeBlocks(type().id, kM * k / type().weights, random, options);
    const GgufBlocks source{type().id, blocks.bytes.data(), blocks.bytes.size()};
    PackedLayout layout;
    ASSERT_TRUE(Ok(LayoutOfGguf(source, kM, k, {GetParam().target}, &layout)));
    LayoutMemory memory(layout);
    PackInParts(layout, source, 1, memory);
    PackedMatrix packed;
    ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), 0, &packed)));
    ExpectSameMatrix(packed, PackedAsLayout(layout, blocks, type(), kM, k));
  }
}

// Each row has a scale of its own, and one block of zeros with another scale, which can take the row's.
TEST_P(GgufPanels, KeepsScalesOfRows) {
  if (!ternary()) return;
  constexpr std::size_t kM = 67, kBlocks = 7;
  const std::size_t k = kBlocks * type().weights;
  Random random(5);
  GgmlBlocks blocks;
  for (std::size_t i = 0; i < kM * kBlocks; ++i) {
    const bool zeros = i % kBlocks == 2;
    BlockWriter(type().id, {0, zeros ? 3.0f : 0.5f + static_cast<float>(i / kBlocks), zeros}, random, &blocks);
  }
  const GgufBlocks source{type().id, blocks.bytes.data(), blocks.bytes.size()};
  PackedLayout layout;
  ASSERT_TRUE(Ok(LayoutOfGguf(source, kM, k, {GetParam().target}, &layout)));
  EXPECT_EQ(layout.group(), kPerRow);
  LayoutMemory memory(layout);
  PackInParts(layout, source, 1, memory);
  PackedMatrix packed;
  ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), 0, &packed)));
  ExpectSameMatrix(packed, PackedAsLayout(layout, blocks, type(), kM, k));
  // Blocks that need more scales than the layout has are refused.
  Random other(6);
  const GgmlBlocks rich = MakeBlocks(type().id, kM * kBlocks, other);
  EXPECT_TRUE(Refused(PackPanels(layout, GgufBlocks{type().id, rich.bytes.data(), rich.bytes.size()}, 0, 2,
                                 memory.data(), memory.size()),
                      "layout"));
}

INSTANTIATE_TEST_SUITE_P(Types, GgufPanels, ::testing::ValuesIn(GgufCases()), GgufCaseName);

TEST(PackPanels, RunsOnSeveralThreads) {
  constexpr std::size_t kM = 1000, kK = 512, kCount = 2, kThreads = 4;
  const GgufType& type = *FindGgufType(12);  // q4_K
  Random random(1);
  const GgmlBlocks blocks = MakeBlocks(type.id, kCount * kM * kK / type.weights, random);
  const GgufBlocks source{type.id, blocks.bytes.data(), blocks.bytes.size()};
  PackedLayout layout;
  ASSERT_TRUE(Ok(LayoutOfGguf(type.id, kM, kK, {nullptr, kCount}, &layout)));
  LayoutMemory memory(layout);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const std::size_t begin = layout.panels() * t / kThreads, end = layout.panels() * (t + 1) / kThreads;
      EXPECT_TRUE(Ok(PackPanels(layout, source, begin, end, memory.data(), memory.size())));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < kCount; ++i) {
    PackedMatrix packed, expected;
    ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), i, &packed)));
    const QuantizedMatrix all = Imported(type.id, blocks.bytes, kCount * kM, kK);
    ASSERT_TRUE(Ok(Pack(Rows(all.view(), i * kM, (i + 1) * kM), &expected)));
    ExpectSameMatrix(packed, expected);
  }
}

TEST(PackPanels, TakesABiasApart) {
  const std::size_t m = 70, k = 256, count = 2;
  Random random(1);
  const GgmlBlocks blocks = MakeBlocks(12, count * m, random);
  PackedLayout layout, without;
  LayoutOptions options;
  options.count = count;
  ASSERT_TRUE(Ok(LayoutOfGguf(12, m, k, options, &without)));
  options.bias = true;
  ASSERT_TRUE(Ok(LayoutOfGguf(12, m, k, options, &layout)));
  EXPECT_EQ(layout.stride(), without.stride() + 320);  // 70 floats, up to a multiple of 64 bytes
  LayoutMemory memory(layout);
  PackInParts(layout, GgufBlocks{12, blocks.bytes.data(), blocks.bytes.size()}, 1, memory);
  std::vector<float> bias(count * m);
  for (float& value : bias) value = random.Gaussian();
  ASSERT_TRUE(Ok(PackBias(layout, bias.data(), memory.data(), memory.size())));
  for (std::size_t i = 0; i < count; ++i) {
    PackedMatrix packed;
    ASSERT_TRUE(Ok(View(layout, memory.data(), memory.size(), i, &packed)));
    ASSERT_TRUE(packed.has_bias());
    EXPECT_EQ(std::memcmp(packed.bias(), bias.data() + i * m, m * sizeof(float)), 0);
  }
  EXPECT_TRUE(Refused(PackBias(without, bias.data(), memory.data(), memory.size()), "layout"));
  EXPECT_TRUE(Refused(PackBias(layout, nullptr, memory.data(), memory.size()), "bias"));
  bias[100] = HUGE_VALF;
  EXPECT_TRUE(Refused(PackBias(layout, bias.data(), memory.data(), memory.size()), "bias"));
}

TEST(PackPanels, NamesWrongArguments) {
  Case c = SmallCase();
  const Problem problem(c);
  PackedLayout layout;
  ASSERT_TRUE(Ok(LayoutOf(problem.w(), {}, &layout)));
  LayoutMemory memory(layout);
  const auto pack = [&](const QuantizedView& w, std::size_t first, std::size_t last, void* to, std::size_t size) {
    return PackPanels(layout, w, first, last, to, size);
  };
  const std::size_t size = memory.size();
  EXPECT_TRUE(Refused(pack(problem.w(), 0, 3, memory.data(), size), "last"));
  EXPECT_TRUE(Refused(pack(problem.w(), 2, 1, memory.data(), size), "first"));
  EXPECT_TRUE(Refused(pack(problem.w(), 0, 1, nullptr, size), "memory"));
  EXPECT_TRUE(Refused(pack(problem.w(), 0, 1, memory.data() + 16, size), "memory"));
  EXPECT_TRUE(Refused(pack(problem.w(), 0, 1, memory.data(), size - 1), "size"));
  QuantizedView other = problem.w();
  other.m = 69;
  EXPECT_TRUE(Refused(pack(other, 0, 1, memory.data(), size), "w.m"));
  other = problem.w();
  other.group = 64;
  EXPECT_TRUE(Refused(pack(other, 0, 1, memory.data(), size), "w.group"));
  other = problem.w();
  other.scales = nullptr;
  EXPECT_TRUE(Refused(pack(other, 0, 1, memory.data(), size), "w.scales"));
  EXPECT_TRUE(Refused(PackPanels(layout, GgufBlocks{12, nullptr, 0}, 0, 1, memory.data(), size), "layout"));
  PackedMatrix w;
  EXPECT_TRUE(Refused(View(layout, memory.data(), size, 1, &w), "index"));
  EXPECT_TRUE(Refused(View(layout, memory.data(), size - 1, 0, &w), "size"));
  EXPECT_TRUE(Refused(View(layout, memory.data(), size, 0, nullptr), "w"));
  EXPECT_TRUE(Refused(LayoutOf(problem.w(), {}, nullptr), "layout"));
  LayoutOptions many;
  many.count = kMax / 8;
  EXPECT_TRUE(Refused(LayoutOf(problem.w(), many, &layout), "options.count"));
  const std::int32_t rows[] = {0, 70, -1};
  float y[200] = {};
  ASSERT_TRUE(Ok(View(layout, memory.data(), size, 0, &w)));
  EXPECT_TRUE(Refused(DequantizeRows(w, rows, 2, y, 200), "rows"));
  EXPECT_TRUE(Refused(DequantizeRows(w, rows + 2, 1, y, 200), "rows"));
  EXPECT_TRUE(Refused(DequantizeRows(w, nullptr, 1, y, 200), "rows"));
  EXPECT_TRUE(Refused(DequantizeRows(w, rows, 1, nullptr, 200), "y"));
  EXPECT_TRUE(NotSupported(UnpackGguf(w, 12, 0, 1, y, 144), "w"));
  EXPECT_TRUE(NotSupported(LayoutOfGguf(0, 64, 64, {}, &layout), "type"));
  EXPECT_TRUE(Refused(LayoutOfGguf(12, 64, 64, {}, &layout), "k"));
}

}  // namespace
}  // namespace lutra::test
