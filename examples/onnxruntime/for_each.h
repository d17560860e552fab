// A loop over the tasks of an executor.
#pragma once

#include <cstddef>

#include "lutra/executor.h"

namespace op {

// Calls run(i) for each i below `count`.
template <class Run>
void ForEach(lutra::Executor& executor, std::size_t count, Run run) {
  executor.ParallelFor(
      count, [](void* context, std::size_t i) { (*static_cast<Run*>(context))(i); }, &run);
}

}  // namespace op
