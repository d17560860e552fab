// Fit::kRange: qparams from the range of a group's weights, or from their mean.
#pragma once

#include "quantize/group.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The qparams of Fit::kRange for one table (null: affine values), before they are rounded to their types.
Qparams FitRange(const Group& group, const QuantizedView& shape, const std::int8_t* table);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
