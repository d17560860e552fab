// MatMul against the references: every format on every target, over shapes, groups, zero points, types and data.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/shapes.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

// kInt16 equals its reference. kInt8 equals what the best target computes. Both lie within the bound of the true
// product, and outputs of other types are the f32 output rounded.
void Check(const Case& c) {
  SCOPED_TRACE(c);
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, c.target);
  const Activations x = Prepared(problem, w);
  const std::vector<float> y = Multiplied(w, x, DataType::kF32, c.gap);
  const Reference reference(problem);
  EXPECT_TRUE(Within(y, reference.y, reference.bound, c.m));
  const bool exact = c.precision == Precision::kInt16;
  EXPECT_TRUE(SameBits(y, exact ? reference.exact : Multiplied(problem, BestTarget()), c.m));
  EXPECT_TRUE(SameBits(Multiplied(w, x, c.y_type, c.gap), Rounded(y, c.y_type), c.m));
  EXPECT_TRUE(problem.Intact());
}

// Half of all group sizes times qparam schemes, each with one of the mixed shapes; the rest is random.
class MatMul : public SweepTest<GroupedScheme> {
 protected:
  Case CaseOf(Precision precision) const {
    Case c = NewCase(MixedShape(part().index), part().index);
    Random random(part().index + 1);
    c.group = part().group;
    c.zeros = part().kind.zeros;
    c.scale_type = part().kind.scale_type;
    c.precision = precision;
    c.bias = random.Below(2) == 1;
    c.order = random.Below(3) == 0;
    c.x = random.Pick(kXKinds);
    c.y_type = random.Pick(kFloatTypes);
    c.gap = random.Below(2) * random.Below(20);
    return c;
  }
};

TEST_P(MatMul, Exact) { Check(CaseOf(Precision::kInt16)); }

TEST_P(MatMul, Int8) { Check(CaseOf(Precision::kInt8)); }

// In one call, with what the context keeps, as in two.
TEST_P(MatMul, InOneCall) {
  Case c = CaseOf(Precision::kInt8);
  c.n = std::min<std::size_t>(c.n, 5);
  SCOPED_TRACE(c);
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, c.target);
  Context context;
  for (int call = 0; call < 2; ++call) {
    Output y(c.n, c.m, c.gap, DataType::kF32);
    ASSERT_TRUE(Ok(lutra::MatMul(w, problem.x(), y.view(), context)));
    EXPECT_TRUE(y.SurroundingsIntact());
    EXPECT_TRUE(SameBits(y.Floats(), Multiplied(w, Prepared(problem, w), DataType::kF32, 0), c.m));
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, MatMul, ::testing::ValuesIn(SharedSweep(Kernels(), GroupedSchemes(), 2)), SweepName());

// Every kind of data in every type of x.
class MatMulData : public SweepTest<DataPart> {};

TEST_P(MatMulData, InBothPrecisions) {
  std::uint64_t seed = std::size(kPrecisions) * part().index;
  for (const Precision precision : kPrecisions) {
    Random random(++seed);
    Case c = NewCase({66 + random.Below(5), 2 + random.Below(2), 250 + random.Below(100)}, seed);
    c.group = random.Pick(kGroups);
    c.zeros = random.Pick(kZeros);
    c.scale_type = random.Pick(kFloatTypes);
    c.bias = part().data != Data::kDenormal && random.Below(2) == 1;
    c.order = random.Below(2) == 1;
    c.precision = precision;
    c.x = part().x;
    c.y_type = random.Pick(kFloatTypes);
    c.data = part().data;
    Check(c);
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, MatMulData, ::testing::ValuesIn(SharedSweep(Kernels(), DataParts())), SweepName());

// Scales that are zero, subnormal (of f16 and bf16, and of f32) or as large as f16 holds, of either sign. x has zero
// rows and blocks, one value, subnormal values, or Gaussian ones. Zeros of two levels are multiplied by such scales,
// too.
class MatMulSpecialScales : public SweepTest<Scheme> {};

TEST_P(MatMulSpecialScales, WithAnyData) {
  const ParamKind& kind = part().kind;
  std::uint64_t seed = part().index + 1;
  for (const Data data : {Data::kZero, Data::kEqual, Data::kDenormal, Data::kGaussian}) {
    Random random(seed);
    Case c = NewCase({60 + random.Below(10), 1 + random.Below(6), 130 + random.Below(200)}, seed);
    do c.group = random.Pick(kGroups);
    while (!Exists(c.group, kind));
    c.zeros = kind.zeros;
    c.scale_type = kind.scale_type;
    c.precision = kPrecisions[seed % 2];
    c.order = random.Below(3) == 0;
    c.x = random.Pick(kXKinds);
    c.data = data;
    c.scales = {0.0f, -0.0f, 65504.0f, -65504.0f, 6e-8f, -6e-8f, 3e-5f, 1e-8f};
    if (kind.scale_type != DataType::kF16) c.scales.insert(c.scales.end(), {1e-40f, -1e-40f, 0x1p-149f});
    Check(c);
    seed += std::size(kParamKinds);
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, MatMulSpecialScales, ::testing::ValuesIn(SharedSweep(Kernels(), Schemes())),
                         SweepName());

// Each sum of integers goes to its bound, even rows to one and odd rows to the other, with x of one sign (even seeds)
// and with signs that change from weight to weight (odd seeds).
class MatMulLimits : public SweepTest<GroupSize> {};

TEST_P(MatMulLimits, OfAccumulators) {
  std::uint64_t seed = 100 * part().index;
  for (const Data data : {Data::kExtreme, Data::kLowDigit}) {
    for (const std::size_t k : {Random(seed).Below(2) == 0 ? std::size_t{640} : 1000, std::size_t{2752}}) {
      if (k == 2752 && !HasRowScales(part().size)) continue;  // sums end with their K-block
      for (const Precision precision : kPrecisions) {
        for (const XKind& x : {kXKinds[0], kXKinds[3]}) {
          Case c = NewCase({9, 3, k}, seed += 2);
          c.group = part().size;
          c.precision = precision;
          c.x = x;
          c.data = data;
          Check(c);
          ++c.seed;
          Check(c);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, MatMulLimits, ::testing::ValuesIn(Sweep(Kernels(), GroupSizes())), SweepName());

// The same at the end of the longest K-block and one weight behind it, and where one scale serves very long rows.
constexpr Shape kLongRows[] = {
    {2, 1, 128}, {2, 1, 129}, {2, 1, 192}, {2, 1, 193}, {2, 1, 256}, {2, 1, 257}, {2, 1, std::size_t{1} << 16}};

class MatMulLimitsInLongRows : public SweepTest<ShapePart> {};

TEST_P(MatMulLimitsInLongRows, OfAccumulators) {
  const std::size_t k = part().shape.k;
  std::uint64_t seed = 4 * part().index;
  for (const Precision precision : kPrecisions) {
    for (const Data data : {Data::kExtreme, Data::kLowDigit}) {
      Case c = NewCase(part().shape, data == Data::kExtreme ? 2 : 3);
      c.group = k % 2 == 0 ? kPerRow : 256;
      c.precision = precision;
      c.zeros = ++seed / 2 % 2 == 0 ? Zeros::kNone : Zeros::kInteger;
      c.x = kXKinds[c.zeros == Zeros::kNone ? 3 : 0];
      c.data = data;
      Check(c);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, MatMulLimitsInLongRows, ::testing::ValuesIn(Sweep(Kernels(), ShapeParts(kLongRows))),
                         SweepName());

// Whole layers, of which the references see a few rows. On the best target alone: beyond the sizes of other tests, all
// targets run the same code.
class ModelShapes : public SweepTest<ShapePart> {};

TEST_P(ModelShapes, SampledRows) {
  const std::uint64_t seed = part().index + 1;
  Case c = NewCase(part().shape, seed);
  c.precision = kPrecisions[seed % 2];
  c.zeros = kZeros[seed % std::size(kZeros)];
  c.order = seed == 2;
  SCOPED_TRACE(c);
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, c.target);
  const std::vector<float> y = Multiplied(w, Prepared(problem, w), DataType::kF32, 0);
  constexpr std::size_t kRows = 5;
  for (const std::size_t begin : {std::size_t{0}, c.m / 2 - 2, c.m - kRows}) {
    std::vector<float> sample;
    for (std::size_t n = 0; n < c.n; ++n) {
      const auto row = y.begin() + static_cast<std::ptrdiff_t>(n * c.m + begin);
      sample.insert(sample.end(), row, row + kRows);
    }
    const Reference reference(problem, Rows(problem.w(), begin, begin + kRows));
    EXPECT_TRUE(Within(sample, reference.y, reference.bound, kRows));
    if (c.precision == Precision::kInt16) {
      EXPECT_TRUE(SameBits(sample, reference.exact, kRows));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, ModelShapes, ::testing::ValuesIn(SharedSweep(Kernels(1), ShapeParts(kModelShapes))),
                         SweepName());

// --- The error of kInt8. Floats are not rounded.

class MatMulError : public KernelTest {
 protected:
  // The normalized mean square error of Gaussian x at the default settings, against W in double.
  double Nmse(const QuantizedView& q) const {
    const std::size_t n = 16;
    Random random(1);
    std::vector<float> x(n * q.k), y(n * q.m);
    for (float& value : x) value = random.Gaussian();
    PackedMatrix w;
    EXPECT_TRUE(Ok(Pack(q, {GetParam().target}, &w)));
    const ActivationView view{x.data(), DataType::kF32, n, q.k, q.k};
    Context context;
    Activations tables;
    EXPECT_TRUE(Ok(Prepare(view, w, Precision::kInt8, context, &tables)));
    EXPECT_TRUE(Ok(lutra::MatMul(w, tables, {y.data(), DataType::kF32, n, q.m, q.m}, context)));
    std::vector<double> reference(n * q.m);
    EXPECT_TRUE(Ok(ReferenceMatMul(q, view, reference.data())));
    double error = 0, power = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      error += (y[i] - reference[i]) * (y[i] - reference[i]);
      power += reference[i] * reference[i];
    }
    return error / power;
  }
};

// The error of a table scale per 64 Gaussian activations in a code without zeros, whose digits are used evenly, and of
// an int8 scale per 128.
constexpr double kLargestNmse = 4.5e-5;

TEST_P(MatMulError, OfInt8IsSmall) {
  const FormatInfo& f = Describe(GetParam().format);
  QuantizedView shape;
  shape.format = f.format;
  shape.m = 256;
  shape.k = 1024;
  QuantizedMatrix q;
  ASSERT_TRUE(Ok(q.Allocate(shape)));
  Random random(2);
  for (std::size_t i = 0; i < shape.m * shape.k; ++i) {
    q.codes()[i] = static_cast<std::uint8_t>(random.Below(static_cast<std::size_t>(f.levels)));
    if (!f.has(q.codes()[i])) q.codes()[i] = 0;
  }
  std::fill_n(static_cast<std::uint16_t*>(q.scales()), ScaleCount(q.view()), F32ToF16(0.01f));
  EXPECT_LE(Nmse(q.view()), kLargestNmse);
}

// The error of rounded table entries grows with 4^p per plane and does not depend on the weights; the signal does. It
// is smaller for Gaussian weights, which crowd around zero, where the planes of a code cancel each other. The error of
// rounding x to integers shrinks with the signal.
TEST_P(MatMulError, OfInt8FollowsTheSignal) {
  const FormatInfo& f = Describe(GetParam().format);
  const MethodInfo method = MethodOf(f.format);
  for (const Zeros zeros : kZeros) {
    if (!HasZeros(f.format, zeros)) continue;
    const std::size_t m = 256, k = 1024;
    Random random(3);
    std::vector<float> weights(m * k), dequantized(m * k);
    for (float& value : weights) value = random.Gaussian();
    QuantizeOptions options;
    options.format = f.format;
    SetZeros(zeros, &options);
    SetCodebook(&options);
    QuantizedMatrix q;
    ASSERT_TRUE(Ok(Quantize(weights.data(), m, k, k, options, &q)));
    ASSERT_TRUE(Ok(Dequantize(q.view(), dequantized.data(), k)));
    double signal = 0;  // mean square of w / scale
    const auto* scales = static_cast<const std::uint16_t*>(q.view().scales);
    for (std::size_t i = 0; i < m * k; ++i) {
      const double value = dequantized[i] / F16ToF32(scales[i / options.group]);
      signal += value * value / static_cast<double>(m * k);
    }
    const double planes =
        double{method.gain()} * method.gain() * ((1 << (2 * f.stored().planes)) - 1) / 3;  // gain^2 * sum of 4^p
    EXPECT_LE(Nmse(q.view()), method.looks_up() ? kLargestNmse * planes / signal : kLargestNmse)
        << "zeros " << Name(zeros);
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, MatMulError, ::testing::ValuesIn(Kernels()), KernelName);

}  // namespace
}  // namespace lutra::test
