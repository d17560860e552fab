// Some columns of quantized weights, with the qparams that belong to them.
#pragma once

#include <cstddef>

#include "lutra/shards.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Sets *columns to the columns of w in `count` ranges, side by side, with the bias of w. The ranges ascend; they begin
// at multiples of ColumnUnit(w), and end there or at K. w must be valid. Fails, with *columns unchanged, if memory is
// short.
Status GatherColumns(const QuantizedView& w, const ShardRange* ranges, std::size_t count, QuantizedMatrix* columns);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
