// Which of the compiled targets this CPU can run.
#include "lutra/targets.h"

#include <cstring>

#include "hwy/targets.h"
#include "targets.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace lutra {
namespace {

// Best first.
const internal::TargetRows* const kTargets[] = {
    &internal::N_AVX3_SPR::kTargetRows, &internal::N_AVX3_ZEN4::kTargetRows, &internal::N_AVX3_DL::kTargetRows,
    &internal::N_AVX3::kTargetRows,     &internal::N_AVX2::kTargetRows,      &internal::N_NEON_WITHOUT_AES::kTargetRows,
    &internal::N_EMU128::kTargetRows,
};

// Whether this CPU has the instructions behind TargetKernels::dot_extension. (Highway has asked whether the system
// keeps their registers.)
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

struct Runnable {
  Target targets[16] = {};
  std::size_t count = 0;

  Runnable() {
    const std::int64_t supported = hwy::SupportedTargets();
    for (const internal::TargetRows* same : kTargets) {
      for (Target target = same->rows; target != same->rows + same->count; ++target) {
        const bool has_dot = !target->dot_extension || HasDotExtension();
        if ((target->hwy_target & supported) != 0 && has_dot) targets[count++] = target;
      }
    }
  }
};

}  // namespace

TargetList RunnableTargets() {
  static const Runnable runnable;
  return {runnable.targets, runnable.count};
}

Target FindTarget(const char* name) {
  if (name == nullptr) return nullptr;
  for (const Target target : RunnableTargets()) {
    if (std::strcmp(target->name, name) == 0) return target;
  }
  return nullptr;
}

const char* TargetName(Target target) { return target == nullptr ? "" : target->name; }

}  // namespace lutra
