// An Executor over oneTBB. Link TBB::tbb.
#pragma once

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>

#include <cstddef>

#include "lutra/executor.h"
#include "lutra/executors/fork.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Runs in an arena of `threads` of TBB's threads, the caller included; 0: as many as TBB has. Thread-safe.
// If memory is short, TBB throws std::bad_alloc, from the constructor or through the Lutra function that runs; the
// outputs of that function are then undefined.
//
// In a forked child, tasks run on the calling thread. TBB itself is not made for fork: rarely, its library waits for
// the parent's threads where a child ends by exit(). A child that ends by _exit() or calls exec does not run that code.
class TbbExecutor final : public Executor {
 public:
  explicit TbbExecutor(std::size_t threads = 0)
      : status_(internal::CheckThreads(threads)),
        arena_(!status_.ok()  ? 1
               : threads == 0 ? tbb::task_arena::automatic
                              : static_cast<int>(threads)) {}

  // Fails on more than kMaxThreads threads; tasks then run on the calling thread.
  Status status() const { return status_; }

  std::size_t Concurrency() const override {
    return fork_.forked() || !fork_.works() ? 1 : static_cast<std::size_t>(arena_.max_concurrency());
  }

  void ParallelFor(std::size_t count, Task task, void* context) override {
    if (Concurrency() == 1) {
      for (std::size_t i = 0; i < count; ++i) task(context, i);
      return;
    }
    arena_.execute([&] {
      tbb::parallel_for(
          tbb::blocked_range<std::size_t>(0, count),
          [&](const tbb::blocked_range<std::size_t>& range) {
            for (std::size_t i = range.begin(); i != range.end(); ++i) task(context, i);
          },
          tbb::simple_partitioner());  // tasks are few and long: each alone
    });
  }

 private:
  const internal::ForkCheck fork_;
  const Status status_;
  tbb::task_arena arena_;
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
