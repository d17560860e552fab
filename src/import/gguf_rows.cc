// Decodes the rows of GGUF tensors, and finds scales that their blocks share.
#include "import/gguf_rows.h"

#include <cstring>

#include "memory/little_endian.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

constexpr const char* kNotFinite = "holds a scale that is not finite";

bool AllZeros(const GgufType& type, const std::uint8_t* codes) {
  return std::all_of(codes, codes + type.weights, [](std::uint8_t code) { return code == 1; });
}

// Stores an f16 at any address and moves the pointer behind it.
void Append(std::uint16_t value, std::uint8_t*& to) {
  std::memcpy(to, &value, sizeof(value));
  to += sizeof(value);
}

bool IsFiniteF16(std::uint16_t bits) { return (bits & 0x7c00) != 0x7c00; }

}  // namespace

Status GgufRows::Decode(std::size_t row, std::size_t first, std::size_t end, GgufPlaces to) const {
  const bool two_levels = HasTwoLevels(type->scale_type), f16_scales = HasF16Scales(*type);
  const bool bytes = SizeOf(type->scale_type) == 1, offsets = type->zero_kind == ZeroKind::kOffset;
  const std::size_t groups = bytes ? type->weights / type->group : 0;
  for (std::size_t i = first; i < end; ++i) {
    std::uint16_t scale = 0, offset = 0;
    decode(At(row, i), {to.codes, &scale, &offset, to.scales, to.zeros});
    if (!IsFiniteF16(scale) || !IsFiniteF16(offset)) return Status::Invalid("data", kNotFinite);
    if (bytes && !AllFinite(to.scales, type->scale_type, groups)) {
      return Status::Invalid("data", "holds a scale that is negative or not finite");
    }
    if (two_levels) {
      Append(scale, to.super_scales);
      if (offsets) Append(offset, to.super_offsets);
    } else if (f16_scales) {
      if (to.common != nullptr) {
        to.common->Add(scale, AllZeros(*type, to.codes));
      } else {
        Append(scale, to.scales);
      }
      if (offsets) Append(offset, to.zeros);
    }
    if (bytes) to.scales += groups;
    if (bytes && offsets) to.zeros += groups;
    to.codes += type->weights;
  }
  return {};
}

Status GgufRows::LoadTail(void* scale) const {
  const auto bits = LoadLittleEndian<std::uint32_t>(At(m, 0));
  std::memcpy(scale, &bits, sizeof(bits));
  return AllFinite(scale, DataType::kF32, 1) ? Status() : Status::Invalid("data", kNotFinite);
}

CommonScale GgufRows::CommonScaleOf(std::size_t row, std::uint8_t* highest_code) const {
  CommonScale common;
  std::uint8_t codes[kSuperGroup];
  std::uint16_t scale;
  for (std::size_t i = 0; i < per_row; ++i) {
    decode(At(row, i), {codes, &scale, nullptr, nullptr, nullptr});
    for (std::size_t k = 0; k < type->weights; ++k) *highest_code = std::max(*highest_code, codes[k]);
    common.Add(scale, AllZeros(*type, codes));
  }
  return common;
}

QuantizedView ShapeOf(const GgufType& type, std::size_t m, std::size_t k) {
  QuantizedView shape;
  shape.format = type.format;
  shape.m = m;
  shape.k = k;
  shape.group = type.group;
  shape.scale_type = type.scale_type;
  shape.zero_kind = type.zero_kind;
  shape.zero_type = type.scale_type;
  return shape;
}

void ChooseTernary(const GgufRows& rows, QuantizedView* shape, std::uint16_t* scale) {
  std::uint8_t highest = 0;
  CommonScale of_matrix;
  bool of_rows = true;
  for (std::size_t row = 0; row < rows.m; ++row) {
    const CommonScale of_row = rows.CommonScaleOf(row, &highest);
    of_rows = of_rows && of_row.exists();
    of_matrix.Add(of_row);
  }
  if (of_matrix.exists()) {
    shape->group = kPerMatrix;
    *scale = of_matrix.scale();
  } else if (of_rows) {
    shape->group = kPerRow;
  }
  if (highest > 2) {
    shape->format = Format::kInt2;
    shape->zero_kind = ZeroKind::kPoint;
    shape->zero_type = DataType::kUInt8;
  }
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
