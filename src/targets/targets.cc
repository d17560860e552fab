// Finds which of the compiled targets this CPU can run, and the size of its L2.
#include "lutra/targets.h"

#include <cstring>
#include <iterator>
#include <utility>

#include "hwy/targets.h"
#include "lutra/kernels/matrix_shapes.h"
#include "targets/list.h"
#include "targets/targets.h"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#endif

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

// Whether this CPU has the instructions of Extension::kDot. (Highway has checked that the operating system saves the
// registers.)
bool HasDotExtension() {
#if defined(__ARM_FEATURE_DOTPROD)
  return true;
#elif defined(__aarch64__) && defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__x86_64__)
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & 1u << 4) != 0;  // AVX-VNNI
#else
  return false;
#endif
}

// Whether this CPU has the instructions of Extension::kMatrix, and the system lets programs use them.
#if defined(__aarch64__)
bool MultipliesMatrices() {
#if defined(__ARM_FEATURE_MATMUL_INT8) && defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  return HasDotExtension();
#elif defined(__linux__)
  constexpr unsigned long kMatrices = 1u << 13 | 1u << 14;  // HWCAP2_I8MM, HWCAP2_BF16
  return HasDotExtension() && (getauxval(AT_HWCAP2) & kMatrices) == kMatrices;
#else
  return false;
#endif
}
#elif defined(__x86_64__) && defined(__linux__)
// The registers that the operating system saves, as bits of XCR0.
std::uint64_t SavedRegisters() {
  std::uint32_t low, high;
  __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
}
// AMX with int8 and bf16, registers of the size that kernels assume, saved by the operating system. Linux must also be
// asked, by each process, for the permission to use them.
bool MultipliesMatrices() {
  constexpr std::uint64_t kTileRegisters = 3u << 17;  // their configuration, and their data
  constexpr unsigned kOsXsave = 1u << 27, kAmx = 3u << 24 | 1u << 22;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  unsigned eax, ebx, ecx, edx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & kOsXsave) == 0) return false;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & kAmx) != kAmx) return false;
  if (__get_cpuid_count(0x1d, 1, &eax, &ebx, &ecx, &edx) == 0) return false;
  const unsigned row_bytes = ebx & 0xffff, registers = ebx >> 16, rows = ecx & 0xffff;
  if (row_bytes < internal::kMatrixRowBytes || rows < internal::kMatrixRows || registers < internal::kMatrixRegisters) {
    return false;
  }
  return (SavedRegisters() & kTileRegisters) == kTileRegisters &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#else
bool MultipliesMatrices() { return false; }
#endif

bool Has(internal::Extension extension) {
  switch (extension) {
    case internal::Extension::kNone:
      return true;
    case internal::Extension::kDot:
      return HasDotExtension();
    case internal::Extension::kMatrix:
      return MultipliesMatrices();
  }
  return false;
}

// The targets that this CPU can run, the best first.
struct Runnable {
  Target targets[std::size(internal::kTargets)] = {};
  std::size_t count = 0;

  Runnable() { Add(std::make_index_sequence<std::size(internal::kTargets)>()); }

 private:
  template <std::size_t... kIndex>
  void Add(std::index_sequence<kIndex...>) {
    const std::int64_t supported = hwy::SupportedTargets();
    (AddIf<kIndex>(supported), ...);
  }
  template <std::size_t kIndex>
  void AddIf(std::int64_t supported) {
    constexpr internal::TargetInfo kInfo = internal::kTargets[kIndex];
    if ((kInfo.hwy_target & supported) == 0) return;
    const internal::TargetRows same = internal::KernelsOf<kInfo.hwy_target>();
    for (std::size_t i = 0; i < same.count; ++i) {
      if (same.rows[i].info.extension == kInfo.extension && Has(kInfo.extension)) targets[count++] = &same.rows[i];
    }
  }
};

}  // namespace

TargetList functions::RunnableTargets() {
  static const Runnable runnable;
  return {runnable.targets, runnable.count};
}

Target functions::FindTarget(const char* name) {
  if (name == nullptr) return nullptr;
  for (const Target target : RunnableTargets()) {
    if (std::strcmp(target->info.name, name) == 0) return target;
  }
  return nullptr;
}

bool internal::IsCpu(Cpu cpu) {
  // Of the CPUs with Highway's target AVX3_ZEN4, Zen 4 alone lacks AVX-VNNI, and Intel's also have AVX3_SPR.
  static const std::int64_t kBoth = HWY_AVX3_ZEN4 | HWY_AVX3_SPR;
  static const Cpu kThis = (hwy::SupportedTargets() & kBoth) != HWY_AVX3_ZEN4 ? Cpu::kAny
                           : HasDotExtension()                                ? Cpu::kZen5
                                                                              : Cpu::kZen4;
  return cpu == Cpu::kAny || cpu == kThis;
}

std::size_t internal::L2Bytes(const TargetInfo& target) {
#if defined(_SC_LEVEL2_CACHE_SIZE)
  static const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (bytes > 0) return static_cast<std::size_t>(bytes);
#endif
  return target.l2_bytes;
}

const char* functions::TargetName(Target target) { return target == nullptr ? "" : target->info.name; }

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
