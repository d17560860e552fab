// An Executor over oneTBB. Link TBB::tbb.
#pragma once

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>

#include <cstddef>

#include "lutra/executor.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Runs in an arena of `threads` of TBB's threads, the caller included; 0: as many as TBB has. Thread-safe.
// If memory is short, TBB throws std::bad_alloc, from the constructor or through the Lutra function that runs; the
// outputs of that function are then undefined.
class TbbExecutor final : public Executor {
 public:
  explicit TbbExecutor(std::size_t threads = 0)
      : arena_(threads == 0 ? tbb::task_arena::automatic : static_cast<int>(threads)) {}

  std::size_t Concurrency() const override { return static_cast<std::size_t>(arena_.max_concurrency()); }

  void ParallelFor(std::size_t count, Task task, void* context) override {
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
  tbb::task_arena arena_;
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
