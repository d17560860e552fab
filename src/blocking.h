// How much of x and W is worked on at a time: the cache budgets.
#pragma once

#include <algorithm>
#include <cstddef>

#include "lutra/kernels/layout.h"

namespace lutra {
namespace internal {

// Rows of x per pass over the weights: at most 32 (a tile of 32 x 64 floats, 8 KB, stays in L1) and as many as keep
// their tables in half of an L2 of 1 MB, but at least 8, since each pass reads all weights again.
inline constexpr std::size_t kMaxTileRows = 32;
inline std::size_t RowsPerPass(std::size_t table_bytes_per_row) {
  const std::size_t fit = (std::size_t{512} << 10) / std::max<std::size_t>(table_bytes_per_row, 1);
  return std::clamp<std::size_t>(fit / 4 * 4, 8, kMaxTileRows);
}

// Panels side by side: four address streams read memory faster than one, which matters while weights are not reused.
inline constexpr std::size_t kMaxStreams = 4;
inline constexpr std::size_t kStreamedRows = kMaxTileRows / kMaxStreams;
inline std::size_t Streams(std::size_t rows) { return rows <= kStreamedRows ? kMaxStreams : 1; }

}  // namespace internal
}  // namespace lutra
