// Tensors of GGUF files: an odd one costs only itself; empty ones, slices, and types that only forks have.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "support/gguf_files.h"
#include "support/gguf_writer.h"
#include "support/imported.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

TEST(GgufTensors, KnowsNoSizeOfAnUnknownType) {
  GgufWriter writer;
  writer.Tensor("new", {7}, kNoType, Bytes(50, 3));
  const Bytes bytes = writer.Bytes();
  const Parsed parsed(bytes);
  ASSERT_TRUE(Ok(parsed.status));
  EXPECT_EQ(parsed.file.begin()->size, 64u);  // padded
  EXPECT_TRUE(Ok(parsed.file.begin()->error));
  QuantizedMatrix w;
  EXPECT_TRUE(NotSupported(ImportGguf(*parsed.file.begin(), &w), "type"));
}

// A tensor b that is described wrongly, behind a good one.
struct OddTensor {
  const char* reason;  // a part of it
  std::function<Bytes()> bytes;
};

const OddTensor kOddTensors[] = {
    {"beyond the end",  // where the alignment puts the data
     [] {
       GgufWriter file(3, 1u << 12);
       PutAlignment(1u << 31, &file);
       file.Describe("b", {64, 2}, kQ4_0, 0);
       return file.Bytes();
     }},
    {"4 dimensions",
     [] {
       return WithTensor("b", {32, 1, 1, 1, 1}, 0);
     }},
    {"4 dimensions", [] { return WithTensor("b", std::vector<std::uint64_t>(9, kAll), 0); }},
    {"too large", [] { return WithTensor("b", {kHuge}, 0); }},
    {"too large",
     [] {
       return WithTensor("b", {32, 0, kHuge, kHuge}, 0);
     }},
    {"too large",  // 2^64 weights
     [] {
       return WithTensor("b", {1u << 16, 1u << 16, 1u << 16, 1u << 16}, 0);
     }},
    {"too large",  // 2^64 + 32
     [] {
       return WithTensor("b", {32, (kAll >> 5) + 2}, 0);
     }},
    {"whole blocks", [] { return WithTensor("b", {33}, 0); }},
    {"whole blocks", [] { return WithTensor("b", {}, 0); }},  // one weight
    {"not aligned", [] { return WithTensor("b", {32}, 16); }},
    {"beyond the end", [] { return WithTensor("b", {32}, 1024); }},
    {"beyond the end", [] { return WithTensor("b", {32}, kAll - 31); }},
    {"beyond the end", [] { return WithTensor("b", {32}, kAll - 31, kNoType); }},
    {"beyond the end",
     [] {
       return WithTensor("b", {64, 3}, 0);
     }},
};

TEST(GgufTensors, LosesNothingButAnOddTensor) {
  for (const OddTensor& odd : kOddTensors) {
    SCOPED_TRACE(::testing::Message() << &odd - kOddTensors << ": " << odd.reason);
    const Parsed parsed(odd.bytes());
    ASSERT_TRUE(Ok(parsed.status));
    const GgufTensor* const b = parsed.file.Find("b");
    ASSERT_NE(b, nullptr);
    EXPECT_TRUE(Refused(b->error, "tensor"));
    EXPECT_NE(std::string(b->error.reason()).find(odd.reason), std::string::npos) << b->error.reason();
    EXPECT_EQ(b->data, nullptr);
    EXPECT_EQ(b->size, 0u);
    QuantizedMatrix w;
    GgufTensor slice;
    EXPECT_TRUE(Refused(ImportGguf(*b, &w), "tensor"));
    EXPECT_TRUE(Refused(SliceOf(*b, 0, &slice), "tensor"));
    if (const GgufTensor* const a = parsed.file.Find("a"); a != nullptr) {
      EXPECT_TRUE(Ok(ImportGguf(*a, &w)));
    }
  }
}

TEST(GgufTensors, FindsTheFirstTensorOfAName) {
  const Parsed parsed(WithTensor("a", {32}, 0));
  ASSERT_TRUE(Ok(parsed.status));
  ASSERT_EQ(parsed.file.size(), 2u);
  EXPECT_EQ(parsed.file.Find("a"), parsed.file.begin());
  EXPECT_TRUE(Ok(parsed.file.begin()[0].error));
  EXPECT_TRUE(Refused(parsed.file.begin()[1].error, "tensor"));
}

// ggml takes 0 in any dimension, and no dimensions: one weight.
TEST(GgufTensors, HasTensorsOfZeroElements) {
  GgufWriter writer;
  Random random(3);
  writer.Tensor("w", {64, 2}, kQ4_0, MakeBlocks(kQ4_0, 4, random).bytes);
  writer.Describe("m", {0}, kF32Type, 96);
  Bytes bytes = writer.Bytes();
  for (const std::size_t left : {96u, 72u}) {  // with the padding of w, and without
    bytes.resize(bytes.size() - (96 - left));
    const Parsed parsed(bytes);
    ASSERT_TRUE(Ok(parsed.status));
    QuantizedMatrix w;
    EXPECT_TRUE(Ok(ImportGguf(*parsed.file.Find("w"), &w)));
    const GgufTensor* const m = parsed.file.Find("m");
    ASSERT_NE(m, nullptr);
    EXPECT_TRUE(Ok(m->error));
    EXPECT_EQ(m->size, 0u);
    EXPECT_EQ(m->k(), 0u);
    EXPECT_EQ(m->m(), 1u);
  }
  const std::vector<std::uint64_t> shapes[] = {{0}, {64, 0}, {0, 3}, {64, 2, 0}, {0, 0, 0, 0}, {64, 0, 5, 7}};
  for (const std::vector<std::uint64_t>& dims : shapes) {
    const Parsed parsed(WithTensor("b", dims, 160));
    ASSERT_TRUE(Ok(parsed.status));
    QuantizedMatrix w;
    const GgufTensor* const b = parsed.file.Find("b");
    EXPECT_TRUE(Ok(b->error));
    EXPECT_EQ(b->size, 0u);
    ASSERT_TRUE(Ok(ImportGguf(*b, &w)));
    EXPECT_EQ(w.view().m * w.view().k, 0u);
    EXPECT_TRUE(Ok(ImportGguf(*parsed.file.Find("a"), &w)));
  }
  const Parsed scalar(WithTensor("b", {}, 0, kF32Type));
  ASSERT_TRUE(Ok(scalar.status));
  EXPECT_EQ(scalar.file.Find("b")->rank, 0u);
  EXPECT_EQ(scalar.file.Find("b")->size, 4u);
}

TEST(GgufTensors, GivesSlicesOfExperts) {
  GgufWriter writer;
  Random random(5);
  const std::size_t rows = 2, experts = 3;
  const GgmlBlocks blocks = MakeBlocks(kQ4_K, rows * experts * 2, random);
  writer.Tensor("first", {64}, kQ4_0, MakeBlocks(kQ4_0, 2, random).bytes);
  writer.Tensor("experts", {512, rows, experts}, kQ4_K, blocks.bytes);
  writer.Tensor("new", {4, 2, 2}, kNoType, Bytes(50, 3));
  const Parsed parsed(writer.Bytes());
  ASSERT_TRUE(Ok(parsed.status));
  const GgufTensor& all = *parsed.file.Find("experts");
  EXPECT_EQ(all.slices(), experts);
  for (std::size_t e = 0; e < experts; ++e) {
    GgufTensor slice;
    ASSERT_TRUE(Ok(SliceOf(all, e, &slice)));
    EXPECT_EQ(slice.name, "experts");
    EXPECT_EQ(slice.rank, 2u);
    EXPECT_EQ(slice.m(), rows);
    EXPECT_EQ(slice.k(), 512u);
    EXPECT_EQ(slice.size, all.size / experts);
    EXPECT_EQ(slice.offset, all.offset + e * slice.size);
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportGguf(slice, &w)));
    const auto* const begin = blocks.weights.data() + e * rows * 512;
    EXPECT_TRUE(SameBits(Dequantized(w.view()), {begin, begin + rows * 512}, 512));
  }
  GgufTensor slice;
  EXPECT_TRUE(Refused(SliceOf(all, experts, &slice), "i"));
  EXPECT_TRUE(Refused(SliceOf(all, 0, nullptr), "slice"));
  EXPECT_TRUE(NotSupported(SliceOf(*parsed.file.Find("new"), 0, &slice), "tensor"));
  ASSERT_TRUE(Ok(SliceOf(*parsed.file.Find("first"), 0, &slice)));
  EXPECT_EQ(slice.data, parsed.file.Find("first")->data);
}

// A type that ggml does not have may be that of a fork.
TEST(GgufTensors, SaysWhatAForeignTypeIs) {
  const auto says = [](std::uint32_t type, const char* text) {
    ASSERT_NE(GgufRefusal(type), nullptr) << type;
    EXPECT_NE(std::string(GgufRefusal(type)).find(text), std::string::npos) << GgufRefusal(type);
    QuantizedMatrix w;
    const Status status = ImportGguf(type, "", 0, 0, 0, &w);
    EXPECT_TRUE(NotSupported(status, "type"));
    EXPECT_STREQ(status.reason(), GgufRefusal(type));
  };
  if (FindGgufType(36) == nullptr) says(36, "I2_S");
  says(31, "q4_0_4_4");
  says(137, "iq2_k of ik_llama.cpp");
  says(337, "ik_llama.cpp");
  says(1000, "not one that ggml has");
  EXPECT_EQ(GgufRefusal(kQ4_0), nullptr);
  EXPECT_NE(GgufRefusal(kF32Type), nullptr);
}

// Published files have PQ2_0, of 34 bytes per 128 weights, under the id of Q2_0, of 36.
TEST(GgufTensors, TellsPq2_0FromQ2_0) {
  const std::uint32_t id = 42, pq2_0 = 142;
  for (const std::size_t bytes : {34u, 36u}) {
    GgufWriter writer;
    writer.Tensor("short", {128}, id, Bytes(bytes, 0));
    writer.Tensor("a", {1024, 3}, id, Bytes(24 * bytes, 0));
    writer.Tensor("b", {1024, 5}, id, Bytes(40 * bytes, 0));
    const Parsed parsed(writer.Bytes());
    ASSERT_TRUE(Ok(parsed.status));
    for (const GgufTensor& tensor : parsed.file) {
      EXPECT_TRUE(Ok(tensor.error)) << tensor.name;
      EXPECT_EQ(tensor.type, bytes == 34 ? pq2_0 : id) << tensor.name;
    }
  }
}

}  // namespace
}  // namespace lutra::test
