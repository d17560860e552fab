// An Executor over OpenMP. Compile with -fopenmp.
#pragma once

#include <omp.h>

#include <atomic>
#include <cstddef>

#include "lutra/executor.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Uses the threads of OpenMP's own pool: `threads` of them, or omp_get_max_threads() at the time of the call.
// Thread-safe. OMP_WAIT_POLICY sets how long idle threads look for work before they sleep. If the system refuses
// threads or memory, the OpenMP implementations of g++ and clang end the process.
class OpenMpExecutor final : public Executor {
 public:
  explicit OpenMpExecutor(std::size_t threads = 0) : threads_(static_cast<int>(threads)) {}

  std::size_t Concurrency() const override {
    return static_cast<std::size_t>(threads_ > 0 ? threads_ : omp_get_max_threads());
  }

  void ParallelFor(std::size_t count, Task task, void* context) override {
    std::atomic<std::size_t> next{0};  // schedule(dynamic) of clang's OpenMP costs 4 us more
#pragma omp parallel num_threads(static_cast <int>(Concurrency()))
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) task(context, i);
  }

 private:
  int threads_;
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
