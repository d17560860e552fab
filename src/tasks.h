// RunTasks: the one place where Lutra hands work to an executor.
#pragma once

#include <cstddef>

#include "float_mode.h"
#include "lutra/executor.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Calls run(work, i) once for each i in [0, count), over the executor (null: on the calling thread), each in the
// FloatMode. The executor itself runs in its caller's mode.
template <class Work>
void RunTasks(Executor* executor, std::size_t count, Work& work, void (*run)(Work& work, std::size_t i)) {
  struct Tasks {
    Work& work;
    void (*run)(Work& work, std::size_t i);
  } tasks{work, run};
  (executor != nullptr ? *executor : SerialExecutor())
      .ParallelFor(
          count,
          [](void* context, std::size_t i) {
            const Tasks& t = *static_cast<const Tasks*>(context);
            const FloatMode mode;
            t.run(t.work, i);
          },
          &tasks);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
