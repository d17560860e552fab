// The compiled targets, for targets.cc.
#pragma once

#include <cstddef>

#include "lutra/kernels/registry.h"

namespace lutra {
namespace internal {

// Those that share what Highway calls a target, best first.
struct TargetRows {
  const TargetKernels* rows;
  std::size_t count;
};
extern const TargetRows kCompiledTargets[];  // best first
extern const std::size_t kCompiledTargetCount;

}  // namespace internal
}  // namespace lutra
