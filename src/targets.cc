// Which of the compiled targets this CPU can run.
#include "lutra/targets.h"

#include <cstring>

#include "hwy/targets.h"
#include "targets.h"

namespace lutra {
namespace {

struct Runnable {
  Target targets[16] = {};
  std::size_t count = 0;

  Runnable() {
    const std::int64_t supported = hwy::SupportedTargets();
    for (std::size_t i = 0; i < internal::kCompiledTargetCount; ++i) {
      const Target target = internal::kCompiledTargets[i];
      if ((target->hwy_target & supported) != 0) targets[count++] = target;
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
