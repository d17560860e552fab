// Row ranges of packed matrices: views multiply and save as the rows do, and hints change no bytes.
#include "lutra/row_ranges.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "support/packed_bytes.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

// Rows from either side of units, and the last ones.
std::vector<std::size_t> Ends(const PackedMatrix& w) {
  std::vector<std::size_t> ends;
  for (std::size_t row = 0; row < w.m(); row += RowUnit(w)) ends.push_back(row);
  ends.push_back(w.m());
  return ends;
}

class RowRanges : public KernelTest {
 protected:
  Case RowCase(std::size_t i) const {
    Case c = NewCase({600, 5, 300}, i);
    c.group = kGroups[i % std::size(kGroups)];
    c.zeros = i % 2 == 0 ? Zeros::kNone : Zeros::kInteger;
    c.bias = i % 2 == 0;
    c.order = i % 4 < 2;
    return c;
  }
};

TEST_P(RowRanges, MultiplyAndSaveAsTheRows) {
  for (std::size_t i = 0; i < std::size(kGroups); ++i) {
    const Problem problem(RowCase(i));
    SCOPED_TRACE(*problem);
    const PackedMatrix w = Packed(problem, GetParam().target);
    const Activations x = Prepared(problem, w);
    const std::vector<float> y = Multiplied(w, x, DataType::kF32, 0);
    const std::vector<std::size_t> ends = Ends(w);
    std::size_t bytes = 0;
    for (std::size_t from = 0; from + 1 < ends.size(); from += 2) {
      const std::size_t begin = ends[from], end = ends[std::min(from + 1 + i % 3, ends.size() - 1)];
      SCOPED_TRACE(begin);
      PackedMatrix rows, loaded;
      ASSERT_TRUE(Ok(ViewRows(w, begin, end, &rows)));
      EXPECT_EQ(rows.bytes(), RowBytes(w, begin, end));
      Bytes file(rows);
      ASSERT_TRUE(Ok(LoadPacked(file.data(), file.size(), {GetParam().target, nullptr}, &loaded)));
      for (const PackedMatrix* part : {&rows, &loaded}) {
        ASSERT_EQ(part->m(), end - begin);
        EXPECT_TRUE(x.Fits(*part));
        const std::vector<float> z = Multiplied(*part, x, DataType::kF32, 0);
        for (std::size_t n = 0; n < problem->n; ++n) {
          const auto at = static_cast<std::ptrdiff_t>(n * w.m());
          ASSERT_EQ(std::memcmp(&z[n * part->m()], &*(y.begin() + at) + begin, part->m() * sizeof(float)), 0);
        }
      }
      QuantizedMatrix codes;
      ASSERT_TRUE(Ok(Unpack(loaded, &codes)));
      ExpectSame(codes.view(), Rows(problem.w(), begin, end));
    }
    for (std::size_t at = 0; at + 1 < ends.size(); ++at) bytes += RowBytes(w, ends[at], ends[at + 1]);
    EXPECT_EQ(bytes, w.bytes());
    EXPECT_EQ(RowBytes(w, 1, RowUnit(w) + 1), RowBytes(w, 0, 2 * RowUnit(w)));
  }
}
INSTANTIATE_TEST_SUITE_P(Sweep, RowRanges, ::testing::ValuesIn(Kernels()), KernelName);

TEST(RowRangesOf, OddMatrices) {
  PackedMatrix empty, rows;
  EXPECT_TRUE(Ok(ViewRows(empty, 0, 0, &rows)));
  EXPECT_EQ(RowUnit(empty), 64u);
  EXPECT_TRUE(Ok(ReleaseRows(empty, 0, 0)));
  const Problem problem(SmallCase(130));
  const PackedMatrix w = Packed(problem, BestTarget());
  EXPECT_TRUE(Ok(ViewRows(w, 64, 64, &rows)));
  EXPECT_EQ(rows.m(), 0u);
  EXPECT_FALSE(rows.has_bias());
  EXPECT_TRUE(Ok(ViewRows(w, 130, 130, &rows)));
  EXPECT_EQ(rows.bytes(), 0u);
  EXPECT_TRUE(Ok(ViewRows(w, 128, 130, &rows)));
  EXPECT_TRUE(Ok(ViewRows(rows, 0, 2, &rows)));  // of itself
  EXPECT_EQ(rows.bias()[1], w.bias()[129]);
  EXPECT_EQ(RowBytes(w, 130, 130), 0u);

  EXPECT_TRUE(Refused(ViewRows(w, 0, 131, &rows), "end"));
  EXPECT_TRUE(Refused(ViewRows(w, 0, 65, &rows), "end"));
  EXPECT_TRUE(Refused(ViewRows(w, 1, 64, &rows), "begin"));
  EXPECT_TRUE(Refused(ViewRows(w, 64, 0, &rows), "begin"));
  EXPECT_TRUE(Refused(ViewRows(w, 0, 64, nullptr), "rows"));
  EXPECT_TRUE(Refused(PrefetchRows(w, 0, 131), "end"));
  EXPECT_TRUE(Refused(ReleaseRows(w, 2, 1), "begin"));
  EXPECT_EQ(RowBytes(w, 0, 131), 0u);
  EXPECT_EQ(rows.m(), 2u);
}

class MappedRows : public ::testing::Test {
 protected:
  ~MappedRows() override { std::remove(path_.c_str()); }
  const std::string path_ = ::testing::TempDir() + "lutra_rows_" +
                            ::testing::UnitTest::GetInstance()->current_test_info()->name() + std::to_string(getpid());
};

// Whatever is released, of a mapped matrix and of one in memory, a product is the same.
TEST_F(MappedRows, HintsChangeNoBytes) {
  for (const Format format : {Format::kInt1, Format::kInt4, Format::kTernary}) {
    Case c = SmallCase(2000, 2, 512);
    c.format = format;
    c.order = true;
    const Problem problem(c);
    const PackedMatrix saved = Packed(problem, BestTarget());
    const std::vector<float> y = Multiplied(saved, Prepared(problem, saved), DataType::kF32, 0);
    ASSERT_TRUE(Ok(SavePacked(saved, path_.c_str())));
    for (const FileAccess access : {FileAccess::kMap, FileAccess::kRead}) {
      for (const bool check : {true, false}) {
        PackOptions options;
        options.check_data = check;
        PackedMatrix w;
        Loaded loaded;
        ASSERT_TRUE(Ok(LoadPacked(path_.c_str(), options, &w, &loaded, access)));
        EXPECT_EQ(loaded, access == FileAccess::kMap ? Loaded::kInPlace : Loaded::kCopied);
        Random random(7);
        for (int i = 0; i < 20; ++i) {
          const std::size_t begin = random.Below(w.m() + 1), end = begin + random.Below(w.m() - begin + 1);
          EXPECT_TRUE(Ok(ReleaseRows(w, begin, end)));
          EXPECT_TRUE(Ok(PrefetchRows(w, end - (end - begin) / 2, end)));
          if (i % 5 != 4) continue;
          EXPECT_TRUE(SameBits(Multiplied(w, Prepared(problem, w), DataType::kF32, 0), y, w.m()));
          EXPECT_TRUE(Ok(ReleaseRows(w, 0, w.m())));
        }
      }
    }
  }
}

// Without a check of the data, damage there goes unseen where it is not in the way; other damage does not.
TEST(UncheckedData, LoadsAtOnce) {
  Case c = SmallCase(300, 2, 300);
  c.order = true;
  PackOptions unchecked;
  unchecked.check_data = false;
  for (const Format format : {Format::kInt4, Format::kCodebook4}) {
    c.format = format;
    c.tables = 3;
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, BestTarget());
    Bytes file(w);
    PackedMatrix loaded;
    const auto load = [&](std::size_t damage, const PackOptions& options) {
      file.data()[damage] ^= 1;
      const Status status = LoadPacked(file.data(), file.size(), options, &loaded);
      file.data()[damage] ^= 1;
      return status;
    };
    const bool choices = w.has_table_choices();
    EXPECT_EQ(choices, format == Format::kCodebook4);
    EXPECT_TRUE(choices ? Refused(load(kPage + 5000, unchecked), "bytes") : Ok(load(kPage + 5000, unchecked)));
    EXPECT_TRUE(Refused(load(kPage + 5000, {}), "bytes"));
    EXPECT_TRUE(Refused(load(20, unchecked), "bytes"));
    EXPECT_TRUE(Refused(load(kPage + w.bytes() + 3, unchecked), "bytes"));
    EXPECT_TRUE(Refused(load(file.size() - 1, unchecked), "bytes"));
    EXPECT_TRUE(Refused(LoadPacked(file.data(), file.size() - 4, unchecked, &loaded), "bytes"));
  }
}

// Data that must be repacked are checked.
TEST(UncheckedData, AreCheckedBeforeTheyAreRepacked) {
  Case c = SmallCase(300, 2, 300);
  c.format = Format::kInt1;
  const Problem problem(c);
  for (const Target from : RunnableTargets()) {
    Bytes file(Packed(problem, from));
    file.data()[kPage + 999] ^= 1;
    for (const Target to : RunnableTargets()) {
      PackOptions options;
      options.target = to;
      options.check_data = false;
      PackedMatrix w;
      const bool same = from->info.layout == to->info.layout;
      const Status status = LoadPacked(file.data(), file.size(), options, &w);
      EXPECT_TRUE(same ? Ok(status) : Refused(status, "bytes"));
    }
  }
}

}  // namespace
}  // namespace lutra::test
