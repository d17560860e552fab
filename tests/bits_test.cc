// Integers and bits as x: exact products with codes of 1 to 8 bits; bits times bits; codes of odd integers.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lutra/grouped.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/shapes.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr PrepareOptions kAsBits(Precision::kInt8, Choice::kBits);

Activations PreparedAs(const ActivationView& x, const PackedMatrix& w, const PrepareOptions& options) {
  Context context;
  Activations prepared;
  EXPECT_TRUE(Ok(Prepare(x, w, options, context, &prepared)));
  EXPECT_TRUE(prepared.Fits(w));
  return prepared;
}

// --- Exact products: weights are value(q) - zero with a scale that is a power of two, x is integers times 1/2.

constexpr std::size_t kM = 70, kN = 5, kK = 300;

// Integers of x: the largest range of a type, and their bytes.
struct Integers {
  Integers(DataType type, Random& random) : values(kN * kK), stride(internal::RoundUp(kK, PerByte(type))) {
    bytes.resize(kN * stride);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto bits = static_cast<int>(8 / PerByte(type)), code = static_cast<int>(random.Below(1u << bits));
      values[i] = type == DataType::kBits ? 2 * code - 1 : code - (1 << bits) / 2;
      Store(type, static_cast<float>(values[i]), bytes.data(), i / kK * stride + i % kK);
    }
    view = {bytes.data(), type, kN, kK, stride, scales.data()};
  }
  std::vector<int> values;
  std::size_t stride;
  std::vector<std::uint8_t> bytes;
  std::vector<float> scales = std::vector<float>(kN, 0.5f);
  ActivationView view;
};

// y[N x M] = x * weights^T / 2 in integers.
std::vector<float> IntegerProduct(const std::vector<int>& weights, const std::vector<int>& x, float scale) {
  std::vector<float> y(kN * kM);
  for (std::size_t i = 0; i < y.size(); ++i) {
    std::int64_t sum = 0;
    for (std::size_t k = 0; k < kK; ++k) sum += std::int64_t{weights[i % kM * kK + k]} * x[i / kM * kK + k];
    y[i] = scale * static_cast<float>(sum);
  }
  return y;
}

// Codes of a format, with one scale for each row.
struct Codes {
  Codes(Format format, float scale, Random& random) : codes(kM * kK), scales(kM, scale) {
    for (std::uint8_t& code : codes) {
      code = static_cast<std::uint8_t>(random.Below(static_cast<std::size_t>(Describe(format).levels)));
    }
    view.format = format;
    view.m = kM;
    view.k = kK;
    view.codes = codes.data();
    view.code_stride = kK;
    view.group = kPerRow;
    view.scales = scales.data();
    view.scale_type = DataType::kF32;
  }
  Codes(const Codes&) = delete;
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;
  QuantizedView view;
};

constexpr Format kBitsOfWeights[] = {Format::kInt1, Format::kInt2, Format::kInt3, Format::kInt4,
                                     Format::kInt5, Format::kInt6, Format::kInt7, Format::kInt8};
constexpr DataType kIntegerTypes[] = {DataType::kBits, DataType::kInt4, DataType::kInt8};

// Every way to multiply them exactly.
void ExpectExact(const QuantizedView& w, const Integers& x, const std::vector<float>& expected) {
  for (const Target target : RunnableTargets()) {
    PackedMatrix packed;
    ASSERT_TRUE(Ok(Pack(w, {target, nullptr}, &packed)));
    const bool tables = MethodOf(w.format).looks_up();
    std::vector<PrepareOptions> ways = {Precision::kInt16};
    if (!tables || x.view.type != DataType::kInt8) ways.emplace_back(Precision::kInt8);
    if (HasBits(w.format) && x.view.type == DataType::kBits) ways.push_back(kAsBits);
    for (const PrepareOptions& way : ways) {
      SCOPED_TRACE(::testing::Message() << Name(w.format) << " times " << Name(x.view.type) << ' '
                                        << Name(way.precision) << ' ' << Name(way.choice) << " on "
                                        << TargetName(target));
      ASSERT_TRUE(SameBits(Multiplied(packed, PreparedAs(x.view, packed, way), DataType::kF32, 0), expected, kM));
    }
  }
}

TEST(IntegersOfX, AreExactInEveryPair) {
  Random random(1);
  for (const Format format : kBitsOfWeights) {
    const Codes w(format, 0.25f, random);
    std::vector<int> weights(w.codes.size());
    const FormatInfo& f = Describe(format);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      weights[i] = static_cast<int>(f.value(w.codes[i]) - f.default_zero);
    }
    for (const DataType type : kIntegerTypes) {
      const Integers x(type, random);
      ExpectExact(w.view, x, IntegerProduct(weights, x.values, 0.125f));
    }
  }
}

// Odd integers, 2 q - (2^b - 1), are codes with the zero point (2^b - 1) / 2 and twice the scale.
TEST(IntegersOfX, AreExactTimesOddIntegers) {
  Random random(2);
  for (const Format format : kBitsOfWeights) {
    if (format == Format::kInt1) continue;  // its values are -1 and 1
    Codes w(format, 2 * 0.25f, random);
    const int highest = Describe(format).levels - 1;
    const std::vector<float> zeros(kM, static_cast<float>(highest) / 2);
    w.view.zero_kind = ZeroKind::kPoint;
    w.view.zero_type = DataType::kF32;
    w.view.zeros = zeros.data();
    std::vector<int> weights(w.codes.size());
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = 2 * w.codes[i] - highest;
    for (const DataType type : kIntegerTypes) {
      const Integers x(type, random);
      ExpectExact(w.view, x, IntegerProduct(weights, x.values, 0.125f));
    }
  }
}

// A sum of b binary codes, each with half the weight of the one before (BEBR, https://arxiv.org/abs/2302.08714), is an
// odd integer: the first code is its top bit.
TEST(IntegersOfX, SumsOfBinaryCodesAreOddIntegers) {
  constexpr int kCodes = 4;
  Random random(3);
  Codes w(Format::kInt4, 2 * 0.25f, random);
  const std::vector<float> zeros(kM, 7.5f);
  w.view.zero_kind = ZeroKind::kPoint;
  w.view.zero_type = DataType::kF32;
  w.view.zeros = zeros.data();
  const Integers x(DataType::kBits, random);
  std::vector<float> expected(kN * kM);
  for (int code = 0; code < kCodes; ++code) {
    Codes plane(Format::kInt1, std::ldexp(0.25f, kCodes - 1 - code), random);
    for (std::size_t i = 0; i < plane.codes.size(); ++i) plane.codes[i] = w.codes[i] >> (kCodes - 1 - code) & 1;
    PackedMatrix packed;
    ASSERT_TRUE(Ok(Pack(plane.view, {}, &packed)));
    const std::vector<float> y = Multiplied(packed, PreparedAs(x.view, packed, kAsBits), DataType::kF32, 0);
    for (std::size_t i = 0; i < y.size(); ++i) expected[i] += y[i];
  }
  ExpectExact(w.view, x, expected);
}

// --- Bits times bits, with all that weights may have.

class BitsTimesBits : public ::testing::TestWithParam<Kernel> {
 protected:
  std::vector<Case> Cases() const {
    std::vector<Case> cases;
    for (const std::size_t group : kGroups) {
      for (const ParamKind& kind : kParamKinds) {
        if (!Exists(group, kind)) continue;
        const std::size_t i = cases.size();
        Case c = CaseFor(GetParam(), MixedShape(i), i);
        c.n = 1 + i % 9;
        c.group = group;
        c.zeros = kind.zeros;
        c.scale_type = kind.scale_type;
        c.bias = i % 2 == 0;
        c.order = i % 3 == 0;
        c.gap = i % 3 * 5;
        c.x = {DataType::kBits, i % 4 == 1 && !c.order ? 256u : kPerRow};
        c.precision = kPrecisions[i % 2];
        cases.push_back(c);
      }
    }
    return cases;
  }
};

TEST_P(BitsTimesBits, AreTheReference) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, c.target);
    const PrepareOptions options(c.precision, Choice::kBits);
    const Activations x = PreparedAs(problem.x(), w, options);
    EXPECT_EQ(x.kind(), ActivationKind::kBits);
    std::vector<float> exact(c.m * c.n);
    ASSERT_TRUE(Ok(ReferenceExactMatMul(problem.w(), problem.x(), ActivationKind::kBits, exact.data())));
    ASSERT_TRUE(SameBits(Canonical(Multiplied(w, x, DataType::kF32, c.gap)), Canonical(exact), c.m));
    EXPECT_TRUE(problem.Intact());
    Plan plan = SelectPlan(CaseOf(w, c.n, c.precision), Choice::kBits);
    for (const bool unpack : {false, true}) {
      plan.unpack = unpack;
      Context context;
      Output y(c.n, c.m, 0, DataType::kF32);
      ASSERT_TRUE(Ok(MatMul(w, x, y.view(), plan, context)));
      ASSERT_TRUE(SameBits(Canonical(y.Floats()), Canonical(exact), c.m)) << Name(plan);
    }

    // In parts, with the same bytes.
    std::size_t size = 0;
    ASSERT_TRUE(Ok(PreparedSize(w, c.n, options, &size)));
    EXPECT_EQ(size, x.bytes());
    Buffer memory;
    ASSERT_TRUE(memory.Reserve(size));
    for (std::size_t part = 3; part-- > 0;) {
      ASSERT_TRUE(Ok(PreparePart(problem.x(), w, options, part, 3, memory.data(), size)));
    }
    Activations view;
    ASSERT_TRUE(Ok(ViewActivations(w, c.n, options, memory.data(), size, &view)));
    ASSERT_TRUE(SameBits(Canonical(Multiplied(w, view, DataType::kF32, 0)), Canonical(exact), c.m));
  }
}

TEST_P(BitsTimesBits, DoNotDependOnTheBlocking) {
  Case c = CaseFor(GetParam(), {600, 67, 1000}, 1);
  c.x = {DataType::kBits, kPerRow};
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, c.target);
  const Activations x = PreparedAs(problem.x(), w, kAsBits);
  std::vector<float> exact(c.m * c.n);
  ASSERT_TRUE(Ok(ReferenceExactMatMul(problem.w(), problem.x(), ActivationKind::kBits, exact.data())));
  Plan plan = SelectPlan(CaseOf(w, c.n, c.precision), Choice::kBits);
  EXPECT_EQ(plan.method, Method::kPopcount);
  Context context;
  for (const bool unpack : {false, true}) {
    for (const std::size_t panels : {1u, 2u, 3u, 4u}) {
      for (const std::size_t token_block : {4u, 8u, 32u}) {
        plan.unpack = unpack;
        plan.panels = panels;
        plan.token_block = token_block;
        Output y(c.n, c.m, 3, DataType::kF32);
        ASSERT_TRUE(Ok(MatMul(w, x, y.view(), plan, context)));
        ASSERT_TRUE(SameBits(y.Floats(), exact, c.m)) << Name(plan) << ", " << panels << " panels";
      }
    }
  }

  // Some rows in another order.
  std::vector<std::int32_t> rows;
  for (std::size_t i = 0; i < 50; ++i) rows.push_back(static_cast<std::int32_t>(i * 7 % c.n));
  const std::int32_t offsets[] = {0, 50};
  Output grouped(50, c.m, 0, DataType::kF32);
  GroupedProduct p;
  p.w = {&w, 1};
  p.x = &x;
  p.rows = {offsets, 50, rows.data(), nullptr};
  p.y = grouped.view();
  ASSERT_TRUE(Ok(MatMulGrouped(p, context)));
  const std::vector<float> floats = grouped.Floats();
  for (std::size_t i = 0; i < floats.size(); ++i) {
    ASSERT_EQ(floats[i], exact[static_cast<std::size_t>(rows[i / c.m]) * c.m + i % c.m]) << i;
  }
}

TEST_P(BitsTimesBits, PropagateWhatIsNotFinite) {
  Case c = CaseFor(GetParam(), {70, 6, 200}, 1);
  c.x = {DataType::kBits, kPerRow};
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, c.target);
  const std::vector<float> finite = Multiplied(w, PreparedAs(problem.x(), w, kAsBits), DataType::kF32, 0);
  ActivationView x = problem.x();
  std::vector<float> scales(x.scales, x.scales + c.n);
  scales[4] = -std::numeric_limits<float>::infinity();
  x.scales = scales.data();
  Context context;
  Activations prepared;
  EXPECT_TRUE(Refused(Prepare(x, w, kAsBits, context, &prepared), "x.scales"));
  const PrepareOptions propagate(Precision::kInt8, Choice::kBits, NonFinite::kPropagate);
  const std::vector<float> y = Multiplied(w, PreparedAs(x, w, propagate), DataType::kF32, 0);
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (i / c.m == 4) {
      ASSERT_TRUE(std::isnan(y[i]));
    } else {
      ASSERT_EQ(y[i], finite[i]);
    }
  }
}

std::vector<Kernel> KernelsOfBits() {
  std::vector<Kernel> kernels;
  for (const Kernel& kernel : Kernels()) {
    if (HasBits(kernel.format)) kernels.push_back(kernel);
  }
  return kernels;
}
INSTANTIATE_TEST_SUITE_P(Sweep, BitsTimesBits, ::testing::ValuesIn(KernelsOfBits()), KernelName);

TEST(Bits, RefuseWhatTheyCannotMultiply) {
  for (const FormatInfo& f : kFormats) {
    for (const XKind& kind : kXKinds) {
      Case c;
      c.format = f.format;
      c.m = 3;
      c.n = 2;
      c.k = 256;
      c.x = kind;
      SCOPED_TRACE(c);
      const Problem problem(c);
      const PackedMatrix w = Packed(problem, nullptr);
      Context context;
      Activations x;
      std::size_t size = 0;
      const Status status = Prepare(problem.x(), w, kAsBits, context, &x);
      if (!HasBits(f.format)) {
        EXPECT_TRUE(Refused(status, "choice"));
        EXPECT_TRUE(Refused(PreparedSize(w, c.n, kAsBits, &size), "choice"));
        EXPECT_EQ(SelectPlan({f.format}, Choice::kBits).method, SelectPlan({f.format}).method);
      } else if (kind.type != DataType::kBits) {
        EXPECT_TRUE(Refused(status, "x.type"));
      } else if (kind.scale_group != kPerRow) {
        EXPECT_TRUE(Refused(status, "x.scale_group"));
      } else {
        EXPECT_TRUE(Ok(status));
        EXPECT_TRUE(Refused(PrepareRmsNorm(problem.x(), {nullptr, 1.0f}, w, kAsBits, context, &x), "choice"));
        EXPECT_TRUE(Refused(PrepareHadamard(problem.x(), {nullptr, 64}, w, kAsBits, context, &x), "choice"));
      }
    }
  }
}

TEST(Bits, RowsBeginInBytes) {
  Case c;
  c.m = 3;
  c.n = 2;
  c.k = 50;
  for (const DataType type : {DataType::kInt4, DataType::kBits}) {
    c.x = {type, kPerRow};
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, nullptr);
    ActivationView x = problem.x();
    Context context;
    Activations prepared;
    EXPECT_TRUE(Ok(Prepare(x, w, {}, context, &prepared)));
    ++x.row_stride;
    EXPECT_TRUE(Refused(Prepare(x, w, {}, context, &prepared), "x.row_stride"));
    x.n = 1;
    EXPECT_TRUE(Ok(Prepare(x, w, {}, context, &prepared)));
  }
  const std::uint8_t bytes[16] = {};
  const float scales[2] = {};
  EXPECT_EQ(ActivationView::Bits(bytes, scales, 2, 50).row_stride, 56u);
  EXPECT_EQ(ActivationView::Int4(bytes, scales, 2, 5).row_stride, 6u);
}

}  // namespace
}  // namespace lutra::test
