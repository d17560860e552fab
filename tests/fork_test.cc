// Executors in a forked child, which has none of its parent's threads: they run tasks, are destroyed, and end.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "lutra/executors/openmp.h"
#include "lutra/executors/tbb.h"
#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "support/c_api.h"
#include "support/c_views.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

// Whether each of 100 tasks ran once.
bool RunsAll(Executor& executor) {
  std::vector<int> runs(100);
  executor.ParallelFor(
      runs.size(), [](void* context, std::size_t i) { ++(*static_cast<std::vector<int>*>(context))[i]; }, &runs);
  return runs == std::vector<int>(100, 1);
}

enum class End { kAtOnce, kWithDestructors };

// A child process calls test() and ends; it must return true, within 20 seconds.
template <class Test>
::testing::AssertionResult InChild(const Test& test, End end = End::kAtOnce) {
  std::fflush(nullptr);
  const bool failed = ::testing::Test::HasFailure();
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    const int code = test() && ::testing::Test::HasFailure() == failed ? 0 : 1;
    if (end == End::kAtOnce) _exit(code);
    std::exit(code);
  }
  int status = -1;
  if (child < 0 || waitpid(child, &status, 0) != child) return ::testing::AssertionFailure() << "no child";
  if (WIFSIGNALED(status)) return ::testing::AssertionFailure() << "the child ended by signal " << WTERMSIG(status);
  return (WEXITSTATUS(status) == 0 ? ::testing::AssertionSuccess() : ::testing::AssertionFailure())
         << "the child returned " << WEXITSTATUS(status);
}

template <class T>
class Fork : public ::testing::Test {};
using Pools = ::testing::Types<ThreadPool, OpenMpExecutor, TbbExecutor>;
TYPED_TEST_SUITE(Fork, Pools);

TYPED_TEST(Fork, ChildRunsTasksAndDestroysTheExecutor) {
  auto pool = std::make_unique<TypeParam>(4);
  for (int round = 0; round < 2; ++round) {  // unused by the parent; used
    EXPECT_TRUE(InChild([&] {
      const bool runs = pool->Concurrency() == 1 && RunsAll(*pool) && RunsAll(*pool);
      pool.reset();
      return runs;
    }));
    EXPECT_EQ(pool->Concurrency(), 4u);
    EXPECT_TRUE(RunsAll(*pool));
  }
}

TYPED_TEST(Fork, GrandchildRunsTasks) {
  TypeParam pool(3);
  EXPECT_TRUE(RunsAll(pool));
  EXPECT_TRUE(InChild([&] { return static_cast<bool>(InChild([&] { return RunsAll(pool); })) && RunsAll(pool); }));
}

// Without TBB, whose own library may wait for the parent's threads in exit().
template <class Pool>
class ForkAndExit : public ::testing::Test {};
using PoolsThatExit = ::testing::Types<ThreadPool, OpenMpExecutor>;
TYPED_TEST_SUITE(ForkAndExit, PoolsThatExit);

TYPED_TEST(ForkAndExit, StaticExecutorLetsTheChildExit) {
  static TypeParam pool(3);
  EXPECT_TRUE(RunsAll(pool));
  EXPECT_TRUE(InChild([] { return RunsAll(pool); }, End::kWithDestructors));
}

TYPED_TEST(Fork, ChildUsesAnExecutorThatOthersUsedWhileItWasForked) {
  TypeParam pool(3);
  std::atomic<bool> done{false};
  std::thread caller([&] {
    while (!done) EXPECT_TRUE(RunsAll(pool));
  });
  for (int round = 0; round < 20; ++round) EXPECT_TRUE(InChild([&] { return RunsAll(pool); }));
  done = true;
  caller.join();
}

// Threads are about to fall asleep, or do.
TEST(ForkOfThreadPool, ChildRunsTasksWhateverTheThreadsDo) {
  for (int round = 0; round < 150; ++round) {
    auto pool = std::make_unique<ThreadPool>(8);
    EXPECT_TRUE(RunsAll(*pool));
    std::this_thread::sleep_for(ThreadPool::kSpin * round / 75);
    ASSERT_TRUE(InChild([&] {
      const bool runs = RunsAll(*pool) && RunsAll(*pool);
      pool.reset();
      return runs;
    }));
  }
}

TEST(ForkOfThreadPool, ChildMakesItsOwn) {
  ThreadPool parents(3);
  EXPECT_TRUE(RunsAll(parents));
  EXPECT_TRUE(InChild([&] {
    ThreadPool own(3);
    return own.Concurrency() == 3 && RunsAll(own) && RunsAll(parents);
  }));
}

TEST(ForkOfContext, ChildMultipliesAndDestroysIt) {
  const Problem problem(SmallCase());
  const PackedMatrix expected = Packed(problem, nullptr);
  const std::vector<float> y = Multiplied(expected, Prepared(problem, expected), DataType::kF32, 0);
  const lutra_quantized_view w_view = CView(problem.w());
  const lutra_activation_view x_view = CView(problem.x());
  lutra_context* context = nullptr;
  CPacked w;
  CActivations x;
  ASSERT_TRUE(COk(lutra_context_create(4, &context)));
  ASSERT_TRUE(COk(lutra_pack(&w_view, nullptr, context, &w)));
  ASSERT_TRUE(COk(lutra_activations_create(&x)));
  const auto multiply = [&] {
    EXPECT_TRUE(COk(lutra_prepare(&x_view, w, LUTRA_PRECISION_INT8, context, x)));
    ExpectProducts(w, x, problem, context, y);
  };
  multiply();
  EXPECT_TRUE(InChild([&] {
    multiply();
    EXPECT_EQ(lutra_context_concurrency(context), 1u);
    return COk(lutra_context_destroy(&context)) && context == nullptr;
  }));
  multiply();
  EXPECT_TRUE(COk(lutra_context_destroy(&context)));
}

}  // namespace
}  // namespace lutra::test
