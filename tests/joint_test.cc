// Joint K-blocks: every bit of the result is that of plain sums in integers, on every target, with random data and with
// sums at their bounds. Matrices that share prepared x.
#include "lutra/layout/joint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "lutra/kernels/fma.h"
#include "lutra/lutra.h"
#include "support/joint_matrices.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

using internal::kJointRunWeights;
using internal::kJointWeights;

// --- The definition in layout/joint.h, in plain code. The sums are of 64 bits, and must fit 32.

struct JointX {
  int q[kJointWeights] = {}, ratio[kJointWeights / kJointRunWeights] = {1, 1, 1, 1};
  float step = 0;
};
// Rounds 256 weights of a row of x, or fewer. `scale`: of int8 x, which stays as it is unless it is -128; 0: of floats.
JointX Round(const std::vector<float>& x, std::size_t begin, float scale, int max_ratio) {
  JointX out;
  const std::size_t end = std::min(begin + kJointWeights, x.size());
  float largest = 0;
  for (std::size_t k = begin; k < end; ++k) largest = std::max(largest, std::fabs(x[k]));
  if (scale != 0 && largest <= 127) {
    out.step = scale;
    for (std::size_t k = begin; k < end; ++k) out.q[k - begin] = static_cast<int>(x[k]);
    return out;
  }
  const float unit = scale != 0 ? scale : 1.0f;
  largest *= unit;
  const auto most = static_cast<float>(max_ratio);
  const float units = largest > 0 ? most / largest : 0.0f;
  out.step = largest / (127.0f * most);
  for (std::size_t run = begin; run < end; run += kJointRunWeights) {
    const std::size_t run_end = std::min(run + kJointRunWeights, end);
    float of_run = 0;
    for (std::size_t k = run; k < run_end; ++k) of_run = std::max(of_run, std::fabs(x[k] * unit));
    const float ratio = std::clamp(std::ceil(of_run * units), 1.0f, most), inverse = units * 127.0f / ratio;
    out.ratio[(run - begin) / kJointRunWeights] = static_cast<int>(ratio);
    for (std::size_t k = run; k < run_end; ++k) {
      out.q[k - begin] = static_cast<int>(std::nearbyint(double{x[k] * unit} * inverse));
    }
  }
  return out;
}

class Expected {
 public:
  explicit Expected(const QuantizedView& w) : w_(w), method_{w.format, ActivationKind::kIntegers} {}

  // Adds the product of row m of W and joint K-blocks of x to y.
  void Add(std::size_t m, std::size_t begin, const JointX& x, float& y) {
    const std::size_t end = std::min(begin + kJointWeights, w_.k),
                      super = m * GroupsPerRow(w_.k, kSuperGroup) + begin / kSuperGroup;
    const bool offsets = w_.zero_kind == ZeroKind::kOffset;
    std::int64_t total = 0, of_offsets = 0;
    for (std::size_t k = begin; k < end; ++k) {
      const std::size_t i = k - begin;
      const std::int64_t weight = Integer(m, k) + (offsets ? 0 : method_.start());
      total += x.ratio[i / kJointRunWeights] * GroupValue(w_.scales, m, k) * weight * x.q[i];
    }
    const std::size_t count = w_.group > 16 ? 32 : 16;
    const bool halves = w_.group > 16 && *std::max_element(std::begin(x.ratio), std::end(x.ratio)) > 8;
    for (std::size_t k = begin; k < end && offsets; k += count) {
      std::int64_t sum = 0;
      for (std::size_t j = k; j < std::min(k + count, end); ++j) sum += x.q[j - begin];
      sum *= x.ratio[(k - begin) / kJointRunWeights];
      of_offsets += GroupValue(w_.zeros, m, k) * (halves ? (sum + 1) >> 1 : sum);
    }
    largest = std::max(largest, std::abs(total));
    const float scale = F16ToF32(w_.super_scales[super]) * method_.gain() * 16;
    y = internal::Fma(scale, static_cast<float>(static_cast<std::int32_t>(total)) * (x.step / 16), y);
    if (!offsets) return;
    const float offset = static_cast<float>(static_cast<std::int32_t>(of_offsets)) * (x.step * (halves ? 2.0f : 1.0f));
    y = internal::Fma(F16ToF32(w_.super_offsets[super]), offset, y);
  }
  std::int64_t largest = 0;  // |total|

 private:
  std::int64_t GroupValue(const void* values, std::size_t m, std::size_t k) const {
    return static_cast<const std::int8_t*>(values)[GroupAt(m, k)];
  }
  std::size_t GroupAt(std::size_t m, std::size_t k) const { return m * GroupsPerRow(w_.k, w_.group) + k / w_.group; }
  int Integer(std::size_t m, std::size_t k) const {
    const FormatInfo& f = Describe(w_.format);
    const int q = w_.codes[m * w_.code_stride + k];
    if (!f.own_values) return method_.integer(q);
    const std::size_t table = HasTableChoices(w_) ? w_.table_choices[GroupAt(m, k)] : 0;
    return w_.codebook[table * static_cast<std::size_t>(f.levels) + static_cast<std::size_t>(q)];
  }

  const QuantizedView& w_;
  MethodInfo method_;
};

// --- Tests.

class Joint : public KernelTest {
 protected:
  // Integers, even of formats with lookups.
  static std::vector<float> Product(const PackedMatrix& w, const ActivationView& x) {
    const Plan& plan = SelectPlanOf(w, x.n);
    Context context;
    Activations prepared;
    std::vector<float> y(x.n * w.m());
    EXPECT_TRUE(Ok(Prepare(x, w, Precision::kInt8, plan, context, &prepared)));
    EXPECT_TRUE(Ok(MatMul(w, prepared, OutputView(y.data(), x.n, w.m()), plan, context)));
    return y;
  }
  static const Plan& SelectPlanOf(const PackedMatrix& w, std::size_t n) {
    for (const Plan& plan : Plans()) {
      if (plan.method == Method::kDot && Serves(plan, CaseOf(w, n, Precision::kInt8))) return plan;
    }
    return *(Plans().end() - 1);
  }

  // The largest |sum| of w times x, if all bits are right.
  std::int64_t Check(const QuantizedView& shape, std::size_t n, bool int8, Fill fill, std::uint64_t seed) const {
    SCOPED_TRACE(::testing::Message() << "group " << shape.group << ", " << Name(shape.scale_type) << ' '
                                      << Name(shape.zero_kind) << ", K " << shape.k << ", N " << n << ", int8 x "
                                      << int8);
    Random random(seed);
    const QuantizedMatrix q = MakeMatrix(shape, fill, random);
    const Rows x(n, shape.k, int8, fill, random);
    PackedMatrix w;
    EXPECT_TRUE(Ok(Pack(q.view(), {GetParam().target, nullptr}, &w)));
    std::vector<float> expected(n * shape.m, 0.0f);
    Expected sums(q.view());
    for (std::size_t row = 0; row < n; ++row) {
      for (std::size_t begin = 0; begin < shape.k; begin += kJointWeights) {
        const JointX rounded = Round(x.values[row], begin, x.scales[row], RatioOf(shape));
        for (std::size_t m = 0; m < shape.m; ++m) sums.Add(m, begin, rounded, expected[row * shape.m + m]);
      }
    }
    EXPECT_TRUE(SameBits(Product(w, x.view), expected, shape.m));
    EXPECT_LT(sums.largest, std::int64_t{1} << 31);
    return sums.largest;
  }
};

TEST_P(Joint, HasTheBitsOfPlainSums) {
  std::uint64_t seed = 0;
  for (const std::size_t k : {std::size_t{256}, std::size_t{600}, std::size_t{273}, std::size_t{40}}) {
    for (const QuantizedView& shape : JointShapes(GetParam().format, 67, k)) {
      // 7 and 5 do not divide the number of shapes, so a shape has other rows and types of x for each K.
      const std::size_t n = std::vector<std::size_t>{1, 35, 2, 9, 4, 10, 3}[seed++ % 7];
      Check(shape, n, seed % 5 == 0, Fill::kRandom, seed);
      // One row multiplies offsets from their bytes, if the super-group is whole.
      if (k == 600 && n != 1 && shape.zero_kind == ZeroKind::kOffset) Check(shape, 1, false, Fill::kRandom, seed);
    }
  }
}

// The bound of each scheme is reached to a hundredth, and no sum overflows.
TEST_P(Joint, TakesTheLargestSums) {
  std::uint64_t seed = 0;
  for (const QuantizedView& shape : JointShapes(GetParam().format, 3, 256)) {
    std::int64_t largest = 0;
    for (const Fill fill : {Fill::kHighest, Fill::kLowest, Fill::kHighestFolded, Fill::kLowestFolded}) {
      if (fill >= Fill::kHighestFolded && shape.scale_type == DataType::kUInt4) continue;
      for (const bool int8 : {false, true}) {
        for (const std::size_t n : {std::size_t{2}, std::size_t{36}}) {
          largest = std::max(largest, Check(shape, n, int8, fill, ++seed));
        }
      }
    }
    const MethodInfo method{shape.format, ActivationKind::kIntegers};
    const std::int64_t weight = internal::JointWeight(method, shape.zero_kind == ZeroKind::kOffset);
    const std::int64_t scale = shape.scale_type == DataType::kUInt4 ? 15 : 128;
    EXPECT_EQ(largest, std::int64_t{kJointWeights} * weight * 127 * scale * RatioOf(shape));
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, Joint, ::testing::ValuesIn(Kernels()), KernelName);

// Matrices of two levels share x, whatever their groups; not with float scales.
TEST(JointActivations, FitMatricesOfTwoLevels) {
  const auto pack = [](Format format, std::size_t group, DataType type) {
    QuantizedView shape;
    shape.format = format;
    shape.m = 5;
    shape.k = 512;
    shape.group = group;
    shape.scale_type = type;
    Random random(1);
    QuantizedMatrix q;
    EXPECT_TRUE(Ok(q.Allocate(shape)));
    std::fill_n(q.codes(), 5 * 512, std::uint8_t{1});
    std::fill_n(static_cast<std::uint8_t*>(q.scales()), ScaleCount(q.view()) * SizeOf(type), std::uint8_t{0});
    std::fill_n(q.super_scales(), SuperScaleCount(q.view()), std::uint16_t{0});
    PackedMatrix w;
    EXPECT_TRUE(Ok(Pack(q.view(), {}, &w)));
    return w;
  };
  const PackedMatrix w = pack(Format::kInt4, 32, DataType::kInt8);
  std::vector<float> x(512, 1.0f);
  Context context;
  Activations integers, limbs;
  ASSERT_TRUE(Ok(Prepare({x.data(), 1, 512}, w, Precision::kInt8, context, &integers)));
  ASSERT_TRUE(Ok(Prepare({x.data(), 1, 512}, w, Precision::kInt16, context, &limbs)));
  EXPECT_TRUE(integers.Fits(pack(Format::kInt6, 16, DataType::kInt8)));
  EXPECT_TRUE(integers.Fits(pack(Format::kInt3, 64, DataType::kInt8)));
  EXPECT_FALSE(integers.Fits(pack(Format::kIq4nl, 32, DataType::kInt8))) << "its ratios are smaller";
  EXPECT_FALSE(integers.Fits(pack(Format::kInt4, 32, DataType::kF16)));
  EXPECT_FALSE(integers.Fits(pack(Format::kInt4, 128, DataType::kInt8)));
  EXPECT_TRUE(limbs.Fits(pack(Format::kInt4, 32, DataType::kF16)));
  EXPECT_FALSE(limbs.Fits(pack(Format::kInt6, 16, DataType::kInt8)));
}

}  // namespace
}  // namespace lutra::test
