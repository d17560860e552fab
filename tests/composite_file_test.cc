// Composites in files: they load for any target with the same products; damaged and forged files are refused.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "lutra/composite.h"
#include "lutra/lutra.h"
#include "support/composites.h"
#include "support/problem.h"
#include "support/testing.h"
#include "support/xxh64.h"

namespace lutra::test {
namespace {

std::vector<std::uint8_t> Saved(const CompositeMatrix& w) {
  std::vector<std::uint8_t> bytes(CompositeFileSize(w));
  EXPECT_TRUE(Ok(SaveComposite(w, bytes.data(), bytes.size())));
  return bytes;
}

constexpr Sides kSides[] = {
    {false, false, false}, {true, false, false}, {false, true, false}, {false, false, true}, {true, true, true}};

TEST(CompositeFile, LoadsForEveryTarget) {
  const std::string path = ::testing::TempDir() + "lutra_composite_" + std::to_string(getpid());
  for (const Sides& sides : kSides) {
    const Composite composite({Format::kInt2, Format::kTernary, Format::kInt4}, SmallCase(), sides);
    const std::vector<float> expected = Composite::Multiply(composite.w, composite.x(), {});
    const std::vector<std::uint8_t> bytes = Saved(composite.w);
    ASSERT_TRUE(Ok(SaveComposite(composite.w, path.c_str())));
    for (const Target target : RunnableTargets()) {
      CompositeMatrix from_bytes;
      ASSERT_TRUE(Ok(LoadComposite(bytes.data(), bytes.size(), {target, nullptr}, &from_bytes)));
      EXPECT_EQ(from_bytes.bytes(), composite.w.bytes());
      CompositeMatrix moved(std::move(from_bytes));
      EXPECT_EQ(from_bytes.m(), 0u);  // NOLINT(bugprone-use-after-move)
      EXPECT_TRUE(SameBits(Composite::Multiply(moved, composite.x(), {}), expected, composite.rows));
      for (const FileAccess access : {FileAccess::kMap, FileAccess::kRead}) {
        CompositeMatrix w;
        ASSERT_TRUE(Ok(LoadComposite(path.c_str(), {target, nullptr}, &w, access)));
        EXPECT_TRUE(SameBits(Composite::Multiply(w, composite.x(), {}), expected, composite.rows));
        if (target == composite.matrices[0]->target()) {
          EXPECT_EQ(Saved(w), bytes);
        }
      }
    }
  }
  std::remove(path.c_str());
}

// Every flipped bit, in steps, and every length.
TEST(CompositeFile, DamagedFilesAreRefused) {
  const Composite composite({Format::kInt2, Format::kInt4}, SmallCase(), {true, true, true});
  std::vector<std::uint8_t> bytes = Saved(composite.w);
  CompositeMatrix w;
  for (std::size_t at = 0; at < bytes.size(); at += at < 4096 ? 1 : 997) {
    if (at >= 0x80 && bytes[at] == 0) continue;  // may be padding, which nobody reads
    bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ 0x10);
    EXPECT_FALSE(LoadComposite(bytes.data(), bytes.size(), {}, &w).ok()) << at;
    bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ 0x10);
  }
  for (std::size_t size = 0; size < bytes.size(); size += size < 4096 ? 64 : 997) {
    const std::vector<std::uint8_t> part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    const std::uint8_t none = 0;
    EXPECT_TRUE(Refused(LoadComposite(size == 0 ? &none : part.data(), size, {}, &w), "bytes"));
  }
  bytes.resize(bytes.size() + 64);
  EXPECT_TRUE(Refused(LoadComposite(bytes.data(), bytes.size(), {}, &w), "bytes"));
  EXPECT_EQ(w.m(), 0u);
}

// Numbers of the head, and of the arrays, with checksums that are right.
TEST(CompositeFile, ForgedFilesAreRefused) {
  const Composite composite({Format::kInt2, Format::kInt4}, SmallCase(), {true, true, true});
  const std::vector<std::uint8_t> bytes = Saved(composite.w);
  const auto seal = [](std::vector<std::uint8_t>& file, std::size_t arrays_end) {
    const std::uint64_t arrays = Xxh64::Of(file.data() + 128, arrays_end - 128);
    std::memcpy(file.data() + 112, &arrays, sizeof(arrays));
    const std::uint64_t head = Xxh64::Of(file.data(), 120);
    std::memcpy(file.data() + 120, &head, sizeof(head));
  };
  const std::size_t m = composite.rows, entries = EntryCount(composite.sparse.view());
  const std::size_t order = 128 + 4 * 8, offsets = order + 4 * m, columns = offsets + 4 * (m + 1),
                    values = columns + 2 * entries, end = values + 2 * entries;
  CompositeMatrix w;
  std::vector<std::uint8_t> same = bytes;
  seal(same, end);
  EXPECT_EQ(same, bytes);
  for (const std::uint64_t number :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1000}, ~std::uint64_t{0}, ~std::uint64_t{0} / 2}) {
    for (std::size_t at = 16; at < 48; at += 8) {
      std::vector<std::uint8_t> forged = bytes;
      std::memcpy(forged.data() + at, &number, sizeof(number));
      seal(forged, end);
      EXPECT_FALSE(LoadComposite(forged.data(), forged.size(), {}, &w).ok()) << at << " " << number;
    }
    for (const std::size_t at :
         {std::size_t{128}, std::size_t{136}, order, offsets, columns - 4, columns - 8, columns}) {
      std::vector<std::uint8_t> forged = bytes;
      const std::size_t width = at < order ? 8 : at < columns ? 4 : 2;
      const std::uint64_t wrong = at >= order && at < offsets  ? composite.order[1]
                                  : number == 1 || number == 0 ? 5000
                                                               : number;
      std::memcpy(forged.data() + at, &wrong, width);
      seal(forged, end);
      EXPECT_FALSE(LoadComposite(forged.data(), forged.size(), {}, &w).ok()) << at << " " << wrong;
    }
  }
  for (std::size_t at = 48; at < 51; ++at) {
    for (const std::uint8_t flag : {std::uint8_t{0}, std::uint8_t{2}}) {
      std::vector<std::uint8_t> forged = bytes;
      forged[at] = flag;
      seal(forged, end);
      EXPECT_FALSE(LoadComposite(forged.data(), forged.size(), {}, &w).ok()) << at;
    }
  }
  EXPECT_EQ(w.m(), 0u);
}

TEST(CompositeFile, FaultyCallsAreRefused) {
  const Composite composite({Format::kInt4}, SmallCase(), {});
  std::vector<std::uint8_t> bytes = Saved(composite.w);
  CompositeMatrix w;
  EXPECT_TRUE(Refused(SaveComposite(composite.w, nullptr, bytes.size()), "bytes"));
  EXPECT_TRUE(Refused(SaveComposite(composite.w, bytes.data(), bytes.size() - 1), "size"));
  EXPECT_TRUE(Refused(SaveComposite(composite.w, nullptr), "path"));
  EXPECT_TRUE(Refused(SaveComposite(w, bytes.data(), CompositeFileSize(w)), "w"));
  EXPECT_TRUE(Refused(LoadComposite(nullptr, bytes.size(), {}, &w), "bytes"));
  EXPECT_TRUE(Refused(LoadComposite(bytes.data(), bytes.size(), {}, nullptr), "w"));
  EXPECT_EQ(LoadComposite("/no/such/file", {}, &w).code(), StatusCode::kIo);
}

}  // namespace
}  // namespace lutra::test
