// The tables of kernels of all targets, and the selection of plans by activation kind.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/kernels/registry.h"
#include "lutra/plan.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The targets that share one of Highway's targets, the best first; none if the build leaves it out.
struct TargetRows {
  const TargetKernels* rows;
  std::size_t count;
};
// Specialized in the file of each target (kernels-inl.h).
template <std::int64_t kHwyTarget>
TargetRows KernelsOf();

// CaseOf (plan.h), also of a matrix that is not packed yet.
PlanCase CaseOf(const PackedFields& w, std::size_t n, Precision precision);

// The first row of the table of plans that serves a case with activations of this kind.
const Plan& SelectPlanFor(const PlanCase& what, ActivationKind kind);

// CPUs that plans tell apart although they have the same targets.
enum class Cpu : std::uint8_t { kAny, kZen4, kZen5 };
// Whether this CPU is one of them; kAny is every CPU.
bool IsCpu(Cpu cpu);

// Bytes of a core's L2, from the system, or else from the target's row.
std::size_t L2Bytes(const TargetInfo& target);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
