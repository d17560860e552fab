// The table of plans, measured on one core of AMD Zen 4 and Zen 5, and of an Intel Xeon (family 6, model 207). Rows for
// AVX3_SPR_AMX and NEON_I8MM are counted, not measured.
#include "lutra/plan.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <type_traits>
#include <utility>

#include "packed_access.h"
#include "targets/list.h"
#include "targets/targets.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::Cpu;
using internal::Extension;
using internal::Scope;
using internal::TargetInfo;

// --- The cases of a row: formats and targets

struct FormatList {
  std::uint32_t bits;  // bit number `format` is set for each of them
  constexpr bool Has(Format format) const { return (bits >> static_cast<unsigned>(format) & 1) != 0; }
};
static_assert(kFormatCount <= 32);
// The formats of the table for which `has` is true.
constexpr FormatList Where(bool (*has)(const FormatInfo&)) {
  FormatList list{};
  for (const FormatInfo& f : kFormats) {
    if (has(f)) list.bits |= 1u << static_cast<unsigned>(f.format);
  }
  return list;
}
template <class... Formats>
constexpr FormatList In(Formats... formats) {
  return {((1u << static_cast<unsigned>(formats)) | ...)};
}
constexpr FormatList kExact = Where([](const FormatInfo& f) { return !f.is_float(); });
constexpr FormatList kFloats = Where([](const FormatInfo& f) { return f.is_float(); });
constexpr FormatList kIndices = Where([](const FormatInfo& f) { return f.stored().has_indices(); });
constexpr FormatList kOnePlane =
    Where([](const FormatInfo& f) { return f.stored().has_indices() && f.stored().planes == 1; });
constexpr FormatList kTwoPlanes = In(Format::kInt2), kTernary = In(Format::kTernary);
constexpr FormatList kBits = Where([](const FormatInfo& f) { return HasBits(f.format); });
constexpr FormatList kCodes = Where([](const FormatInfo& f) { return !f.stored().has_indices() && !f.is_float(); });
constexpr FormatList kTables64 = Where([](const FormatInfo& f) { return f.has_table() && f.levels > 16; });
constexpr FormatList kFewFields = Where(  // codes in at most two fields of bits; 7 bits are three
    [](const FormatInfo& f) { return !f.stored().has_indices() && !f.is_float() && f.stored().planes != 7; });
constexpr FormatList kOneField = Where(  // codes of 2, 4 and 8 bits, each in one field of bits
    [](const FormatInfo& f) { return !f.stored().has_indices() && !f.is_float() && 8 % f.stored().planes == 0; });
constexpr FormatList kBytes = Where([](const FormatInfo& f) { return f.stored().planes == 8 && !f.is_float(); });

using Predicate = bool (*)(const TargetInfo& target, const PlanCase& what);
constexpr bool AnyTarget(const TargetInfo&, const PlanCase&) { return true; }
constexpr bool Joint(const TargetInfo&, const PlanCase& what) { return what.joint; }
constexpr bool WideLookups(const TargetInfo& target, const PlanCase&) { return target.layout.scope == Scope::kVector; }
constexpr bool WideFolded(const TargetInfo& target, const PlanCase& what) {
  return WideLookups(target, what) && what.folds;
}
constexpr bool WidePairs(const TargetInfo& target, const PlanCase&) { return target.hwy_target == HWY_AVX3; }
constexpr bool Avx2Vnni(const TargetInfo& target, const PlanCase&) {
  return target.hwy_target == HWY_AVX2 && target.extension == Extension::kDot;
}
constexpr bool Amx(const TargetInfo& target, const PlanCase&) {
  return target.hwy_target == HWY_AVX3_SPR && target.extension == Extension::kMatrix;
}
constexpr bool AmxNotJoint(const TargetInfo& target, const PlanCase& what) { return Amx(target, what) && !what.joint; }
constexpr bool I8mm(const TargetInfo& target, const PlanCase& what) {
  return target.hwy_target == HWY_NEON_WITHOUT_AES && target.extension == Extension::kMatrix && !what.joint;
}
constexpr bool Zen(const TargetInfo& target, const PlanCase&) { return target.hwy_target == HWY_AVX3_ZEN4; }
constexpr bool ZenNotJoint(const TargetInfo& target, const PlanCase& what) { return Zen(target, what) && !what.joint; }
constexpr bool Bf16(const TargetInfo& target, const PlanCase&) { return target.bf16; }
constexpr Cpu kAnyCpu = Cpu::kAny, kZen4 = Cpu::kZen4, kZen5 = Cpu::kZen5;

constexpr std::size_t kAnyN = static_cast<std::size_t>(-1);

// --- The table

struct Row {
  FormatList formats;
  Predicate targets;
  Cpu cpu;
  std::size_t above, to;  // above < N <= to; N = 0 belongs to rows with above = 0
  std::size_t group;      // K-blocks of at least this many weights
  Plan plan;

  constexpr bool Serves(const PlanCase& what, const TargetInfo& target) const {
    return formats.Has(what.format) && what.n <= to && (what.n > above || above == 0) &&
           BlockSize(Describe(what.format), what.group) >= group && targets(target, what);
  }
};

// The measurements behind the table. "0.9 times" is a ratio of speeds.
//
// Prefetch: weights are read from memory once per token block, as one address stream. A distance of 8 KB covers as many
// lines as memory delivers at a time. A line is prefetched into L2 at this distance, and into L1 at a quarter of it. (4
// KB and 16 KB are 0 to 3 % slower. int1 on Zen 5: 0.43 times at N = 4 with 1.1 KB, 0.9 times at N = 1 with 24 KB. Zen
// 4, into L1 alone: int1 0.5, int2 0.6 times.) On Zen 5 a line is prefetched into L1 alone. (N = 1: 1.0 to 1.3 times as
// fast as with both; at 4 KB 0.73 to 1.02 times, at 12 KB 0.94 to 1.02.) One exception: with one row of x, Zen 4
// itself reads codes ahead at the speed of memory, if kernels read in the order of addresses (MicroArgs::reader).
// Prefetches at 8 KB reduce that to 0.6 to 0.85 times. Prefetches at 128 bytes show the CPU the order of lines. (Speed
// over that with 8 KB, one row: K-quants 1.05 to 1.4; int3, int4 and int8 in groups of 128 1.1 to 1.2; q8_0 1.6, but
// 0.82 on AVX2; q4_0 1.14, iq4_nl and mxfp4 1.03, q5_0 0.91. Two rows 0.75 to 1.15, four rows 0.6 to 0.97;
// lookups without prefetches 0.5 to 0.9. Zen 5, int4 without prefetches: 0.6.) Dot kernels prefetch a few lines with
// each chunk. (Block scope: Zen 4, AVX2, N = 1 from memory, against all lines of a K-block at once: int8 1.8 times,
// int2_codes and int6 1.7, int3 1.6, iq4nl 2.0, int4 and int5 1.1.)
//
// Lookups: a token block of 16 rows has 256 KB of tables at K = 4096, which stay in L2. With four interleaved panels,
// each table that reaches L1 serves 256 rows of W; the tile takes up to 16 KB of L1. Unpacking pays if two token blocks
// of 16 rows share it, so its token blocks have 32 rows. (int1 and int2 on Zen 4: 0.95 to 0.99 times at N = 12 and 16,
// 1.04 to 1.06 times from N = 32 on; 0.96 of that with 16 rows.) AVX2, packed lookups against unpacked ones: 1.04
// to 1.46 times at N = 3 and 4, 0.8 to 0.9 times at N = 8, but int2 1.03 times. Zen 5, packed against unpacked ones,
// N = 24 to 512: int1 1.04 to 1.16 times, int2 1.13 to 1.25, ternary 0.98 to 1.1; token blocks of 32 rows 0.94 to 1.0
// times.
//
// Dot products: prepared x is small, so 128 rows share the reading or unpacking. (int4 at N = 128 on an Intel Xeon:
// packed 0.8 times unpacked, because unpacking and dot products share execution ports. fp6_e2m3, N = 2 on Zen 4, AVX2:
// packed 0.7 times unpacked, as a code takes four shuffles. Zen 5, groups of 128, N = 64 to 512: packed 1.0 to 1.13
// times unpacked, int7 0.85; groups of 32 0.99 to 1.25, joint K-blocks 0.87 to 0.95. Zen 4: bytes 1.04 to 1.16 times at
// N = 48 to 512; others in groups of 128 1.04 to 1.15 at N = 48, int3 0.98, and 0.94 to 1.03 from 128 on.)
//
// Folded codes on Zen 4, against codes that are unpacked in registers (two builds). q2_K:
// 1.01 times at N = 8, 1.12 at 12, 1.24 at 32; q3_K 0.96, 1.06 and 1.26.
//
// Popcount on Zen 5, AVX3_ZEN4: words made in registers against words made once for all rows: 1.6 times at N = 8, 1.3
// at 16, 1.05 at 48, 0.98 at 64, 0.95 at 128. With prefetches in the order of panels, not of addresses, N = 1 0.6
// times.
//
// kFastest: unpacked dot products against lookups on Zen 5 (lutra_bench --benchmark_filter=method:dot). AVX3: ternary
// 1.02 times at N = 16, 1.14 at 32, 1.2 at 128; int2 0.98 at 32, 1.04 at 128. AVX2_VNNI: ternary 0.96 at 32, 1.04 at
// 128; int2 0.99. All others: 0.4 (int1) to 0.94. bf16 against floats on Zen 5, AVX3_ZEN4, fp8_e4m3: 0.97 times at N =
// 2, 1.47 at 3, 1.6 at 4 and 8, 1.8 at 32, 1.9 at 128 and 512. AVX3_SPR, NEON_I8MM and, up to 7 rows, AVX3_SPR_AMX have
// the same row; not measured.
//
// AMX (counted instructions and Intel's figures, not measured): for 16 rows of x and a K-block of 128 weights of a
// panel the unit takes 128 cycles, 16 for each TDPBSUD. Around them the two ports for loads of 64 bytes are busy for
// 144 cycles (10 register loads of 16 lines, 128 lines of sums and floats), the port for stores for 128, and the two
// for vectors for 136. Unpacking int4 takes some 130 cycles per K-block and panel. In token blocks of 64 rows the
// tile, the unpacked K-block, the sums and the rows of x that are read meanwhile fit an L1 of 48 KB. Per K-block, 8
// rows of int4 take 330 cycles, with packed dot products 770; 16 rows of int1 300, with lookups 680. Joint K-blocks, a
// super-group of 256 weights of a panel: to make folded codes of two bytes takes 1024 cycles (2048 vector
// instructions), and 16 rows of x then 900 (load ports: 768 lines for registers, 1024 operands; unit 512, vectors 740,
// stores 640); with vpdpbusd 16 rows take 3200 in groups of 32, 3970 in groups of 16. 16 rows of codes that fold to a
// byte take 610, with vpdpbusd 2430. With unpacking: 8 rows of q4_K 1730, with packed dot products 2100; 64 rows 4900,
// unpacked dot products 13100; q6_K 5000 and 16200, q2_K 2950 and 10200. bf16 (llvm-mca 19, sapphirerapids): the unit
// takes 256 cycles, 16 for each TDPBF16PS, the ports for loads 224; vdpbf16ps 2048 for 4 rows. Unpacking fp8 takes 900,
// so 8 rows take some 1100, with vdpbf16ps 5000. NEON_I8MM (llvm-mca 19, neoverse-v1 and v2; not measured): 4 rows of x
// and a K-block of 128 weights of a panel take 369 cycles with smmla, 603 with sdot, 720 with lookups of int2, 510 of
// ternary, 400 of int1 (neoverse-n2 740 and 1197, apple-m2 461 and 748, ampere1 1170 and 1121). Joint K-blocks of 128
// weights take 404 and 646 in groups of 32, 554 and 778 in groups of 16 (neoverse-n2 805 and 1285, 1098 and 1546;
// apple-m2 646 and 997, 868 and 1165). Pairing the codes takes 350 cycles: what smmla saves with 6 rows. fp8_e4m3 on
// neoverse-v1, v2, n2 and apple-m2: 4 rows take 755, 638, 1206 and 837 cycles with bfmmla, 2780, 2780, 5550 and 4340 in
// floats; unpacking takes 2690, 2690, 5600 and 2560 to bf16, 2435, 2531, 4867 and 1883 to floats. bfdot alone takes
// twice the cycles of bfmmla.
constexpr std::size_t kPrefetch = 8192, kNearby = 128;  // bytes; see above
constexpr const char* kMemory = "reading the weights from memory";
constexpr const char* kShuffle = "byte shuffles and dot products, which share execution ports";
constexpr const char* kDotPorts = "dot products";
constexpr const char* kFloatPorts = "multiply-adds of floats";
constexpr const char* kBf16Ports = "dot products of bf16";
constexpr const char* kUnit = "loads and stores around the products of the matrix unit";
constexpr const char* kUnitBf16 = "products of the matrix unit, and unpacking codes";
constexpr const char* kUnpack = "unpacking codes, and dot products";
constexpr const char* kShuffleAdd = "byte shuffles and additions";
constexpr const char* kCount = "counting bits";
constexpr bool kPacked = false, kUnpacked = true;

// clang-format off
constexpr Row kRows[] = {
    // formats    targets      CPU      N above, to   group  method            unpack     tokens panels prefetch bound
    {kBits,      WideLookups, kAnyCpu, 0,   4,     0,   {Method::kPopcount, kPacked, 4,  4, kPrefetch, kMemory}},
    {kBits,      WideLookups, kAnyCpu, 0,   64,    0,   {Method::kPopcount, kPacked, 16, 4, kPrefetch, kCount}},
    {kBits,      AnyTarget,   kAnyCpu, 0,   1,     0,   {Method::kPopcount, kPacked, 4,  4, kPrefetch, kMemory}},
    {kBits,      AnyTarget,   kAnyCpu, 0,   kAnyN, 0,   {Method::kPopcount, kUnpacked, 32, 4, kPrefetch, kCount}},
    {kCodes,     Amx,         kAnyCpu, 7,   kAnyN, 0,   {Method::kDot,    kUnpacked, 64,  1, kPrefetch, kUnit}},
    {kIndices,   AmxNotJoint, kAnyCpu, 15,  kAnyN, 0,   {Method::kDot,    kUnpacked, 64,  1, kPrefetch, kUnit}},
    {kTwoPlanes, I8mm,        kAnyCpu, 15,  kAnyN, 0,   {Method::kDot,    kUnpacked, 128, 1, kPrefetch, kDotPorts}},
    {kTernary,   I8mm,        kAnyCpu, 31,  kAnyN, 0,   {Method::kDot,    kUnpacked, 128, 1, kPrefetch, kDotPorts}},
    {kOnePlane,  WideLookups, kAnyCpu, 0,   1,     0,   {Method::kLookup, kPacked,   4,   4, kPrefetch, kMemory}},
    {kOnePlane,  WideLookups, kAnyCpu, 0,   16,    0,   {Method::kLookup, kPacked,   16,  4, kPrefetch, kShuffle}},
    {kTwoPlanes, WideLookups, kAnyCpu, 0,   1,     0,   {Method::kLookup, kPacked,   4,   1, kPrefetch, kMemory}},
    {kTwoPlanes, WideLookups, kAnyCpu, 0,   16,    0,   {Method::kLookup, kPacked,   16,  1, kPrefetch, kShuffle}},
    {kOnePlane,  Zen,         kZen5,   16,  kAnyN, 0,   {Method::kLookup, kPacked,   16,  4, kPrefetch, kShuffle}},
    {kTwoPlanes, Zen,         kZen5,   16,  kAnyN, 0,   {Method::kLookup, kPacked,   16,  1, kPrefetch, kShuffle}},
    {kIndices,   WideLookups, kAnyCpu, 0,   kAnyN, 0,   {Method::kLookup, kUnpacked, 32,  4, kPrefetch, kShuffle}},
    {kOneField,  WideLookups, kZen4,   0,   1,     32,  {Method::kDot,    kPacked,   4,   1, kNearby,   kMemory}},
    {kCodes,     Joint,       kZen4,   0,   1,     0,   {Method::kDot,    kPacked,   4,   1, kNearby,   kMemory}},
    {kCodes,     AnyTarget,   kZen4,   0,   1,     64,  {Method::kDot,    kPacked,   4,   1, kNearby,   kMemory}},
    {kCodes,     WideLookups, kAnyCpu, 0,   1,     0,   {Method::kDot,    kPacked,   4,   1, kPrefetch, kMemory}},
    {kCodes,     WideFolded,  kAnyCpu, 8,   kAnyN, 0,   {Method::kDot,    kUnpacked, 128, 1, kPrefetch, kDotPorts}},
    {kCodes,     WideLookups, kAnyCpu, 0,   32,    0,   {Method::kDot,    kPacked,   32,  1, kPrefetch, kUnpack}},
    {kFewFields, ZenNotJoint, kZen5,   32,  kAnyN, 0,   {Method::kDot,    kPacked,   128, 1, kPrefetch, kUnpack}},
    {kFewFields, ZenNotJoint, kZen4,   32,  64,    128, {Method::kDot,    kPacked,   64,  1, kPrefetch, kUnpack}},
    {kBytes,     ZenNotJoint, kZen4,   32,  kAnyN, 0,   {Method::kDot,    kPacked,   128, 1, kPrefetch, kUnpack}},
    {kTernary,   WidePairs,   kAnyCpu, 16,  kAnyN, 0,   {Method::kDot,    kUnpacked, 128, 1, kPrefetch, kDotPorts}},
    {kTwoPlanes, WidePairs,   kAnyCpu, 64,  kAnyN, 0,   {Method::kDot,    kUnpacked, 128, 1, kPrefetch, kDotPorts}},
    {kTernary,   Avx2Vnni,    kAnyCpu, 64,  kAnyN, 0,   {Method::kDot,    kUnpacked, 128, 1, kPrefetch, kDotPorts}},
    {kIndices,   AnyTarget,   kAnyCpu, 0,   2,     0,   {Method::kLookup, kPacked,   4,   1, kPrefetch, kMemory}},
    {kOnePlane,  AnyTarget,   kAnyCpu, 0,   4,     0,   {Method::kLookup, kPacked,   4,   1, kPrefetch, kShuffleAdd}},
    {kTwoPlanes, AnyTarget,   kAnyCpu, 0,   12,    0,   {Method::kLookup, kPacked,   16,  1, kPrefetch, kShuffleAdd}},
    {kIndices,   AnyTarget,   kAnyCpu, 0,   kAnyN, 0,   {Method::kLookup, kUnpacked, 64,  1, kPrefetch, kShuffleAdd}},
    {kTables64,  AnyTarget,   kAnyCpu, 1,   2,     0,   {Method::kDot,    kUnpacked, 4,   1, kPrefetch, kUnpack}},
    {kCodes,     AnyTarget,   kAnyCpu, 0,   2,     0,   {Method::kDot,    kPacked,   4,   1, kPrefetch, kMemory}},
    {kFloats,    Amx,         kAnyCpu, 7,   kAnyN, 0,   {Method::kBf16,   kUnpacked, 64,  1, kPrefetch, kUnitBf16}},
    {kFloats,    Bf16,        kAnyCpu, 2,   kAnyN, 0,   {Method::kBf16,   kUnpacked, 128, 1, kPrefetch, kBf16Ports}},
    {kFloats,    AnyTarget,   kAnyCpu, 0,   2,     0,   {Method::kFloat,  kPacked,   4,   1, kPrefetch, kMemory}},
    {kFloats,    AnyTarget,   kAnyCpu, 0,   kAnyN, 0,   {Method::kFloat,  kUnpacked, 128, 1, kPrefetch, kFloatPorts}},
    {kFloats,    AnyTarget,   kAnyCpu, 0,   kAnyN, 0,   {Method::kBf16,   kUnpacked, 128, 1, kPrefetch, kBf16Ports}},
    {kExact,     AnyTarget,   kAnyCpu, 0,   kAnyN, 0,   {Method::kDot,    kUnpacked, 128, 1, kPrefetch, kDotPorts}},
};
// clang-format on

// The first row that serves a case with a method for which `fits` is true; a null pointer if there is none.
// `runs(cpu)`: whether rows for that CPU count.
template <class Fits, class Runs>
constexpr const Row* Find(const PlanCase& what, const TargetInfo& target, const Fits& fits, const Runs& runs) {
  for (const Row& row : kRows) {
    if (runs(row.cpu) && fits(row.plan.method) && row.Serves(what, target)) return &row;
  }
  return nullptr;
}

// What kFastest chooses from: kPopcount does not multiply x of every type; bf16 has fewer bits than kInt16.
constexpr bool MayChoose(Method method, Precision precision) {
  return method != Method::kPopcount && (method != Method::kBf16 || precision != Precision::kInt16);
}

// Each N where another row may begin to serve: 0, and above + 1 and to + 1 of every row, without repeats.
struct Tokens {
  std::size_t n[2 * std::size(kRows) + 1] = {}, count = 1;
  constexpr Tokens() {
    for (const Row& row : kRows) {
      Add(row.above + 1);
      if (row.to != kAnyN) Add(row.to + 1);
    }
  }
  constexpr void Add(std::size_t next) {
    for (std::size_t i = 0; i < count; ++i) {
      if (n[i] == next) return;
    }
    n[count++] = next;
  }
};
constexpr Tokens kFirstTokens;

// Checks that a format has each of its methods on every target, for every N and group.
constexpr bool IsComplete(const FormatInfo& f) {
  const auto any = [](Cpu cpu) { return cpu == kAnyCpu; };
  for (const TargetInfo& target : internal::kTargets) {
    for (const MethodDescription& m : kMethods) {
      if (!HasMethod(f.format, m.method)) continue;
      for (std::size_t i = 0; i < kFirstTokens.count; ++i) {
        const PlanCase what{f.format, nullptr, kFirstTokens.n[i], 16, true};  // the case that the fewest rows serve
        const auto same = [&m](Method other) { return other == m.method; };
        if (Find(what, target, same, any) == nullptr) return false;
      }
    }
  }
  return true;
}
// (Compilers bound the steps of a constant: there is one for each format.)
template <std::size_t... kFormat>
constexpr bool AreComplete(std::index_sequence<kFormat...>) {
  return (std::bool_constant<IsComplete(kFormats[kFormat])>::value && ...);
}
static_assert(AreComplete(std::make_index_sequence<kFormatCount>()));

constexpr std::array<Plan, std::size(kRows)> kPlans = [] {  // the plans of the rows, for Plans()
  std::array<Plan, std::size(kRows)> plans{};
  for (std::size_t i = 0; i < plans.size(); ++i) plans[i] = kRows[i].plan;
  return plans;
}();

// The target of a case; the best one of this machine if the case names none.
Target TargetOf(const PlanCase& what) { return what.target != nullptr ? what.target : RunnableTargets().data[0]; }

template <class Fits>
const Plan& Selected(const PlanCase& what, const Fits& fits) {
  const Row* const row = Find(what, TargetOf(what)->info, fits, internal::IsCpu);
  return kPlans[static_cast<std::size_t>(row - kRows)];
}

}  // namespace

PlanCase internal::CaseOf(const PackedFields& w, std::size_t n, Precision precision) {
  const bool joint = JointRatioOf(w, ActivationKind::kIntegers, precision) != 0;
  const bool folds = joint && w.target->method(w.format, ActivationKind::kIntegers, precision).folds(SchemeOf(w));
  return {w.format, w.target, n, w.group, joint, precision, folds};
}

PlanCase functions::CaseOf(const PackedMatrix& w, std::size_t n, Precision precision) {
  return internal::CaseOf(PackedAccess::Fields(w), n, precision);
}

PlanList functions::Plans() { return {kPlans.data(), kPlans.size()}; }

bool functions::Serves(const Plan& plan, const PlanCase& what) {
  const std::less<const Plan*> before;
  if (before(&plan, kPlans.data()) || !before(&plan, kPlans.data() + kPlans.size())) return false;
  const auto i = static_cast<std::size_t>(&plan - kPlans.data());
  return IsFormat(what.format) && HasMethod(what.format, plan.method) && internal::IsCpu(kRows[i].cpu) &&
         kRows[i].Serves(what, TargetOf(what)->info);
}

const Plan& functions::SelectPlan(const PlanCase& what, Choice choice) {
  if (!IsFormat(what.format)) return kPlans.back();
  if (choice == Choice::kFastest) {
    return Selected(what, [&what](Method method) { return MayChoose(method, what.precision); });
  }
  const bool bits = choice == Choice::kBits && HasBits(what.format);
  return internal::SelectPlanFor(what, bits ? ActivationKind::kBits : MethodOf(what.format).kind);
}

const Plan& internal::SelectPlanFor(const PlanCase& what, ActivationKind kind) {
  return Selected(what, [kind](Method method) { return method == MethodFor(kind); });
}

MicroTile functions::TileOf(const Plan& plan, const PlanCase& what) {
  const Target target = TargetOf(what);
  const internal::MethodKernel& kernel =
      target->method(what.format, KindOf(plan.method, what.format), Precision::kInt8);
  const bool joint = what.joint && plan.method == Method::kDot;
  const internal::MicroKernel& micro = kernel.micro(plan.unpack, joint);
  const int rows = static_cast<int>(std::min<std::size_t>(what.n, static_cast<std::size_t>(micro.rows)));
  if (rows == 0) return {0, 0};
  if (plan.unpack && target->row_group(kernel.method.kind, what.n) == 1) {
    return {1, static_cast<int>(std::min<std::size_t>(what.n, static_cast<std::size_t>(target->unit.rows)))};
  }
  return {std::min(static_cast<int>(std::min(plan.panels, kernel.panels)), micro.panels_for(rows)), rows};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
