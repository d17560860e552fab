// What the tests share: comparisons that say where values differ, and the calls with their checks.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/shapes.h"
#include "support/sweep.h"

namespace lutra {

inline void PrintTo(const FormatInfo& f, std::ostream* out) { *out << f.name; }
inline void PrintTo(const CheckpointInfo& info, std::ostream* out) { *out << info.name; }
inline void PrintTo(const Status& status, std::ostream* out) { *out << status.message(); }

namespace test {

inline std::string FormatName(const ::testing::TestParamInfo<FormatInfo>& info) { return info.param.name; }

// --- Comparisons.

inline ::testing::AssertionResult Ok(const Status& status) {
  return (status.ok() ? ::testing::AssertionSuccess() : ::testing::AssertionFailure()) << status.message();
}

// `argument` empty: any.
inline ::testing::AssertionResult Refused(const Status& status, const std::string& argument) {
  const bool named = *status.argument() != 0 && *status.reason() != 0;
  const bool right = argument.empty() || argument == status.argument();
  if (status.code() == StatusCode::kInvalidArgument && named && right) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "expected a refusal of \"" << argument << "\", got: " << status.message();
}

inline ::testing::AssertionResult NotSupported(const Status& status, const std::string& argument) {
  const bool named = argument == status.argument() && *status.reason() != 0;
  if (status.code() == StatusCode::kUnsupported && named) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "expected \"" << argument << "\" as unsupported, got: " << status.message();
}

// Matrices of `m` columns, bit for bit.
inline ::testing::AssertionResult SameBits(const std::vector<float>& actual, const std::vector<float>& expected,
                                           std::size_t m) {
  if (actual.size() != expected.size()) return ::testing::AssertionFailure() << "sizes differ";
  std::size_t differing = 0, first = 0;
  for (std::size_t i = actual.size(); i-- > 0;) {
    if (std::memcmp(&actual[i], &expected[i], sizeof(float)) == 0) continue;
    ++differing;
    first = i;
  }
  if (differing == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << differing << " of " << actual.size() << " differ, first n " << first / m
                                       << " m " << first % m << ": " << std::hexfloat << actual[first] << " instead of "
                                       << expected[first];
}

// |actual - expected| <= bound, and the bound is finite.
inline ::testing::AssertionResult Within(const std::vector<float>& actual, const std::vector<double>& expected,
                                         const std::vector<double>& bound, std::size_t m) {
  std::size_t beyond = 0, first = 0;
  for (std::size_t i = actual.size(); i-- > 0;) {
    if (std::isfinite(bound[i]) && std::abs(static_cast<double>(actual[i]) - expected[i]) <= bound[i]) continue;
    ++beyond;
    first = i;
  }
  if (beyond == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << beyond << " of " << actual.size() << " beyond the bound, first n "
                                       << first / m << " m " << first % m << ": " << actual[first] << " instead of "
                                       << expected[first] << " +- " << bound[first];
}

// Equal in everything but the stride.
inline void ExpectSame(const QuantizedView& actual, const QuantizedView& expected) {
  ASSERT_EQ(actual.format, expected.format);
  ASSERT_EQ(actual.m, expected.m);
  ASSERT_EQ(actual.k, expected.k);
  ASSERT_EQ(actual.group, expected.group);
  ASSERT_EQ(actual.scale_type, expected.scale_type);
  ASSERT_EQ(actual.zero_kind, expected.zero_kind);
  ASSERT_EQ(ZeroSize(actual), ZeroSize(expected));
  ASSERT_EQ(TableCount(actual), TableCount(expected));
  if (TableCount(expected) != 0) {
    EXPECT_EQ(std::memcmp(actual.codebook, expected.codebook, CodebookSize(expected)), 0) << "codebook";
  }
  // Pack drops empty parts: scales where there are no weights, an order where K = 0, a bias where M = 0.
  const bool empty = expected.m == 0 || expected.k == 0;
  for (std::size_t m = 0; m < expected.m && !empty; ++m) {
    ASSERT_EQ(std::memcmp(actual.codes + m * actual.code_stride, expected.codes + m * expected.code_stride, expected.k),
              0)
        << "codes of row " << m;
  }
  const std::size_t count = empty ? 0 : ScaleCount(expected), bytes = count * SizeOf(expected.scale_type);
  EXPECT_EQ(bytes == 0 ? 0 : std::memcmp(actual.scales, expected.scales, bytes), 0) << "scales";
  if (expected.zero_kind != ZeroKind::kNone) {
    EXPECT_EQ(bytes == 0 ? 0 : std::memcmp(actual.zeros, expected.zeros, count * ZeroSize(expected)), 0) << "zeros";
  }
  if (HasTableChoices(expected) && !empty) {
    EXPECT_EQ(std::memcmp(actual.table_choices, expected.table_choices, count), 0) << "choices of tables";
  }
  const std::size_t super_bytes = SuperScaleCount(expected) * sizeof(std::uint16_t);
  if (super_bytes != 0) {
    EXPECT_EQ(std::memcmp(actual.super_scales, expected.super_scales, super_bytes), 0) << "super-scales";
    if (expected.zero_kind == ZeroKind::kOffset) {
      EXPECT_EQ(std::memcmp(actual.super_offsets, expected.super_offsets, super_bytes), 0) << "super-offsets";
    }
  }
  ASSERT_EQ(actual.bias == nullptr, expected.bias == nullptr || expected.m == 0);
  if (actual.bias != nullptr) {
    EXPECT_EQ(std::memcmp(actual.bias, expected.bias, expected.m * sizeof(float)), 0) << "bias";
  }
  if (expected.k == 0) return;
  ASSERT_EQ(actual.order == nullptr, expected.order == nullptr);
  if (expected.order != nullptr) {
    EXPECT_EQ(std::memcmp(actual.order, expected.order, expected.k * sizeof(std::uint32_t)), 0) << "order";
  }
}

// --- The calls. They record failures; their results are then meaningless.

// Claims to have threads, has none, and starts with the last task.
class BackwardExecutor : public Executor {
 public:
  explicit BackwardExecutor(std::size_t concurrency) : concurrency_(concurrency) {}
  std::size_t Concurrency() const override { return concurrency_; }
  void ParallelFor(std::size_t count, Task task, void* context) override {
    while (count-- > 0) task(context, count);
  }

 private:
  std::size_t concurrency_;
};

// y between canaries, before and after the matrix and between its rows.
class Output {
 public:
  Output(std::size_t n, std::size_t m, std::size_t gap, DataType type)
      : bytes_((n == 0 ? 0 : (n - 1) * (m + gap) + m) * SizeOf(type)), view_{bytes_.data(), type, n, m, m + gap} {
    bytes_.Seal();
  }
  Output(const Output&) = delete;

  const OutputView& view() const { return view_; }
  bool Untouched() const { return bytes_.Intact(); }
  bool SurroundingsIntact() const { return bytes_.SurroundingsIntact() && Filled(view_.m, view_.row_stride); }
  // True if the columns [begin, end) hold what they held before; `end` may lie in the gap.
  bool Filled(std::size_t begin, std::size_t end) const {
    const std::size_t width = SizeOf(view_.type);
    for (std::size_t n = 0; n < view_.n; ++n) {
      const std::uint8_t* const row = bytes_.data() + n * view_.row_stride * width;
      const std::size_t stop = n + 1 == view_.n ? std::min(end, view_.m) : end;
      for (std::size_t i = begin * width; i < stop * width; ++i) {
        if (row[i] != Guarded::kFill) return false;
      }
    }
    return true;
  }
  std::vector<float> Floats() const {
    std::vector<float> y(view_.n * view_.m);
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] = Load(view_.type, view_.data, i / view_.m * view_.row_stride + i % view_.m);
    }
    return y;
  }

 private:
  Guarded bytes_;
  OutputView view_;
};

inline PackedMatrix Packed(const Problem& problem, Target target, Executor* executor = nullptr) {
  PackedMatrix w;
  EXPECT_TRUE(Ok(Pack(problem.w(), {target, executor}, &w)));
  EXPECT_TRUE(problem.Intact());
  return w;
}

// All NaNs as one.
inline std::vector<float> Canonical(std::vector<float> y) {
  for (float& value : y) {
    if (std::isnan(value)) value = std::numeric_limits<float>::quiet_NaN();
  }
  return y;
}

inline Activations Prepared(const Problem& problem, const PackedMatrix& w, Executor* executor = nullptr) {
  Context context{executor};
  Activations x;
  EXPECT_TRUE(Ok(Prepare(problem.x(), w, problem->precision, context, &x)));
  EXPECT_TRUE(x.Fits(w));
  EXPECT_TRUE(problem.Intact());
  return x;
}

// As a method multiplies x, whichever kind the format has by default.
inline Activations PreparedBy(const Problem& problem, const PackedMatrix& w, Method method) {
  Context context;
  Activations x;
  Plan plan = *(Plans().end() - 1);
  plan.method = method;
  EXPECT_TRUE(Ok(Prepare(problem.x(), w, problem->precision, plan, context, &x)));
  EXPECT_EQ(x.kind(), KindOf(method, w.format()));
  EXPECT_TRUE(x.Fits(w));
  return x;
}
inline Activations PreparedAsIntegers(const Problem& problem, const PackedMatrix& w) {
  return PreparedBy(problem, w, Method::kDot);
}

inline std::vector<float> Multiplied(const PackedMatrix& w, const Activations& x, DataType type, std::size_t gap,
                                     Executor* executor = nullptr) {
  Context context{executor};
  Output y(x.n(), w.m(), gap, type);
  EXPECT_TRUE(Ok(MatMul(w, x, y.view(), context)));
  EXPECT_TRUE(y.SurroundingsIntact());
  return y.Floats();
}

// All steps, to f32.
inline std::vector<float> Multiplied(const Problem& problem, Target target) {
  const PackedMatrix w = Packed(problem, target);
  return Multiplied(w, Prepared(problem, w), DataType::kF32, problem->gap);
}

// y rounded to `type`.
inline std::vector<float> Rounded(std::vector<float> y, DataType type) {
  for (float& value : y) {
    std::uint32_t stored;
    Store(type, value, &stored, 0);
    value = Load(type, &stored, 0);
  }
  return y;
}

struct Reference {
  explicit Reference(const Problem& problem) : Reference(problem, problem.w()) {}
  // For some of the problem's rows.
  Reference(const Problem& problem, const QuantizedView& w)
      : y(w.m * problem->n), bound(w.m * problem->n), exact(w.m * problem->n) {
    EXPECT_TRUE(Ok(ReferenceMatMul(w, problem.x(), y.data())));
    EXPECT_TRUE(Ok(ReferenceErrorBound(w, problem.x(), problem->precision, bound.data())));
    if (problem->precision == Precision::kInt16) {
      EXPECT_TRUE(Ok(ReferenceExactMatMul(w, problem.x(), exact.data())));
    }
  }
  std::vector<double> y, bound;
  std::vector<float> exact;  // kInt16 only
};

}  // namespace test
}  // namespace lutra
