// Targets: the instruction sets for which Lutra is compiled. List them, find one by name, choose one in PackOptions.
// All functions are thread-safe.
#pragma once

#include <cstddef>

#include "lutra/export.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

namespace internal {
struct TargetKernels;
}

// A target. Opaque: programs compare targets, pass them on and ask for their names.
using Target = const internal::TargetKernels*;

struct TargetList {
  const Target* data;
  std::size_t size;
  const Target* begin() const { return data; }
  const Target* end() const { return data + size; }
};

namespace functions {

// The targets that this CPU can run, the best first; never empty. The list has static storage duration.
LUTRA_API TargetList RunnableTargets();

// The target of this name ("AVX2", "AVX2_VNNI", "AVX3", "NEON", "EMU128" ...); null if there is none that this CPU can
// run, or if `name` is null.
LUTRA_API Target FindTarget(const char* name);

// The name of a target; "" for null. It has static storage duration.
LUTRA_API const char* TargetName(Target target);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
