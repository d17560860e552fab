// A group of float weights, its qparams as numbers and in arrays, and the codes that are nearest: the parts of
// Quantize.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lutra/matrix.h"
#include "memory/elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Weights: `count` of each of `rows` rows. `importance` weighs the squared errors of the columns; null: by 1.
struct Group {
  Elements<float> weights;
  std::size_t rows, row_stride, count;
  const float* importance = nullptr;

  template <class Function>
  void ForEach(Function&& function) const {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < count; ++i) function(weights[r * row_stride + i], r, i);
    }
  }
  // At most `most` columns from `begin` on.
  Group Part(std::size_t begin, std::size_t most) const {
    return {weights.From(begin), rows, row_stride, std::min(most, count - begin),
            importance == nullptr ? nullptr : importance + begin};
  }
};

// W = scale * (value - zero), or scale * value + offset under ZeroKind::kOffset. Either of zero and offset follows from
// the other: offset = -scale * zero.
struct Qparams {
  float scale, zero, offset;
};

// Where the qparams of groups go: arrays of the types of `shape`, aligned to their elements.
struct GroupArrays {
  const QuantizedView& shape;
  void *scales, *zeros;
  std::uint8_t* table_choices;
  std::uint16_t *super_scales = nullptr, *super_offsets = nullptr;

  // The place of the super-group of group number `at`.
  std::size_t SuperAt(std::size_t at) const {
    const std::size_t groups = GroupsPerRow(shape.k, shape.group);
    return at / groups * GroupsPerRow(shape.k, kSuperGroup) + at % groups * shape.group / kSuperGroup;
  }
};

// The tables among which each group chooses: one, unless the matrix has several.
inline std::size_t TablesOf(const FormatInfo& f, const QuantizedView& shape) {
  return f.own_values ? shape.codebook_tables : 1;
}
// Table number i of the matrix or the format; null if values are affine.
inline const std::int8_t* TableOf(const FormatInfo& f, const QuantizedView& shape, std::size_t i) {
  return f.own_values ? shape.codebook + i * static_cast<std::size_t>(f.levels) : f.values;
}

// The code of the float that is nearest to the value; of two, the one whose mantissa is even.
std::uint8_t NearestFloat(const FloatCode& code, float value);

// What a group's zero may be: the default zero point, an integer, or any number. Integer zero points of tables, and of
// int1 and ternary, whose values have both signs, are 0.
enum class ZeroFreedom : std::uint8_t { kFixed, kInteger, kReal };
ZeroFreedom FreedomOf(const QuantizedView& shape);
// The highest integer zero point.
float HighestZero(const QuantizedView& shape);

// The largest finite value that a float type holds is the limit: larger ones become it.
float RoundedTo(DataType type, float value);

// The zero point with which zero * scale is as before: `zero` was that of old_scale. Finite; `zero` if scale is 0.
float ZeroAt(float scale, float old_scale, float zero);

// Rounds q to the types of the shape, one level. Scales of type E8M0 and E4M3 are not negative.
Qparams Rounded(const QuantizedView& shape, Qparams q);
// Types E8M0 and E4M3: the next higher (step 1) or lower (-1) scale; the same one at the end of the type.
float NextScale(const QuantizedView& shape, float scale, int step);
// Stores rounded qparams as number `at`, in arrays of one level.
void Store(const Qparams& q, std::size_t at, const GroupArrays& arrays);
// The qparams that are stored as number `at`.
Qparams Stored(std::size_t at, const GroupArrays& arrays);

// The sum of squared errors of a group with rounded qparams, each times the importance of its column.
double ErrorOf(const Group& group, const QuantizedView& shape, const std::int8_t* table, const Qparams& q);
// The same with the qparams and the table that are stored as number `at`.
double StoredError(const Group& group, std::size_t at, const GroupArrays& arrays);

// Codes with rounded qparams.
class Coder {
 public:
  Coder(const QuantizedView& shape, const std::int8_t* table, const Qparams& q)
      : f_(&Describe(shape.format)), table_(table), q_(q), offset_(shape.zero_kind == ZeroKind::kOffset) {}
  // With what is stored for group number `at`.
  Coder(std::size_t at, const GroupArrays& arrays);
  // The code whose value is nearest to the weight.
  std::uint8_t Nearest(float weight) const;
  // What a code stands for, in float, as Dequantize computes it.
  float WeightOf(std::uint8_t code) const;

 private:
  const FormatInfo* f_;
  const std::int8_t* table_;
  Qparams q_;
  bool offset_;
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
