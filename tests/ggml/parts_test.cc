// Weights of the ggml plug-in through ggml's API, written in parts of any size and order, and read back.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml.h"
#include "lutra/import.h"
#include "lutra/targets.h"
#include "mapping.h"
#include "random_llama.h"
#include "weights.h"

namespace {

constexpr std::int64_t kK = 256, kM = 150, kExperts = 3;  // the last panel of an expert has 22 rows

struct Free {
  void operator()(ggml_context* context) const { ggml_free(context); }
  void operator()(ggml_backend_buffer* buffer) const { ggml_backend_buffer_free(buffer); }
};
using Bytes = std::vector<std::uint8_t>;

class PluginParts : public testing::TestWithParam<random_llama::FileType> {
 protected:
  void SetUp() override {
    registry_ = ggml_backend_load(LUTRA_GGML_PLUGIN);
    ASSERT_NE(registry_, nullptr);
    context_.reset(ggml_init({std::size_t{1} << 20, nullptr, true}));
    for (ggml_tensor*& tensor : tensors_) tensor = ggml_new_tensor_3d(context(), type(), kK, kM, kExperts);
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(
        context(), ggml_backend_dev_buffer_type(ggml_backend_reg_dev_get(registry_, 0))));
    ASSERT_NE(buffer_, nullptr);
    row_ = ggml_row_size(type(), kK);
    size_ = ggml_nbytes(tensors_[0]);
    packed_size_ = ggml_backend_buffer_get_alloc_size(buffer_.get(), tensors_[0]);
  }
  void TearDown() override {
    buffer_.reset();
    context_.reset();
    if (registry_ != nullptr) ggml_backend_unload(registry_);
  }

  ggml_type type() const { return GetParam().type; }
  ggml_context* context() const { return context_.get(); }
  bool restorable() const { return lutra::FindGgufType(static_cast<std::uint32_t>(type()))->restorable; }
  Bytes Blocks(unsigned seed) const {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> weights(static_cast<std::size_t>(kExperts * kM * kK)), importance(weights.size(), 1.0f);
    for (float& weight : weights) weight = normal(random);
    Bytes blocks(size_);
    ggml_quantize_init(type());
    ggml_quantize_chunk(type(), weights.data(), blocks.data(), 0, kExperts * kM, kK, importance.data());
    return blocks;
  }
  static void Write(ggml_tensor* tensor, const Bytes& blocks, std::size_t begin, std::size_t end) {
    ggml_backend_tensor_set(tensor, blocks.data() + begin, begin, end - begin);
  }
  void ExpectSame(const ggml_tensor* packed, const ggml_tensor* expected) const {
    EXPECT_EQ(std::memcmp(packed->data, expected->data, packed_size_), 0);
  }
  void ExpectBlocks(const ggml_tensor* tensor, const Bytes& blocks) const {
    if (!restorable()) return;
    for (const auto& [begin, end] : std::vector<std::pair<std::size_t, std::size_t>>{
             {0, size_}, {1, 2}, {row_ * 63 + 5, row_ * 151 + 7}, {size_ - 1, size_}, {row_ * 64, row_ * 128}}) {
      Bytes read(end - begin);
      ggml_backend_tensor_get(tensor, read.data(), begin, read.size());
      EXPECT_EQ(std::memcmp(read.data(), blocks.data() + begin, read.size()), 0) << begin << " to " << end;
    }
  }

  ggml_tensor* tensors_[2] = {};
  std::size_t row_ = 0, size_ = 0, packed_size_ = 0;

 private:
  ggml_backend_reg_t registry_ = nullptr;
  std::unique_ptr<ggml_context, Free> context_;
  std::unique_ptr<ggml_backend_buffer, Free> buffer_;
};

// Parts in order and shuffled: the bytes of a tensor that is written whole.
TEST_P(PluginParts, GiveTheBytesOfOneWrite) {
  const Bytes blocks = Blocks(1), others = Blocks(2);
  Write(tensors_[0], blocks, 0, size_);
  ExpectBlocks(tensors_[0], blocks);
  for (const std::size_t part : {std::size_t{997}, row_ - 1, row_ * 64, row_ * 100 + 13, size_ - 1}) {
    for (const bool shuffled : {false, true}) {
      SCOPED_TRACE(testing::Message() << "parts of " << part << (shuffled ? ", shuffled" : ""));
      std::vector<std::size_t> order((size_ + part - 1) / part);
      std::iota(order.begin(), order.end(), std::size_t{0});
      if (shuffled) std::shuffle(order.begin(), order.end(), std::mt19937(5));
      Write(tensors_[1], others, 0, size_);  // which the parts replace
      for (const std::size_t i : order) Write(tensors_[1], blocks, i * part, std::min((i + 1) * part, size_));
      ExpectSame(tensors_[1], tensors_[0]);
      ExpectBlocks(tensors_[1], blocks);
    }
  }
}

// What is not complete waits, and is read as it was written, with zeros for the rest.
TEST_P(PluginParts, WaitForTheRest) {
  const Bytes blocks = Blocks(1);
  Write(tensors_[0], blocks, 0, size_);
  const std::size_t cut = row_ * 70 + 3;
  Write(tensors_[1], blocks, cut, size_);
  Bytes read(row_ * 128 - cut + 8), expected(8);
  expected.insert(expected.end(), blocks.begin() + static_cast<std::ptrdiff_t>(cut),
                  blocks.begin() + static_cast<std::ptrdiff_t>(row_ * 128));
  ggml_backend_tensor_get(tensors_[1], read.data(), cut - 8, read.size());
  EXPECT_EQ(read, expected);
  Write(tensors_[1], blocks, row_ * 50, cut);
  Write(tensors_[1], blocks, 0, row_ * 55);  // some bytes twice
  ExpectSame(tensors_[1], tensors_[0]);
}

// A part replaces weights that are packed; of types whose blocks are kept, the rest of the panel stays.
TEST_P(PluginParts, ReplaceWeights) {
  Bytes blocks = Blocks(1);
  const Bytes others = Blocks(2);
  Write(tensors_[1], blocks, 0, size_);
  const std::size_t begin = restorable() ? row_ * 200 : row_ * 150, end = restorable() ? row_ * 201 : row_ * 214;
  std::copy(others.begin() + static_cast<std::ptrdiff_t>(begin), others.begin() + static_cast<std::ptrdiff_t>(end),
            blocks.begin() + static_cast<std::ptrdiff_t>(begin));
  Write(tensors_[1], blocks, begin, end);
  Write(tensors_[0], blocks, 0, size_);
  ExpectSame(tensors_[1], tensors_[0]);
  ExpectBlocks(tensors_[1], blocks);
}

// An expert is a view; rows at a distance are copied in one call.
TEST_P(PluginParts, GoThroughViews) {
  const Bytes blocks = Blocks(1);
  Write(tensors_[0], blocks, 0, size_);
  const std::size_t expert = tensors_[1]->nb[2];
  for (std::size_t e = 0; e < kExperts; ++e) {
    ggml_tensor* const view = ggml_view_2d(context(), tensors_[1], kK, kM, row_, e * expert);
    ASSERT_EQ(ggml_backend_view_init(view), GGML_STATUS_SUCCESS);
    ggml_backend_tensor_set_2d(view, blocks.data() + e * expert, 0, row_ / 2, kM, row_, row_);
    ggml_backend_tensor_set_2d(view, blocks.data() + e * expert + row_ / 2, row_ / 2, row_ - row_ / 2, kM, row_, row_);
    if (!restorable()) continue;
    Bytes read(row_);
    ggml_backend_tensor_get(view, read.data(), row_ * 7, row_);
    EXPECT_EQ(std::memcmp(read.data(), blocks.data() + e * expert + row_ * 7, row_), 0);
  }
  ExpectSame(tensors_[1], tensors_[0]);
  if (!restorable()) return;
  ggml_backend_tensor_memset(tensors_[1], 0, 0, size_);
  ggml_backend_tensor_copy(tensors_[0], tensors_[1]);
  ExpectSame(tensors_[1], tensors_[0]);
  ggml_backend_tensor_memset(tensors_[1], 0, 0, size_);
  ExpectBlocks(tensors_[1], Bytes(size_));
}

std::vector<random_llama::FileType> Types() {
  std::vector<random_llama::FileType> types;
  for (const random_llama::FileType& type : random_llama::kFileTypes) {
    if (type.type == type.finer) types.push_back(type);  // each type once
  }
  return types;
}
std::string NameOf(const testing::TestParamInfo<random_llama::FileType>& type) { return type.param.name; }
INSTANTIATE_TEST_SUITE_P(Types, PluginParts, testing::ValuesIn(Types()), NameOf);

class PluginMappings : public PluginParts {};

// Pages of a file leave the process after they were packed, where the mapping is shared; a private one, whose pages may
// hold what is nowhere else, is left alone.
TEST_P(PluginMappings, ReleaseSharedPages) {
  const Bytes blocks = Blocks(1);
  for (const int flags : {MAP_SHARED, MAP_PRIVATE}) {
    const Mapping mapping(blocks, flags);
    ASSERT_NE(mapping.data(), nullptr);
    const std::size_t before = mapping.Resident();
    EXPECT_GE(before, size_);
    ggml_backend_tensor_set(tensors_[0], mapping.data(), 0, size_);
    const std::size_t after = mapping.Resident();
    if (flags == MAP_SHARED) {
      EXPECT_LE(after, std::size_t{2} * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
    } else {
      EXPECT_EQ(after, before);
    }
    EXPECT_EQ(std::memcmp(mapping.data(), blocks.data(), size_), 0);
    ExpectBlocks(tensors_[0], blocks);
  }
}
INSTANTIATE_TEST_SUITE_P(Types, PluginMappings, testing::Values(Types().front()), NameOf);

// Packs a matrix while LUTRA_TARGET is `name`, says for which target, and ends the process, as the plug-in reads the
// variable once.
[[noreturn]] void PackWithTarget(const char* name) {
  setenv("LUTRA_TARGET", name, 1);
  ggml_backend_reg_t registry = ggml_backend_load(LUTRA_GGML_PLUGIN);
  const std::unique_ptr<ggml_context, Free> context(ggml_init({std::size_t{1} << 20, nullptr, true}));
  ggml_tensor* const tensor = ggml_new_tensor_2d(context.get(), GGML_TYPE_Q8_0, kK, kM);
  const std::unique_ptr<ggml_backend_buffer, Free> buffer(ggml_backend_alloc_ctx_tensors_from_buft(
      context.get(), ggml_backend_dev_buffer_type(ggml_backend_reg_dev_get(registry, 0))));
  const auto& weights = *static_cast<const plugin::Weights*>(tensor->extra);
  std::fprintf(stderr, "packed for %s;\n", lutra::TargetName(weights.matrices()[0].target()));
  std::_Exit(0);
}

// LUTRA_TARGET names the target; if it names none, the plug-in says so and takes the best.
TEST(PluginTarget, IsTheOneInTheEnvironment) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a new process for each
  for (const lutra::Target target : lutra::RunnableTargets()) {
    const char* const name = lutra::TargetName(target);
    EXPECT_EXIT(PackWithTarget(name), testing::ExitedWithCode(0), "packed for " + std::string(name) + ";");
  }
  EXPECT_EXIT(PackWithTarget("none"), testing::ExitedWithCode(0),
              "cannot run LUTRA_TARGET=none.*packed for " +
                  std::string(lutra::TargetName(*lutra::RunnableTargets().begin())) + ";");
}
}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  ggml_backend_load_all_from_path(LUTRA_GGML_LIBRARIES);
  return RUN_ALL_TESTS();
}
