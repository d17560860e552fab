// Pack: its inverse, what it promises about bytes, and the formats it is derived from.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "lutra/lutra.h"
#include "support/misaligned.h"
#include "support/problem.h"
#include "support/shapes.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class Packing : public KernelTest {};

TEST_P(Packing, UnpackIsTheInverse) {
  for (const Case& c : PackCases()) {
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix packed = Packed(problem, c.target);
    EXPECT_EQ(packed.format(), c.format);
    EXPECT_EQ(packed.m(), c.m);
    EXPECT_EQ(packed.k(), c.k);
    EXPECT_EQ(packed.group(), c.group);
    EXPECT_EQ(packed.scale_type(), c.scale_type);
    EXPECT_EQ(packed.zero_kind(), problem.w().zero_kind);
    EXPECT_EQ(packed.zero_type(), problem.w().zero_type);
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

// Scales, zeros, bias and order may be at any address, in every function that reads a view.
TEST_P(Packing, TakesArraysAtAnyAddress) {
  for (const std::size_t group : {std::size_t{32}, kPerRow}) {
    for (const ParamKind& kind : kParamKinds) {
      if (!Exists(group, kind)) continue;
      Case c = NewCase({70, 2, 300}, 1);
      c.group = group;
      c.zeros = kind.zeros;
      c.scale_type = kind.scale_type;
      c.bias = c.order = true;
      SCOPED_TRACE(c);
      const Problem problem(c);
      const MisalignedView odd(problem.w());
      const PackedMatrix expected = Packed(problem, c.target);
      PackedMatrix packed;
      ASSERT_TRUE(Ok(Pack(odd.view(), {c.target, nullptr}, &packed)));
      ASSERT_EQ(packed.bytes(), expected.bytes());
      EXPECT_EQ(std::memcmp(packed.data(), expected.data(), packed.bytes()), 0);
      EXPECT_EQ(std::memcmp(packed.bias(), expected.bias(), c.m * sizeof(float)), 0);
      EXPECT_EQ(std::memcmp(packed.order(), expected.order(), c.k * sizeof(std::uint32_t)), 0);

      std::vector<float> weights(c.m * c.k), odd_weights(c.m * c.k), exact(c.n * c.m), odd_exact(c.n * c.m);
      std::vector<double> y(c.n * c.m), odd_y(c.n * c.m);
      ASSERT_TRUE(Ok(Dequantize(problem.w(), weights.data(), c.k)));
      ASSERT_TRUE(Ok(Dequantize(odd.view(), odd_weights.data(), c.k)));
      EXPECT_TRUE(SameBits(odd_weights, weights, c.k));
      ASSERT_TRUE(Ok(ReferenceMatMul(problem.w(), problem.x(), y.data())));
      ASSERT_TRUE(Ok(ReferenceMatMul(odd.view(), problem.x(), odd_y.data())));
      EXPECT_EQ(odd_y, y);
      ASSERT_TRUE(Ok(ReferenceExactMatMul(problem.w(), problem.x(), exact.data())));
      ASSERT_TRUE(Ok(ReferenceExactMatMul(odd.view(), problem.x(), odd_exact.data())));
      EXPECT_TRUE(SameBits(odd_exact, exact, c.m));
      ASSERT_TRUE(Ok(ReferenceErrorBound(problem.w(), problem.x(), Precision::kInt8, y.data())));
      ASSERT_TRUE(Ok(ReferenceErrorBound(odd.view(), problem.x(), Precision::kInt8, odd_y.data())));
      EXPECT_EQ(odd_y, y);
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

// A whole number of blocks of either base takes the bits of its indices, the qparams of each group, and nothing more.
TEST_P(Packing, IsDense) {
  const FormatInfo& f = Describe(GetParam().format);
  Case c = NewCase({128, 0, 3840}, 1);
  c.group = kPerRow;
  const double per_row = Packed(Problem(c), c.target).bits_per_weight();
  EXPECT_GE(per_row, f.stored().bits_per_weight());
  EXPECT_LE(per_row, f.stored().bits_per_weight() + 0.01);
  c.group = 128;
  c.zeros = Zeros::kFloat;
  const double per_group = Packed(Problem(c), c.target).bits_per_weight();
  const double of_group = (HasZeros(f.format, c.zeros) ? 32.0 : 16.0) / 128;
  EXPECT_GE(per_group, f.stored().bits_per_weight() + of_group);
  EXPECT_LE(per_group, f.stored().bits_per_weight() + of_group + 0.2);  // signs are padded
}

INSTANTIATE_TEST_SUITE_P(Sweep, Packing, ::testing::ValuesIn(Kernels()), KernelName);

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
