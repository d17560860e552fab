// GGUF's types: the imported weights are ggml's, bit for bit; types without a format are refused by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
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
// The types of ternary blocks with a scale each.
std::vector<GgufType> TernaryTypes() {
  std::vector<GgufType> types;
  for (const GgufType& type : ImportedTypes()) {
    if (type.format == Format::kTernary && type.scale_type == DataType::kF16) types.push_back(type);
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
  // Whether `size` bytes are those of another type that files give this id.
  bool IsSizeOfAnother(std::size_t size) const {
    return std::any_of(GgufTypes().begin(), GgufTypes().end(), [&](const GgufType& other) {
      return other.id != type().id && other.other_id == type().id && size == kM * k() / other.weights * other.bytes;
    });
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

// Scales at the ends of their types, and zeros of both signs.
TEST_P(Gguf, TakesScalesOfAnySize) {
  const auto expect = [&](const BlockOptions& options) {
    SCOPED_TRACE(::testing::Message() << "scale " << options.scale << ", byte " << options.scale_byte);
    const GgmlBlocks blocks = Blocks(kM, options);
    EXPECT_TRUE(SameBits(Dequantized(Imported(type().id, blocks.bytes, kM, k()).view()), blocks.weights, k()));
  };
  for (const float scale : {0x1p-24f, 0x1.8p-23f, 0x1.23p-15f, 0x1p-14f, 65504.0f, 1e-9f}) {
    expect({0, scale});  // 1e-9 is 0 in f16
    expect({0, -scale});
  }
  const int end = type().scale_type == DataType::kE4M3 ? 0x80 : 0xff;
  for (int byte = 0; byte < end; ++byte) expect({0, 0, false, byte});
}

TEST_P(Gguf, PacksIntoTheBytesThatItDeclares) {
  const std::size_t m = 64;
  Random random(1);
  for (const float scale : {0.0f, 0.5f}) {
    const GgmlBlocks blocks = MakeBlocks(type().id, m * 4096 / type().weights, random, {0, scale});
    const QuantizedMatrix w = Imported(type().id, blocks.bytes, m, 4096);
    for (const Target target : RunnableTargets()) {
      SCOPED_TRACE(::testing::Message() << TargetName(target) << ", scale " << scale);
      const double ratio = PackedPerFile(w, blocks.bytes.size(), target), declared = double{type().packed_ratio};
      EXPECT_LE(ratio, declared);
      if (declared > kMostBytes && scale == 0.0f) {
        EXPECT_GT(ratio, declared - 0.02);
      }
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
    if (IsSizeOfAnother(size)) continue;
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

// Two bytes that no scale has, and the number of places in a block and the tail where these make scales.
struct BadScales {
  std::vector<unsigned> halves;
  std::size_t places;
};
BadScales BadScalesOf(const GgufType& type) {
  switch (type.scale_type) {
    case DataType::kE8M0:
      return {{0x00ff, 0xffff}, 1};
    case DataType::kE4M3:  // NaN and negative
      return {{0x00ff, 0x0080, 0x00b8}, type.weights / type.group};
    case DataType::kF32:
      return {{0x7f80, 0xff80, 0x7fc0, 0xffff}, 1};
    default:  // infinities and NaNs of f16; iq1_m has four bits in each of four bytes
      return {{0x7c00, 0xfc00, 0x7e00, 0xffff},
              type.zero_kind == ZeroKind::kOffset      ? 2u
              : type.name == std::string_view("iq1_m") ? 0u
                                                       : 1u};
  }
}

// Scales that are not finite are refused at exactly the bytes where a type has scales.
TEST_P(Gguf, RefusesScalesThatAreNotFinite) {
  const std::vector<std::uint8_t> bytes = Blocks(kM).bytes;
  const BadScales bad = BadScalesOf(type());
  const std::size_t size = type().bytes + type().tail_bytes;
  QuantizedMatrix w;
  std::size_t refused = 0;
  for (std::size_t i = 0; i + 1 < size; ++i) {
    bool all = true;
    for (const unsigned bits : bad.halves) {
      std::vector<std::uint8_t> spoiled = bytes;
      std::uint8_t* const at = &spoiled[bytes.size() - size + i];  // in the last block and the tail
      at[0] = static_cast<std::uint8_t>(bits);
      at[1] = static_cast<std::uint8_t>(bits >> 8);
      all = all && Refused(ImportGguf(type().id, spoiled.data(), spoiled.size(), kM, k(), &w), "data");
    }
    if (all) ++refused;
  }
  EXPECT_EQ(refused, bad.places);
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
  for (const std::uint32_t type : {4u, 5u, 31u, 33u, 38u, 43u, 141u, 144u, ~0u}) {
    EXPECT_EQ(FindGgufType(type), nullptr);
    EXPECT_TRUE(NotSupported(ImportGguf(type, bytes.data(), 256, 1, 256, &w), "type"));
  }
}

// --- Ternary weights.

class Ternary : public Gguf {};

INSTANTIATE_TEST_SUITE_P(Each, Ternary, ::testing::ValuesIn(TernaryTypes()), TypeName);

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
  if (std::string(type().name).find("tq1_0") != std::string::npos) return;  // no fourth code: digits in base 3
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

// --- One type each.

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

// Files have pq2_0 under the id of q2_0, too.
TEST(Pq2_0, HasTheIdOfQ2_0Too) {
  Random random(1);
  const GgmlBlocks blocks = MakeBlocks(142, 6, random);
  const QuantizedMatrix w = Imported(42, blocks.bytes, 3, 256);
  EXPECT_EQ(w.view().group, 128u);
  EXPECT_TRUE(SameBits(Dequantized(w.view()), blocks.weights, 256));
  QuantizedMatrix none;
  EXPECT_TRUE(Refused(ImportGguf(42, blocks.bytes.data(), blocks.bytes.size(), 12, 64, &none), "size"));
  EXPECT_TRUE(Refused(ImportGguf(142, blocks.bytes.data(), 6 * 36, 3, 256, &none), "size"));
}

TEST(Iq1M, RefusesASuperScaleThatIsNotFinite) {
  Random random(1);
  for (const unsigned bits : {0x7c00u, 0xfc00u, 0x7e00u, 0xffffu}) {
    GgmlBlocks blocks = MakeBlocks(29, 2, random);
    for (std::size_t i = 0; i < 4; ++i) {
      std::uint8_t& byte = blocks.bytes[56 + 49 + 2 * i];
      byte = static_cast<std::uint8_t>(byte % 16 + (bits >> 4 * i) % 16 * 16);
    }
    QuantizedMatrix w;
    EXPECT_TRUE(Refused(ImportGguf(29, blocks.bytes.data(), blocks.bytes.size(), 2, 256, &w), "data"));
  }
}

// The scale of the whole matrix needs all bits of a float, and what follows it may be anything.
TEST(I2S, HasOneFloatBehindTheBlocks) {
  Random random(1);
  for (const float scale : {1.2345678f, -0x1p-149f, 3e38f}) {
    const GgmlBlocks blocks = MakeBlocks(36, 6, random, {0, scale});
    ASSERT_EQ(blocks.bytes.size(), 6u * 32 + 32);
    const QuantizedMatrix w = Imported(36, blocks.bytes, 3, 256);
    EXPECT_EQ(*static_cast<const float*>(w.view().scales), scale);
    EXPECT_TRUE(SameBits(Dequantized(w.view()), blocks.weights, 256));
  }
}

}  // namespace
}  // namespace test
}  // namespace lutra
