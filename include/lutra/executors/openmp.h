// An Executor over OpenMP. Compile with -fopenmp.
#pragma once

#include <omp.h>

#include <cstddef>

#include "lutra/executor.h"

namespace lutra {

// Uses the threads of OpenMP's own pool: `threads` of them, or omp_get_max_threads() at the time of the call.
// Thread-safe. How long idle threads look for work before they sleep is OpenMP's (OMP_WAIT_POLICY). So is what happens
// if the system refuses it threads or memory: the implementations of g++ and clang end the process.
class OpenMpExecutor final : public Executor {
 public:
  explicit OpenMpExecutor(std::size_t threads = 0) : threads_(static_cast<int>(threads)) {}

  std::size_t Concurrency() const override {
    return static_cast<std::size_t>(threads_ > 0 ? threads_ : omp_get_max_threads());
  }

  void ParallelFor(std::size_t count, Task task, void* context) override {
#pragma omp parallel for schedule(dynamic) num_threads(static_cast <int>(Concurrency()))
    for (std::size_t i = 0; i < count; ++i) task(context, i);
  }

 private:
  int threads_;
};

}  // namespace lutra
