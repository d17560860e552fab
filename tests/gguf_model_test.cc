// GgufModel opens the files of a model: one, or the parts of a split model.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "lutra/lutra.h"
#include "support/gguf_writer.h"
#include "support/imported.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::uint32_t kQ4_0 = 2;

// Files in a folder of their own, which are removed afterwards.
class GgufModels : public ::testing::Test {
 protected:
  GgufModels() { mkdir(folder_.c_str(), 0700); }
  ~GgufModels() override {
    for (const std::string& path : paths_) std::remove(path.c_str());
    rmdir(folder_.c_str());
  }

  std::string Write(const std::string& name, const GgufWriter& file) {
    const std::vector<std::uint8_t> bytes = file.Bytes();
    paths_.push_back(folder_ + "/" + name);
    std::FILE* const out = std::fopen(paths_.back().c_str(), "wb");
    EXPECT_NE(out, nullptr);
    EXPECT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), out), bytes.size());
    EXPECT_EQ(std::fclose(out), 0);
    return paths_.back();
  }
  // Part i of 3. The first has no tensors, as some tools write it, the last has two.
  std::string WritePart(std::uint16_t i, std::uint16_t no, std::uint16_t count, std::int32_t tensors) {
    GgufWriter file;
    file.Split(no, count, tensors);
    for (std::uint16_t t = 0; t < i; ++t) {
      const std::string name = "w" + std::to_string(i) + std::to_string(t);
      file.Tensor(name, {64, 2}, kQ4_0, MakeBlocks(kQ4_0, 4, random_).bytes);
    }
    return Write("model-0000" + std::to_string(i + 1) + "-of-00003.gguf", file);
  }
  std::vector<std::string> WriteParts(std::int32_t tensors = 3) {
    return {WritePart(0, 0, 3, tensors), WritePart(1, 1, 3, tensors), WritePart(2, 2, 3, tensors)};
  }

  static ::testing::AssertionResult IsRefused(const std::string& path, StatusCode code) {
    GgufModel model;
    const Status status = model.Open(path.c_str());
    if (status.code() != code || *status.argument() == 0) return ::testing::AssertionFailure() << status.message();
    return model.size() == 0 ? ::testing::AssertionSuccess() : ::testing::AssertionFailure() << "the model changed";
  }

  Random random_{7};
  std::vector<std::string> paths_;
  const std::string folder_ = ::testing::TempDir() + "lutra_gguf_model_" + std::to_string(getpid());
};

// A tensor and its scale may be in different files.
TEST_F(GgufModels, FindsTheScaleInAnotherPart) {
  constexpr std::uint32_t kF32Type = 0, kNvfp4 = 40;
  const std::vector<std::uint8_t> two = {0, 0, 0, 0x40};
  std::string path;
  for (std::uint16_t i = 0; i < 2; ++i) {
    GgufWriter part;
    part.Split(i, 2, 2);
    if (i == 0) part.Tensor("w.scale", {1}, kF32Type, two);
    if (i == 1) part.Tensor("w.weight", {64, 2}, kNvfp4, MakeBlocks(kNvfp4, 2, random_).bytes);
    path = Write("model-0000" + std::to_string(i + 1) + "-of-00002.gguf", part);
  }
  GgufModel model;
  ASSERT_TRUE(Ok(model.Open(path.c_str())));
  QuantizedMatrix w;
  ASSERT_TRUE(Ok(ImportGguf(model, "w.weight", 0, &w)));
  EXPECT_EQ(w.view().matrix_scale, 2.0f);
}

TEST_F(GgufModels, OpensOneFile) {
  GgufWriter file;
  const GgmlBlocks blocks = MakeBlocks(kQ4_0, 4, random_);
  file.Tensor("w", {64, 2}, kQ4_0, blocks.bytes);
  const std::string path = Write("any name", file);
  for (const FileAccess access : {FileAccess::kMap, FileAccess::kRead}) {
    GgufModel opened;
    ASSERT_TRUE(Ok(opened.Open(path.c_str(), access))) << Name(access);
    const GgufModel model = std::move(opened);
    EXPECT_EQ(model.size(), 1u);
    EXPECT_EQ(model.tensors(), 1u);
    EXPECT_EQ(model.file(0).split_count(), 0u);
    EXPECT_EQ(model.Find("x"), nullptr);
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportGguf(*model.Find("w"), &w)));
    EXPECT_TRUE(SameBits(Dequantized(w.view()), blocks.weights, 64));
  }
}

TEST_F(GgufModels, OpensAllPartsFromAny) {
  for (const std::string& path : WriteParts()) {
    GgufModel model;
    ASSERT_TRUE(Ok(model.Open(path.c_str()))) << path;
    ASSERT_EQ(model.size(), 3u);
    EXPECT_EQ(model.tensors(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(model.file(i).split_no(), i);
      EXPECT_EQ(model.file(i).split_count(), 3u);
      EXPECT_EQ(model.file(i).split_tensors(), 3u);
      EXPECT_EQ(model.file(i).size(), i);
    }
    for (const char* const name : {"w10", "w20", "w21"}) {
      QuantizedMatrix w;
      ASSERT_NE(model.Find(name), nullptr) << name;
      EXPECT_TRUE(Ok(ImportGguf(*model.Find(name), &w)));
    }
    EXPECT_EQ(model.Find("w00"), nullptr);
  }
}

TEST_F(GgufModels, RefusesPartsThatDoNotBelongTogether) {
  const std::vector<std::string> parts = WriteParts();
  GgufModel model;
  ASSERT_TRUE(Ok(model.Open(parts[0].c_str())));
  const GgufTensor* const tensor = model.Find("w21");

  WritePart(1, 1, 4, 3);
  EXPECT_TRUE(IsRefused(parts[0], StatusCode::kInvalidArgument));
  EXPECT_TRUE(IsRefused(parts[1], StatusCode::kInvalidArgument));
  WritePart(1, 2, 3, 3);
  EXPECT_TRUE(IsRefused(parts[0], StatusCode::kInvalidArgument));
  EXPECT_TRUE(IsRefused(parts[1], StatusCode::kInvalidArgument));
  WritePart(1, 3, 3, 3);
  EXPECT_TRUE(IsRefused(parts[1], StatusCode::kInvalidArgument));
  WritePart(1, 1, 3, 4);  // another number of tensors
  EXPECT_TRUE(IsRefused(parts[0], StatusCode::kInvalidArgument));
  WritePart(1, 1, 3, 0);  // none
  EXPECT_TRUE(Ok(GgufModel().Open(parts[0].c_str())));
  GgufWriter huge;
  huge.Key("split.count", 10);
  huge.Put(std::uint64_t{1} << 62);
  EXPECT_TRUE(IsRefused(Write("model-00002-of-00003.gguf", huge), StatusCode::kInvalidArgument));
  GgufWriter alone;
  alone.Split(0, 3, 3);
  EXPECT_TRUE(IsRefused(Write("model.gguf", alone), StatusCode::kInvalidArgument));
  EXPECT_TRUE(IsRefused(Write("g", alone), StatusCode::kInvalidArgument));
  std::remove(parts[1].c_str());
  EXPECT_TRUE(IsRefused(parts[0], StatusCode::kIo));
  EXPECT_TRUE(IsRefused(parts[1], StatusCode::kIo));
  EXPECT_TRUE(IsRefused(folder_, StatusCode::kIo));
  EXPECT_TRUE(Refused(model.Open(nullptr), "path"));
  EXPECT_TRUE(Refused(model.Open(parts[0].c_str(), static_cast<FileAccess>(2)), "access"));
  EXPECT_EQ(model.Find("w21"), tensor);
}

#if SIZE_MAX > UINT32_MAX
// The file has a hole of more than 4 GB.
TEST_F(GgufModels, FindsTensorsBehind4Gigabytes) {
  GgufWriter file;
  const GgmlBlocks blocks = MakeBlocks(kQ4_0, 4, random_);
  constexpr std::uint64_t kHole = (std::uint64_t{1} << 32) + 4096;
  file.Describe("hole", {1 << 10, kHole >> 10}, 24, 0);  // int8
  file.Describe("w", {64, 2}, kQ4_0, kHole);
  const std::string path = Write("large.gguf", file);
  const std::size_t head = file.Bytes().size();
  std::FILE* const out = std::fopen(path.c_str(), "r+b");
  ASSERT_NE(out, nullptr);
  const bool written = ftruncate(fileno(out), static_cast<off_t>(head + kHole)) == 0 &&
                       fseeko(out, static_cast<off_t>(head + kHole), SEEK_SET) == 0 &&
                       std::fwrite(blocks.bytes.data(), 1, blocks.bytes.size(), out) == blocks.bytes.size();
  ASSERT_TRUE(std::fclose(out) == 0 && written) << path;
  GgufModel model;
  ASSERT_TRUE(Ok(model.Open(path.c_str())));
  EXPECT_EQ(model.Find("hole")->size, kHole);
  EXPECT_TRUE(Ok(model.Find("hole")->error));
  QuantizedMatrix w;
  ASSERT_TRUE(Ok(ImportGguf(*model.Find("w"), &w)));
  EXPECT_TRUE(SameBits(Dequantized(w.view()), blocks.weights, 64));
}
#endif

}  // namespace
}  // namespace lutra::test
