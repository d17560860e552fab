// What a caller keeps from call to call.
#pragma once

#include "lutra/activations.h"
#include "lutra/executor.h"

namespace lutra {

// One per calling thread; cheap. The executor must outlive it.
struct Context {
  Executor* executor = nullptr;  // null: serial
  Activations scratch = {};      // of MatMul(w, x view, y, context); its memory only grows
};

}  // namespace lutra
