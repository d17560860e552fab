// Checkpoints of every scheme: the imported weights equal what the tool unpacks from the same tensors, panels have the
// bytes of Pack, and faulty tensors are refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "support/checkpoint_tensors.h"
#include "support/faults.h"
#include "support/imported.h"
#include "support/panels.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

// |actual - expected| <= error, in every element.
void ExpectWithin(const std::vector<float>& actual, const CheckpointTensors& tensors) {
  ASSERT_EQ(actual.size(), tensors.weights().size());
  std::size_t beyond = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (!(std::abs(actual[i] - tensors.weights()[i]) <= tensors.errors()[i])) ++beyond;
  }
  EXPECT_EQ(beyond, 0u);
}

class Checkpoints : public ::testing::TestWithParam<CheckpointInfo> {
 protected:
  // The schemes with a refusal have no cases.
  std::vector<CheckpointCase> Cases() const {
    return GetParam().refusal != nullptr ? std::vector<CheckpointCase>() : CasesOf(GetParam());
  }
};

TEST_P(Checkpoints, HaveTheWeightsOfTheTool) {
  for (const CheckpointCase& c : Cases()) {
    SCOPED_TRACE(c);
    const CheckpointTensors tensors(c);
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportCheckpoint(tensors.view(), &w)));
    const std::vector<float> weights = Dequantized(w.view());
    if (tensors.exact()) {
      EXPECT_TRUE(SameBits(weights, tensors.weights(), c.k));
    } else {
      ExpectWithin(weights, tensors);
    }
    EXPECT_EQ(w.view().order != nullptr, c.order && c.groups() > 1);
    if (HasFailure()) return;
  }
}

TEST_P(Checkpoints, PackToTheSameBytes) {
  std::size_t i = 0;
  for (const CheckpointCase& c : Cases()) {
    if (++i % 3 != 0) continue;
    SCOPED_TRACE(c);
    const CheckpointTensors tensors(c);
    QuantizedMatrix w;
    ASSERT_TRUE(Ok(ImportCheckpoint(tensors.view(), &w)));
    ExpectPanelsOfPack(tensors.view(), w.view());
    if (i % 9 == 0) ExpectRightProducts(w.view());
    if (HasFailure()) return;
  }
}

// Odd numbers of rows and columns, where the scheme has them.
TEST_P(Checkpoints, TakeSmallShapes) {
  for (CheckpointCase c : Cases()) {
    if (c.group_size != -1 && GetParam().group == 0) continue;
    for (const std::size_t m : {std::size_t{1}, std::size_t{3}, std::size_t{65}}) {
      for (const std::size_t k : {std::size_t{1}, std::size_t{17}, std::size_t{40}}) {
        c.m = m, c.k = k;
        if (c.scheme == CheckpointScheme::kGptq) c.m = 32 * (m % 8), c.k = 32 * k;
        if (c.scheme == CheckpointScheme::kAwq) c.m = 8 * m;
        if (c.scheme == CheckpointScheme::kHqq) c.m = 8 * m;  // whole planes
        if (c.scheme == CheckpointScheme::kNf4 || c.scheme == CheckpointScheme::kFp4) c.k = 2 * k;
        SCOPED_TRACE(c);
        const CheckpointTensors tensors(c);
        QuantizedMatrix w;
        ASSERT_TRUE(Ok(ImportCheckpoint(tensors.view(), &w)));
        ExpectWithin(Dequantized(w.view()), tensors);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(Checkpoints, MayBeEmpty) {
  CheckpointView view;
  view.scheme = GetParam().scheme;
  for (view.bits = 1; !GetParam().has_width(view.bits);) ++view.bits;
  QuantizedMatrix w;
  if (GetParam().refusal != nullptr) {
    EXPECT_TRUE(NotSupported(ImportCheckpoint(view, &w), "checkpoint.scheme"));
    return;
  }
  EXPECT_TRUE(Ok(ImportCheckpoint(view, &w)));
  view.m = 64;
  view.k = 0;
  const std::vector<float> scales(64);
  const bool of_rows = GetParam().group == 0;
  for (const std::size_t bytes : {64 * sizeof(float), 64 * sizeof(std::uint16_t), std::size_t{0}}) {
    view.scales = {scales.data(), bytes};
    view.zeros = {};
    if (view.scheme == CheckpointScheme::kHqq) view.zeros = view.scales;
    if (view.scheme == CheckpointScheme::kGptq || view.scheme == CheckpointScheme::kAwq)
      view.zeros = {scales.data(), 32};
    const Status status = ImportCheckpoint(view, &w);
    EXPECT_TRUE(status.ok() || std::string(status.argument()) != "checkpoint.codes") << status.message();
    if (status.ok() && GetParam().group != kPerMatrix) {
      EXPECT_EQ(bytes != 0, of_rows);
    }
  }
}

using ViewFault = Fault<CheckpointView>;

TEST_P(Checkpoints, RefuseFaultyTensors) {
  for (const CheckpointCase& c : Cases()) {
    if (c.group_size != 32 && GetParam().group == 0) continue;
    const CheckpointTensors tensors(c);
    const ViewFault kFaults[] = {
        {"checkpoint.scheme", [](CheckpointView& v) { v.scheme = static_cast<CheckpointScheme>(200); }},
        {"checkpoint.bits", [](CheckpointView& v) { v.bits = 0; }},
        {"checkpoint.bits", [](CheckpointView& v) { v.bits = 9; }},
        {"checkpoint.bits", [](CheckpointView& v) { v.bits = -4; }},
        {"checkpoint.bits", [](CheckpointView& v) { v.bits = 1 << 30; }},
        {"", [](CheckpointView& v) { v.m = kMax; }},
        {"", [](CheckpointView& v) { v.m = kMax / 2; }},
        {"checkpoint.k", [](CheckpointView& v) { v.k = kMax; }},
        {"", [](CheckpointView& v) { v.m = kMax / 160, v.k = 1u << 31; }},
        {"", [](CheckpointView& v) { v.m += 32; }},
        {"checkpoint.codes", [](CheckpointView& v) { v.codes.size -= 1; }},
        {"checkpoint.codes", [](CheckpointView& v) { v.codes.size += 1; }},
        {"checkpoint.codes", [](CheckpointView& v) { v.codes.size = kMax; }},
        {"checkpoint.codes", [](CheckpointView& v) { v.codes.data = nullptr; }},
    };
    QuantizedMatrix q;
    ASSERT_TRUE(Ok(ImportCheckpoint(tensors.view(), &q)));
    const std::uint8_t* const codes = q.codes();
    const auto expect = [&](const ViewFault& fault, const char* what) {
      SCOPED_TRACE(::testing::Message() << c << ", fault " << what);
      CheckpointView view = tensors.view();
      fault.spoil(view);
      PackedLayout layout;
      EXPECT_TRUE(Refused(ImportCheckpoint(view, &q), fault.argument));
      EXPECT_EQ(q.codes(), codes);
      EXPECT_FALSE(LayoutOf(view, {}, &layout).ok());
    };
    for (const ViewFault& fault : kFaults) expect(fault, fault.argument);
    if (GetParam().group == 0) {
      expect({"checkpoint.group_size", [](CheckpointView& v) { v.group_size = 0; }}, "group 0");
      expect({"checkpoint.group_size", [](CheckpointView& v) { v.group_size = -2; }}, "group -2");
    }
    if (tensors.view().scales.size != 0) {
      expect({"checkpoint.scales", [](CheckpointView& v) { v.scales.size -= 1; }}, "fewer scales");
      expect({"checkpoint.scales", [](CheckpointView& v) { v.scales.size *= 2; }}, "more scales");
      expect({"checkpoint.scales", [](CheckpointView& v) { v.scales.data = nullptr; }}, "no scales");
    }
    if (tensors.view().zeros.size != 0) {
      expect({"checkpoint.zeros", [](CheckpointView& v) { v.zeros.size -= 1; }}, "fewer zeros");
      expect({"checkpoint.zeros", [](CheckpointView& v) { v.zeros.size *= 2; }}, "more zeros");
      expect({"checkpoint.zeros", [](CheckpointView& v) { v.zeros.data = nullptr; }}, "no zeros");
    }
    if (tensors.view().g_idx.size != 0) {
      expect({"checkpoint.g_idx", [](CheckpointView& v) { v.g_idx.size -= 1; }}, "fewer columns");
    }
    if (tensors.view().nested.map.size != 0) {
      expect({"checkpoint.nested.map", [](CheckpointView& v) { v.nested.map.size = 255; }}, "map");
      expect({"checkpoint.nested.absmax", [](CheckpointView& v) { v.nested.absmax.size += 1; }}, "absmax");
      expect({"checkpoint.nested.block", [](CheckpointView& v) { v.nested.block = 0; }}, "block");
    }
    if (GetParam().scheme == CheckpointScheme::kPackQuantized || c.is_fp8() ||
        GetParam().scheme == CheckpointScheme::kIntQuantized) {
      expect({"checkpoint.scale_rows", [](CheckpointView& v) { v.scale_rows = 0; }}, "no rows");
      expect({"", [](CheckpointView& v) { v.scale_rows += 8; }}, "fewer rows of scales");
    }
    EXPECT_TRUE(Refused(ImportCheckpoint(tensors.view(), nullptr), "w"));
    if (HasFailure()) return;
  }
}

// Scales and zeros that are no finite numbers; the panels that hold them are refused, too.
TEST_P(Checkpoints, RefuseWhatIsNotFinite) {
  for (const CheckpointCase& c : Cases()) {
    if (c.group_size != 32 && GetParam().group == 0) continue;
    SCOPED_TRACE(c);
    const CheckpointTensors tensors(c);
    CheckpointView view = tensors.view();
    std::vector<std::uint8_t> bad(std::max(view.scales.size, view.zeros.size), 0xff);
    const std::vector<float> nan(view.nested.absmax.size, std::nanf(""));
    PackedLayout layout;
    ASSERT_TRUE(Ok(LayoutOf(view, {}, &layout)));
    LayoutMemory memory(layout);
    const auto expect = [&](const char* argument) {
      QuantizedMatrix q;
      EXPECT_TRUE(Refused(ImportCheckpoint(view, &q), argument));
      EXPECT_TRUE(Refused(PackPanels(layout, view, 0, 1, memory.data(), memory.size()), argument));
      view = tensors.view();
    };
    if (view.nested.absmax.size != 0) {
      view.nested.absmax.data = nan.data();
      expect("checkpoint.scales");
      view.nested.offset = kInfinity;
      expect("checkpoint.scales");
    } else if (view.scales.size != 0) {
      view.scales.data = bad.data();
      expect("checkpoint.scales");
    }
    if (c.scheme == CheckpointScheme::kHqq) {
      view.zeros.data = bad.data();
      expect("checkpoint.zeros");
    }
    if (c.scheme == CheckpointScheme::kBitnet || c.is_fp8()) {  // a code of 3, or NaN
      bad.assign(view.codes.size, 0xff);
      view.codes.data = bad.data();
      expect("checkpoint.codes");
    }
    if (c.scheme == CheckpointScheme::kBitnet || c.scheme == CheckpointScheme::kNvfp4) {
      for (const float scale : {0.0f, kInfinity, -kInfinity, std::nanf("")}) {
        view.matrix_scale = scale;
        expect("checkpoint.matrix_scale");
      }
    }
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes, Checkpoints, ::testing::ValuesIn(kCheckpointSchemes), SchemeName);

TEST(Checkpoint, SaysWhatItDoesNotHold) {
  QuantizedMatrix q;
  CheckpointView view;
  view.m = 8, view.k = 96, view.group_size = 40;
  EXPECT_TRUE(NotSupported(ImportCheckpoint(view, &q), "checkpoint.group_size"));
  view.scheme = CheckpointScheme::kNf4;
  view.group_size = 64;
  view.k = 72;  // rows begin within blocks, at multiples of 8
  EXPECT_TRUE(NotSupported(ImportCheckpoint(view, &q), "checkpoint.group_size"));
  view.k = 1;  // rows begin within bytes
  EXPECT_TRUE(NotSupported(ImportCheckpoint(view, &q), "checkpoint.k"));
  for (const CheckpointScheme scheme :
       {CheckpointScheme::kHqq, CheckpointScheme::kPackQuantized, CheckpointScheme::kIntQuantized}) {
    view.scheme = scheme;
    view.scale_type = DataType::kE8M0;
    view.bits = 8;
    EXPECT_TRUE(Refused(ImportCheckpoint(view, &q), "checkpoint.scale_type"));
  }
  for (const CheckpointScheme scheme : {CheckpointScheme::kFp8, CheckpointScheme::kFp8E5M2}) {
    view.scheme = scheme;
    view.scale_type = DataType::kE4M3;
    EXPECT_TRUE(Refused(ImportCheckpoint(view, &q), "checkpoint.scale_type"));
  }
  LayoutOptions options;
  options.count = 2;
  PackedLayout layout;
  EXPECT_TRUE(Refused(LayoutOf(view, options, &layout), "options.count"));
}

// Zero points of pack-quantized weights that are bytes: half the number of codes less than what Lutra stores.
TEST(Checkpoint, RefusesByteZerosBeyondTheCodes) {
  const std::vector<std::uint32_t> codes(8, 0x76543210);
  const float scale = 0.5f;
  CheckpointView view;
  view.m = 4, view.k = 16, view.group_size = -1, view.scale_rows = 4;
  view.codes = {codes.data(), codes.size() * sizeof(codes[0])};
  view.scales = {&scale, sizeof(scale)};
  view.scale_type = DataType::kF32;
  view.byte_zeros = true;
  for (int zero = -128; zero < 128; ++zero) {
    SCOPED_TRACE(zero);
    const auto byte = static_cast<std::int8_t>(zero);
    view.zeros = {&byte, 1};
    QuantizedMatrix q;
    if (zero < -8 || zero > 7) {
      EXPECT_TRUE(Refused(ImportCheckpoint(view, &q), "checkpoint.zeros"));
      continue;
    }
    ASSERT_TRUE(Ok(ImportCheckpoint(view, &q)));
    const std::vector<float> weights = Dequantized(q.view());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      ASSERT_EQ(weights[i], 0.5f * static_cast<float>(static_cast<int>(i % 8) - 8 - zero)) << i;
    }
  }
}

TEST(Checkpoint, RefusesGroupsThatRunDownTheRows) {
  const CheckpointTensors tensors({CheckpointScheme::kHqq, 4, 64, 64, 64});
  CheckpointView view = tensors.view();
  view.groups_down_rows = true;
  QuantizedMatrix q;
  const Status status = ImportCheckpoint(view, &q);
  EXPECT_TRUE(NotSupported(status, "checkpoint.groups_down_rows"));
  EXPECT_NE(std::string(status.reason()).find("quantize with axis=1"), std::string::npos);
  PackedLayout layout;
  EXPECT_TRUE(NotSupported(LayoutOf(view, {}, &layout), "checkpoint.groups_down_rows"));
  view.scheme = CheckpointScheme::kPackQuantized;  // has no such groups: ignored
  view.zeros = {};
  EXPECT_TRUE(Ok(ImportCheckpoint(view, &q)));
}

// Groups of HQQ that are larger than the matrix, and whose bytes would overflow.
TEST(Checkpoint, TakesGroupsBeyondTheMatrix) {
  const std::vector<std::uint8_t> codes(16, 1);
  const std::uint16_t one = F32ToF16(1.0f);
  CheckpointView view;
  view.scheme = CheckpointScheme::kHqq;
  view.m = 1, view.k = 16;
  view.scales = view.zeros = {&one, sizeof(one)};
  for (const std::ptrdiff_t group : {std::ptrdiff_t{32}, std::ptrdiff_t{1} << 61}) {
    for (const int bits : {1, 2, 3, 4, 5, 6, 8}) {
      SCOPED_TRACE(::testing::Message() << "group " << group << ", bits " << bits);
      view.group_size = group;
      view.bits = bits;
      view.codes = {nullptr, 0};
      QuantizedMatrix q;
      EXPECT_TRUE(Refused(ImportCheckpoint(view, &q), "checkpoint.codes"));
      if (bits != 8) continue;
      view.codes = {codes.data(), codes.size()};
      EXPECT_TRUE(Ok(ImportCheckpoint(view, &q)));
    }
  }
}

// Layouts of other weights.
TEST(Checkpoint, RefusesOtherLayouts) {
  CheckpointCase c{CheckpointScheme::kPackQuantized, 4, 70, 256};
  const CheckpointTensors symmetric(c);
  c.zeros = true;
  const CheckpointTensors asymmetric(c);
  PackedLayout layout, with_zeros;
  ASSERT_TRUE(Ok(LayoutOf(symmetric.view(), {}, &layout)));
  ASSERT_TRUE(Ok(LayoutOf(asymmetric.view(), {}, &with_zeros)));
  LayoutMemory memory(with_zeros);
  EXPECT_TRUE(Refused(PackPanels(layout, asymmetric.view(), 0, 1, memory.data(), memory.size()), "layout"));
  EXPECT_TRUE(Refused(PackPanels(with_zeros, symmetric.view(), 0, 1, memory.data(), memory.size()), "layout"));
  CheckpointView other = symmetric.view();
  other.scale_type = DataType::kBF16;
  EXPECT_TRUE(Refused(PackPanels(layout, other, 0, 1, memory.data(), memory.size()), "layout"));
  c = {CheckpointScheme::kNf4, 4, 70, 256};
  const CheckpointTensors nf4(c);
  c.scheme = CheckpointScheme::kFp4;
  const CheckpointTensors fp4(c);
  ASSERT_TRUE(Ok(LayoutOf(nf4.view(), {}, &layout)));
  LayoutMemory table(layout);
  EXPECT_TRUE(Refused(PackPanels(layout, fp4.view(), 0, 1, table.data(), table.size()), "layout"));
  c.scheme = CheckpointScheme::kNvfp4;
  const CheckpointTensors nvfp4(c);
  ASSERT_TRUE(Ok(LayoutOf(nvfp4.view(), {}, &layout)));
  LayoutMemory scaled(layout);
  other = nvfp4.view();
  other.matrix_scale *= 2;
  const Status status = PackPanels(layout, other, 0, 1, scaled.data(), scaled.size());
  EXPECT_TRUE(Refused(status, "checkpoint.matrix_scale"));
}

}  // namespace
}  // namespace lutra::test
