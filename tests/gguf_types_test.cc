// GGUF's types: the imported weights are ggml's, bit for bit; types without a format are refused by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/gguf_writer.h"
#include "support/imported.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra {

inline void PrintTo(const GgufType& type, std::ostream* out) { *out << type.name; }

namespace test {
namespace {

std::vector<GgufType> ImportedTypes() {
  std::vector<GgufType> types;
  for (const GgufType& type : GgufTypes()) {
    if (type.refusal == nullptr) types.push_back(type);
  }
  return types;
}
std::vector<GgufType> ImportedTypes(Format format) {
  std::vector<GgufType> types;
  for (const GgufType& type : ImportedTypes()) {
    if (type.format == format) types.push_back(type);
  }
  return types;
}

std::string TypeName(const ::testing::TestParamInfo<GgufType>& type) { return type.param.name; }

class Gguf : public ::testing::TestWithParam<GgufType> {
 protected:
  static constexpr std::size_t kM = 3;
  const GgufType& type() const { return GetParam(); }
  std::size_t k() const { return 4 * type().weights; }
  GgmlBlocks Blocks(std::size_t m, const BlockOptions& options = {}) const {
    Random random(type().id);
    return MakeBlocks(type().id, m * 4, random, options);
  }
};

TEST_P(Gguf, EqualsGgmlBitForBit) {
  const GgmlBlocks blocks = Blocks(kM);
  const QuantizedMatrix w = Imported(type().id, blocks.bytes, kM, k());
  EXPECT_EQ(w.view().format, type().format);
  EXPECT_EQ(w.view().group, type().group);
  EXPECT_EQ(w.view().scale_type, type().scale_type);
  EXPECT_EQ(w.view().zero_kind, type().zero_kind);
  EXPECT_TRUE(SameBits(Dequantized(w.view()), blocks.weights, k()));
}

TEST_P(Gguf, TakesBlocksAtAnyAddress) {
  const GgmlBlocks blocks = Blocks(kM);
  std::vector<std::uint8_t> shifted(blocks.bytes.size() + 1);
  std::copy(blocks.bytes.begin(), blocks.bytes.end(), shifted.begin() + 1);
  QuantizedMatrix w;
  ASSERT_TRUE(Ok(ImportGguf(type().id, shifted.data() + 1, blocks.bytes.size(), kM, k(), &w)));
  EXPECT_TRUE(SameBits(Dequantized(w.view()), blocks.weights, k()));
}

TEST_P(Gguf, MultipliesWithinTheBound) {
  const std::size_t m = 70;
  ExpectRightProducts(Imported(type().id, Blocks(m).bytes, m, k()).view());
}

TEST_P(Gguf, PacksIntoBarelyMoreBytes) {
  const std::size_t m = 64;
  Random random(1);
  for (const float scale : {0.0f, 0.5f}) {
    const GgmlBlocks blocks = MakeBlocks(type().id, m * 4096 / type().weights, random, {0, scale});
    const QuantizedMatrix w = Imported(type().id, blocks.bytes, m, 4096);
    for (const Target target : RunnableTargets()) {
      EXPECT_LE(PackedPerFile(w, blocks.bytes.size(), target), kMostBytes) << TargetName(target) << ", scale " << scale;
    }
  }
}

TEST_P(Gguf, RefusesFaultyArguments) {
  const std::vector<std::uint8_t> bytes = Blocks(kM).bytes;
  QuantizedMatrix w = Imported(type().id, bytes, kM, k());
  const QuantizedView before = w.view();
  const auto import = [&](const void* data, std::size_t size, std::size_t m, std::size_t columns) {
    const Status status = ImportGguf(type().id, data, size, m, columns, &w);
    EXPECT_EQ(w.view().codes, before.codes);
    EXPECT_EQ(w.view().m, before.m);
    return status;
  };
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_TRUE(Refused(import(bytes.data(), size, kM, k()), "size"));
  }
  EXPECT_TRUE(Refused(import(bytes.data(), bytes.size() + 1, kM, k()), "size"));
  EXPECT_TRUE(Refused(import(bytes.data(), bytes.size(), kM + 1, k()), "size"));
  EXPECT_TRUE(Refused(import(bytes.data(), bytes.size(), kM, k() - 1), "k"));
  EXPECT_TRUE(Refused(import(bytes.data(), bytes.size(), kM, k() + 16), "k"));
  EXPECT_TRUE(Refused(import(nullptr, bytes.size(), kM, k()), "data"));
  EXPECT_TRUE(Refused(import(bytes.data(), bytes.size(), kMax, k()), "m"));
  EXPECT_TRUE(Refused(import(bytes.data(), bytes.size(), kMax / 128, k()), "k"));
  EXPECT_TRUE(Refused(import(bytes.data(), bytes.size(), std::size_t{1} << 32, std::size_t{1} << 32), "k"));
  EXPECT_TRUE(Refused(ImportGguf(type().id, bytes.data(), bytes.size(), kM, k(), nullptr), "w"));
}

TEST_P(Gguf, TakesEmptyMatrices) {
  for (const auto& [m, columns] :
       {std::pair<std::size_t, std::size_t>{0, k()}, {kM, 0}, {std::size_t{1} << 50, 0}, {0, 0}}) {
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportGguf(type().id, nullptr, 0, m, columns, &w)));
    EXPECT_EQ(w.view().m, m);
    EXPECT_EQ(w.view().k, columns);
  }
}

// Infinities and NaNs are refused at exactly the bytes where a type has f16 scales, and the NaN of E8M0.
TEST_P(Gguf, RefusesScalesThatAreNotFinite) {
  const std::vector<std::uint8_t> bytes = Blocks(kM).bytes;
  QuantizedMatrix w;
  std::size_t refused = 0;
  for (std::size_t i = 0; i + 1 < type().bytes; ++i) {
    bool all = true;
    const bool bytes_are_scales = type().scale_type == DataType::kE8M0;
    const std::vector<unsigned> faults = bytes_are_scales ? std::vector<unsigned>{0x00ffu, 0xffffu}
                                                          : std::vector<unsigned>{0x7c00u, 0xfc00u, 0x7e00u, 0xffffu};
    for (const unsigned bits : faults) {
      std::vector<std::uint8_t> spoiled = bytes;
      std::uint8_t* const at = &spoiled[bytes.size() - type().bytes + i];  // in the last block
      at[0] = static_cast<std::uint8_t>(bits);
      at[1] = static_cast<std::uint8_t>(bits >> 8);
      all = all && Refused(ImportGguf(type().id, spoiled.data(), spoiled.size(), kM, k(), &w), "data");
    }
    if (all) ++refused;
  }
  EXPECT_EQ(refused, type().zero_kind == ZeroKind::kOffset ? 2u : 1u);
}

INSTANTIATE_TEST_SUITE_P(Each, Gguf, ::testing::ValuesIn(ImportedTypes()), TypeName);

TEST(GgufTypes, AreListedInTheOrderOfTheirIds) {
  for (const GgufType& type : GgufTypes()) {
    EXPECT_EQ(FindGgufType(type.id), &type);
    if (&type != GgufTypes().begin()) {
      EXPECT_GT(type.id, (&type - 1)->id);
    }
  }
}

TEST(GgufTypes, AreRefusedByName) {
  std::vector<std::uint8_t> bytes(2 * 256 * 8);
  QuantizedMatrix w;
  for (const GgufType& type : GgufTypes()) {
    if (type.refusal == nullptr) continue;
    const Status status = ImportGguf(type.id, bytes.data(), 256 / type.weights * type.bytes, 1, 256, &w);
    EXPECT_TRUE(NotSupported(status, "type"));
    EXPECT_NE(status.message().find(type.name), std::string::npos) << type.name << ": " << status.message();
  }
  for (const std::uint32_t type : {4u, 5u, 31u, 33u, 38u, 43u, ~0u}) {
    EXPECT_EQ(FindGgufType(type), nullptr);
    EXPECT_TRUE(NotSupported(ImportGguf(type, bytes.data(), 256, 1, 256, &w), "type"));
  }
}

// --- Ternary weights.

class Ternary : public Gguf {};

INSTANTIATE_TEST_SUITE_P(Each, Ternary, ::testing::ValuesIn(ImportedTypes(Format::kTernary)), TypeName);

void Append(const GgmlBlocks& from, GgmlBlocks* to) {
  to->bytes.insert(to->bytes.end(), from.bytes.begin(), from.bytes.end());
  to->weights.insert(to->weights.end(), from.weights.begin(), from.weights.end());
}

// A block of zeros, anywhere in the matrix, may have any scale with the sign of the other scales.
TEST_P(Ternary, OneScaleServesZerosToo) {
  for (const float zero_scale : {0x1p-10f, 2.0f, -2.0f}) {
    for (std::size_t zeros_at = 0; zeros_at < 8; ++zeros_at) {
      for (const bool rows_differ : {false, true}) {
        SCOPED_TRACE(::testing::Message() << zero_scale << " at " << zeros_at << (rows_differ ? ", rows differ" : ""));
        Random random(1);
        GgmlBlocks blocks;
        for (std::size_t i = 0; i < 8; ++i) {  // two rows of four
          const float scale = i == zeros_at ? zero_scale : rows_differ && i >= 4 ? 0.25f : 0.5f;
          Append(MakeBlocks(type().id, 1, random, {0, scale, i == zeros_at}), &blocks);
        }
        const QuantizedMatrix w = Imported(type().id, blocks.bytes, 2, k());
        EXPECT_EQ(w.view().group, zero_scale < 0 ? type().group : rows_differ ? kPerRow : kPerMatrix);
        EXPECT_TRUE(SameBits(Dequantized(w.view()), blocks.weights, k()));
      }
    }
  }
}

TEST_P(Ternary, ZerosAloneHaveOneScale) {
  Random random(1);
  GgmlBlocks blocks;
  for (const float scale : {1.0f, 0.5f, 3.0f, 1.0f})
    Append(MakeBlocks(type().id, 1, random, {0, scale, true}), &blocks);
  const QuantizedMatrix w = Imported(type().id, blocks.bytes, 2, 2 * type().weights);
  EXPECT_EQ(w.view().group, kPerMatrix);
  EXPECT_TRUE(SameBits(Dequantized(w.view()), blocks.weights, 2 * type().weights));
}

// ggml's quantizers never write it, but two bits have a fourth code: twice the scale.
TEST_P(Ternary, TwosMakeItInt2) {
  if (std::string(type().name) == "tq1_0") return;  // has no fourth code
  for (const float scale : {0.0f, 0.5f}) {
    const GgmlBlocks blocks = Blocks(kM, {4, scale});
    const QuantizedMatrix w = Imported(type().id, blocks.bytes, kM, k());
    EXPECT_EQ(w.view().format, Format::kInt2);
    EXPECT_EQ(w.view().zero_kind, ZeroKind::kPoint);
    EXPECT_EQ(w.view().zero_type, DataType::kUInt8);
    EXPECT_EQ(w.view().group, scale == 0.0f ? type().group : kPerMatrix);
    EXPECT_TRUE(SameBits(Dequantized(w.view()), blocks.weights, k()));
    ExpectRightProducts(w.view());
  }
}

// Bytes that no encoder writes decode as ggml decodes them, too.
TEST(Tq1_0, EveryByteHasItsDigits) {
  std::vector<std::uint8_t> bytes(54 * 8);
  for (std::size_t block = 0; block < 8; ++block) {
    for (std::size_t i = 0; i < 32; ++i) bytes[54 * block + i] = static_cast<std::uint8_t>(32 * block + i);
    bytes[54 * block + 53] = 0x3c;  // 1.0
  }
  const std::vector<float> weights = Dequantized(Imported(34, bytes, 1, 8 * 256).view());
  for (unsigned byte = 0; byte < 256; ++byte) {
    unsigned power = 1;
    for (unsigned digit = 0; digit < 5; ++digit, power *= 3) {
      const auto q = static_cast<std::uint8_t>(byte * power);
      ASSERT_EQ(weights[byte / 32 * 256 + digit * 32 + byte % 32], static_cast<float>(q * 3 / 256 - 1)) << byte;
    }
  }
}

}  // namespace
}  // namespace test
}  // namespace lutra
