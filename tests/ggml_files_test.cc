// Files that ggml itself wrote: the imported weights are the floats that ggml dequantizes, bit for bit.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "lutra/lutra.h"
#include "support/imported.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

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

TEST_P(GgmlFile, EqualsGgmlBitForBit) {
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

}  // namespace
}  // namespace lutra::test
