// GgufFile lists the tensors of a file. Files are untrusted: malformed ones are refused, never read out of bounds.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "lutra/lutra.h"
#include "support/gguf_files.h"
#include "support/gguf_writer.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

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
  for (std::size_t i = 0; i < size; ++i) bytes.at(at + i) = static_cast<std::uint8_t>(value >> (8 * i));
  return bytes;
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
