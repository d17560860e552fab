// Executor: the interface through which Lutra uses the caller's threads.
#pragma once

#include <cstddef>

#include "lutra/export.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Lutra starts no threads. Implement this over a thread pool to let one call use several.
class LUTRA_API Executor {
 public:
  using Task = void (*)(void* context, std::size_t index);

  virtual ~Executor() = default;
  // The number of tasks that can run at the same time; at least 1. Lutra splits a call into pieces by it.
  virtual std::size_t Concurrency() const = 0;
  // Calls task(context, i) once for each i in [0, count), in any order, on any threads; returns when all have returned.
  // Tasks neither throw nor call back into the executor.
  virtual void ParallelFor(std::size_t count, Task task, void* context) = 0;
};

// The stack that any function of Lutra, and any task on a thread of an executor, takes at most where it is compiled
// with optimization. MatMul, its parts, MatMulGrouped and PackPanels take up to 96 KB, Pack, Unpack and LoadPacked up
// to 48 KB, all others up to 16 KB. So all run on threads with 128 KB, which is what musl gives them.
inline constexpr std::size_t kMaxStackBytes = std::size_t{96} << 10;

// The largest number of threads that the executors of lutra/executors/ take: more than a machine has cores. They take a
// larger one, such as a negative number becomes, for 1 and say so in their status().
inline constexpr std::size_t kMaxThreads = 1024;
namespace internal {
constexpr Status CheckThreads(std::size_t threads) {
  return threads <= kMaxThreads ? Status() : Status::Invalid("threads", "is above kMaxThreads");
}
}  // namespace internal

namespace functions {

// The default executor: runs all tasks on the calling thread, in order. Thread-safe, without state.
LUTRA_API Executor& SerialExecutor();

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
