// Finds which of the compiled targets this CPU can run, and the size of its L2.
#include "lutra/targets.h"

#include <cstring>
#include <iterator>
#include <utility>

#include "hwy/targets.h"
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

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

// Whether this CPU has the instructions behind TargetInfo::dot_extension. (Highway has checked that the operating
// system saves the registers.)
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
    if ((kInfo.hwy_target & supported) == 0 || (kInfo.dot_extension && !HasDotExtension())) return;
    const internal::TargetRows same = internal::KernelsOf<kInfo.hwy_target>();
    for (std::size_t i = 0; i < same.count; ++i) {
      if (same.rows[i].info.dot_extension == kInfo.dot_extension) targets[count++] = &same.rows[i];
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
  // Of the CPUs with Highway's target AVX3_ZEN4, Zen 4 alone lacks AVX-VNNI.
  static const bool zen4 = (hwy::SupportedTargets() & HWY_AVX3_ZEN4) != 0 && !HasDotExtension();
  return cpu == Cpu::kAny || zen4;
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
