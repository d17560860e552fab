// safetensors_matmul's reader: finds the scheme of every checkpoint, imports what the tools' own code packed, and
// refuses hostile files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "../examples/safetensors_file.h"
#include "../examples/safetensors_schemes.h"
#include "lutra/lutra.h"
#include "support/guarded.h"
#include "support/imported.h"
#include "support/safetensors_writer.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

using examples::FindMatrices;
using examples::FoundMatrix;
using examples::SafetensorsFile;

class Safetensors : public ::testing::TestWithParam<CheckpointInfo> {};

TEST_P(Safetensors, FindsTheScheme) {
  for (const CheckpointCase& c : FileCasesOf(GetParam())) {
    SCOPED_TRACE(c);
    const CheckpointTensors tensors(c);
    SafetensorsWriter writer;
    writer.Checkpoint("layer", c, tensors);
    const std::vector<std::uint8_t> bytes = writer.Bytes();
    SafetensorsFile file;
    ASSERT_EQ(file.Parse(bytes.data(), bytes.size()), "");
    const std::string config = SafetensorsWriter::Config(c);
    ASSERT_EQ(file.ParseConfig(config.data(), config.size()), "");
    const std::vector<FoundMatrix> found = FindMatrices(file);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].view.scheme, c.scheme);
    EXPECT_EQ(found[0].parts.size(), file.tensors().size() - 1);
    if (GetParam().refusal != nullptr) {
      EXPECT_EQ(found[0].refusal, GetParam().refusal);
      continue;
    }
    ASSERT_EQ(found[0].refusal, "");
    EXPECT_EQ(found[0].view.bits, c.bits);
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportCheckpoint(found[0].view, &w)));
    const std::vector<float> weights = Dequantized(w.view());
    ASSERT_EQ(weights.size(), tensors.weights().size());
    std::size_t beyond = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (!(std::abs(weights[i] - tensors.weights()[i]) <= tensors.errors()[i])) ++beyond;
    }
    EXPECT_EQ(beyond, 0u);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes, Safetensors, ::testing::ValuesIn(kCheckpointSchemes), SchemeName);

// tests/data/README.md: the tools' own packing and unpacking.
TEST(SafetensorsData, HasTheWeightsOfTheTool) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LUTRA_TEST_DATA)) {
    if (entry.path().extension() != ".safetensors") continue;
    SCOPED_TRACE(entry.path());
    ++files;
    SafetensorsFile file;
    ASSERT_EQ(file.Open(entry.path().string()), "");
    const std::vector<FoundMatrix> found = FindMatrices(file);
    ASSERT_EQ(found.size(), 1u);
    ASSERT_EQ(found[0].refusal, "");
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportCheckpoint(found[0].view, &w)));
    const std::vector<float> weights = Dequantized(w.view());
    const examples::SafeTensor& tensor = *file.Find("expected");
    std::vector<float> expected(tensor.Elements());
    std::memcpy(expected.data(), tensor.data, tensor.size);
    if (found[0].view.nested.absmax.size == 0) {
      EXPECT_TRUE(SameBits(weights, expected, w.view().k));
      continue;
    }
    ASSERT_EQ(weights.size(), expected.size());
    constexpr float kLargestAbsmax = 0.07f;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      ASSERT_NEAR(weights[i], expected[i], 0.0039f * kLargestAbsmax) << i;
    }
  }
  EXPECT_EQ(files, 10u);
}

// Parses a copy that ends before an unmapped page, and imports what it holds.
void Read(const std::vector<std::uint8_t>& bytes, const std::string& config) {
  Guarded copy(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.data());
  SafetensorsFile file;
  const std::string error = file.Parse(copy.data(), copy.size());
  if (!error.empty()) {
    EXPECT_TRUE(file.tensors().empty());
    return;
  }
  (void)file.ParseConfig(config.data(), config.size());
  for (const FoundMatrix& found : FindMatrices(file)) {
    QuantizedMatrix w;
    if (found.refusal.empty()) (void)ImportCheckpoint(found.Slice(found.slices - 1), &w);
  }
}

TEST_P(Safetensors, SurvivesMutatedHeaders) {
  CheckpointCase c = FileCasesOf(GetParam())[FileCasesOf(GetParam()).size() / 2];
  c.m = 32;
  c.k = std::max<std::size_t>(c.group(), 128) % 1024;
  if (c.group_size == -1) c.k = 128;
  const CheckpointTensors tensors(c);
  SafetensorsWriter writer;
  writer.Checkpoint("layer", c, tensors);
  const std::vector<std::uint8_t> good = writer.Bytes();
  std::uint64_t length;
  std::memcpy(&length, good.data(), sizeof(length));
  const std::string characters = "0123456789{}[],:\"-.eEFIUx\\";
  Random random(c.m);
  for (int i = 0; i < 1000; ++i) {
    std::vector<std::uint8_t> bytes = good;
    std::string config = SafetensorsWriter::Config(c);
    for (std::size_t n = 1 + random.Below(3); n > 0; --n) {
      const auto character = static_cast<std::uint8_t>(characters[random.Below(characters.size())]);
      bytes[8 + random.Below(length)] = character;
      config[random.Below(config.size())] = static_cast<char>(character);
    }
    if (random.Below(8) == 0) bytes[random.Below(8)] = static_cast<std::uint8_t>(random.Below(256));
    if (random.Below(8) == 0) bytes.resize(random.Below(bytes.size()));
    if (random.Below(2) == 0) config = SafetensorsWriter::Config(c);
    Read(bytes, config);
  }
}

TEST(SafetensorsFile, RefusesHostileFiles) {
  const std::vector<std::uint8_t> data(16);
  const auto tensor = [](const std::string& fields) { return "{\"t\":{" + fields + "}}"; };
  const std::string deep(1000000, '[');
  const std::string kHeaders[] = {
      "",
      "[]",
      "{",
      "{\"t\":3}",
      "{\"t\xff\":{}}",
      tensor(""),
      tensor(R"("dtype":"F9","shape":[2],"data_offsets":[0,2])"),
      tensor(R"("dtype":3,"shape":[2],"data_offsets":[0,2])"),
      tensor(R"("dtype":"U8","shape":[2],"data_offsets":[0,3])"),
      tensor(R"("dtype":"U8","shape":[17],"data_offsets":[0,17])"),
      tensor(R"("dtype":"U8","shape":[2],"data_offsets":[4,2])"),
      tensor(R"("dtype":"U8","shape":[-2],"data_offsets":[0,2])"),
      tensor(R"("dtype":"U8","shape":[2.0],"data_offsets":[0,2])"),
      tensor(R"("dtype":"U8","shape":[2],"data_offsets":[0,2,4])"),
      tensor(R"("dtype":"U8","shape":[2],"data_offsets":[18446744073709551615,1])"),
      tensor(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])"),
      tensor(R"("dtype":"U8","shape":[0,18446744073709551615],"data_offsets":[0,0])"),
      tensor(R"("dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1])"),
      tensor("\"dtype\":\"U8\",\"shape\":" + deep + std::string(deep.size(), ']') + ",\"data_offsets\":[0,1]"),
      "{\"t\":" + deep,
  };
  for (const std::string& header : kHeaders) {
    const std::vector<std::uint8_t> bytes = SafetensorsWriter::File(header, data);
    SafetensorsFile file;
    EXPECT_NE(file.Parse(bytes.data(), bytes.size()), "") << header.substr(0, 100);
  }
  for (const std::uint64_t length : {std::uint64_t{17}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    std::vector<std::uint8_t> bytes(24, '{');
    std::memcpy(bytes.data(), &length, sizeof(length));
    EXPECT_NE(SafetensorsFile().Parse(bytes.data(), bytes.size()), "");
  }
  EXPECT_NE(SafetensorsFile().Parse(data.data(), 7), "");
  EXPECT_NE(SafetensorsFile().Open("/no/such/file.safetensors"), "");
  SafetensorsFile file;
  EXPECT_NE(file.ParseConfig("[1]", 3), "");
}

// Zero points of compressed-tensors are int8, where they are not packed; of other types, they must be zeros.
TEST(SafetensorsFile, RefusesZeroPointsOfOtherTypes) {
  const std::string kCodes[] = {R"({"w.weight":{"dtype":"I8","shape":[2,16])",
                                R"({"w.weight_packed":{"dtype":"I32","shape":[2,4])"};
  for (const auto& [type, codes] : {std::pair("I8", 0), {"U8", 0}, {"I8", 1}, {"U8", 1}}) {
    const std::string header = kCodes[codes] +
                               R"(,"data_offsets":[0,32]},)"
                               R"("w.weight_scale":{"dtype":"F32","shape":[2,1],"data_offsets":[32,40]},)"
                               R"("w.weight_zero_point":{"dtype":")" +
                               std::string(type) + R"(","shape":[2,1],"data_offsets":[40,42]}})";
    std::vector<std::uint8_t> data(42);
    for (const std::uint8_t zero : {std::uint8_t{0}, std::uint8_t{1}}) {
      data[41] = zero;
      const std::vector<std::uint8_t> bytes = SafetensorsWriter::File(header, data);
      SafetensorsFile file;
      ASSERT_EQ(file.Parse(bytes.data(), bytes.size()), "");
      const std::vector<FoundMatrix> found = FindMatrices(file);
      ASSERT_EQ(found.size(), 1u);
      EXPECT_EQ(found[0].refusal.empty(), zero == 0 || std::string(type) == "I8") << found[0].refusal;
    }
  }
}

// HQQ with axis 0: the refusal says what to do.
TEST(SafetensorsFile, RefusesGroupsThatRunDownTheRows) {
  const CheckpointCase c{CheckpointScheme::kHqq, 4, 64, 64, 64};
  const CheckpointTensors tensors(c);
  SafetensorsWriter writer;
  writer.Checkpoint("layer", c, tensors);
  std::vector<std::uint8_t> bytes = writer.Bytes();
  SafetensorsFile file;
  ASSERT_EQ(file.Parse(bytes.data(), bytes.size()), "");
  bytes[static_cast<std::size_t>(file.Find("layer.axis")->data - bytes.data())] = 0;
  const std::vector<FoundMatrix> found = FindMatrices(file);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(found[0].refusal.find("quantize with axis=1"), std::string::npos) << found[0].refusal;
}

}  // namespace
}  // namespace lutra::test
