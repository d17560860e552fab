// Imported weights are those of the tool that wrote them, bit for bit; what has no format is refused by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "faults.h"
#include "gguf_writer.h"
#include "lutra/lutra.h"
#include "problem.h"
#include "testing.h"

namespace lutra {

inline void PrintTo(const GgufType& type, std::ostream* out) { *out << type.name; }

namespace test {
namespace {

std::vector<float> Dequantized(const QuantizedView& w) {
  std::vector<float> weights(w.m * w.k);
  EXPECT_TRUE(Ok(Dequantize(w, weights.data(), w.k)));
  return weights;
}

QuantizedMatrix Imported(std::uint32_t type, const std::vector<std::uint8_t>& bytes, std::size_t m, std::size_t k) {
  QuantizedMatrix w;
  EXPECT_TRUE(Ok(ImportGguf(type, bytes.data(), bytes.size(), m, k, &w)));
  return w;
}

// Packs w for every target and multiplies, in both precisions.
void ExpectRightProducts(const QuantizedView& w) {
  Random random(3);
  for (const std::size_t n : {std::size_t{1}, std::size_t{5}}) {
    std::vector<float> data(n * w.k);
    for (float& value : data) value = random.Gaussian();
    const ActivationView x = {data.data(), DataType::kF32, n, w.k, w.k};
    for (const Precision precision : kPrecisions) {
      std::vector<double> expected(n * w.m), bound(n * w.m);
      ASSERT_TRUE(Ok(ReferenceMatMul(w, x, expected.data())));
      ASSERT_TRUE(Ok(ReferenceErrorBound(w, x, precision, bound.data())));
      for (const Target target : RunnableTargets()) {
        SCOPED_TRACE(::testing::Message()
                     << TargetName(target) << ", N " << n << ", " << NameOf(precision, kPrecisionNames));
        PackedMatrix packed;
        Context context;
        Activations tables;
        std::vector<float> y(n * w.m);
        ASSERT_TRUE(Ok(Pack(w, {target, nullptr}, &packed)));
        ASSERT_TRUE(Ok(Prepare(x, packed, precision, context, &tables)));
        ASSERT_TRUE(Ok(MatMul(packed, tables, {y.data(), DataType::kF32, n, w.m, w.m}, context)));
        EXPECT_TRUE(Within(y, expected, bound, w.m));
      }
    }
  }
}

// Packed bytes of whole panels per byte in the file, and the most that is promised.
constexpr double kMostBytes = 1.05;
double PackedPerFile(const QuantizedMatrix& w, std::size_t bytes, Target target) {
  PackedMatrix packed;
  EXPECT_TRUE(Ok(Pack(w.view(), {target, nullptr}, &packed)));
  return static_cast<double>(packed.bytes()) / static_cast<double>(bytes);
}

// --- GGUF.

std::vector<GgufType> ImportedTypes() {
  std::vector<GgufType> types;
  for (const GgufType& type : GgufTypes()) {
    if (type.refusal == nullptr) types.push_back(type);
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

TEST_P(Gguf, IsBitForBitWhatGgmlHas) {
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

TEST_P(Gguf, PacksIntoAsManyBytes) {
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

// Exactly where a type has f16 scales, infinities and NaNs are refused.
TEST_P(Gguf, RefusesScalesThatAreNotFinite) {
  const std::vector<std::uint8_t> bytes = Blocks(kM).bytes;
  QuantizedMatrix w;
  std::size_t refused = 0;
  for (std::size_t i = 0; i + 1 < type().bytes; ++i) {
    bool all = true;
    for (const unsigned bits : {0x7c00u, 0xfc00u, 0x7e00u, 0xffffu}) {
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

// --- GGUF: ternary weights.

class Ternary : public Gguf {};

INSTANTIATE_TEST_SUITE_P(Each, Ternary, ::testing::Values(*FindGgufType(34), *FindGgufType(35), *FindGgufType(42)),
                         TypeName);

void Append(const GgmlBlocks& from, GgmlBlocks* to) {
  to->bytes.insert(to->bytes.end(), from.bytes.begin(), from.bytes.end());
  to->weights.insert(to->weights.end(), from.weights.begin(), from.weights.end());
}

// A block of zeros may have any scale of the sign of the others, wherever it stands.
TEST_P(Ternary, OneScaleServesWhatHasNoOther) {
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
    EXPECT_EQ(w.view().zero_kind, ZeroKind::kInteger);
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

// --- GGUF: files that ggml itself wrote, and what it makes of them, where there are some.

struct Pair {
  std::string name, gguf, f32;
};
void PrintTo(const Pair& pair, std::ostream* out) { *out << pair.name; }

std::vector<Pair> GgmlFiles() {
  std::vector<Pair> pairs;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(LUTRA_GGUF_DATA, error)) {
    std::filesystem::path path = entry.path();
    if (path.extension() != ".gguf") continue;
    const std::string name = path.stem().string(), gguf = path.string();
    pairs.push_back({name, gguf, path.replace_extension(".f32").string()});
  }
  return pairs;
}

std::string FileName(const ::testing::TestParamInfo<Pair>& pair) { return pair.param.name; }

class GgmlFile : public ::testing::TestWithParam<Pair> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GgmlFile);
INSTANTIATE_TEST_SUITE_P(Data, GgmlFile, ::testing::ValuesIn(GgmlFiles()), FileName);

TEST_P(GgmlFile, IsBitForBitWhatGgmlHas) {
  MappedFile mapped;
  GgufFile file;
  ASSERT_TRUE(Ok(mapped.Open(GetParam().gguf.c_str())));
  ASSERT_TRUE(Ok(file.Parse(mapped.data(), mapped.size())));
  const GgufTensor* const tensor = file.Find("weight");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->m(), 48u);
  EXPECT_EQ(tensor->k(), 768u);
  const GgufType* const type = FindGgufType(tensor->type);
  ASSERT_NE(type, nullptr);
  EXPECT_EQ(type->name, GetParam().name);
  QuantizedMatrix w;
  const Status status = ImportGguf(*tensor, &w);
  if (type->refusal != nullptr) {
    EXPECT_TRUE(NotSupported(status, "type"));
    return;
  }
  ASSERT_TRUE(Ok(status));
  MappedFile expected;
  ASSERT_TRUE(Ok(expected.Open(GetParam().f32.c_str())));
  std::vector<float> weights(48 * 768);
  ASSERT_EQ(expected.size(), weights.size() * sizeof(float));
  std::memcpy(weights.data(), expected.data(), expected.size());
  EXPECT_TRUE(SameBits(Dequantized(w.view()), weights, 768));
  ExpectRightProducts(w.view());
}

// --- GPTQ and AWQ.

// A quantized matrix by its definition: W(m, k) = scale * (code - zero), of the group of column k.
struct Grouped {
  std::size_t m, k, group_size, groups;
  std::vector<unsigned> codes, zeros;  // [K x M], [G x M]
  std::vector<std::uint16_t> scales;   // [G x M]
  std::vector<std::int32_t> g_idx;     // [K]

  Grouped(unsigned bits, std::size_t m_, std::size_t k_, std::ptrdiff_t size, bool one_zero, bool act_order)
      : m(m_),
        k(k_),
        group_size(size == -1 ? k_ : static_cast<std::size_t>(size)),
        groups((k_ + group_size - 1) / group_size) {
    Random random(bits + m + k);
    const std::size_t levels = std::size_t{1} << bits;
    for (std::size_t i = 0; i < m * k; ++i) codes.push_back(static_cast<unsigned>(random.Below(levels)));
    for (std::size_t i = 0; i < m * groups; ++i) {
      zeros.push_back(static_cast<unsigned>(one_zero ? levels / 2 : random.Below(levels)));
      scales.push_back(F32ToF16(random.Uniform(-0.1f, 0.1f)));
    }
    for (std::size_t i = 0; i < k; ++i) g_idx.push_back(static_cast<std::int32_t>(i / group_size));
    if (!act_order) return;
    for (std::size_t i = k; i > 1; --i) std::swap(g_idx[i - 1], g_idx[random.Below(i)]);
  }
  float Scale(std::size_t group, std::size_t row) const { return F16ToF32(scales[group * m + row]); }
  std::vector<float> Weights() const {
    std::vector<float> weights;
    for (std::size_t row = 0; row < m; ++row) {
      for (std::size_t column = 0; column < k; ++column) {
        const auto group = static_cast<std::size_t>(g_idx[column]);
        const int difference = static_cast<int>(codes[column * m + row]) - static_cast<int>(zeros[group * m + row]);
        weights.push_back(Scale(group, row) * static_cast<float>(difference));
      }
    }
    return weights;
  }
};

// As GPTQ's tools pack: of 3 bits, ten values and two bits of one, the third bit and ten, and so on.
std::vector<std::uint32_t> PackedWords(const std::vector<unsigned>& values, unsigned bits) {
  std::vector<std::uint32_t> words;
  if (bits != 3) {
    const std::size_t per_word = 32 / bits;
    for (std::size_t i = 0; i < values.size(); i += per_word) {
      words.push_back(0);
      for (std::size_t j = 0; j < per_word; ++j) words.back() |= values[i + j] << (bits * j);
    }
    return words;
  }
  for (std::size_t i = 0; i < values.size(); i += 32) {
    std::uint32_t a = 0, b = 0, c = 0;
    for (std::size_t j = 0; j < 10; ++j) {
      a |= values[i + j] << (3 * j);
      b |= values[i + 11 + j] << (3 * j + 1);
      c |= values[i + 22 + j] << (3 * j + 2);
    }
    a |= values[i + 10] << 30;
    b |= values[i + 10] >> 2 | values[i + 21] << 31;
    c |= values[i + 21] >> 1;
    words.insert(words.end(), {a, b, c});
  }
  return words;
}

// What a checkpoint has of it.
struct GptqTensors {
  std::vector<std::uint32_t> qweight, qzeros;
  GptqView view;

  GptqTensors(const Grouped& w, unsigned bits, std::ptrdiff_t group_size, GptqZeros version) {
    qweight.resize(w.k * bits / 32 * w.m);
    for (std::size_t row = 0; row < w.m; ++row) {
      std::vector<unsigned> values;
      for (std::size_t column = 0; column < w.k; ++column) values.push_back(w.codes[column * w.m + row]);
      const std::vector<std::uint32_t> words = PackedWords(values, bits);
      for (std::size_t i = 0; i < words.size(); ++i) qweight[i * w.m + row] = words[i];
    }
    const unsigned less = version == GptqZeros::kMinusOne ? 1 : 0;
    for (std::size_t group = 0; group < w.groups; ++group) {
      std::vector<unsigned> values;
      for (std::size_t row = 0; row < w.m; ++row) {
        values.push_back((w.zeros[group * w.m + row] - less) & ((1u << bits) - 1));
      }
      const std::vector<std::uint32_t> words = PackedWords(values, bits);
      qzeros.insert(qzeros.end(), words.begin(), words.end());
    }
    view.bits = static_cast<int>(bits);
    view.m = w.m;
    view.k = w.k;
    view.group_size = group_size;
    view.qweight = {qweight.data(), qweight.size()};
    view.qzeros = {qzeros.data(), qzeros.size()};
    view.scales = {w.scales.data(), w.scales.size()};
    view.g_idx = {w.g_idx.data(), w.g_idx.size()};
    view.zeros = version;
  }
};

using GptqParam = std::tuple<unsigned, std::ptrdiff_t, GptqZeros, bool, bool>;

class Gptq : public ::testing::TestWithParam<GptqParam> {
 protected:
  static constexpr std::size_t kM = 96, kK = 288;  // not whole groups, but of 32
};

TEST_P(Gptq, IsBitForBitTheMatrix) {
  const auto [bits, group_size, version, one_zero, act_order] = GetParam();
  const Grouped expected(bits, kM, kK, group_size, one_zero, act_order);
  const GptqTensors tensors(expected, bits, group_size, version);
  QuantizedMatrix w;
  ASSERT_TRUE(Ok(ImportGptq(tensors.view, &w)));
  const QuantizedView& v = w.view();
  EXPECT_EQ(v.format, bits == 2 ? Format::kInt2 : bits == 3 ? Format::kInt3 : Format::kInt4);
  EXPECT_EQ(v.group, group_size == -1 ? kPerRow : static_cast<std::size_t>(group_size));
  EXPECT_EQ(v.zero_kind, one_zero ? ZeroKind::kNone : ZeroKind::kUInt4);
  EXPECT_EQ(v.order != nullptr, act_order && expected.groups > 1);
  EXPECT_TRUE(SameBits(Dequantized(v), expected.Weights(), kK));
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
  const auto [bits, group_size, version, one_zero, act_order] = GetParam();
  const Grouped expected(bits, kM, kK, group_size, one_zero, act_order);
  QuantizedMatrix w;
  ASSERT_TRUE(Ok(ImportGptq(GptqTensors(expected, bits, group_size, version).view, &w)));
  ExpectRightProducts(w.view());

  // And the reference multiplies the columns of the checkpoint with those of x.
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
  const auto [bits, group_size, version, one_zero, act_order] = info.param;
  return std::to_string(bits) + "bits_" + (group_size == -1 ? std::string("row") : std::to_string(group_size)) +
         (version == GptqZeros::kMinusOne ? "_v1" : "_v2") + (one_zero ? "_one_zero" : "") +
         (act_order ? "_act_order" : "");
}
INSTANTIATE_TEST_SUITE_P(Each, Gptq,
                         ::testing::Combine(::testing::Values(2u, 3u, 4u), ::testing::Values(-1, 16, 32, 64, 128, 256),
                                            ::testing::Values(GptqZeros::kMinusOne, GptqZeros::kAsStored),
                                            ::testing::Bool(), ::testing::Bool()),
                         GptqName);

TEST(GptqView, RefusesFaultyArguments) {
  const Grouped w(4, 64, 256, 128, false, false);
  const GptqTensors tensors(w, 4, 128, GptqZeros::kMinusOne);
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
      {"gptq.zeros", [](GptqView& v) { v.zeros = static_cast<GptqZeros>(2); }},
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
      {"gptq.group_size", [](GptqView& v) { v.group_size = 48; }},
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

// The order of columns does not count: g_idx has 32 bits per column, too. Rows of 288 end with a part of 256, those of
// 352 with an odd number of groups. (Below 128 weights a row may take a byte more than that.)
TEST(GptqView, PacksIntoAsManyBytes) {
  for (const unsigned bits : {2u, 3u, 4u}) {
    for (const std::ptrdiff_t group_size : {-1, 16, 32, 64, 128, 256}) {
      for (const std::size_t k : {std::size_t{128}, std::size_t{288}, std::size_t{352}, std::size_t{4096}}) {
        for (const bool one_zero : {false, true}) {
          SCOPED_TRACE(::testing::Message()
                       << bits << " bits, group " << group_size << ", K " << k << ", " << one_zero);
          const Grouped grouped(bits, 64, k, group_size, one_zero, false);
          const GptqTensors tensors(grouped, bits, group_size, GptqZeros::kMinusOne);
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
  GptqTensors tensors(w, 4, -1, GptqZeros::kAsStored);
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
  EXPECT_TRUE(Ok(ImportAwq({}, &q)));
  EXPECT_EQ(q.view().k, 0u);
}

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
        EXPECT_EQ(w.view().zero_kind, one_zero ? ZeroKind::kNone : ZeroKind::kUInt4);
        EXPECT_EQ(w.view().order, nullptr);
        EXPECT_TRUE(SameBits(Dequantized(w.view()), expected.Weights(), k));
        ExpectRightProducts(w.view());
      }
    }
  }
}

TEST(Awq, PacksIntoAsManyBytes) {
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

}  // namespace
}  // namespace test
}  // namespace lutra
