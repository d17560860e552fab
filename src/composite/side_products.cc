// See side_products.h.
#include "composite/side_products.h"

#include "x_elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

void LoadRow(const ActivationView& x, std::size_t n, std::size_t begin, std::size_t end, float* to) {
  if (x.type == DataType::kF32) {
    std::memcpy(to, static_cast<const float*>(x.data) + n * x.row_stride + begin, (end - begin) * sizeof(float));
    return;
  }
  for (std::size_t k = begin; k < end; ++k) to[k - begin] = X(x, n, k);
}

namespace {

// An f16 that is finite, without a call or a branch. The product with a power of two is exact.
float FiniteF16(std::uint16_t bits) {
  const std::uint32_t shifted = (bits & 0x7fffu) << 13 | (bits & 0x8000u) << 16;
  float value;
  std::memcpy(&value, &shifted, sizeof(value));
  return value * 0x1p112f;
}

template <class Column, std::size_t kLanes>
void SumEntries(const SparseView& sparse, std::size_t m, const float* x, float* sums) {
  const auto* const columns = static_cast<const Column*>(sparse.columns);
  float lanes[kLanes] = {};
  for (std::size_t i = sparse.offsets[m]; i < sparse.offsets[m + 1]; ++i) {
    const float value = FiniteF16(sparse.values[i]);
    const float* const column = x + columns[i] * kLanes;
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += value * column[lane];
  }
  std::memcpy(sums, lanes, sizeof(lanes));
}

template <class Column>
SparseFunction FunctionOf(std::size_t lanes) {
  return lanes == 1 ? SumEntries<Column, 1> : lanes == 4 ? SumEntries<Column, 4> : SumEntries<Column, kMaxLanes>;
}

}  // namespace

SparseFunction SparseFunctionFor(std::size_t k, std::size_t lanes) {
  return ColumnBytes(k) == 2 ? FunctionOf<std::uint16_t>(lanes) : FunctionOf<std::uint32_t>(lanes);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
