// NonFinite::kPropagate: a row of x that is not finite gives a row of NaN, and no other row of y changes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

using PrepareFunction = std::function<Status(const ActivationView& x, Activations* prepared)>;

// y of x prepared by `prepare`.
std::vector<float> Y(const PackedMatrix& w, const ActivationView& x, DataType type, const PrepareFunction& prepare) {
  Activations prepared;
  EXPECT_TRUE(Ok(prepare(x, &prepared)));
  EXPECT_EQ(prepared.n(), x.n);
  return Multiplied(w, prepared, type, 0);
}

class NonFiniteX : public SweepTest<XPart> {
 protected:
  PrepareOptions Options(Precision precision) const {
    return {precision, static_cast<Choice>(part().index % 2), NonFinite::kPropagate};
  }
};

// One bad value at one place after the other, so in each row, K-block and tail; normalized on the way or not.
TEST_P(NonFiniteX, GivesRowsOfNaN) {
  for (const Precision precision : kPrecisions) {
    Case c = NewCase({67, 6, 217}, part().index + static_cast<std::size_t>(precision));
    c.precision = precision;
    c.group = kGroups[c.seed % 7];
    c.zeros = kZeros[c.seed % 3];
    c.bias = true;
    c.order = c.seed % 2 == 1;
    c.x = part().x;
    c.y_type = kFloatTypes[c.seed % 3];
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, c.target);
    ActivationView x = problem.x();
    const bool integers = HasScales(x.type);
    const auto* const bytes = static_cast<const std::uint8_t*>(x.data);
    std::vector<std::uint8_t> data(bytes, bytes + c.n * x.row_stride / PerByte(x.type) * SizeOf(x.type));
    const std::size_t groups = integers ? GroupsPerRow(c.k, x.scale_group) : 0;
    std::vector<float> scales(x.scales, x.scales + c.n * groups);
    x.data = data.data();
    if (integers) x.scales = scales.data();

    Context context;
    const PrepareFunction plain = [&](const ActivationView& view, Activations* to) {
      return Prepare(view, w, Options(precision), context, to);
    };
    const PrepareFunction normalized = [&](const ActivationView& view, Activations* to) {
      return PrepareRmsNorm(view, {nullptr, 1e-6f}, w, Options(precision), context, to);
    };
    const std::vector<float> finite[] = {Y(w, x, c.y_type, plain), Y(w, x, c.y_type, normalized)};
    const std::size_t places = integers ? c.n * groups : c.n * c.k;
    for (std::size_t i = 0; i < places; i += integers ? 1 : 1 + (i + c.seed) % 19) {
      const std::size_t row = i / (integers ? groups : c.k);
      const DataType type = integers ? DataType::kF32 : x.type;
      void* const values = integers ? static_cast<void*>(scales.data()) : data.data();
      const float good = Load(type, values, i);
      Store(type, kNotFinite[i % 3], values, i);
      std::vector<float> expected = finite[i % 2];
      for (std::size_t m = 0; m < c.m; ++m) expected[row * c.m + m] = kNaN;
      ASSERT_TRUE(SameBits(Y(w, x, c.y_type, i % 2 == 0 ? plain : normalized), expected, c.m)) << "place " << i;
      Store(type, good, values, i);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, NonFiniteX, ::testing::ValuesIn(SharedSweep(Kernels(), XParts())), SweepName());

// What becomes infinite or NaN on the way: a norm of zeros, a transform of large elements, a product with a scale.
TEST(NonFiniteOnTheWay, GivesRowsOfNaN) {
  for (const FormatInfo& f : kFormats) {
    Case c = SmallCase(70, 5, 256);
    c.format = f.format;
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, nullptr);
    std::vector<float> data(c.n * c.k, 0.5f), signs(c.k, 1.0f);
    const ActivationView x(data.data(), c.n, c.k);
    Context context;
    const PrepareOptions options(Precision::kInt8, Choice::kInvariant, NonFinite::kPropagate);
    const auto expect = [&](std::size_t row, const std::vector<float>& y, const std::vector<float>& finite) {
      std::vector<float> expected = finite;
      for (std::size_t m = 0; m < c.m; ++m) expected[row * c.m + m] = kNaN;
      EXPECT_TRUE(SameBits(y, expected, c.m));
    };
    const PrepareFunction norm = [&](const ActivationView& view, Activations* to) {
      return PrepareRmsNorm(view, {nullptr, 0.0f}, w, options, context, to);
    };
    const std::vector<float> normalized = Y(w, x, DataType::kF32, norm);
    std::fill_n(data.begin() + 256, 256, 0.0f);
    expect(1, Y(w, x, DataType::kF32, norm), normalized);

    std::fill_n(data.begin() + 256, 256, 0.5f);
    const PrepareFunction transform = [&](const ActivationView& view, Activations* to) {
      return PrepareHadamard(view, {signs.data(), 64}, w, options, context, to);
    };
    const std::vector<float> transformed = Y(w, x, DataType::kF32, transform);
    for (const float bad : {kInfinity, kNaN, 3e38f}) {
      std::fill_n(data.begin() + 4 * 256 + 64, 64, bad);
      expect(4, Y(w, x, DataType::kF32, transform), transformed);
    }
  }
}

TEST(NonFiniteOptions, AreChecked) {
  const Problem problem(SmallCase());
  const PackedMatrix w = Packed(problem, nullptr);
  Activations x;
  Context context;
  const PrepareOptions options(Precision::kInt8, Choice::kInvariant, static_cast<NonFinite>(2));
  EXPECT_TRUE(Refused(Prepare(problem.x(), w, options, context, &x), "non_finite"));
  EXPECT_STREQ(Name(NonFinite::kRefuse), "refuse");
  EXPECT_STREQ(Name(NonFinite::kPropagate), "propagate");
  EXPECT_STREQ(Name(static_cast<NonFinite>(2)), "?");
}

}  // namespace
}  // namespace lutra::test
