// The executors for thread pools: every task runs once, callers may share an executor, and products do not change.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "lutra/executors/openmp.h"
#include "lutra/executors/tbb.h"
#include "lutra/executors/team.h"
#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr std::size_t kCounts[] = {0, 1, 2, 3, 4, 7, 64, 1000};

struct Pool {
  const char* name;
  std::size_t threads;
  std::function<std::unique_ptr<Executor>()> make;
};
std::string PoolName(const ::testing::TestParamInfo<Pool>& info) { return info.param.name; }
void PrintTo(const Pool& pool, std::ostream* out) { *out << pool.name; }

template <class T>
Pool PoolOf(const char* name, std::size_t threads) {
  return {name, threads, [threads] { return std::make_unique<T>(threads); }};
}

class Executors : public ::testing::TestWithParam<Pool> {
 protected:
  const std::unique_ptr<Executor> executor_ = GetParam().make();
};

// How often each of `count` tasks ran.
std::vector<int> Runs(Executor& executor, std::size_t count) {
  std::vector<int> runs(count);  // no atomics: what tasks wrote must be visible to the caller
  executor.ParallelFor(
      count, [](void* context, std::size_t i) { ++(*static_cast<std::vector<int>*>(context))[i]; }, &runs);
  return runs;
}

TEST_P(Executors, RunEveryTaskOnce) {
  EXPECT_EQ(executor_->Concurrency(), GetParam().threads);
  for (int round = 0; round < 100; ++round) {
    for (const std::size_t count : kCounts) EXPECT_EQ(Runs(*executor_, count), std::vector<int>(count, 1));
  }
}

TEST_P(Executors, ServeSeveralCallers) {
  constexpr std::size_t kCallers = 3;
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (std::size_t i = 0; i < kCallers; ++i) {
    callers.emplace_back([&] {
      for (int round = 0; round < 100; ++round) wrong += Runs(*executor_, 50) != std::vector<int>(50, 1);
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

// One packed matrix and one executor, several callers, each with its own x and y.
TEST_P(Executors, CallersShareAMatrix) {
  for (const FormatInfo& f : kFormats) {
    Case c;
    c.format = f.format;
    c.target = BestTarget();
    c.m = 700;
    c.k = 300;
    const Problem weights(c);
    const PackedMatrix w = Packed(weights, c.target, executor_.get());
    std::vector<std::thread> callers;
    for (const std::size_t n : {std::size_t{1}, std::size_t{9}, std::size_t{40}}) {
      callers.emplace_back([&w, c, n, this]() mutable {
        c.n = n;
        const Problem problem(c);
        const std::vector<float> serial = Multiplied(w, Prepared(problem, w), DataType::kF32, 1);
        for (int round = 0; round < 3; ++round) {
          const Activations x = Prepared(problem, w, executor_.get());
          EXPECT_TRUE(SameBits(Multiplied(w, x, DataType::kF32, 1, executor_.get()), serial, c.m));
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
  }
}

// CI leaves out OpenMP and TBB by name under the thread sanitizer, which does not see how they synchronize.
INSTANTIATE_TEST_SUITE_P(ThreadPool, Executors,
                         ::testing::Values(PoolOf<ThreadPool>("Of1", 1), PoolOf<ThreadPool>("Of2", 2),
                                           PoolOf<ThreadPool>("Of5", 5)),
                         PoolName);
INSTANTIATE_TEST_SUITE_P(OpenMP, Executors, ::testing::Values(PoolOf<OpenMpExecutor>("Of2", 2)), PoolName);
INSTANTIATE_TEST_SUITE_P(TBB, Executors, ::testing::Values(PoolOf<TbbExecutor>("Of2", 2)), PoolName);

TEST(ThreadPool, RunsTasksThatCallIt) {
  ThreadPool pool(3);
  struct Outer {
    ThreadPool& pool;
    std::vector<std::vector<int>> runs;
  } outer{pool, std::vector<std::vector<int>>(20)};
  pool.ParallelFor(
      outer.runs.size(),
      [](void* context, std::size_t i) {
        Outer& o = *static_cast<Outer*>(context);
        o.runs[i] = Runs(o.pool, i);
      },
      &outer);
  for (std::size_t i = 0; i < outer.runs.size(); ++i) EXPECT_EQ(outer.runs[i], std::vector<int>(i, 1));
}

// All threads take part: none of the tasks ends before each thread has one.
TEST(ThreadPool, UsesItsThreads) {
  ThreadPool pool(4);
  for (int round = 0; round < 3; ++round) {
    std::atomic<std::size_t> arrived{0};
    pool.ParallelFor(
        4,
        [](void* context, std::size_t) {
          auto& count = *static_cast<std::atomic<std::size_t>*>(context);
          for (++count; count < 4;) std::this_thread::yield();
        },
        &arrived);
    EXPECT_EQ(arrived, 4u);
    std::this_thread::sleep_for(2 * ThreadPool::kSpin);  // the next round must wake them
  }
}

// --- Threads that an engine has brought.

class Barrier {
 public:
  explicit Barrier(std::size_t threads) : threads_(threads) {}
  static void Wait(void* barrier) { static_cast<Barrier*>(barrier)->Wait(); }

 private:
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    const std::size_t round = arrived_++ / threads_;
    if (arrived_ % threads_ == 0) return all_here_.notify_all();
    all_here_.wait(lock, [&] { return arrived_ / threads_ > round; });
  }

  const std::size_t threads_;
  std::mutex mutex_;
  std::condition_variable all_here_;
  std::size_t arrived_ = 0;
};

// Runs step(thread) on `threads` threads of an engine.
void OnThreads(std::size_t threads, const std::function<void(std::size_t)>& step) {
  std::vector<std::thread> engine;
  for (std::size_t i = 0; i < threads; ++i) engine.emplace_back(step, i);
  for (std::thread& thread : engine) thread.join();
}

TEST(Team, RunsEveryTaskOnce) {
  for (const std::size_t threads : {std::size_t{1}, std::size_t{2}, std::size_t{5}}) {
    Barrier barrier(threads);
    Team team(threads, Barrier::Wait, &barrier);
    EXPECT_EQ(team.Concurrency(), threads);
    OnThreads(threads, [&](std::size_t thread) {
      for (int step = 0; step < 20; ++step) {
        team.Serve(thread, [&] {
          EXPECT_EQ(thread, 0u);
          for (const std::size_t count : kCounts) EXPECT_EQ(Runs(team, count), std::vector<int>(count, 1));
        });
      }
    });
  }
}

TEST(Team, ServesCalls) {
  Case c = SmallCase(500, 9, 300);
  const Problem problem(c);
  const PackedMatrix w = Packed(problem, nullptr);
  const std::vector<float> serial = Multiplied(problem, nullptr);
  constexpr std::size_t kThreads = 3;
  Barrier barrier(kThreads);
  Team team(kThreads, Barrier::Wait, &barrier);
  OnThreads(kThreads, [&](std::size_t thread) {
    team.Serve(thread, [&] {
      EXPECT_TRUE(SameBits(Multiplied(w, Prepared(problem, w, &team), DataType::kF32, 0, &team), serial, c.m));
    });
  });
}

// As everywhere: 0 threads are all of them, and a negative number is an error that the pool tells of.
template <class T>
void ExpectCounts(std::size_t all) {
  EXPECT_EQ(T().Concurrency(), all);
  EXPECT_EQ(T(0).Concurrency(), all);
  EXPECT_TRUE(Ok(T(0).status()));
  EXPECT_TRUE(Ok(T(1).status()));
  EXPECT_EQ(T(1).Concurrency(), 1u);
  for (const std::size_t count :
       {kMaxThreads + 1, std::size_t{1} << 31, std::size_t{1} << 32, static_cast<std::size_t>(-1)}) {
    T none(count);
    EXPECT_TRUE(Refused(none.status(), "threads")) << count;
    EXPECT_EQ(none.Concurrency(), 1u) << count;
    EXPECT_EQ(Runs(none, 100), std::vector<int>(100, 1));
  }
}

TEST(ThreadPool, CountsThreads) { ExpectCounts<ThreadPool>(std::max(std::thread::hardware_concurrency(), 1u)); }
TEST(OpenMP, CountsThreads) { ExpectCounts<OpenMpExecutor>(static_cast<std::size_t>(omp_get_max_threads())); }
TEST(TBB, CountsThreads) {
  ExpectCounts<TbbExecutor>(static_cast<std::size_t>(tbb::this_task_arena::max_concurrency()));
}

TEST(ThreadPool, SleepsWhenIdle) {
  ThreadPool pool(5);
  EXPECT_EQ(Runs(pool, 100), std::vector<int>(100, 1));
  const std::clock_t begin = std::clock();  // processor time of all threads
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  EXPECT_LT(seconds, 0.1);
}

}  // namespace
}  // namespace lutra::test
