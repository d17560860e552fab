// Context: the executor and the scratch memory that a caller keeps from call to call.
#pragma once

#include "lutra/activations.h"
#include "lutra/executor.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Each calling thread needs a context of its own; it is cheap. The executor must outlive it.
struct Context {
  Executor* executor = nullptr;  // null: serial
  Activations scratch = {};      // of MatMul(w, x, y, context) with x as a view; its memory only grows
  Buffer grouped = {};           // of MatMulGrouped, for all threads; the same
  Buffer composite = {};         // of MatMul(composite, x, y, options, context); the same
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
