// The kernels of each target, and which of them this CPU can run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/kernels/registry.h"
#include "lutra/plan.h"

namespace lutra {
namespace internal {

// The targets that share what Highway calls a target, the best first; none if it is left out.
struct TargetRows {
  const TargetKernels* rows;
  std::size_t count;
};
// Specialized in the file of each target (kernels-inl.h).
template <std::int64_t kHwyTarget>
TargetRows KernelsOf();

// The first row of the table of plans that serves a case with activations of this kind.
const Plan& SelectPlanFor(const PlanCase& what, ActivationKind kind);

// The size of a core's L2, as the system tells it, or as the target's row does.
std::size_t L2Bytes(const TargetInfo& target);

}  // namespace internal
}  // namespace lutra
