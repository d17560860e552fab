// The instruction sets Lutra is compiled for: list them, find one by name, force one through PackOptions.
#pragma once

#include <cstddef>

#include "lutra/export.h"

namespace lutra {

namespace internal {
struct TargetKernels;
}

// One compiled instruction set. Opaque: compare, pass on, ask for its name.
using Target = const internal::TargetKernels*;

struct TargetList {
  const Target* data;
  std::size_t size;
  const Target* begin() const { return data; }
  const Target* end() const { return data + size; }
};

// Those this CPU can run, the best first; never empty. The list has static storage duration. Thread-safe.
LUTRA_API TargetList RunnableTargets();

// The runnable target of that name ("AVX2", "AVX2_VNNI", "AVX3", "NEON", "EMU128" ...), or null.
LUTRA_API Target FindTarget(const char* name);

LUTRA_API const char* TargetName(Target target);

}  // namespace lutra
