// Ranges, executors, and activations that several matrices share: none of them changes a bit of y.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <thread>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/faults.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

Case OddCase(Case c, Precision precision) {
  c.precision = precision;
  c.zeros = Zeros::kFloat;
  c.bias = true;
  return c;
}

class Threads : public KernelTest {
 protected:
  Case NewOddCase(const Shape& shape, Precision precision) const { return OddCase(NewCase(shape, 1), precision); }
};

TEST_P(Threads, AnySplitIntoRangesEqualsTheWhole) {
  const std::vector<std::vector<std::size_t>> splits = {
      {0, 333},
      {0, 0, 333, 333},
      {0, 64, 128, 192, 256, 320, 333},
      {0, 1, 2, 63, 65, 127, 129, 300, 332, 333},
      {0, 257, 258, 333},
      {0, 15, 16, 17, 31, 33, 48, 255, 256, 320, 321, 333},
  };
  for (const Precision precision : kPrecisions) {
    for (const DataType y_type : kFloatTypes) {
      Case c = NewOddCase({333, 7, 300}, precision);
      c.y_type = y_type;
      SCOPED_TRACE(c);
      const Problem problem(c);
      const PackedMatrix w = Packed(problem, c.target);
      const Activations x = Prepared(problem, w);
      const std::vector<float> whole = Multiplied(w, x, y_type, 0);
      for (const std::vector<std::size_t>& split : splits) {
        Output y(c.n, c.m, 3, y_type);
        for (std::size_t i = split.size() - 1; i-- > 0;) {  // from the end, so that what follows is seen to survive
          ASSERT_TRUE(Ok(MatMulRange(w, x, y.view(), split[i], split[i + 1])));
          EXPECT_TRUE(y.Filled(0, split[i])) << "before column " << split[i];
          EXPECT_TRUE(y.SurroundingsIntact());
        }
        EXPECT_TRUE(SameBits(y.Floats(), whole, c.m));
      }
    }
  }
}

// The pieces for any number of threads, and any other number of pieces.
TEST_P(Threads, PiecesEqualTheWhole) {
  for (const Shape& shape : {Shape{333, 1, 100}, Shape{1000, 33, 257}, Shape{64, 140, 30}, Shape{1, 3, 40}}) {
    const Case c = NewOddCase(shape, Precision::kInt8);
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, c.target);
    const Activations x = Prepared(problem, w);
    const std::vector<float> whole = Multiplied(w, x, DataType::kF32, 0);
    std::vector<std::size_t> counts = {1, 2, 5, 64, 1000};
    for (const std::size_t threads : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{7}, kMax}) {
      std::size_t count = 0;
      ASSERT_TRUE(Ok(MatMulPieces(w, x, threads, &count)));
      EXPECT_GE(count, 1u);
      counts.push_back(count);
    }
    for (const std::size_t count : counts) {
      Output y(c.n, c.m, 3, DataType::kF32);
      for (std::size_t i = count; i-- > 0;) ASSERT_TRUE(Ok(MatMulPiece(w, x, y.view(), i, count)));
      EXPECT_TRUE(y.SurroundingsIntact());
      EXPECT_TRUE(SameBits(y.Floats(), whole, c.m)) << count << " pieces";
    }
    Output last(c.n, c.m, 0, DataType::kF32);
    ASSERT_TRUE(Ok(MatMulPiece(w, x, last.view(), kMax - 1, kMax)));
    EXPECT_TRUE(last.Untouched());
  }
}

TEST_P(Threads, AnyExecutorEqualsSerial) {
  constexpr auto kMost = std::numeric_limits<std::size_t>::max();
  ThreadPool two(2), three(3);
  BackwardExecutor backward(7), none(0), most(kMost), many(kMost / 4 + 1);
  for (const Precision precision : kPrecisions) {
    const Case c = NewOddCase({1000, 33, 257}, precision);
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, c.target);
    const std::vector<float> serial = Multiplied(w, Prepared(problem, w), DataType::kF32, 1);
    for (Executor* executor :
         std::initializer_list<Executor*>{&SerialExecutor(), &two, &three, &backward, &none, &most, &many}) {
      SCOPED_TRACE(executor->Concurrency());
      const PackedMatrix packed = Packed(problem, c.target, executor);
      ASSERT_EQ(packed.bytes(), w.bytes());
      EXPECT_EQ(std::memcmp(packed.data(), w.data(), w.bytes()), 0);
      const Activations x = Prepared(problem, packed, executor);
      EXPECT_TRUE(SameBits(Multiplied(packed, x, DataType::kF32, 1, executor), serial, c.m));
    }
  }
}

TEST_P(Threads, CallersShareMatricesAndActivations) {
  const Case c = NewOddCase({500, 9, 400}, Precision::kInt8);
  SCOPED_TRACE(c);
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, c.target);
  const Activations x = Prepared(problem, w);
  const std::vector<float> expected = Multiplied(w, x, DataType::kF32, 0);
  Output shared(c.n, c.m, 0, DataType::kF32);
  constexpr std::size_t kCallers = 3;
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < kCallers; ++i) {
    callers.emplace_back([&, i] {
      EXPECT_TRUE(Ok(MatMulRange(w, x, shared.view(), i * c.m / kCallers, (i + 1) * c.m / kCallers)));
      EXPECT_TRUE(SameBits(Multiplied(w, x, DataType::kF32, 0), expected, c.m));
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(SameBits(shared.Floats(), expected, c.m));
}

// One object for calls of all sizes and both precisions, as an engine keeps it.
TEST_P(Threads, ActivationsCanBePreparedAgain) {
  Activations x;
  Context context;
  for (const Shape& shape : {Shape{65, 2, 100}, Shape{65, 40, 1000}, Shape{3, 1, 7}, Shape{65, 8, 512}}) {
    for (const Precision precision : kPrecisions) {
      const Case c = NewOddCase(shape, precision);
      SCOPED_TRACE(c);
      const Problem problem(c);
      const PackedMatrix w = Packed(problem, c.target);
      ASSERT_TRUE(Ok(Prepare(problem.x(), w, precision, context, &x)));
      EXPECT_EQ(x.n(), c.n);
      EXPECT_EQ(x.k(), c.k);
      EXPECT_EQ(x.precision(), precision);
      EXPECT_TRUE(SameBits(Multiplied(w, x, DataType::kF32, 0), Multiplied(problem, c.target), c.m));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, Threads, ::testing::ValuesIn(Kernels()), KernelName);

// MatMul accepts exactly the activations that Fits accepts, and computes with them what it computes with activations
// that were prepared for the matrix. A case visits one of eleven matrices; those of other groups and targets, the rest.
class SharedActivations : public SweepTest<GroupSize> {};

TEST_P(SharedActivations, ServeEveryMatrixTheyFit) {
  Case c = OddCase(NewCase({70, 3, 500}, 1), Precision::kInt8);
  c.group = part().size;
  const Problem problem(c);
  const FormatInfo& f = Describe(c.format);
  const Activations x = Prepared(problem, Packed(problem, target()));
  std::size_t turn = part().index + GetParam().kernel.phase;
  for (const Kernel& kernel : Kernels()) {
    for (const std::size_t other_group : kGroups) {
      if (++turn % 11 != 0) continue;
      Case other = c;
      other.format = kernel.format;
      other.target = kernel.target;
      other.group = other_group;
      SCOPED_TRACE(c);
      SCOPED_TRACE(other);
      const Problem weights(other);
      const PackedMatrix w = Packed(weights, other.target);
      const FormatInfo& other_f = Describe(other.format);
      if (kernel.target == target()) {
        EXPECT_EQ(x.Fits(w), MethodOf(f.format).kind == MethodOf(other.format).kind &&
                                 BlockSize(f, part().size) == BlockSize(other_f, other_group) &&
                                 CutSize(f, part().size) == CutSize(other_f, other_group));
      }
      Output y(c.n, c.m, 1, DataType::kF32);
      Context context;
      if (x.Fits(w)) {
        const std::vector<float> own = Multiplied(w, Prepared(problem, w), DataType::kF32, 1);
        EXPECT_TRUE(SameBits(Multiplied(w, x, DataType::kF32, 1), own, c.m));
      } else {
        EXPECT_TRUE(Refused(MatMul(w, x, y.view(), context), "x"));
        EXPECT_TRUE(Refused(MatMulRange(w, x, y.view(), 0, c.m), "x"));
        EXPECT_TRUE(Refused(MatMulPiece(w, x, y.view(), 0, 1), "x"));
        std::size_t count = 7;
        EXPECT_TRUE(Refused(MatMulPieces(w, x, 1, &count), "x"));
        EXPECT_EQ(count, 7u);
        EXPECT_TRUE(y.Untouched());
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, SharedActivations, ::testing::ValuesIn(Sweep(Kernels(), GroupSizes())), SweepName());

TEST(Executors, SerialRunsInOrder) {
  EXPECT_EQ(SerialExecutor().Concurrency(), 1u);
  std::vector<std::size_t> order;
  const auto note = [](void* context, std::size_t i) { static_cast<std::vector<std::size_t>*>(context)->push_back(i); };
  SerialExecutor().ParallelFor(0, note, &order);
  SerialExecutor().ParallelFor(3, note, &order);
  EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2}));
}

}  // namespace
}  // namespace lutra::test
