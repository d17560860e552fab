// Where tiles go: rows of y, in order or by a list.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lutra/kernels/prefetch.h"
#include "lutra/kernels/registry.h"
#include "lutra/targets.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The rows of y that a token block writes, and their columns [m_begin, m_end).
struct Destination {
  const OutputView& y;
  std::size_t first;         // row i of the token block goes to row first + i,
  const std::int32_t* list;  // or to row list[i]
  std::size_t m_begin, m_end;

  std::size_t row(std::size_t i) const { return list == nullptr ? first + i : static_cast<std::size_t>(list[i]); }
  std::uint8_t* At(std::size_t i, std::size_t m) const {
    return static_cast<std::uint8_t*>(y.data) + (row(i) * y.row_stride + m) * SizeOf(y.type);
  }
  // The columns of a panel that are written.
  std::size_t begin(std::size_t panel) const { return std::max(panel * kPanelRows, m_begin); }
  std::size_t end(std::size_t panel) const { return std::min((panel + 1) * kPanelRows, m_end); }
};

// Prefetches a tile of y into L2 before it is computed. For up to NR rows this does not pay. (N = 32 to 512 on Zen 4:
// 1.01 to 1.03 times as fast.)
inline void Prefetch(const Destination& to, std::size_t rows, std::size_t panel, std::size_t count) {
  if (rows <= kNR) return;
  const std::size_t begin = to.begin(panel), end = to.end(panel + count - 1);
  const std::size_t bytes = (end - begin) * SizeOf(to.y.type);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t at = 0; at < bytes; at += 64) PrefetchToL2(to.At(row, begin) + at);
  }
}

// bias[M] from column m on; null if there is none.
inline const float* BiasFrom(const float* bias, std::size_t m) { return bias == nullptr ? nullptr : bias + m; }

// Writes the rows of a panel of a tile, with bias[M], which may be null.
inline void Store(Target target, const float* tile, const float* bias, std::size_t rows, std::size_t panel,
                  const Destination& to) {
  const std::size_t begin = to.begin(panel), end = to.end(panel);
  bias = BiasFrom(bias, begin);
  for (std::size_t row = 0; row < rows; ++row) {
    target->store(tile + row * kPanelRows + begin % kPanelRows, bias, end - begin, to.y.type, to.At(row, begin));
  }
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
