// The C API on threads: its own pool, the caller's, and several callers at once; its version and its targets.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "support/c_api.h"
#include "support/c_views.h"
#include "support/faults.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

TEST(LutraCVersion, IsTheHeaders) {
  const std::string version = std::to_string(LUTRA_VERSION_MAJOR) + "." + std::to_string(LUTRA_VERSION_MINOR) + "." +
                              std::to_string(LUTRA_VERSION_PATCH);
  EXPECT_EQ(lutra_version(), version);
}

TEST(LutraCTargets, AreTheRunnableOnes) {
  const TargetList targets = RunnableTargets();
  ASSERT_EQ(lutra_target_count(), targets.size);
  for (std::size_t i = 0; i < targets.size; ++i) {
    EXPECT_STREQ(lutra_target_name(i), TargetName(targets.data[i]));
    EXPECT_TRUE(lutra_target_exists(lutra_target_name(i)));
  }
  EXPECT_EQ(lutra_target_name(targets.size), nullptr);
  EXPECT_EQ(lutra_target_name(kMax), nullptr);
  EXPECT_FALSE(lutra_target_exists(nullptr));
}

TEST(LutraCThreads, AreAsManyAsRequested) {
  for (const std::size_t threads : {1u, 2u, 5u}) {
    CContext context;
    ASSERT_TRUE(COk(lutra_context_create(threads, &context)));
    EXPECT_EQ(lutra_context_concurrency(context), threads);
  }
  CContext all;
  ASSERT_TRUE(COk(lutra_context_create(0, &all)));
  EXPECT_EQ(lutra_context_concurrency(all), std::max(std::thread::hardware_concurrency(), 1u));
  lutra_context* none = nullptr;
  EXPECT_TRUE(CRefused(lutra_context_create(LUTRA_MAX_THREADS + 1, &none), "threads"));
  EXPECT_TRUE(CRefused(lutra_context_create(kMax, &none), "threads"));
  EXPECT_EQ(none, nullptr);
}

// A caller's pool: counts the calls, and runs the tasks from the last to the first.
struct Pool {
  std::atomic<int> calls{0};
  static void ParallelFor(void* state, std::size_t count, lutra_task task, void* context) {
    ++static_cast<Pool*>(state)->calls;
    for (std::size_t i = count; i-- > 0;) task(context, i);
  }
};

TEST(LutraCThreads, MayBeTheCallers) {
  Pool pool;
  lutra_executor executor = {Pool::ParallelFor, &pool, 3};
  CContext context;
  ASSERT_TRUE(COk(lutra_context_create_over(&executor, &context)));
  executor = {};  // was copied
  EXPECT_EQ(lutra_context_concurrency(context), 3u);

  const Problem problem(SmallCase());
  const PackedMatrix expected = Packed(problem, nullptr);
  const lutra_quantized_view w_view = CView(problem.w());
  const lutra_activation_view x_view = CView(problem.x());
  CPacked w;
  CActivations x;
  ASSERT_TRUE(COk(lutra_pack(&w_view, nullptr, context, &w)));
  EXPECT_EQ(pool.calls, 1);
  ASSERT_TRUE(COk(lutra_activations_create(&x)));
  ASSERT_TRUE(COk(lutra_prepare(&x_view, w, LUTRA_PRECISION_INT8, context, x)));
  EXPECT_EQ(pool.calls, 2);
  ExpectProducts(w, x, problem, context, Multiplied(expected, Prepared(problem, expected), DataType::kF32, 0));
  EXPECT_EQ(pool.calls, 3);

  lutra_context* none = nullptr;
  const lutra_executor no_function = {nullptr, &pool, 3}, no_threads = {Pool::ParallelFor, &pool, 0};
  EXPECT_TRUE(CRefused(lutra_context_create_over(&no_function, &none), "executor.parallel_for"));
  EXPECT_TRUE(CRefused(lutra_context_create_over(&no_threads, &none), "executor.concurrency"));
  EXPECT_EQ(none, nullptr);
}

// One matrix and one context, several callers.
TEST(LutraCThreads, ShareAContext) {
  Case c = SmallCase();
  c.m = 700;
  const Problem problem(c);
  const PackedMatrix expected = Packed(problem, nullptr);
  const std::vector<float> y = Multiplied(expected, Prepared(problem, expected), DataType::kF32, 0);
  const lutra_quantized_view w_view = CView(problem.w());
  const lutra_activation_view x_view = CView(problem.x());
  CContext context;
  CPacked w;
  ASSERT_TRUE(COk(lutra_context_create(2, &context)));
  ASSERT_TRUE(COk(lutra_pack(&w_view, nullptr, context, &w)));
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      CActivations x;
      ASSERT_TRUE(COk(lutra_activations_create(&x)));
      for (int round = 0; round < 5; ++round) {
        ASSERT_TRUE(COk(lutra_prepare(&x_view, w, LUTRA_PRECISION_INT8, context, x)));
        ExpectProducts(w, x, problem, context, y);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace lutra::test
