// Invalid weights are refused by name, before anything is read or written, by every function that takes them.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/may_return_null.h"
#include "support/panels.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class WeightStatus : public ::testing::Test {
 protected:
  // Refused by all, which leave their outputs untouched.
  void ExpectRefused(const QuantizedView& w, const char* argument) {
    const ActivationView& x = problem_.x();
    PackedMatrix packed = Packed(problem_, nullptr);
    const std::uint8_t* const data = packed.data();
    const std::vector<std::uint8_t> bytes(data, data + packed.bytes());
    EXPECT_TRUE(Refused(Pack(w, &packed), argument));
    EXPECT_EQ(packed.data(), data);
    EXPECT_EQ(packed.m(), problem_->m);
    EXPECT_EQ(packed.k(), problem_->k);
    EXPECT_EQ(std::vector<std::uint8_t>(packed.data(), packed.data() + packed.bytes()), bytes);

    std::vector<double> y(problem_->n * problem_->m, -1.0);
    std::vector<float> exact(y.size(), -1.0f), weights(problem_->m * problem_->k, -1.0f);
    EXPECT_TRUE(Refused(ReferenceMatMul(w, x, y.data()), argument));
    EXPECT_TRUE(Refused(ReferenceErrorBound(w, x, Precision::kInt8, y.data()), argument));
    EXPECT_TRUE(Refused(ReferenceExactMatMul(w, x, exact.data()), argument));
    EXPECT_TRUE(Refused(Dequantize(w, weights.data(), w.k), argument));
    EXPECT_EQ(y, std::vector<double>(y.size(), -1.0));
    EXPECT_EQ(exact, std::vector<float>(exact.size(), -1.0f));
    EXPECT_EQ(weights, std::vector<float>(weights.size(), -1.0f));
  }

  Problem problem_{SmallCase(3, 2, 150)};
};

TEST_F(WeightStatus, FaultyViews) {
  for (const Fault<QuantizedView>& fault : kWeightFaults) {
    SCOPED_TRACE(::testing::Message() << "fault " << &fault - kWeightFaults << " " << fault.argument);
    QuantizedView w = problem_.w();
    fault.spoil(w);
    ExpectRefused(w, fault.argument);
  }
}

TEST_F(WeightStatus, CodesBeyondTheFormat) {
  for (const FormatInfo& f : kFormats) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{149}, std::size_t{200}, std::size_t{449}}) {
      for (const int bad : {f.levels, f.code_end(), 128, 128 + f.code_end(), 255}) {
        if (bad > 255 || f.has(bad)) continue;  // int7 and int8 have it, or no byte is it
        SCOPED_TRACE(::testing::Message() << f.name << " code " << bad << " at " << at);
        std::vector<std::uint8_t> codes(450, 0);
        codes[at] = static_cast<std::uint8_t>(bad);
        QuantizedView w = problem_.w();
        w.format = f.format;
        if (f.is_float()) w.zero_kind = ZeroKind::kNone;
        w.codes = codes.data();
        ExpectRefused(w, "w.codes");
      }
    }
  }
}

TEST_F(WeightStatus, FloatsWithZeros) {
  for (const Zeros zeros : {Zeros::kInteger, Zeros::kFloat, Zeros::kOffset, Zeros::kUInt4}) {
    Case c = SmallCase(3, 2, 150);
    c.zeros = zeros;
    const Problem problem(c);
    QuantizedView w = problem.w();
    for (const Format format : {Format::kFp8E4M3, Format::kFp8E5M2}) {
      w.format = format;
      ExpectRefused(w, "w.zero_kind");
    }
  }
}

TEST_F(WeightStatus, ScalesAndZerosThatAreNotFinite) {
  for (const DataType type : kFloatTypes) {
    for (const float bad : kNotFinite) {
      for (const std::size_t at : {std::size_t{0}, std::size_t{3}, std::size_t{5}}) {
        SCOPED_TRACE(::testing::Message() << bad << " at " << at << " in " << Name(type));
        Case c = SmallCase(3, 2, 150);
        c.scale_type = type;
        const Problem problem(c);
        const std::size_t count = ScaleCount(problem.w());
        QuantizedView w = problem.w();
        const std::vector<std::uint8_t> scales = With(bad, at, type, w.scales, count);
        w.scales = scales.data();
        ExpectRefused(w, "w.scales");
        w = problem.w();
        const std::vector<std::uint8_t> zeros = With(bad, at, type, w.zeros, count);
        w.zeros = zeros.data();
        ExpectRefused(w, "w.zeros");
      }
    }
  }
}

TEST_F(WeightStatus, SuperScalesThatAreNotFiniteOrNull) {
  for (const std::size_t at : {std::size_t{0}, std::size_t{2}}) {
    Case c = SmallCase(3, 2, 150);
    c.scale_type = DataType::kInt8;
    c.zeros = Zeros::kOffset;
    const Problem problem(c);
    const std::vector<std::uint8_t> halves = With(kInfinity, at, DataType::kF16, problem.w().super_scales, c.m);
    for (const auto member : {&QuantizedView::super_scales, &QuantizedView::super_offsets}) {
      const char* const name = member == &QuantizedView::super_scales ? "w.super_scales" : "w.super_offsets";
      for (const void* bad : {static_cast<const void*>(halves.data()), static_cast<const void*>(nullptr)}) {
        QuantizedView w = problem.w();
        w.*member = static_cast<const std::uint16_t*>(bad);
        ExpectRefused(w, name);
      }
    }
  }
}

TEST_F(WeightStatus, ScalesAndZerosBeyondFourBits) {
  Case c = SmallCase(3, 2, 150);
  c.zeros = Zeros::kOffset;
  c.scale_type = DataType::kUInt4;
  const Problem nibbles(c);
  const std::uint8_t integers[] = {15, 0, 3, 16, 15, 1};
  for (const auto member : {&QuantizedView::scales, &QuantizedView::zeros}) {
    QuantizedView w = nibbles.w();
    w.*member = integers;
    ExpectRefused(w, member == &QuantizedView::scales ? "w.scales" : "w.zeros");
  }
  c.scale_type = DataType::kF16;
  c.zeros = Zeros::kUInt4;
  const Problem zeros_of_four_bits(c);
  QuantizedView w = zeros_of_four_bits.w();
  w.zeros = integers;
  ExpectRefused(w, "w.zeros");
}

TEST_F(WeightStatus, BiasThatIsNotFinite) {
  for (const float bad : kNotFinite) {
    QuantizedView w = problem_.w();
    const float bias[] = {0.0f, 1.0f, bad};
    w.bias = bias;
    ExpectRefused(w, "w.bias");
  }
}

TEST_F(WeightStatus, OrdersThatAreNoPermutations) {
  for (const std::size_t at : {std::size_t{0}, std::size_t{70}, std::size_t{149}}) {
    for (const std::uint32_t bad : {std::uint32_t{1}, std::uint32_t{148}, std::uint32_t{150}, 0xffffffffu}) {
      SCOPED_TRACE(::testing::Message() << bad << " at " << at);
      std::vector<std::uint32_t> order(150);
      std::iota(order.begin(), order.end(), 0u);
      QuantizedView w = problem_.w();
      w.order = order.data();
      PackedMatrix packed;
      EXPECT_TRUE(Ok(Pack(w, &packed)));
      order[at] = bad;
      ExpectRefused(w, "w.order");
    }
  }
}

TEST_F(WeightStatus, OrdersNeedMemoryToBeChecked) {
  QuantizedView w = problem_.w();
  w.k = w.code_stride = std::size_t{1} << 51;
  w.m = 1;
  w.group = kPerRow;
  w.order = kFirstOnly;
  PackedMatrix packed;
  const Status status = Pack(w, &packed);
  EXPECT_EQ(status.code(), StatusCode::kOutOfMemory);
  EXPECT_STREQ(status.argument(), "w.order");
}

TEST_F(WeightStatus, RefusesWrongPartsOfBlocks) {
  PackedLayout layout;
  ASSERT_TRUE(Ok(LayoutOfGguf(12, 100, 256, {}, &layout)));
  LayoutMemory memory(layout);
  const std::vector<std::uint8_t> blocks(std::size_t{65} * 144);
  const auto pack_rows = [&](std::size_t first_row, std::size_t rows, std::size_t first, std::size_t last) {
    const GgufBlocks part{12, blocks.data(), rows * 144, first_row, rows};
    return PackPanels(layout, part, first, last, memory.data(), memory.size());
  };
  EXPECT_TRUE(Ok(pack_rows(0, 65, 0, 1)));
  EXPECT_TRUE(Refused(pack_rows(1, 64, 0, 1), "blocks.rows"));
  EXPECT_TRUE(Refused(pack_rows(60, 39, 1, 2), "blocks.rows"));
  EXPECT_TRUE(Refused(pack_rows(60, 41, 1, 2), "blocks.rows"));
  EXPECT_TRUE(Refused(pack_rows(101, 0, 1, 1), "blocks.rows"));
  EXPECT_TRUE(Refused(LayoutOfGguf(GgufBlocks{12, blocks.data(), 144, 0, 1}, 1, 256, {}, &layout), "blocks.rows"));
}

TEST_F(WeightStatus, NullResults) {
  const QuantizedView& w = problem_.w();
  EXPECT_TRUE(Refused(Pack(w, nullptr), "packed"));
  EXPECT_TRUE(Refused(Unpack(Packed(problem_, nullptr), nullptr), "w"));
  EXPECT_TRUE(Refused(Dequantize(w, nullptr, w.k), "out"));
  float out = -1.0f;
  EXPECT_TRUE(Refused(Dequantize(w, &out, w.k - 1), "row_stride"));
  EXPECT_TRUE(Refused(Dequantize(w, &out, kMax / 2), "row_stride"));
  EXPECT_EQ(out, -1.0f);
  EXPECT_TRUE(Refused(ReferenceMatMul(w, problem_.x(), nullptr), "y"));
  EXPECT_TRUE(Refused(ReferenceExactMatMul(w, problem_.x(), nullptr), "y"));
  EXPECT_TRUE(Refused(ReferenceErrorBound(w, problem_.x(), Precision::kInt8, nullptr), "bound"));
}

}  // namespace
}  // namespace lutra::test
