// Fits scales and offsets of two levels: integers of groups under a super-scale and a super-offset (the quantized
// scales and zero points of SpQR, https://arxiv.org/abs/2306.03078).
#pragma once

#include <cstddef>

#include "quantize/fit_group.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Fits and stores the qparams of the groups of a super-group, whose columns are `columns`; `at` is the first group.
void FitSuperGroup(const Group& columns, std::size_t at, const GroupArrays& arrays, Fit fit);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
