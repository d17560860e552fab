// The bytes of packed matrices and the checksums of their files do not change within a version.
#include "support/packed_bytes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "lutra/kernels/registry.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"
#include "support/xxh64.h"

namespace lutra::test {
namespace {

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
          {0xa12571e9af6903f3},
          {0x70b51983307faecc},
          {0x88a8fb59f2da57b1},
          {0xe7af3e2c4185cc76},  // codes of six bits with zero points, as int6's
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
          {0x21b401856250a5a7},
          {0x5ad598e2a8286932},
          {0xcdef4a50826a1095},
          {0x05e709841b7e053d},
      },
  };
  constexpr ParamKind kKinds[] = {{DataType::kF16, Zeros::kFloat}, {DataType::kUInt4, Zeros::kOffset}};
  for (const ParamKind& kind : kKinds) {
    for (const Kernel& kernel : Kernels()) {
      const FormatInfo& f = Describe(kernel.format);
      Case c = SmallCase();
      c.format = kernel.format;
      c.target = kernel.target;
      c.group = 64;
      c.zeros = kind.zeros;
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
    Case c = SmallCase(70, 3, k);
    c.format = Format::kInt4;
    c.target = BestTarget();
    c.group = 16;
    c.zeros = Zeros::kInteger;
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
