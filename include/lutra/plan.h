// Plans: the method and the blocking for a format, target, N and group, from one measured table (src/targets/plan.cc).
// For programs that tune or test; others need only MatMul. All functions are thread-safe.
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
inline namespace LUTRA_ABI_NAMESPACE {

// kLookup: stored indices select entries of the sum tables of x. kDot: codes are unpacked to integers of 8 or 16 bits
// and multiplied with x in integers. kPopcount: bits in which codes and x differ are counted; only under Choice::kBits.
// kFloat: codes are unpacked to f32 and multiplied with x in f32. kBf16: codes are unpacked to bf16, which is exact,
// and multiplied with x in bf16; only under Choice::kFastest.
enum class Method : std::uint8_t { kLookup, kDot, kPopcount, kFloat, kBf16 };

// A row of the table of methods.
struct MethodDescription {
  Method method;
  const char *name, *unpacked_name;  // on packed codes, on unpacked ones
  ActivationKind kind;               // that it multiplies; kLookup: sums in the base of the encoding (KindOf)
};

inline constexpr MethodDescription kMethods[] = {
    {Method::kLookup, "lookup", "unpacked lookup", ActivationKind::kBinarySums},
    {Method::kDot, "dot", "unpacked dot", ActivationKind::kIntegers},
    {Method::kPopcount, "popcount", "unpacked popcount", ActivationKind::kBits},
    {Method::kFloat, "float", "unpacked float", ActivationKind::kFloats},
    {Method::kBf16, "bf16", "unpacked bf16", ActivationKind::kBf16},
};

namespace functions {

constexpr const char* Name(Method method) noexcept {
  for (const MethodDescription& m : kMethods) {
    if (m.method == method) return m.name;
  }
  return "?";
}
// The activation kind that a method multiplies.
constexpr ActivationKind KindOf(Method method, Format format) {
  for (const MethodDescription& m : kMethods) {
    if (m.method == method && method != Method::kLookup) return m.kind;
  }
  return Describe(format).stored().kind;
}
// The method that multiplies an activation kind.
constexpr Method MethodFor(ActivationKind kind) {
  for (const MethodDescription& m : kMethods) {
    if (m.kind == kind) return m.method;
  }
  return Method::kLookup;  // sums in base 3
}
// Formats whose values are floats have kFloat and kBf16; formats whose encoding has indices have kLookup and kDot; the
// others have kDot only. int1 has kPopcount, too. This holds on all targets.
constexpr bool HasMethod(Format format, Method method) {
  const FormatInfo& f = Describe(format);
  const bool floats = Describe(KindOf(method, format)).is_float();
  if (f.is_float() || floats) return f.is_float() && floats;
  return method == Method::kDot || (method == Method::kLookup && f.stored().has_indices()) ||
         (method == Method::kPopcount && HasBits(format));
}

}  // namespace functions

// A row of the table of plans.
struct Plan {
  Method method;
  bool unpack;  // codes are unpacked to L1 once for all rows of x; if false, in registers, for up to 4 rows at a time
  std::size_t token_block;  // rows of x per sweep over the weights, at most; a multiple of 4
  std::size_t panels;       // panels that a tile takes side by side, at most; no more than are interleaved
  std::size_t prefetch;  // bytes from the line of weights that is read to the line that is prefetched; 0: no prefetch
  const char* bound;     // the resource that limits the speed
};

namespace functions {

// The name of the method; "unpacked lookup", for example, if codes are unpacked first.
constexpr const char* Name(const Plan& plan) noexcept {
  for (const MethodDescription& m : kMethods) {
    if (m.method == plan.method) return plan.unpack ? m.unpacked_name : m.name;
  }
  return "?";
}

}  // namespace functions

// The case that a plan is selected for.
struct PlanCase {
  Format format = Format::kInt4;
  Target target = nullptr;  // null: the best of RunnableTargets()
  std::size_t n = 1;
  std::size_t group = 128;
  bool joint = false;  // products with integers have joint K-blocks: most scales of two levels, under kInt8
  Precision precision = Precision::kInt8;  // of x
  // Joint K-blocks whose codes the target unpacks to folded codes (layout/joint.h), if all scales allow it: q2_K, q3_K,
  // and int2_codes, int3 and int4 with scales of four bits, on targets where vpdpbusd or sdot multiplies bytes; iq4nl,
  // int8 and others on targets that multiply numbers of 16 bits instead.
  bool folds = false;
};

namespace functions {

// The case of a matrix times N rows of x of this precision.
LUTRA_API PlanCase CaseOf(const PackedMatrix& w, std::size_t n, Precision precision);

// The first row of the table that serves the case. kInvariant: with the format's own activation kind. kBits: with
// kPopcount, if the format has it. kFastest: with any method but kPopcount, and under kInt16 also without kBf16, which
// has fewer bits. If `what.format` is not a Format: the last row.
LUTRA_API const Plan& SelectPlan(const PlanCase& what, Choice choice = Choice::kInvariant);

}  // namespace functions

// All rows of the table, in its order; they have static storage duration. Serves: whether `row` refers to one of them
// and that row serves the case.
struct PlanList {
  const Plan* data;
  std::size_t size;
  const Plan* begin() const { return data; }
  const Plan* end() const { return data + size; }
};

namespace functions {

LUTRA_API PlanList Plans();
LUTRA_API bool Serves(const Plan& plan, const PlanCase& what);

}  // namespace functions

// The panels of W and the rows of x that the plan's micro-kernel multiplies at a time, for the first rows of N.
struct MicroTile {
  int panels, rows;
};

namespace functions {

LUTRA_API MicroTile TileOf(const Plan& plan, const PlanCase& what);

}  // namespace functions

// The largest token_block * panels. A tile has 64 floats for each row of x and panel; it is on the stack and takes at
// most 32 KB.
inline constexpr std::size_t kMaxTileRows = 128;

namespace functions {

// MatMul by a plan of the caller. The result depends on plan.method only. Fails as MatMul does, and
//   - if the format does not have plan.method, or x was not prepared for it;
//   - if plan.unpack is false and the method has no kernel on packed codes (kDot with an encoding that has indices,
//     and kBf16);
//     but matrices whose groups choose among several tables are then unpacked;
//   - if plan.token_block is not a positive multiple of 4, plan.panels is 0, or token_block * panels is above
//     kMaxTileRows.
LUTRA_API Status MatMul(const PackedMatrix& w, const Activations& x, const OutputView& y, const Plan& plan,
                        Context& context);

// Prepares x as the activation kind that plan.method multiplies. Fails as Prepare does, and if the format does not have
// plan.method.
LUTRA_API Status Prepare(const ActivationView& x, const PackedMatrix& w, Precision precision, const Plan& plan,
                         Context& context, Activations* activations);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
