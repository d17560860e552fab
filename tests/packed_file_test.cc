// Packed matrices in files: they load bit for bit on any target, and damaged files are refused.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "lutra/kernels/registry.h"
#include "lutra/lutra.h"
#include "support/packed_bytes.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"
#include "support/xxh64.h"

namespace lutra::test {
namespace {

// A path of its own for each test, and no file there afterwards.
class PackedFile : public ::testing::Test {
 protected:
  ~PackedFile() override { std::remove(path_.c_str()); }
  void Write(const std::uint8_t* data, std::size_t size) const {
    std::FILE* const file = std::fopen(path_.c_str(), "wb");
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(std::fwrite(data, 1, size, file), size);
    EXPECT_EQ(std::fclose(file), 0);
  }
  const std::string path_ = ::testing::TempDir() + "lutra_packed_" + std::to_string(getpid());
};

Case FileCase(Format format, Target target, std::size_t group, Zeros zeros) {
  Case c;
  c.format = format;
  c.target = target;
  c.m = 70;
  c.n = 3;
  c.k = 200;
  c.group = group;
  c.zeros = zeros;
  c.bias = true;
  return c;
}

void ExpectSame(const PackedMatrix& w, const PackedMatrix& expected, const Problem& problem) {
  EXPECT_EQ(w.target(), expected.target());
  ASSERT_EQ(w.bytes(), expected.bytes());
  EXPECT_TRUE(std::equal(w.data(), w.data() + w.bytes(), expected.data()));
  EXPECT_EQ(w.has_bias(), expected.has_bias());
  ASSERT_EQ(w.order() == nullptr, expected.order() == nullptr);
  if (w.order() != nullptr) {
    EXPECT_TRUE(std::equal(w.order(), w.order() + w.k(), expected.order()));
  }
  EXPECT_TRUE(Prepared(problem, w).Fits(expected));
  EXPECT_TRUE(SameBits(Multiplied(w, Prepared(problem, w), DataType::kF32, 0),
                       Multiplied(expected, Prepared(problem, expected), DataType::kF32, 0), w.m()));
}

#ifndef LUTRA_NO_MMAP  // no file takes part
// Every format, group size and qparam scheme, from every target to every target.
class PackedFileRoundTrip : public SweepTest<GroupedScheme> {};

TEST_P(PackedFileRoundTrip, ToEveryTarget) {
  const ParamKind& kind = part().kind;
  for (const Target to : RunnableTargets()) {
    Case c = FileCase(format(), target(), part().group, kind.zeros);
    c.scale_type = kind.scale_type;
    c.bias = kind.zeros != Zeros::kNone;
    c.order = kind.zeros == Zeros::kNone || part().group == 64;
    SCOPED_TRACE(c);
    SCOPED_TRACE(TargetName(to));
    const Problem problem(c);
    const PackedMatrix saved = Packed(problem, target()), expected = Packed(problem, to);
    const EncodingInfo& e = Describe(format()).stored();
    const bool same = internal::LayoutId(target()->info.layout, e) == internal::LayoutId(to->info.layout, e);

    Bytes bytes(saved);
    PackedMatrix w;
    Loaded loaded;
    ASSERT_TRUE(Ok(LoadPacked(bytes.data(), bytes.size(), {to, nullptr}, &w, &loaded)));
    EXPECT_EQ(loaded, same ? Loaded::kInPlace : Loaded::kRepacked);
    EXPECT_EQ(w.data() == bytes.data() + kPage, same);
    ExpectSame(w, expected, problem);
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, PackedFileRoundTrip, ::testing::ValuesIn(SharedSweep(Kernels(), GroupedSchemes(), 2)),
                         SweepName());
#endif

TEST_F(PackedFile, RoundTripThroughAFile) {
  for (const FormatInfo& f : kFormats) {
    const Problem problem(FileCase(f.format, BestTarget(), 64, Zeros::kUInt4));
    const PackedMatrix saved = Packed(problem, BestTarget());
    ASSERT_TRUE(Ok(SavePacked(saved, path_.c_str())));
    PackedMatrix w;
    Loaded loaded;
    ASSERT_TRUE(Ok(LoadPacked(path_.c_str(), {}, &w, &loaded)));
    EXPECT_EQ(loaded, Loaded::kInPlace);
    ExpectSame(w, saved, problem);

#if !defined(_WIN32)  // where files that are mapped cannot be replaced
    // The matrix does not change when its file is replaced, when it is moved, or when it is saved over its own file.
    const Problem other(FileCase(f.format, BestTarget(), 32, Zeros::kNone));
    ASSERT_TRUE(Ok(SavePacked(Packed(other, BestTarget()), path_.c_str())));
    PackedMatrix moved = std::move(w);
    ExpectSame(moved, saved, problem);
    ASSERT_TRUE(Ok(SavePacked(moved, path_.c_str())));
    ASSERT_TRUE(Ok(LoadPacked(path_.c_str(), {}, &w)));
    ASSERT_TRUE(Ok(SavePacked(w, path_.c_str())));
    ExpectSame(w, saved, problem);
#endif
  }
}

// A matrix that was read does not change with its file.
TEST_F(PackedFile, IsReadWithoutAMapping) {
  const Problem problem(FileCase(Format::kInt4, BestTarget(), 64, Zeros::kUInt4));
  const PackedMatrix saved = Packed(problem, BestTarget());
  ASSERT_TRUE(Ok(SavePacked(saved, path_.c_str())));
  for (const Target target : RunnableTargets()) {
    PackedMatrix w;
    Loaded loaded;
    ASSERT_TRUE(Ok(SavePacked(saved, path_.c_str())));
    ASSERT_TRUE(Ok(LoadPacked(path_.c_str(), {target, nullptr}, &w, &loaded, FileAccess::kRead)));
    EXPECT_NE(loaded, Loaded::kInPlace);
    ASSERT_EQ(truncate(path_.c_str(), 0), 0);
    ExpectSame(w, Packed(problem, target), problem);
    EXPECT_TRUE(Refused(LoadPacked(path_.c_str(), {}, &w, nullptr, FileAccess::kRead), "path"));
  }
  PackedMatrix w;
  EXPECT_TRUE(Refused(LoadPacked(path_.c_str(), {}, &w, nullptr, static_cast<FileAccess>(2)), "access"));
  EXPECT_STREQ(Name(FileAccess::kMap), "map");
  EXPECT_STREQ(Name(FileAccess::kRead), "read");
  EXPECT_STREQ(Name(static_cast<FileAccess>(2)), "?");
}

TEST_F(PackedFile, MovedFromIsEmpty) {
  const Problem problem(FileCase(Format::kTernary, BestTarget(), 128, Zeros::kNone));
  PackedMatrix w = Packed(problem, BestTarget());
  const PackedMatrix moved = std::move(w);
  EXPECT_EQ(w.m(), 0u);  // NOLINT: what is moved from is defined
  EXPECT_EQ(w.k(), 0u);
  EXPECT_EQ(w.bytes(), 0u);
  EXPECT_EQ(w.data(), nullptr);
  EXPECT_FALSE(w.has_bias());
  QuantizedMatrix codes;
  EXPECT_TRUE(Ok(Unpack(w, &codes)));
  ExpectSame(moved, Packed(problem, BestTarget()), problem);
}

TEST_F(PackedFile, EmptyMatricesAndOddAddresses) {
  for (const std::pair<std::size_t, std::size_t> shape : {std::pair{0, 0}, {0, 5}, {5, 0}, {1, 1}, {65, 1}}) {
    Case c = FileCase(Format::kInt2, BestTarget(), 128, Zeros::kFloat);
    c.m = shape.first;
    c.k = shape.second;
    c.order = true;
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix saved = Packed(problem, BestTarget());
    Bytes bytes(PackedFileSize(saved) + 1);
    ASSERT_TRUE(Ok(SavePacked(saved, bytes.data() + 1, bytes.size() - 1)));
    PackedMatrix w;
    Loaded loaded;
    ASSERT_TRUE(Ok(LoadPacked(bytes.data() + 1, bytes.size() - 1, {}, &w, &loaded)));
    EXPECT_EQ(loaded, Loaded::kCopied);
    std::memset(bytes.data(), 0, bytes.size());
    ExpectSame(w, saved, problem);
  }
  PackedMatrix w;
  Bytes bytes{PackedMatrix()};
  EXPECT_TRUE(Ok(LoadPacked(bytes.data(), bytes.size(), {}, &w)));
  EXPECT_EQ(w.m(), 0u);
}

// A small file with something in every part.
Bytes SmallFile() {
  Case c = FileCase(Format::kTernary, BestTarget(), 16, Zeros::kInteger);
  c.m = 2;
  c.k = 20;
  c.order = true;
  return Bytes(Packed(Problem(c), BestTarget()));
}

::testing::AssertionResult RefusedUnchanged(const std::uint8_t* bytes, std::size_t size) {
  const Problem problem(FileCase(Format::kInt4, BestTarget(), 128, Zeros::kNone));
  PackedMatrix w = Packed(problem, BestTarget());
  const std::uint8_t* const data = w.data();
  Loaded loaded = Loaded::kCopied;
  const Status status = LoadPacked(bytes, size, {}, &w, &loaded);
  if (status.ok()) return ::testing::AssertionFailure() << "was accepted";
  if (status.argument() != std::string("bytes") || *status.reason() == 0) {
    return ::testing::AssertionFailure() << status.message();
  }
  return w.data() == data && loaded == Loaded::kCopied ? ::testing::AssertionSuccess()
                                                       : ::testing::AssertionFailure() << "w or loaded changed";
}

TEST_F(PackedFile, EveryFlippedByteIsRefused) {
  Bytes bytes = SmallFile();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int flips[] = {0xff, 1 << i % 8};
    for (const int flip : flips) {
      bytes.data()[i] = static_cast<std::uint8_t>(bytes.data()[i] ^ flip);
      ASSERT_TRUE(RefusedUnchanged(bytes.data(), bytes.size())) << "byte " << i << " flipped by " << flip;
      bytes.data()[i] = static_cast<std::uint8_t>(bytes.data()[i] ^ flip);
    }
  }
  PackedMatrix w;
  EXPECT_TRUE(Ok(LoadPacked(bytes.data(), bytes.size(), {}, &w)));
}

TEST_F(PackedFile, EveryOtherLengthIsRefused) {
  Bytes whole = SmallFile();
  for (std::size_t size = 0; size <= whole.size() + 1; ++size) {
    if (size == whole.size()) continue;
    Bytes part(size);
    std::memset(part.data(), 0, size);
    std::memcpy(part.data(), whole.data(), std::min(size, whole.size()));
    ASSERT_TRUE(RefusedUnchanged(part.data(), size)) << size << " bytes";
  }
  Write(whole.data(), whole.size() - 1);
  PackedMatrix w;
  EXPECT_TRUE(Refused(LoadPacked(path_.c_str(), {}, &w), "path"));
  Write(whole.data(), 0);
  EXPECT_TRUE(Refused(LoadPacked(path_.c_str(), {}, &w), "path"));
}

// A forged file with right checksums may be accepted, but it must be harmless; sanitizers watch.
TEST_F(PackedFile, ForgedBytesAreHarmless) {
  Random random(7);
  std::size_t accepted = 0;
  for (int round = 0; round < 4000; ++round) {
    Bytes bytes = SmallFile();
    const std::size_t fields = 73;
    for (std::size_t changes = 1 + random.Below(3); changes > 0; --changes) {
      const std::size_t at = round % 2 == 0 ? random.Below(fields) : kPage + random.Below(bytes.size() - kPage);
      bytes.data()[at] = static_cast<std::uint8_t>(random.Bits());
    }
    bytes.Seal();
    for (const Target target : RunnableTargets()) {
      PackedMatrix w;
      if (!LoadPacked(bytes.data(), bytes.size(), {target, nullptr}, &w).ok()) continue;
      ++accepted;
      const std::vector<float> x(w.k(), 1.0f);
      std::vector<float> y(w.m());
      Context context;
      Activations tables;
      ASSERT_TRUE(Ok(Prepare({x.data(), DataType::kF32, 1, w.k(), w.k()}, w, Precision::kInt8, context, &tables)));
      ASSERT_TRUE(Ok(MatMul(w, tables, {y.data(), DataType::kF32, 1, w.m(), w.m()}, context)));
    }
  }
  EXPECT_GT(accepted, 100u);
}

// Prepare indexes x by the order, so an order that is no permutation is refused even if the checksums are right.
TEST_F(PackedFile, ForgedOrdersAreRefused) {
  Bytes bytes = SmallFile();
  auto* const order = reinterpret_cast<std::uint32_t*>(bytes.data() + bytes.size()) - 20;
  for (std::size_t j = 0; j < 20; ++j) {
    const std::uint32_t good = order[j];
    for (const std::uint32_t bad : {order[(j + 1) % 20], 20u, 0x80000000u, 0xffffffffu}) {
      order[j] = bad;
      bytes.Seal();
      ASSERT_TRUE(RefusedUnchanged(bytes.data(), bytes.size())) << bad << " at " << j;
    }
    order[j] = good;
  }
  std::uint8_t& has_order = bytes.data()[72];
  for (const int bad : {0, 2, 255}) {
    has_order = static_cast<std::uint8_t>(bad);
    bytes.Seal();
    EXPECT_TRUE(RefusedUnchanged(bytes.data(), bytes.size())) << bad << " orders";
  }
  has_order = 1;
  bytes.Seal();
  PackedMatrix w;
  EXPECT_TRUE(Ok(LoadPacked(bytes.data(), bytes.size(), {}, &w)));
}

// A page may name any number of rows that have no columns: they take no bytes, no time, and no memory.
TEST_F(PackedFile, RowsOfNoColumnsCostNothing) {
  constexpr std::uint64_t kM = std::uint64_t{1} << 50;
  for (const FormatInfo& f : kFormats) {
    Case c = FileCase(f.format, BestTarget(), kPerRow, Zeros::kNone);
    c.m = 64;
    c.k = 0;
    c.bias = c.order = false;
    Bytes bytes(Packed(Problem(c), BestTarget()));
    std::memcpy(bytes.data() + 24, &kM, sizeof(kM));
    bytes.Seal();
    for (const Target target : RunnableTargets()) {
      PackedMatrix w;
      ASSERT_TRUE(Ok(LoadPacked(bytes.data(), bytes.size(), {target, nullptr}, &w))) << f.name;
      EXPECT_EQ(w.m(), kM);
    }
  }
}

TEST_F(PackedFile, OtherVersionsAndByteOrdersAreUnsupported) {
  for (const std::size_t at : {std::size_t{8}, std::size_t{12}}) {
    Bytes bytes = SmallFile();
    ++bytes.data()[at];
    bytes.Seal();
    PackedMatrix w;
    EXPECT_EQ(LoadPacked(bytes.data(), bytes.size(), {}, &w).code(), StatusCode::kUnsupported);
  }
}

TEST_F(PackedFile, BadArgumentsAreRefused) {
  Bytes bytes = SmallFile();
  PackedMatrix w;
  EXPECT_TRUE(Refused(LoadPacked(nullptr, bytes.size(), {}, &w), "bytes"));
  EXPECT_TRUE(Refused(LoadPacked(bytes.data() + 1, 0, {}, &w), "bytes"));
  EXPECT_TRUE(Refused(LoadPacked(bytes.data(), bytes.size(), {}, nullptr), "w"));
  EXPECT_TRUE(Refused(LoadPacked("", {}, nullptr), "w"));
  EXPECT_TRUE(Refused(LoadPacked(static_cast<const char*>(nullptr), {}, &w), "path"));
  EXPECT_TRUE(Refused(SavePacked(w, nullptr, kPage), "bytes"));
  EXPECT_TRUE(Refused(SavePacked(w, bytes.data(), kPage - 1), "size"));
  EXPECT_TRUE(Refused(SavePacked(w, static_cast<const char*>(nullptr)), "path"));
  for (const std::string& path : {path_, ::testing::TempDir(), path_ + "/below"}) {
    EXPECT_EQ(LoadPacked(path.c_str(), {}, &w).code(), StatusCode::kIo) << path;
  }
  EXPECT_EQ(SavePacked(w, (path_ + "/below").c_str()).code(), StatusCode::kIo);
}

// The packed bytes of version 4 of files. A change of the bytes needs another kPackedVersion, and then other sums here.
TEST(PackedBytes, DoNotChangeWithinAVersion) {
  static_assert(internal::kPackedVersion == 4);
  constexpr std::uint64_t kSums[][std::size(kFormats)][std::size(internal::kLayouts)] = {
      {
          {0xa1462f9ca15894f2, 0x35253bffb28980c, 0x10a9aeeee2363501, 0xdf1f7a2e6638df2b},
          {0x43aed38cac1decbc, 0x6262e0ab80ca542b, 0x71023f8d8936acc8, 0x93cd4f07240d9402},
          {0xbeb605ad89b093c4},
          {0xa4c7adb5050f1e71},
          {0xf1bab3b441aa9f03, 0x82b482c8191a57cc, 0xb6ac1f7ce2cd2e44, 0xba02c7c43cd03593},
          {0xa4c7adb5050f1e71},  // codes of four bits, as int4's
          {0xa4c7adb5050f1e71},
          {0x3f9c603d62ddcc10},
          {0xe7af3e2c4185cc76},
          {0xe6b42f51a834a410},
          {0x40cbd913884b60c3},
          {0x26b118037d472d0b},
          {0x26b118037d472d0b},
          {0xa4c7adb5050f1e71},
          {0xa4c7adb5050f1e71},
          {0xa6dcd2a02f47aee6},  // with a table per group
          {0xc397b76f61e9d87c},
          {0xdcf84198494e0fad},
      },
      {
          {0xc48d959b2e401dd3, 0xe571f35e3a362571, 0x8b518dcb8b9f874d, 0x261315bd479dd445},
          {0xe747312d9b05ecdb, 0x16e2f1b3e6535e66, 0x9f2b3e20d18f5ff3, 0xdaaff7749a0416c7},
          {0xf4165c99bce5ffb6},
          {0xbac95add004aa2ab},
          {0xca82160937a226c3, 0x3678c86b29448ade, 0x2b5db35e67415bc1, 0x8609524cda6f32fe},
          {0xbac95add004aa2ab},
          {0xbac95add004aa2ab},
          {0xbb0d325c392f35e8},
          {0x05e709841b7e053d},
          {0xf0d57605665860a2},
          {0xdeb55300d5d084bd},
          {0xa2164d486fe61210},
          {0xa2164d486fe61210},
          {0xbac95add004aa2ab},
          {0xbac95add004aa2ab},
          {0x1746f2c7c18f861f},
          {0xd23a5311c99172a8},
          {0xffa28620fd83f198},
      },
  };
  constexpr ParamKind kKinds[] = {{DataType::kF16, Zeros::kFloat}, {DataType::kUInt4, Zeros::kOffset}};
  for (const ParamKind& kind : kKinds) {
    for (const Kernel& kernel : Kernels()) {
      const FormatInfo& f = Describe(kernel.format);
      Case c = FileCase(kernel.format, kernel.target, 64, kind.zeros);
      c.scale_type = kind.scale_type;
      c.tables = kMaxTables;
      const PackedMatrix w = Packed(Problem(c), kernel.target);
      const std::uint32_t layout = internal::LayoutId(kernel.target->info.layout, f.stored());
      EXPECT_EQ(Xxh64::Of(w.data(), w.bytes()), kSums[&kind - kKinds][static_cast<std::size_t>(kernel.format)][layout])
          << std::hex << "0x" << Xxh64::Of(w.data(), w.bytes()) << " for kind " << &kind - kKinds << " of " << f.name
          << " in layout " << layout;
    }
  }
}

// A saved file has the checksums that the tests compute, over every length of an order up to three times the 32 bytes
// that XXH64 takes at a time.
TEST(Checksum, IsTheOneInSavedFiles) {
  for (std::size_t k = 0; k <= 24; ++k) {
    Case c = FileCase(Format::kInt4, BestTarget(), 16, Zeros::kInteger);
    c.k = k;
    c.order = true;
    SCOPED_TRACE(c);
    Bytes saved(Packed(Problem(c), BestTarget()));
    const std::vector<std::uint8_t> before(saved.data(), saved.data() + saved.size());
    std::uint8_t* const checksums[] = {saved.data() + 56, saved.data() + 64, saved.data() + kPage - 8};
    for (std::uint8_t* const checksum : checksums) std::memset(checksum, 0, sizeof(std::uint64_t));
    saved.Seal();
    EXPECT_TRUE(std::equal(before.begin(), before.end(), saved.data()));
  }
}

// The vectors of the specification.
TEST(Checksum, IsXxh64) {
  const auto of = [](const std::string& text) { return Xxh64::Of(text.data(), text.size()); };
  EXPECT_EQ(of(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(of("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(of("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(of("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1u);
}

}  // namespace
}  // namespace lutra::test
