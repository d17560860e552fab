// Pack: its inverse, what it promises about bytes, and the formats it is derived from.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/shapes.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class Packing : public KernelTest {};

TEST_P(Packing, UnpackIsTheInverse) {
  std::size_t i = 0;
  for (const std::size_t group : kGroups) {
    for (const ParamKind& kind : kParamKinds) {
      if (!Exists(group, kind)) continue;
      Case c = NewCase(MixedShape(i), i);
      c.n = 0;
      c.group = group;
      c.zero_kind = kind.zero_kind;
      c.scale_type = kind.scale_type;
      c.bias = i % 2 == 0;
      c.order = i % 3 == 0;
      c.gap = i % 3 * 5;
      ++i;
      SCOPED_TRACE(c);
      const Problem problem(c);
      const PackedMatrix packed = Packed(problem, c.target);
      EXPECT_EQ(packed.format(), c.format);
      EXPECT_EQ(packed.m(), c.m);
      EXPECT_EQ(packed.k(), c.k);
      EXPECT_EQ(packed.group(), group);
      EXPECT_EQ(packed.scale_type(), kind.scale_type);
      EXPECT_EQ(packed.zero_kind(), kind.zero_kind);
      EXPECT_EQ(packed.has_bias(), c.bias);
      EXPECT_EQ(packed.order() != nullptr, c.order);
      EXPECT_EQ(packed.target(), c.target);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(packed.data()) % Buffer::kAlignment, 0u);
      QuantizedMatrix unpacked;
      ASSERT_TRUE(Ok(Unpack(packed, &unpacked)));
      ExpectSame(unpacked.view(), problem.w());
      if (HasFailure()) return;
    }
  }
}

// Padding included: equal matrices are equal files.
TEST_P(Packing, BytesDependOnNothingElse) {
  const Problem problem(NewCase({100, 0, 333}, 1));
  const PackedMatrix first = Packed(problem, GetParam().target), second = Packed(problem, GetParam().target);
  ASSERT_EQ(first.bytes(), second.bytes());
  EXPECT_EQ(std::memcmp(first.data(), second.data(), first.bytes()), 0);
}

// A whole number of blocks of either base takes the bits of its indices, a scale per group, and nothing more.
TEST_P(Packing, IsDense) {
  const FormatInfo& f = Describe(GetParam().format);
  Case c = NewCase({128, 0, 3840}, 1);
  c.group = kPerRow;
  const double per_row = Packed(Problem(c), c.target).bits_per_weight();
  EXPECT_GE(per_row, f.index_bits());
  EXPECT_LE(per_row, f.index_bits() + 0.01);
  c.group = 128;
  c.zero_kind = ZeroKind::kFloat;
  const double per_group = Packed(Problem(c), c.target).bits_per_weight();
  EXPECT_GE(per_group, f.index_bits() + 32.0 / 128);
  EXPECT_LE(per_group, f.index_bits() + 32.0 / 128 + 0.2);  // mirrored signs are padded
}

INSTANTIATE_TEST_SUITE_P(Sweep, Packing, ::testing::ValuesIn(Kernels()), KernelName);

class FormatDescription : public ::testing::TestWithParam<FormatInfo> {};

// Each combination of digits has one index and is got back from it; a mirrored table leaves out the negative half.
// Integers have no digits but their bits.
TEST_P(FormatDescription, IndexesEnumerateDigits) {
  const FormatInfo& f = GetParam();
  if (!f.looks_up()) {
    EXPECT_EQ(f.g, 1);
    EXPECT_EQ(f.levels, 1 << f.planes);
    return;
  }
  int combinations = 1;
  for (int j = 0; j < f.g; ++j) combinations *= f.base();
  EXPECT_EQ(f.mirrored() ? 2 * f.entries() - 1 : f.entries(), combinations);
  for (int index = 0; index < f.entries(); ++index) {
    std::vector<int> digits;
    for (int rest = index; digits.size() < static_cast<std::size_t>(f.g); rest = DropLowDigit(f, rest)) {
      digits.push_back(LowDigit(f, rest));
    }
    int again = 0, mirrored = 0;
    for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
      EXPECT_TRUE(*digit == 1 || *digit == -1 || (*digit == 0 && f.base() == 3));
      again = AppendDigit(f, again, *digit);
      mirrored = AppendDigit(f, mirrored, -*digit);
    }
    EXPECT_EQ(again, index);
    EXPECT_EQ(mirrored, f.mirrored() ? -index : f.entries() - 1 - index);
  }
}

// Values are spaced by 1 in the order of the codes, around the default zero.
TEST_P(FormatDescription, ValuesAreWhatUsersExpect) {
  const FormatInfo& f = GetParam();
  EXPECT_EQ(&Describe(f.format) - kFormats, static_cast<std::ptrdiff_t>(f.format));
  EXPECT_EQ(Describe(f.format).name, std::string(f.name));
  const bool binary = f.format == Format::kInt1, ternary = f.format == Format::kTernary;
  EXPECT_EQ(f.default_zero, binary || ternary ? 0.0f : static_cast<float>(f.levels / 2));
  for (int q = 0; q < f.levels; ++q) {
    EXPECT_EQ(f.value(q), static_cast<float>(binary ? 2 * q - 1 : ternary ? q - 1 : q));
  }
}

INSTANTIATE_TEST_SUITE_P(Each, FormatDescription, ::testing::ValuesIn(kFormats), FormatName);

TEST(Targets, AreListedByName) {
  const TargetList targets = RunnableTargets();
  ASSERT_GE(targets.size, 1u);
  for (const Target target : targets) EXPECT_EQ(FindTarget(TargetName(target)), target) << TargetName(target);
#if defined(__aarch64__)
  const char* portable = "NEON";
#else
  const char* portable = "EMU128";
#endif
  EXPECT_STREQ(TargetName(targets.data[targets.size - 1]), portable);  // what every CPU of its kind can run
  EXPECT_EQ(FindTarget("ABACUS"), nullptr);
  EXPECT_EQ(FindTarget(""), nullptr);
  EXPECT_EQ(FindTarget(nullptr), nullptr);
}

TEST(Targets, TheBestIsTheDefault) {
  const Problem problem(Case{});
  EXPECT_EQ(Packed(problem, nullptr).target(), BestTarget());
}

}  // namespace
}  // namespace lutra::test
