// The rows of a GGUF tensor: decodes blocks to codes and qparams, for the import and for packing panels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "import/gguf_blocks.h"
#include "lutra/import.h"
#include "lutra/matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Finds whether several blocks or rows can share one scale. A block of zeros can take any scale of the same sign; the
// sign must stay, because it is the sign of the zeros.
class CommonScale {
 public:
  void Add(std::uint16_t scale, bool zeros) {
    const bool same_sign = ((scale ^ scale_) & 0x8000) == 0;
    if (empty_ || (any_ && same_sign)) {
      scale_ = scale;
      any_ = zeros;
    } else if (scale != scale_ && !(zeros && same_sign)) {
      exists_ = false;
    }
    empty_ = false;
  }
  void Add(const CommonScale& other) {
    Add(other.scale_, other.any_);
    exists_ = exists_ && other.exists_;
  }
  bool exists() const { return exists_; }
  std::uint16_t scale() const { return scale_; }

 private:
  std::uint16_t scale_ = 0;
  bool empty_ = true, any_ = false, exists_ = true;  // any_: all blocks so far have only zeros
};

// Where the weights of consecutive blocks of a row go. Pointers that the type does not need are ignored.
struct GgufPlaces {
  std::uint8_t* codes;
  std::uint8_t *scales, *zeros;                // of groups: f16, or bytes
  std::uint8_t *super_scales, *super_offsets;  // f16, of super-groups
  CommonScale* common = nullptr;               // not null: f16 scales go there instead
};

// The blocks of W[M x K].
struct GgufRows {
  const GgufType* type;
  GgufDecode* decode;
  const std::uint8_t* data;
  std::size_t m, per_row;  // per_row: blocks

  const std::uint8_t* At(std::size_t row, std::size_t i) const { return data + (row * per_row + i) * type->bytes; }
  // Writes the f32 behind the last block, the scale of the matrix, to *scale. Fails if it is not finite.
  Status LoadTail(void* scale) const;

  // Decodes the blocks [first, end) of a row. Fails if a scale is not finite, or negative where the type has no sign.
  Status Decode(std::size_t row, std::size_t first, std::size_t end, GgufPlaces to) const;
  // What the scales of a row, of a type with f16 scales, have in common.
  CommonScale CommonScaleOf(std::size_t row, std::uint8_t* highest_code) const;
};

// Whether the type has one f16 per block, its scale or super-scale.
constexpr bool HasF16Scales(const GgufType& type) {
  return HasTwoLevels(type.scale_type) || type.scale_type == DataType::kF16;
}
// Whether blocks of the type can share scales in a row or matrix.
constexpr bool MayShareScales(const GgufType& type) {
  return type.format == Format::kTernary && type.scale_type == DataType::kF16;
}

// The shape of a tensor whose type has a format.
QuantizedView ShapeOf(const GgufType& type, std::size_t m, std::size_t k);
// Chooses the format and the group that hold these ternary blocks in the fewest bytes. Sets *scale if it is of the
// matrix.
void ChooseTernary(const GgufRows& rows, QuantizedView* shape, std::uint16_t* scale);

// Sets *type to a type with this id that is imported.
Status FindImported(std::uint32_t id, const GgufType** type);
// The function that encodes a type of the list; null if it is not restorable.
GgufEncode* EncoderOf(const GgufType& type);
// Checks M and K for a type that is imported.
Status CheckShape(const GgufType& type, std::size_t m, std::size_t k);
// Sets *rows to those of a tensor, after all checks but of the blocks.
Status FindRows(std::uint32_t id, const void* data, std::size_t size, std::size_t m, std::size_t k, GgufRows* rows);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
