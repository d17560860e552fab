// THE selection table, measured on one core of AMD Zen 4 and Zen 5 (wide), Zen 5 (AVX2), and an Intel Xeon (both).
#include "lutra/selection.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "lutra/kernels/registry.h"

namespace lutra {
namespace {

template <class... Formats>
constexpr std::uint8_t In(Formats... formats) {
  return static_cast<std::uint8_t>((0u | ... | (1u << static_cast<unsigned>(formats))));
}
constexpr std::uint8_t kSums1 = In(Format::kInt1, Format::kTernary), kSums = kSums1 | In(Format::kInt2);
constexpr std::uint8_t kCodes = In(Format::kInt3, Format::kInt4);
constexpr std::size_t kAnyN = static_cast<std::size_t>(-1);

// Weights are read from memory once per pass, as one address stream; lines are asked for 8 KB ahead, as many as memory
// has on their way at a time (4 KB and 16 KB: 0 to 3 % slower; int1 on Zen 5: 0.43 of the speed at N = 4 from 1.1 KB,
// 0.9 at N = 1 from 24 KB). But one row of integers takes so few instructions per line that Zen 4 reads far enough
// ahead by itself (int4 1.25 to 1.4 times as fast, int3 1.05; groups of 32 and 64 0.6 to 0.9, two rows of int3 0.6,
// sums 0.4 to 0.9).
//
// Sums: 16 rows of tables (256 KB of L2 at K = 4096) meet the panels of a set (SetPanels), so that each table that
// reaches L1 serves up to 256 rows of W; y takes up to 16 KB of L1. Unpacking pays from two passes of 16 rows on, and
// 32 rows share it (int1, int2 on Zen 4: 0.95 to 0.99 of the speed of packed at N = 12 and 16, 1.04 to 1.06 from 32 on;
// 16 rows per pass 0.96 of that). On AVX2 packed lookups of four rows of x are 1.04 to 1.46 times as fast as unpacked
// ones at N = 3 and 4, and 0.8 to 0.9 at N = 8, but those of int2 1.03.
//
// Codes: x is small, so 128 rows share what is read or unpacked. (Packed int4 at N = 128: 0.8 of the speed of unpacked
// on an Intel Xeon, where unpacking and dot products share their ports.)
constexpr std::size_t kAhead = 8192;
constexpr const char* kMemory = "reading the weights from memory";
constexpr const char* kShuffle = "byte shuffles and dot products, which share execution ports";
constexpr const char* kDotPorts = "dot products";
constexpr const char* kUnpack = "unpacking codes, and dot products";
constexpr const char* kShuffleAdd = "byte shuffles and additions";
constexpr TargetKind kZen = TargetKind::kZen, kWide = TargetKind::kWide, kNarrow = TargetKind::kNarrow;
// clang-format off
constexpr Plan kPlans[] = {
    // formats           targets  N      group family                         rows panels ahead   bound
    {kSums1,             kWide,   1,     0,    KernelFamily::kLookup,         4,   4,     kAhead, kMemory},
    {kSums1,             kWide,   16,    0,    KernelFamily::kLookup,         16,  4,     kAhead, kShuffle},
    {In(Format::kInt2),  kWide,   1,     0,    KernelFamily::kLookup,         4,   1,     kAhead, kMemory},
    {In(Format::kInt2),  kWide,   16,    0,    KernelFamily::kLookup,         16,  1,     kAhead, kShuffle},
    {kSums,              kWide,   kAnyN, 0,    KernelFamily::kUnpackedLookup, 32,  4,     kAhead, kShuffle},
    {kCodes,             kZen,    1,     128,  KernelFamily::kDot,            4,   1,     0,      kMemory},
    {kCodes,             kWide,   1,     0,    KernelFamily::kDot,            4,   1,     kAhead, kMemory},
    {kCodes,             kWide,   32,    0,    KernelFamily::kDot,            32,  1,     kAhead, kUnpack},
    {kCodes,             kWide,   kAnyN, 0,    KernelFamily::kUnpackedDot,    128, 1,     kAhead, kDotPorts},
    {kSums,              kNarrow, 2,     0,    KernelFamily::kLookup,         4,   1,     kAhead, kMemory},
    {kSums1,             kNarrow, 4,     0,    KernelFamily::kLookup,         4,   1,     kAhead, kShuffleAdd},
    {In(Format::kInt2),  kNarrow, 12,    0,    KernelFamily::kLookup,         16,  1,     kAhead, kShuffleAdd},
    {kSums,              kNarrow, kAnyN, 0,    KernelFamily::kUnpackedLookup, 64,  1,     kAhead, kShuffleAdd},
    {kCodes,             kNarrow, 2,     0,    KernelFamily::kDot,            4,   1,     kAhead, kMemory},
    {kCodes,             kNarrow, kAnyN, 0,    KernelFamily::kUnpackedDot,    128, 1,     kAhead, kDotPorts},
};
// clang-format on

}  // namespace

const char* FamilyName(KernelFamily family) {
  constexpr const char* kNames[] = {"lookup", "unpacked lookup", "dot", "unpacked dot"};
  return static_cast<std::size_t>(family) < std::size(kNames) ? kNames[static_cast<std::size_t>(family)] : "";
}

bool HasFamily(Format format, KernelFamily family) {
  const bool looks_up = family == KernelFamily::kLookup || family == KernelFamily::kUnpackedLookup;
  return family <= KernelFamily::kUnpackedDot && looks_up == Describe(format).looks_up();
}

PlanList Plans() { return {kPlans, std::size(kPlans)}; }

bool Serves(const Plan& plan, Format format, Target target) {
  const bool wide = target != nullptr && target->layout.scope == internal::Scope::kVector;
  const bool zen = wide && std::strcmp(target->name, "AVX3_ZEN4") == 0;
  const bool of_targets = plan.targets == TargetKind::kZen ? zen : wide == (plan.targets == TargetKind::kWide);
  return of_targets && (plan.formats >> static_cast<unsigned>(format) & 1) != 0;
}

const Plan& SelectPlan(Format format, Target target, std::size_t n, std::size_t group) {
  const std::size_t block = BlockSize(Describe(format), group);
  return *std::find_if(std::begin(kPlans), std::end(kPlans) - 1, [&](const Plan& plan) {
    return n <= plan.n && block >= plan.group && Serves(plan, format, target);
  });
}

MicroTile TileOf(const Plan& plan, Format format, Target target, std::size_t n) {
  const internal::MicroShape shape = target->tile(format, Precision::kInt8).micro[Unpacks(plan.family)];
  const int rows = static_cast<int>(std::min<std::size_t>(n, static_cast<std::size_t>(shape.rows)));
  const int panels = static_cast<int>(std::min<std::size_t>(plan.panels, static_cast<std::size_t>(shape.panels)));
  return {rows == 0 ? 0 : std::min(panels, shape.tile / rows), rows};
}

}  // namespace lutra
