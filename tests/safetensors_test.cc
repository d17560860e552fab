// safetensors_matmul's reader: finds the scheme of every checkpoint, imports what the tools' own code packed, and
// refuses hostile files and indices of shards.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "../examples/safetensors_file.h"
#include "../examples/safetensors_schemes.h"
#include "lutra/lutra.h"
#include "support/imported.h"
#include "support/read_safetensors.h"
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
    ReadSafetensors(bytes, config);
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

// A folder with an index and two shards, each of which has every other tensor of a layer.
class Sharded {
 public:
  explicit Sharded(const CheckpointCase& c) : tensors_(c) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    SafetensorsWriter layer, shards[2];
    layer.Checkpoint("layer", c, tensors_);
    const std::vector<std::uint8_t> bytes = layer.Bytes();
    SafetensorsFile file;
    EXPECT_EQ(file.Parse(bytes.data(), bytes.size()), "");
    for (const examples::SafeTensor& tensor : file.tensors()) {
      const std::size_t i = count_++ % 2;
      shards[i].Tensor(tensor.name, tensor.dtype, tensor.shape, tensor.data, tensor.size);
      map_ += (map_.empty() ? "\"" : ",\"") + tensor.name + "\":\"" + Shard(i) + "\"";
    }
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) Write(Shard(i), shards[i].Bytes());
    WriteIndex(index());
    const std::string config = SafetensorsWriter::Config(c);
    Write("config.json", {config.begin(), config.end()});
  }
  ~Sharded() { std::filesystem::remove_all(folder_); }
  Sharded(const Sharded&) = delete;
  Sharded& operator=(const Sharded&) = delete;

  static std::string Shard(std::size_t i) { return "model-0000" + std::to_string(i + 1) + "-of-00002.safetensors"; }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::string IndexPath() const { return Path("model.safetensors.index.json"); }
  std::string index() const { return "{\"metadata\":{\"total_size\":1},\"weight_map\":{" + map_ + "}}"; }
  void WriteIndex(const std::string& index) const {
    Write("model.safetensors.index.json", {index.begin(), index.end()});
  }
  // What is wrong with this index.
  std::string ErrorOf(const std::string& index) const {
    WriteIndex(index);
    return SafetensorsFile().Open(IndexPath());
  }
  const std::string& folder() const { return folder_; }
  const CheckpointTensors& tensors() const { return tensors_; }
  std::size_t count() const { return count_; }

 private:
  void Write(const std::string& name, const std::vector<std::uint8_t>& bytes) const {
    std::ofstream file(Path(name), std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }

  const std::string folder_ = ::testing::TempDir() + "lutra_shards_" + std::to_string(getpid());
  const CheckpointTensors tensors_;
  std::string map_;
  std::size_t count_ = 0;
};
constexpr CheckpointCase kSharded = {CheckpointScheme::kPackQuantized, 4, 64, 384, 32, DataType::kF16, true};

// The parts of a matrix may lie in different shards.
TEST(SafetensorsShards, HaveTheWeightsOfTheTool) {
  const Sharded sharded(kSharded);
  for (const std::string& path : {sharded.IndexPath(), sharded.folder(), sharded.folder() + "/"}) {
    SCOPED_TRACE(path);
    SafetensorsFile file;
    ASSERT_EQ(file.Open(path), "");
    EXPECT_EQ(file.tensors().size(), sharded.count());
    EXPECT_TRUE(file.config().is_object());
    const std::vector<FoundMatrix> found = FindMatrices(file);
    ASSERT_EQ(found.size(), 1u);
    ASSERT_EQ(found[0].refusal, "");
    EXPECT_EQ(found[0].parts.size(), sharded.count() - 1);
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportCheckpoint(found[0].view, &w)));
    EXPECT_TRUE(SameBits(Dequantized(w.view()), sharded.tensors().weights(), w.view().k));
  }
  SafetensorsFile shard;  // alone
  ASSERT_EQ(shard.Open(sharded.Path(Sharded::Shard(0))), "");
  EXPECT_LT(shard.tensors().size(), sharded.count());
  std::filesystem::remove(sharded.IndexPath());
  EXPECT_NE(SafetensorsFile().Open(sharded.folder()), "");  // neither index nor model.safetensors
}

TEST(SafetensorsShards, RefuseMissingFilesAndTensors) {
  const Sharded sharded(kSharded);
  const std::string other = R"({"weight_map":{"other":")" + Sharded::Shard(0) + "\"}}";
  EXPECT_NE(sharded.ErrorOf(other).find("has no tensor 'other'"), std::string::npos);
  std::filesystem::resize_file(sharded.Path(Sharded::Shard(1)), 100);
  EXPECT_NE(sharded.ErrorOf(sharded.index()).find(Sharded::Shard(1)), std::string::npos);
  std::filesystem::remove(sharded.Path(Sharded::Shard(1)));
  EXPECT_NE(sharded.ErrorOf(sharded.index()).find(Sharded::Shard(1)), std::string::npos);
  SafetensorsFile file;
  EXPECT_NE(file.Open(sharded.folder()), "");
  EXPECT_TRUE(file.tensors().empty());
}

TEST(SafetensorsShards, RefuseHostileIndices) {
  const Sharded sharded(kSharded);
  for (const char* const file : {"3", "null", "[]", R"("")", R"("..")", R"("model")", R"("/etc/a.safetensors")",
                                 R"("../a.safetensors")", R"("a/b.safetensors")", R"("a\\b.safetensors")",
                                 R"("c:a.safetensors")", R"("a\u0000.safetensors")", R"("a.safetensors/")"}) {
    const std::string index = std::string(R"({"weight_map":{"layer.weight_scale":)") + file + "}}";
    examples::Shards shards;
    EXPECT_NE(examples::ParseIndex(index.data(), index.size(), &shards), "") << index;
    EXPECT_NE(sharded.ErrorOf(index), "") << index;
  }
  const std::string deep(1000000, '[');
  for (const std::string& index : {std::string(), std::string("{}"), std::string("[]"), std::string("{"), deep,
                                   std::string(R"({"weight_map":[]})"), R"({"weight_map":)" + deep}) {
    EXPECT_NE(sharded.ErrorOf(index), "") << index.substr(0, 100);
  }
  EXPECT_EQ(sharded.ErrorOf(R"({"weight_map":{}})"), "");  // no tensors
  const std::string characters = "0123456789{}[],:\"-.eEFIUx\\/";
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    std::string index = sharded.index();
    for (std::size_t n = 1 + random.Below(3); n > 0; --n) {
      index[random.Below(index.size())] = characters[random.Below(characters.size())];
    }
    sharded.WriteIndex(index);
    SafetensorsFile file;
    if (!file.Open(sharded.IndexPath()).empty()) {
      EXPECT_TRUE(file.tensors().empty());
      continue;
    }
    for (const FoundMatrix& found : FindMatrices(file)) {
      QuantizedMatrix w;
      if (found.refusal.empty()) (void)ImportCheckpoint(found.view, &w);
    }
  }
}

}  // namespace
}  // namespace lutra::test
