// GgufFile lists the tensors of a file. Files are untrusted: malformed ones are refused, never read out of bounds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
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

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint32_t kUInt8 = 0, kUInt32 = 4, kText = 8, kArray = 9, kUInt64 = 10;
constexpr std::uint32_t kF32Type = 0, kQ4_0 = 2, kQ4_K = 12, kNoType = 77;

// Parses a copy that ends where the bytes end, so that AddressSanitizer sees a read beyond.
struct Parsed {
  explicit Parsed(const Bytes& bytes) : copy(new std::uint8_t[bytes.size()]) {
    std::copy(bytes.begin(), bytes.end(), copy.get());
    status = file.Parse(copy.get(), bytes.size());
  }
  std::unique_ptr<std::uint8_t[]> copy;
  GgufFile file;
  Status status;
};

void PutAllKindsOfMetadata(GgufWriter* to) {
  constexpr std::size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  for (std::uint32_t type = 0; type < std::size(kSizes); ++type) {
    if (kSizes[type] == 0) continue;
    to->Key("number." + std::to_string(type), type);
    for (std::size_t i = 0; i < kSizes[type]; ++i) to->Put(static_cast<std::uint8_t>(255));
    to->Key("array." + std::to_string(type), kArray);
    to->Put(type);
    to->Put(std::uint64_t{3});
    for (std::size_t i = 0; i < 3 * kSizes[type]; ++i) to->Put(static_cast<std::uint8_t>(255));
  }
  to->Key("text", kText);
  to->Text("GGUF");
  to->Key("texts", kArray);
  to->Put(kText);
  to->Put(std::uint64_t{2});
  to->Text("");
  to->Text("tokens");
  to->Key("nested", kArray);
  to->Put(kArray);
  to->Put(std::uint64_t{2});
  for (const std::uint32_t type : {kText, kUInt64}) {
    to->Put(type);
    to->Put(std::uint64_t{1});
    if (type == kText) to->Text("inner");
    if (type == kUInt64) to->Put(std::uint64_t{7});
  }
}

void PutAlignment(std::uint32_t alignment, GgufWriter* to) {
  to->Key("general.alignment", kUInt32);
  to->Put(alignment);
}

// A file with metadata of all types and tensors of some.
GgufWriter NewFile(std::uint32_t version = 3, std::uint32_t alignment = 32) {
  Random random(1);
  GgufWriter file(version, alignment);
  PutAllKindsOfMetadata(&file);
  if (alignment != 32) PutAlignment(alignment, &file);
  file.Tensor("output", {64, 3}, kQ4_0, MakeBlocks(kQ4_0, 6, random).bytes);
  file.Tensor("experts", {256, 2, 3}, kQ4_K, MakeBlocks(kQ4_K, 6, random).bytes);
  file.Tensor("norm", {5}, kF32Type, Bytes(20, 1));
  return file;
}

TEST(GgufFile, FindsTheTensors) {
  for (const std::uint32_t version : {2u, 3u}) {
    for (const std::uint32_t alignment : {1u, 32u, 64u, 4096u}) {
      const Bytes bytes = NewFile(version, alignment).Bytes();
      const Parsed parsed(bytes);
      const GgufFile& file = parsed.file;
      ASSERT_TRUE(Ok(parsed.status));
      EXPECT_EQ(file.version(), version);
      EXPECT_EQ(file.alignment(), alignment);
      ASSERT_EQ(file.size(), 3u);
      EXPECT_EQ(file.end() - file.begin(), 3);
      const GgufTensor& experts = file.begin()[1];
      EXPECT_EQ(experts.name, "experts");
      EXPECT_EQ(experts.type, kQ4_K);
      EXPECT_EQ(experts.rank, 3u);
      EXPECT_EQ(experts.k(), 256u);
      EXPECT_EQ(experts.m(), 6u);
      EXPECT_EQ(experts.dims[3], 1u);
      EXPECT_EQ(experts.size, 6u * 144);
      EXPECT_EQ(experts.offset % alignment, 0u);
      EXPECT_EQ(experts.data, parsed.copy.get() + experts.offset);
      const GgufTensor& norm = file.begin()[2];
      EXPECT_EQ(norm.k(), 5u);
      EXPECT_EQ(norm.m(), 1u);
      ASSERT_EQ(norm.size, 20u);
      EXPECT_EQ(Bytes(norm.data, norm.data + 20), Bytes(20, 1));
      for (const GgufTensor& tensor : file) EXPECT_EQ(file.Find(tensor.name), &tensor);
      for (const char* const name : {"", "exp", "expertss", "zzz", "Norm"}) EXPECT_EQ(file.Find(name), nullptr) << name;
      QuantizedMatrix w;
      ASSERT_TRUE(Ok(ImportGguf(*file.Find("output"), &w)));
      EXPECT_EQ(w.view().m, 3u);
      EXPECT_EQ(w.view().k, 64u);
      EXPECT_TRUE(NotSupported(ImportGguf(norm, &w), "type"));
    }
  }
}

TEST(GgufFile, KnowsNoSizeOfAnUnknownType) {
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

TEST(GgufFile, HoldsNothingInAnEmptyFile) {
  const Parsed parsed(GgufWriter().Bytes());
  ASSERT_TRUE(Ok(parsed.status));
  EXPECT_EQ(parsed.file.begin(), parsed.file.end());
  EXPECT_EQ(parsed.file.Find("x"), nullptr);
  EXPECT_EQ(GgufFile().Find(""), nullptr);
}

TEST(GgufFile, MovesAndDoesNotChangeOnFailure) {
  Parsed parsed(NewFile().Bytes());
  GgufFile moved = std::move(parsed.file);
  EXPECT_EQ(parsed.file.size(), 0u);  // NOLINT: what is moved from is defined
  EXPECT_EQ(parsed.file.begin(), parsed.file.end());
  ASSERT_EQ(moved.size(), 3u);
  const GgufTensor* const tensors = moved.begin();
  EXPECT_TRUE(Refused(moved.Parse("GGUF", 4), "bytes"));
  EXPECT_EQ(moved.begin(), tensors);
  EXPECT_EQ(moved.size(), 3u);
  EXPECT_NE(moved.Find("norm"), nullptr);
}

// Without its list a file is refused; without data, a tensor has an error.
TEST(GgufFile, RefusesWhatATruncationTakes) {
  const Bytes bytes = NewFile().Bytes();
  const std::size_t padding = 12, norm = 32, experts = 6 * 144, output = 6 * 18 + 20;  // behind norm; with padding
  const std::size_t head = bytes.size() - norm - experts - output;
  std::size_t refused = 0;
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const Parsed parsed(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)));
    if (!parsed.status.ok()) {
      ASSERT_TRUE(Refused(parsed.status, "bytes")) << size;
      ++refused;
      continue;
    }
    ASSERT_EQ(parsed.file.size(), 3u);
    const std::size_t left = size > head ? size - head : 0;
    EXPECT_EQ(parsed.file.Find("output")->error.ok(), left >= output - 20) << size;
    EXPECT_EQ(parsed.file.Find("experts")->error.ok(), left >= output + experts) << size;
    EXPECT_EQ(parsed.file.Find("norm")->error.ok(), size + padding >= bytes.size()) << size;
    for (const GgufTensor& tensor : parsed.file) {
      QuantizedMatrix w;
      if (!tensor.error.ok()) {
        EXPECT_TRUE(Refused(ImportGguf(tensor, &w), "tensor"));
      }
    }
  }
  EXPECT_GT(refused, head - 32);
  EXPECT_LE(refused, head);
}

// A file with a flipped byte is refused, or its tensors lie within the file.
TEST(GgufFile, SurvivesEveryFlippedByte) {
  const Bytes bytes = NewFile().Bytes();
  const std::size_t head = bytes.size() - 32 - 6 * 144 - 6 * 18;
  std::size_t refused = 0;
  for (std::size_t i = 0; i < head; ++i) {
    for (const unsigned flip : {1u, 128u, 255u}) {
      Bytes damaged = bytes;
      damaged[i] = static_cast<std::uint8_t>(damaged[i] ^ flip);
      const Parsed parsed(damaged);
      if (!parsed.status.ok()) {
        ++refused;
        ASSERT_EQ(parsed.file.size(), 0u);
        continue;
      }
      for (const GgufTensor& tensor : parsed.file) {
        QuantizedMatrix w;
        const Status status = ImportGguf(tensor, &w);
        ASSERT_EQ(status.ok(), w.view().codes != nullptr) << status.message();
        ASSERT_TRUE(tensor.error.ok() || !status.ok());
        if (tensor.data == nullptr) {
          ASSERT_EQ(tensor.size, 0u);
          ASSERT_TRUE(!tensor.error.ok() || tensor.m() == 0 || tensor.k() == 0);
          continue;
        }
        ASSERT_TRUE(tensor.error.ok());
        ASSERT_LE(tensor.offset, bytes.size());
        ASSERT_LE(tensor.size, bytes.size() - tensor.offset);
        ASSERT_EQ(tensor.data, parsed.copy.get() + tensor.offset);
      }
    }
  }
  EXPECT_GT(refused, head / 2);  // of 3 * head; names and values may be anything
}

// --- Malformed files.

struct Malformed {
  const char* what;
  StatusCode code;
  std::function<Bytes()> bytes;
};

Bytes WithNumber(Bytes bytes, std::size_t at, std::uint64_t value, std::size_t size = 8) {
  for (std::size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
  return bytes;
}
// A file of one tensor of 2 x 64 weights, described otherwise.
Bytes WithTensor(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint64_t offset,
                 std::uint32_t type = kQ4_0) {
  GgufWriter file;
  file.Tensor("a", {64, 2}, kQ4_0, Bytes(2 * 2 * 18, 0));
  file.Describe(name, dims, type, offset);
  return file.Bytes();
}
template <class Put>
Bytes WithMetadata(std::uint32_t type, Put put, const std::string& key = "key") {
  GgufWriter file;
  file.Key(key, type);
  put(file);
  return file.Bytes();
}
Bytes Nested(int depth) {
  return WithMetadata(kArray, [&](GgufWriter& file) {
    for (int i = 0; i < depth; ++i) {
      file.Put(kArray);
      file.Put(std::uint64_t{1});
    }
    file.Put(kUInt8);
    file.Put(std::uint64_t{0});
  });
}

constexpr StatusCode kInvalid = StatusCode::kInvalidArgument, kUnsupported = StatusCode::kUnsupported;
constexpr std::uint64_t kHuge = std::uint64_t{1} << 60, kAll = ~std::uint64_t{0};

const Malformed kMalformed[] = {
    {"another magic", kInvalid, [] { return WithNumber(NewFile().Bytes(), 0, 0x4655, 4); }},
    {"version 1", kUnsupported, [] { return NewFile(1).Bytes(); }},
    {"version 4", kUnsupported, [] { return NewFile(4).Bytes(); }},
    {"big-endian", kUnsupported, [] { return NewFile(0x03000000).Bytes(); }},
    {"2^60 tensors", kInvalid, [] { return WithNumber(NewFile().Bytes(), 8, kHuge); }},
    {"2^64 - 1 tensors", kInvalid, [] { return WithNumber(NewFile().Bytes(), 8, kAll); }},
    {"2^60 values", kInvalid, [] { return WithNumber(NewFile().Bytes(), 16, kHuge); }},
    {"a key of 2^60 bytes", kInvalid, [] { return WithNumber(NewFile().Bytes(), 24, kHuge); }},
    {"a key of 2^64 - 1 bytes", kInvalid, [] { return WithNumber(NewFile().Bytes(), 24, kAll); }},
    {"an unknown type of values", kInvalid, [] { return WithMetadata(13, [](GgufWriter&) {}); }},
    {"a text of 2^63 bytes", kInvalid,
     [] { return WithMetadata(kText, [](GgufWriter& file) { file.Put(std::uint64_t{1} << 63); }); }},
    {"an array of 2^61 numbers of 8 bytes", kInvalid,
     [] {
       return WithMetadata(kArray, [](GgufWriter& file) {
         file.Put(kUInt64);
         file.Put(std::uint64_t{1} << 61);
       });
     }},
    {"an array of 2^60 texts", kInvalid,
     [] {
       return WithMetadata(kArray, [](GgufWriter& file) {
         file.Put(kText);
         file.Put(kHuge);
       });
     }},
    {"an array of 2^60 arrays", kInvalid,
     [] {
       return WithMetadata(kArray, [](GgufWriter& file) {
         file.Put(kArray);
         file.Put(kHuge);
       });
     }},
    {"arrays nested too deeply", kUnsupported, [] { return Nested(9); }},
    {"arrays nested 100000 deep", kUnsupported, [] { return Nested(100000); }},
    {"alignment 0", kInvalid,
     [] {
       return WithMetadata(
           kUInt32, [](GgufWriter& file) { file.Put(0u); }, "general.alignment");
     }},
    {"alignment 24", kInvalid,
     [] {
       return WithMetadata(
           kUInt32, [](GgufWriter& file) { file.Put(24u); }, "general.alignment");
     }},
    {"alignment of 8 bytes", kInvalid,
     [] {
       return WithMetadata(
           kUInt64, [](GgufWriter& file) { file.Put(std::uint64_t{32}); }, "general.alignment");
     }},
    {"two alignments", kInvalid,
     [] {
       GgufWriter file;
       PutAlignment(32, &file);
       PutAlignment(32, &file);
       return file.Bytes();
     }},
    {"dimensions that reach beyond the end", kInvalid,
     [] {
       GgufWriter file;
       file.Describe("a", {1, 1, 1, 1, 1}, kF32Type, 0);
       Bytes bytes = file.Bytes();
       return WithNumber(bytes, 24 + 8 + 1, 1u << 30, 4);
     }},
    {"a split.no that is a text", kInvalid,
     [] {
       return WithMetadata(
           kText, [](GgufWriter& file) { file.Text("0"); }, "split.no");
     }},
};

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

TEST(GgufFile, LosesNothingButAnOddTensor) {
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

TEST(GgufFile, FindsTheFirstTensorOfAName) {
  const Parsed parsed(WithTensor("a", {32}, 0));
  ASSERT_TRUE(Ok(parsed.status));
  ASSERT_EQ(parsed.file.size(), 2u);
  EXPECT_EQ(parsed.file.Find("a"), parsed.file.begin());
  EXPECT_TRUE(Ok(parsed.file.begin()[0].error));
  EXPECT_TRUE(Refused(parsed.file.begin()[1].error, "tensor"));
}

// ggml takes 0 in any dimension, and no dimensions: one weight.
TEST(GgufFile, HasTensorsOfZeroElements) {
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

TEST(GgufFile, GivesSlicesOfExperts) {
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
TEST(GgufFile, SaysWhatAForeignTypeIs) {
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
TEST(GgufFile, TellsPq2_0FromQ2_0) {
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

TEST(GgufFile, RefusesMalformedFiles) {
  for (const Malformed& malformed : kMalformed) {
    SCOPED_TRACE(malformed.what);
    const Parsed parsed(malformed.bytes());
    EXPECT_EQ(parsed.status.code(), malformed.code) << parsed.status.message();
    EXPECT_STREQ(parsed.status.argument(), "bytes");
    EXPECT_EQ(parsed.file.size(), 0u);
  }
  EXPECT_TRUE(Ok(Parsed(WithTensor("b", {32}, 32)).status));  // the same, well-formed
  EXPECT_TRUE(Ok(Parsed(Nested(7)).status));
  GgufFile file;
  EXPECT_TRUE(Refused(file.Parse(nullptr, 8), "bytes"));
  EXPECT_TRUE(Refused(file.Parse(nullptr, 0), "bytes"));
}

}  // namespace
}  // namespace lutra::test
