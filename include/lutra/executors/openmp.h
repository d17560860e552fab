// An Executor over OpenMP. Compile with -fopenmp.
#pragma once

#include <omp.h>

#include <atomic>
#include <cstddef>

#include "lutra/executor.h"
#include "lutra/executors/fork.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Uses the threads of OpenMP's own pool: `threads` of them, or omp_get_max_threads() at the time of the call if it is
// 0. Thread-safe. OMP_WAIT_POLICY sets how long idle threads look for work before they sleep. If the system refuses
// threads or memory, the OpenMP implementations of g++ and clang end the process.
//
// In a forked child, tasks run on the calling thread. (A child may make an executor of its own, but with g++'s OpenMP
// only if the parent has not used OpenMP before.)
class OpenMpExecutor final : public Executor {
 public:
  explicit OpenMpExecutor(std::size_t threads = 0)
      : status_(internal::CheckThreads(threads)), threads_(status_.ok() ? static_cast<int>(threads) : 1) {}

  // Fails on more than kMaxThreads threads; tasks then run on the calling thread.
  Status status() const { return status_; }

  std::size_t Concurrency() const override {
    if (fork_.forked() || !fork_.works()) return 1;
    return static_cast<std::size_t>(threads_ > 0 ? threads_ : omp_get_max_threads());
  }

  void ParallelFor(std::size_t count, Task task, void* context) override {
    const std::size_t threads = Concurrency();
    if (threads == 1) {
      for (std::size_t i = 0; i < count; ++i) task(context, i);
      return;
    }
    RunInParallel(threads, count, task, context);
  }

 private:
  // A function of its own: clang calls OpenMP where a function with a parallel region begins, which may hang in a
  // child.
  [[gnu::noinline]] static void RunInParallel(std::size_t threads, std::size_t count, Task task, void* context) {
    std::atomic<std::size_t> next{0};  // schedule(dynamic) of clang's OpenMP costs 4 us more
#pragma omp parallel num_threads(static_cast <int>(threads))
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) task(context, i);
  }

  const internal::ForkCheck fork_;
  const Status status_;
  const int threads_;
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
