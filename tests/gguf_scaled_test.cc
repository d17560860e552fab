// The scale of a matrix that GGUF files have in a tensor of its own, beside nvfp4 weights.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/gguf_writer.h"
#include "support/imported.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::uint32_t kF32Type = 0, kF16Type = 1, kQ4_0 = 2, kNvfp4 = 40;
constexpr std::size_t kM = 3, kK = 128, kExperts = 4;

std::vector<std::uint8_t> Floats(const std::vector<float>& values) {
  std::vector<std::uint8_t> bytes;
  for (const float value : values) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::uint8_t>(bits >> 8 * i));
  }
  return bytes;
}

// A file with the weights of one tensor of the type, and its scale if there are floats.
class Scaled : public ::testing::Test {
 protected:
  void Write(std::uint32_t type, std::size_t slices, const std::vector<float>& scales,
             std::uint32_t scale_type = kF32Type) {
    Random random(1);
    const std::size_t blocks = kM * slices * kK / FindGgufType(type)->weights;
    blocks_ = MakeBlocks(type, blocks, random, {0, 0, false, 0x30});  // all scales are 0.5
    GgufWriter writer;
    writer.Tensor("a.scale", {1}, kF32Type, Floats({77}));
    writer.Tensor("a.weight", {kK, kM, slices}, type, blocks_.bytes);
    writer.Tensor("up.weight", {kK, kM, slices}, type, blocks_.bytes);
    if (!scales.empty()) writer.Tensor("up.scale", {scales.size()}, scale_type, Floats(scales));
    bytes_ = writer.Bytes();
    ASSERT_TRUE(Ok(file_.Parse(bytes_.data(), bytes_.size())));
  }
  Status Import(std::size_t i = 0) { return ImportGguf(file_, "up.weight", i, &w_); }
  // The imported matrix is number i of the tensor, times the scale, rounded as matrix_scale says.
  void ExpectScaled(std::size_t i, float scale) {
    EXPECT_EQ(w_.view().matrix_scale, scale);
    std::vector<float> expected(blocks_.weights.begin() + static_cast<std::ptrdiff_t>(i * kM * kK),
                                blocks_.weights.begin() + static_cast<std::ptrdiff_t>((i + 1) * kM * kK));
    for (float& weight : expected) weight = 0.5f * scale * (weight / 0.5f);
    EXPECT_TRUE(SameBits(Dequantized(w_.view()), expected, kK));
  }

  GgmlBlocks blocks_;
  std::vector<std::uint8_t> bytes_;
  GgufFile file_;
  QuantizedMatrix w_;
};

TEST_F(Scaled, OneScaleServesTheMatrix) {
  for (const float scale : {1.0f, 0.0123f, -2.5f, 0x1p-100f}) {
    Write(kNvfp4, 1, {scale});
    ASSERT_TRUE(Ok(Import()));
    ExpectScaled(0, scale);
  }
  ASSERT_TRUE(Ok(ImportGguf(file_, "a.weight", 0, &w_)));
  ExpectScaled(0, 77);
}

TEST_F(Scaled, ProductsHaveTheScale) {
  Write(kNvfp4, 1, {0.0123f});
  ASSERT_TRUE(Ok(Import()));
  ExpectRightProducts(w_.view());
}

TEST_F(Scaled, ExpertsHaveAScaleEach) {
  Write(kNvfp4, kExperts, {1, 2, 0.3f, 4});
  for (std::size_t i = 0; i < kExperts; ++i) {
    ASSERT_TRUE(Ok(Import(i)));
    ExpectScaled(i, std::vector<float>{1, 2, 0.3f, 4}[i]);
  }
  EXPECT_TRUE(Refused(Import(kExperts), "i"));
  Write(kNvfp4, kExperts, {0.3f});
  ASSERT_TRUE(Ok(Import(2)));
  ExpectScaled(2, 0.3f);
}

TEST_F(Scaled, AFileWithoutAScaleMeansOne) {
  for (const std::uint32_t type : {kNvfp4, kQ4_0}) {
    Write(type, 2, {});
    ASSERT_TRUE(Ok(Import(1)));
    EXPECT_EQ(w_.view().m, kM);
    EXPECT_EQ(w_.view().matrix_scale, 1.0f);
  }
}

TEST_F(Scaled, OtherScalesAreRefused) {
  for (const float bad : {0.0f, -0.0f, kNotFinite[0], kNotFinite[1], kNotFinite[2]}) {
    Write(kNvfp4, 1, {bad});
    EXPECT_TRUE(Refused(Import(), "scale")) << bad;
  }
  Write(kNvfp4, kExperts, {1, 2});  // neither one nor one per slice
  EXPECT_TRUE(Refused(Import(), "scale"));
  Write(kNvfp4, 1, {1}, kF16Type);
  EXPECT_TRUE(NotSupported(Import(), "scale"));
  Write(kQ4_0, 1, {1});  // f16 scales, which matrix_scale does not multiply
  EXPECT_TRUE(NotSupported(Import(), "scale"));
  EXPECT_EQ(w_.view().codes, nullptr);
  EXPECT_TRUE(Refused(ImportGguf(file_, "down.weight", 0, &w_), "name"));
  EXPECT_TRUE(Refused(ImportGguf(file_, "up", 0, &w_), "name"));
  EXPECT_TRUE(Refused(ImportGguf(GgufModel(), "up.weight", 0, &w_), "name"));
  Write(kNvfp4, 1, {1});
  EXPECT_TRUE(Refused(ImportGguf(file_, "up.weight", 0, nullptr), "w"));
}

// Bytes of two slices of i2_s do not tell where the scale of the first is; one slice is the tensor.
TEST_F(Scaled, I2SHasOneSlice) {
  Write(36, 1, {});
  ASSERT_TRUE(Ok(Import()));
  EXPECT_TRUE(SameBits(Dequantized(w_.view()), blocks_.weights, kK));
  Write(36, 2, {});
  EXPECT_TRUE(NotSupported(Import(), "tensor"));
}

}  // namespace
}  // namespace lutra::test
