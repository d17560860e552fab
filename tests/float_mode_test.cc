// The floating-point mode of the threads that call and compute changes no bit of a result, and stays as it is.
#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

// --- Modes. FTZ and DAZ: subnormal results, and operands, become 0.

#if defined(__SSE2__)
using Bits = std::uint32_t;
Bits Read() { return _mm_getcsr() & ~63u; }  // without the flags that operations leave
void Write(Bits bits) { _mm_setcsr(bits); }
constexpr Bits kStandard = 63u << 7, kZeroSubnormals = kStandard | 1u << 15 | 1u << 6;
constexpr Bits kModes[] = {
    kZeroSubnormals,      kStandard | 1u << 15,       kStandard | 1u << 6, kStandard | 1u << 13, kStandard | 2u << 13,
    kStandard | 3u << 13, kZeroSubnormals | 2u << 13, 1u << 6 | 3u << 13};  // the last one with all traps
#elif defined(__aarch64__)
using Bits = std::uint64_t;
Bits Read() {
  Bits bits;
  __asm__ volatile("mrs %0, fpcr" : "=r"(bits) : : "memory");
  return bits;
}
void Write(Bits bits) { __asm__ volatile("msr fpcr, %0" : : "r"(bits) : "memory"); }
constexpr Bits kModes[] = {1u << 24, 1u << 25, 1u << 22, 2u << 22, 3u << 22, 1u << 24 | 2u << 22, 1u << 24 | 1u << 19};
#else
using Bits = int;
Bits Read() { return std::fegetround(); }
void Write(Bits bits) { std::fesetround(bits); }
constexpr Bits kModes[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
#endif

// Runs call() in a mode, which it must not change. Some CPUs lack a bit of the mode, such as FZ16 before Armv8.2.
template <class Call>
void In(Bits mode, const Call& call) {
  const Bits before = Read();
  Write(mode);
  const Bits written = Read();
  call();
  const Bits after = Read();
  Write(before);
  EXPECT_EQ(after, written);
}

// --- The calls.

template <class T>
void Append(const std::vector<T>& values, std::vector<std::uint8_t>* bytes) {
  const auto* const from = reinterpret_cast<const std::uint8_t*>(values.data());
  bytes->insert(bytes->end(), from, from + values.size() * sizeof(T));
}

// The results of all calls that compute. Nothing here computes by itself.
struct Results {
  explicit Results(const Problem& problem, Executor* executor) {
    const Case& c = *problem;
    Context context{executor};
    Activations x;
    std::vector<float> y(c.m * c.n), range(c.m * c.n), normalized_y(c.m * c.n), normalized(c.n * c.k),
        rotated_y(c.m * c.n), rotated(c.n * c.k), weights(c.m * c.k), exact(c.m * c.n);
    std::vector<double> reference(c.m * c.n), bound(c.m * c.n);
    const OutputView to(y.data(), c.n, c.m), to_range(range.data(), c.n, c.m),
        to_normalized(normalized_y.data(), c.n, c.m), to_rotated(rotated_y.data(), c.n, c.m);
    const Hadamard hadamard{nullptr, 4};
    const RmsNorm norm{nullptr, 1e-38f};
    statuses = {Pack(problem.w(), {c.target, executor}, &w),
                MatMul(w, problem.x(), to, context),
                Prepare(problem.x(), w, c.precision, context, &x),
                MatMulRange(w, x, to_range, 0, c.m / 2),
                MatMulPiece(w, x, to_range, 0, 1),
                PrepareRmsNorm(problem.x(), norm, w, c.precision, context, &x),
                MatMul(w, x, to_normalized, context),
                PrepareHadamard(problem.x(), hadamard, w, c.precision, context, &x),
                MatMul(w, x, to_rotated, context),
                Dequantize(problem.w(), weights.data(), c.k),
                ReferenceMatMul(problem.w(), problem.x(), reference.data()),
                ReferenceExactMatMul(problem.w(), problem.x(), exact.data()),
                ReferenceErrorBound(problem.w(), problem.x(), c.precision, bound.data()),
                ReferenceRmsNorm(problem.x(), norm, normalized.data()),
                ReferenceHadamard(problem.x(), hadamard, rotated.data())};
    for (const std::vector<float>* values :
         {&y, &range, &normalized_y, &rotated_y, &weights, &exact, &normalized, &rotated}) {
      Append(*values, &bytes);
    }
    for (const std::vector<double>* values : {&reference, &bound}) Append(*values, &bytes);
  }
  PackedMatrix w;
  std::vector<Status> statuses;
  std::vector<std::uint8_t> bytes;
};

class FloatModes : public KernelTest {};

TEST_P(FloatModes, ChangeNoResult) {
  for (const Precision precision : kPrecisions) {
    for (const Data data : {Data::kGaussian, Data::kDenormal}) {
      Case c = NewCase({70, 5, 300}, 1);
      c.zeros = Zeros::kFloat;
      c.bias = true;
      c.precision = precision;
      c.data = data;
      c.scale_type = DataType::kF32;
      if (data == Data::kGaussian) c.scales = {1e-37f, 1e-40f};  // products of this size
      SCOPED_TRACE(c);
      const Problem problem(c);
      const Results expected(problem, nullptr);
      for (const Status& status : expected.statuses) EXPECT_TRUE(Ok(status));
      for (const Bits mode : kModes) {
        SCOPED_TRACE(mode);
        std::unique_ptr<Results> results;
        In(mode, [&] { results = std::make_unique<Results>(problem, nullptr); });
        EXPECT_EQ(results->bytes, expected.bytes);

        // The threads of the pool have the mode of the thread that starts them.
        std::unique_ptr<ThreadPool> pool;
        In(mode, [&] { pool = std::make_unique<ThreadPool>(3); });
        EXPECT_EQ(Results(problem, pool.get()).bytes, expected.bytes);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, FloatModes, ::testing::ValuesIn(Kernels()), KernelName);

TEST(FloatMode, ChangesNoQuantizedMatrix) {
  const Problem problem(SmallCase());
  std::vector<float> weights(70 * 200);
  ASSERT_TRUE(Ok(Dequantize(problem.w(), weights.data(), 200)));
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = std::ldexp(weights[i], i < weights.size() / 2 ? -140 : 0);
  for (const FormatInfo& f : kFormats) {
    for (const DataType type : kFloatTypes) {
      for (const Zeros zeros : kZeros) {
        if (!HasZeros(f.format, zeros)) continue;
        QuantizeOptions options;
        options.format = f.format;
        options.scale_type = type;
        SetZeros(zeros, &options);
        SetCodebook(&options);
        QuantizedMatrix expected;
        ASSERT_TRUE(Ok(Quantize(weights.data(), 70, 200, 200, options, &expected)));
        for (const Bits mode : kModes) {
          QuantizedMatrix w;
          In(mode, [&] { (void)Quantize(weights.data(), 70, 200, 200, options, &w).ok(); });
          ExpectSame(w.view(), expected.view());
        }
      }
    }
  }
}

TEST(FloatMode, ChangesNoConversion) {
  std::vector<std::uint16_t> expected, halves;
  const auto convert = [](std::vector<std::uint16_t>* to) {
    for (std::uint64_t word = 0; word < std::uint64_t{1} << 32; word += 4093) {
      float value;
      std::memcpy(&value, &word, sizeof(value));
      to->push_back(F32ToF16(value));
      to->push_back(F32ToBF16(value));
    }
  };
  convert(&expected);
  for (const Bits mode : kModes) {
    halves.clear();
    In(mode, [&] { convert(&halves); });
    EXPECT_EQ(halves, expected);
  }
}

TEST(FloatMode, ChangesNoRefusal) {
  const float smallest = -0x1p-149f, x[4] = {1, 2, 3, 4};
  float out[4];
  for (const Bits mode : kModes) {
    Status status;
    In(mode, [&] { status = ReferenceRmsNorm({x, 1, 4}, {nullptr, smallest}, out); });
    EXPECT_TRUE(Refused(status, "norm.epsilon"));
  }
}

// The caller's executor is code of the caller's, which may run work of others: in their mode.
TEST(FloatMode, OfExecutorsIsTheCallers) {
  struct Checking : BackwardExecutor {
    Checking() : BackwardExecutor(3) {}
    void ParallelFor(std::size_t count, Task task, void* context) override {
      EXPECT_EQ(Read(), kModes[0]);
      BackwardExecutor::ParallelFor(count, task, context);
      EXPECT_EQ(Read(), kModes[0]);
    }
  } executor;
  const Problem problem(SmallCase());
  In(kModes[0], [&] {
    const PackedMatrix w = Packed(problem, nullptr, &executor);
    Multiplied(w, Prepared(problem, w, &executor), DataType::kF32, 0, &executor);
  });
}

}  // namespace
}  // namespace lutra::test
