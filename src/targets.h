// The tables of kernels, for targets.cc.
#pragma once

#include <cstddef>

#include "lutra/kernels/registry.h"

namespace lutra {
namespace internal {

// Those that share what Highway calls a target, best first.
struct TargetRows {
  const TargetKernels* rows;
  std::size_t count;
};

// Of each target, in its own namespace (kernels-inl.h).
namespace N_AVX3_SPR {
extern const TargetRows kTargetRows;
}
namespace N_AVX3_ZEN4 {
extern const TargetRows kTargetRows;
}
namespace N_AVX3_DL {
extern const TargetRows kTargetRows;
}
namespace N_AVX3 {
extern const TargetRows kTargetRows;
}
namespace N_AVX2 {
extern const TargetRows kTargetRows;
}
namespace N_NEON_WITHOUT_AES {
extern const TargetRows kTargetRows;
}
namespace N_EMU128 {
extern const TargetRows kTargetRows;
}

}  // namespace internal
}  // namespace lutra
