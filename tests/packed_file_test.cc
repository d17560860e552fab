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
  Case c = SmallCase();
  c.format = format;
  c.target = target;
  c.group = group;
  c.zeros = zeros;
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

}  // namespace
}  // namespace lutra::test
