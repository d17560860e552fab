// Weights with their columns in the order of the options.
#pragma once

#include <cstddef>

#include "lutra/buffer.h"
#include "lutra/quantize.h"
#include "lutra/status.h"
#include "memory/elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// What a quantizer reads: weights[M x K], and options with no order, whose importance is that of these columns.
struct WeightsInOrder {
  Elements<float> weights{nullptr};
  std::size_t row_stride = 0;
  QuantizeOptions options;
  Buffer copies;  // of the weights and their importance, if the options have an order

  // Takes valid arguments of Quantize. False if memory is short.
  bool Take(const float* data, std::size_t m, std::size_t k, std::size_t stride, const QuantizeOptions& with_order) {
    weights = Elements<float>(data);
    row_stride = stride;
    options = with_order;
    if (options.order == nullptr) return true;
    const Elements<std::uint32_t> order(options.order);
    if (!copies.Reserve((m + 1) * k * sizeof(float) + 1)) return false;
    auto* const ordered = copies.as<float>();
    for (std::size_t row = 0; row < m; ++row) {
      for (std::size_t j = 0; j < k; ++j) ordered[row * k + j] = weights[row * stride + order[j]];
    }
    float* const importance = ordered + m * k;
    for (std::size_t j = 0; j < k && options.importance != nullptr; ++j) importance[j] = options.importance[order[j]];
    weights = Elements<float>(ordered);
    row_stride = k;
    options.order = nullptr;
    if (options.importance != nullptr) options.importance = importance;
    return true;
  }
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
