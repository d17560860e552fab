// See group.h.
#include "quantize/group.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "load_float.h"
#include "lutra/float16.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

// The bytes of finite numbers of E8M0 and E4M3 that are not negative are 0 to LastByte.
int LastByte(DataType type) { return type == DataType::kE8M0 ? 254 : Describe(Format::kFp8E4M3).floats.magnitudes - 1; }
// The byte of the number of this type that is nearest to a value.
int NearestByte(DataType type, float value) {
  if (type == DataType::kE4M3) return NearestFloat(Describe(Format::kFp8E4M3).floats, std::max(value, 0.0f));
  if (!(value > 0.0f)) return 0;
  constexpr int kBias = 127;
  const int exponent = std::ilogb(std::min(value, std::numeric_limits<float>::max()));
  return std::clamp(exponent + kBias + (value >= std::ldexp(1.5f, exponent) ? 1 : 0), 0, LastByte(type));
}
float ScaleOfByte(const QuantizedView& shape, int byte) {
  const std::uint8_t bytes[sizeof(float)] = {static_cast<std::uint8_t>(byte)};  // g++ sees a load of kF32, too
  return LoadFloat(bytes, shape.scale_type, 0) * shape.matrix_scale;
}

float RoundedScale(const QuantizedView& shape, float scale) {
  if (!HasMatrixScale(shape.scale_type)) return RoundedTo(shape.scale_type, scale);
  return ScaleOfByte(shape, NearestByte(shape.scale_type, scale / shape.matrix_scale));
}

void StoreFloat(float value, void* data, DataType type, std::size_t i) {
  if (type == DataType::kF32) {
    static_cast<float*>(data)[i] = value;
  } else {
    static_cast<std::uint16_t*>(data)[i] = type == DataType::kF16 ? F32ToF16(value) : F32ToBF16(value);
  }
}

float ValueOf(const FormatInfo& f, const std::int8_t* table, int q) {
  if (f.is_float()) return f.value(q);
  return f.unit * static_cast<float>(table != nullptr ? table[q] : f.integer(q));
}

// The code whose value is nearest to w / scale + zero.
std::uint8_t NearestCode(const FormatInfo& f, const std::int8_t* table, float w, float scale, float zero) {
  if (scale == 0.0f) w = 0.0f, scale = 1.0f;
  const float value = w / scale + zero;
  if (f.is_float()) return NearestFloat(f.floats, value);
  if (f.levels == 2) return value >= 0.0f ? 1 : 0;
  if (table != nullptr) {
    const auto distance = [&](int q) { return std::fabs(f.unit * static_cast<float>(table[q]) - value); };
    int nearest = 0;
    for (int q = 1; q < f.levels; ++q) {
      if (distance(q) < distance(nearest)) nearest = q;
    }
    return static_cast<std::uint8_t>(nearest);
  }
  const float code = std::nearbyint((value - f.value(0)) / (f.value(1) - f.value(0)));
  return static_cast<std::uint8_t>(std::clamp(code, 0.0f, static_cast<float>(f.levels - 1)));
}

const std::int8_t* StoredTable(std::size_t at, const GroupArrays& arrays) {
  const std::size_t table = HasTableChoices(arrays.shape) ? arrays.table_choices[at] : 0;
  return TableOf(Describe(arrays.shape.format), arrays.shape, table);
}

// The integer scale or offset of a group times its super-scale or super-offset.
float Product(const void* integers, const std::uint16_t* super_values, std::size_t at, const GroupArrays& arrays) {
  const float super_value = F16ToF32(super_values[arrays.SuperAt(at)]);
  return static_cast<float>(static_cast<const std::int8_t*>(integers)[at]) * super_value;
}

}  // namespace

std::uint8_t NearestFloat(const FloatCode& code, float value) {
  const float magnitude = std::min(std::fabs(value), code.value(code.magnitudes - 1));
  const int exponent = magnitude == 0.0f ? 0 : std::max(std::ilogb(magnitude) + code.bias, 1);
  // Numbers up to 2^(exponent + 1) are multiples of a step. As their code, the exponent continues the mantissa.
  const float steps = std::nearbyint(std::ldexp(magnitude, code.bias + code.mantissa_bits - exponent));
  const float of_exponent = static_cast<float>(std::max(exponent - 1, 0) << code.mantissa_bits);
  const int q = static_cast<int>(of_exponent + steps);
  return static_cast<std::uint8_t>(value < 0.0f && q != 0 ? q | 1 << (code.bits() - 1) : q);
}

ZeroFreedom FreedomOf(const QuantizedView& shape) {
  const FormatInfo& f = Describe(shape.format);
  if (shape.zero_kind == ZeroKind::kNone) return ZeroFreedom::kFixed;
  if (shape.zero_kind == ZeroKind::kOffset || IsFloat(shape.zero_type)) return ZeroFreedom::kReal;
  const bool both_signs = f.has_table() || f.first < 0;
  return both_signs ? ZeroFreedom::kFixed : ZeroFreedom::kInteger;
}

float HighestZero(const QuantizedView& shape) {
  if (FreedomOf(shape) != ZeroFreedom::kInteger) return 0.0f;
  const auto highest = static_cast<float>(Describe(shape.format).levels - 1);
  return shape.zero_type == DataType::kUInt4 ? std::min(highest, 15.0f) : highest;
}

float RoundedTo(DataType type, float value) {
  if (type == DataType::kF16) return F16ToF32(F32ToF16(std::clamp(value, -65504.0f, 65504.0f)));
  if (type == DataType::kBF16) return BF16ToF32(F32ToBF16(std::clamp(value, -0x1.fep127f, 0x1.fep127f)));
  return value;
}

float ZeroAt(float scale, float old_scale, float zero) {
  constexpr float kMax = std::numeric_limits<float>::max();
  if (!(scale > 0.0f)) return zero;
  return std::clamp(zero * std::min(old_scale / scale, kMax), -kMax, kMax);
}

Qparams Rounded(const QuantizedView& shape, Qparams q) {
  const float scale = q.scale;
  q.scale = RoundedScale(shape, scale);
  // Keeps zero * scale, and so the lowest weight of the range.
  if (HasMatrixScale(shape.scale_type)) q.zero = ZeroAt(q.scale, scale, q.zero);
  if (shape.zero_kind == ZeroKind::kNone) q.zero = Describe(shape.format).default_zero;
  if (shape.zero_kind == ZeroKind::kPoint && IsFloat(shape.zero_type)) q.zero = RoundedTo(shape.zero_type, q.zero);
  if (shape.zero_kind == ZeroKind::kPoint && !IsFloat(shape.zero_type)) {
    q.zero = std::clamp(std::nearbyint(q.zero), 0.0f, HighestZero(shape));
  }
  if (shape.zero_kind == ZeroKind::kOffset) {
    q.offset = RoundedTo(shape.zero_type, q.offset);
    q.zero = q.scale != 0.0f ? -q.offset / q.scale : 0.0f;
  }
  return q;
}

float NextScale(const QuantizedView& shape, float scale, int step) {
  const int nearest = NearestByte(shape.scale_type, scale / shape.matrix_scale);
  return ScaleOfByte(shape, std::clamp(nearest + step, 0, LastByte(shape.scale_type)));
}

void Store(const Qparams& q, std::size_t at, const GroupArrays& arrays) {
  const QuantizedView& v = arrays.shape;
  if (HasMatrixScale(v.scale_type)) {
    static_cast<std::uint8_t*>(arrays.scales)[at] =
        static_cast<std::uint8_t>(NearestByte(v.scale_type, q.scale / v.matrix_scale));
  } else {
    StoreFloat(q.scale, arrays.scales, v.scale_type, at);
  }
  if (v.zero_kind == ZeroKind::kNone) return;
  if (IsFloat(v.zero_type)) {
    StoreFloat(v.zero_kind == ZeroKind::kOffset ? q.offset : q.zero, arrays.zeros, v.zero_type, at);
  } else {
    static_cast<std::uint8_t*>(arrays.zeros)[at] = static_cast<std::uint8_t>(q.zero);
  }
}

Qparams Stored(std::size_t at, const GroupArrays& arrays) {
  const QuantizedView& v = arrays.shape;
  const bool two_levels = HasTwoLevels(v.scale_type);
  Qparams q{
      two_levels ? Product(arrays.scales, arrays.super_scales, at, arrays) : LoadFloat(arrays.scales, v.scale_type, at),
      Describe(v.format).default_zero, 0.0f};
  if (HasMatrixScale(v.scale_type)) q.scale *= v.matrix_scale;
  if (v.zero_kind == ZeroKind::kPoint) {
    q.zero = IsFloat(v.zero_type) ? LoadFloat(arrays.zeros, v.zero_type, at)
                                  : static_cast<float>(static_cast<const std::uint8_t*>(arrays.zeros)[at]);
  }
  if (v.zero_kind == ZeroKind::kOffset) {
    q.offset =
        two_levels ? Product(arrays.zeros, arrays.super_offsets, at, arrays) : LoadFloat(arrays.zeros, v.zero_type, at);
    q.zero = q.scale != 0.0f ? -q.offset / q.scale : 0.0f;
  }
  return q;
}

double ErrorOf(const Group& group, const QuantizedView& shape, const std::int8_t* table, const Qparams& q) {
  const Coder coder(shape, table, q);
  double error = 0;
  group.ForEach([&](float weight, std::size_t, std::size_t i) {
    const double difference = double{weight} - coder.WeightOf(coder.Nearest(weight));
    error += difference * difference * (group.importance == nullptr ? 1.0 : group.importance[i]);
  });
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;  // NaN: an infinite error of importance 0
}

double StoredError(const Group& group, std::size_t at, const GroupArrays& arrays) {
  return ErrorOf(group, arrays.shape, StoredTable(at, arrays), Stored(at, arrays));
}

Coder::Coder(std::size_t at, const GroupArrays& arrays)
    : Coder(arrays.shape, StoredTable(at, arrays), Stored(at, arrays)) {}

std::uint8_t Coder::Nearest(float weight) const { return NearestCode(*f_, table_, weight, q_.scale, q_.zero); }

float Coder::WeightOf(std::uint8_t code) const {
  const float value = ValueOf(*f_, table_, code);
  return offset_ ? q_.scale * value + q_.offset : q_.scale * (value - q_.zero);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
