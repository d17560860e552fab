// Which method serves a format on a target for N rows of x, and how the work is cut: one measured table
// (src/targets/plan.cc).
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/activations.h"
#include "lutra/context.h"
#include "lutra/export.h"
#include "lutra/format.h"
#include "lutra/matrix.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"
#include "lutra/targets.h"

namespace lutra {

// kLookup: the indices of the format's encoding select from sum tables of x. kDot: codes as bytes times x in integers.
enum class Method : std::uint8_t { kLookup, kDot };
constexpr const char* Name(Method method) noexcept {
  return method == Method::kLookup ? "lookup" : method == Method::kDot ? "dot" : "?";
}
// What x is prepared as.
constexpr ActivationKind KindOf(Method method, Format format) {
  return method == Method::kLookup ? Describe(format).stored().kind : ActivationKind::kIntegers;
}
// Formats whose encoding has indices have both methods, others kDot alone; on all targets.
constexpr bool HasMethod(Format format, Method method) {
  return method == Method::kDot || (method == Method::kLookup && Describe(format).stored().has_indices());
}

struct Plan {
  Method method;
  bool unpack;  // a K-block's codes are unpacked to L1 once for all rows of x, not in registers for each few
  std::size_t token_block;  // rows of x per sweep over the weights, at most; a multiple of 4
  std::size_t panels;       // of 64 rows of W side by side, at most: no more than alternate in memory
  std::size_t prefetch;     // bytes from a line of weights that is read to the one that is prefetched; 0: none is
  const char* bound;        // what limits the speed
};

// "lookup", "unpacked lookup", "dot" or "unpacked dot".
constexpr const char* Name(const Plan& plan) noexcept {
  return !plan.unpack ? Name(plan.method) : plan.method == Method::kLookup ? "unpacked lookup" : "unpacked dot";
}

// What a plan is selected for.
struct PlanCase {
  Format format = Format::kInt4;
  Target target = nullptr;
  std::size_t n = 1;
  std::size_t group = 128;
};

// The first row of the table that serves the case; under kInvariant, the first with the format's own activation kind.
// The last row for what is no Format. Thread-safe, as all functions here.
LUTRA_API const Plan& SelectPlan(const PlanCase& what, Choice choice = Choice::kInvariant);

// The whole table, in order, and whether a plan is one of its rows and serves a case.
struct PlanList {
  const Plan* data;
  std::size_t size;
  const Plan* begin() const { return data; }
  const Plan* end() const { return data + size; }
};
LUTRA_API PlanList Plans();
LUTRA_API bool Serves(const Plan& plan, const PlanCase& what);

// The micro-kernel's tile: panels of 64 rows of W times rows of x, for the first rows of N.
struct MicroTile {
  int panels, rows;
};
LUTRA_API MicroTile TileOf(const Plan& plan, const PlanCase& what);

// MatMul by a plan of one's own, to tune or to test. Fails, in addition to MatMul's errors, if the format does not have
// plan.method, if x was not prepared for it, if plan.unpack is false where the method has no kernel on packed codes
// (kDot of encodings with indices), if token_block is not a positive multiple of 4, if panels is 0, or if token_block *
// panels is above kMaxTileRows. The result depends on plan.method alone.
inline constexpr std::size_t kMaxTileRows = 128;
LUTRA_API Status MatMul(const PackedMatrix& w, const Activations& x, const OutputView& y, const Plan& plan,
                        Context& context);

// Prepares x for such a plan: as the activation kind that plan.method multiplies. Fails, in addition to Prepare's
// errors, if the format does not have plan.method.
LUTRA_API Status Prepare(const ActivationView& x, const PackedMatrix& w, Precision precision, const Plan& plan,
                         Context& context, Activations* activations);

}  // namespace lutra
