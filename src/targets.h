// The compiled targets, for targets.cc.
#pragma once

#include <cstddef>

#include "lutra/kernels/registry.h"

namespace lutra {
namespace internal {

extern const TargetKernels* const kCompiledTargets[];  // best first
extern const std::size_t kCompiledTargetCount;

}  // namespace internal
}  // namespace lutra
