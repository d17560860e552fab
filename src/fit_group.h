// Chooses the scale, zero point and table of a group of float weights, and the codes: the parts of Quantize.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/matrix.h"
#include "memory/elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The weights that share a scale: `count` of each of `rows` rows.
struct Group {
  Elements<float> weights;
  std::size_t rows, row_stride, count;

  template <class Function>
  void ForEach(Function&& function) const {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < count; ++i) function(weights[r * row_stride + i], r, i);
    }
  }
};

// Where the scales, zeros and table choices of groups go: arrays of the types of `shape`, aligned to their elements.
struct GroupArrays {
  const QuantizedView& shape;
  void *scales, *zeros;
  std::uint8_t* table_choices;
};

// Fits the scale and zero point of a group, and chooses its table, and stores them as number `at`, rounded.
void FitGroup(const Group& group, std::size_t at, const GroupArrays& arrays);

// Writes the codes of a group whose scale, zero point and table are stored as number `at`; rows are code_stride apart.
void EncodeGroup(const Group& group, std::size_t at, const GroupArrays& arrays, std::uint8_t* codes,
                 std::size_t code_stride);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
