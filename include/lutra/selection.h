// Which kernel serves a format on a target for N rows of x, and how the work is cut: one measured table (selection.cc).
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/context.h"
#include "lutra/export.h"
#include "lutra/format.h"
#include "lutra/matmul.h"
#include "lutra/targets.h"

namespace lutra {

enum class KernelFamily : std::uint8_t {
  kLookup,          // tables of sums of x; the weights are their indices, unpacked in registers
  kUnpackedLookup,  // the same, but a block's indices are unpacked to L1 once for all rows of x
  kDot,             // integers times integers; codes are unpacked in registers
  kUnpackedDot,     // the same, but a block's codes are unpacked to L1 once for all rows of x
};
LUTRA_API const char* FamilyName(KernelFamily family);
constexpr bool Unpacks(KernelFamily family) {
  return family == KernelFamily::kUnpackedLookup || family == KernelFamily::kUnpackedDot;
}

// Whether a format is computed so: lookup codes (FormatInfo::looks_up) have the first two families, formats of integers
// the other two, on all targets.
LUTRA_API bool HasFamily(Format format, KernelFamily family);

// What a row of the table is for: AVX3_ZEN4; that and others with vpermb and vpdpbusd (AVX3_DL, AVX3_SPR); the rest.
enum class TargetKind : std::uint8_t { kZen, kWide, kNarrow };

struct Plan {
  std::uint8_t formats;  // bit f: serves Format f
  TargetKind targets;
  std::size_t n;      // for up to so many rows of x
  std::size_t group;  // for scales of at least so many weights
  KernelFamily family;
  std::size_t rows, panels;  // at most: rows of x per pass over the weights, and panels of 64 rows of W side by side,
                             // which are never more than alternate in memory (SetPanels in kernels/layout.h)
  std::size_t ahead;         // bytes from a line of weights that is read to the one that is prefetched; 0: none is
  const char* bound;         // what limits the speed
};

struct PlanList {
  const Plan* data;
  std::size_t size;
  const Plan* begin() const { return data; }
  const Plan* end() const { return data + size; }
};

// The whole table; the first row that serves a case is taken.
LUTRA_API PlanList Plans();
LUTRA_API bool Serves(const Plan& plan, Format format, Target target);
// group: that of w, 128 if not said otherwise.
LUTRA_API const Plan& SelectPlan(Format format, Target target, std::size_t n, std::size_t group = 128);

// The micro-kernel's tile: panels of 64 rows of W times rows of x, for the first rows of N.
struct MicroTile {
  int panels, rows;
};
LUTRA_API MicroTile TileOf(const Plan& plan, Format format, Target target, std::size_t n);

// MatMul by a plan of one's own, to tune or to test. Besides MatMul's errors: the plan does not serve w (Serves), its
// family is not one of the format's, `rows` is not a positive multiple of 4, `panels` is 0, or rows * panels is above
// kMaxTileRows. The result does not depend on the plan.
inline constexpr std::size_t kMaxTileRows = 128;
LUTRA_API Status MatMul(const PackedMatrix& w, const Activations& x, const OutputView& y, const Plan& plan,
                        Context& context);

}  // namespace lutra
