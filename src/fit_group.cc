// See fit_group.h.
#include "fit_group.h"

#include <algorithm>
#include <cmath>

#include "load_float.h"
#include "lutra/float16.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

// Stores the value, rounded to the type. Saturates at the largest finite value.
void StoreFloat(float value, void* data, DataType type, std::size_t i) {
  if (type == DataType::kF32) {
    static_cast<float*>(data)[i] = value;
  } else if (type == DataType::kF16) {
    static_cast<std::uint16_t*>(data)[i] = F32ToF16(std::clamp(value, -65504.0f, 65504.0f));
  } else {
    static_cast<std::uint16_t*>(data)[i] = F32ToBF16(std::clamp(value, -0x1.fep127f, 0x1.fep127f));
  }
}

struct ScaleAndZero {
  float scale, zero, offset;  // offset = -scale * zero
};

// Fits a format with a table of values, of the format or the matrix. Without a free zero point, the lowest value of the
// table stands for the extreme weight; of a table of the matrix, the highest one if its magnitude is larger. With a
// free zero point, the values of the table spread over [low, high].
ScaleAndZero FitTable(const FormatInfo& f, const std::int8_t* table, float extreme, float low, float high,
                      bool free_zero) {
  const auto [min, max] = std::minmax_element(table, table + f.levels);
  const float lowest = f.unit * static_cast<float>(*min), highest = f.unit * static_cast<float>(*max);
  if (!free_zero) {
    const float largest = f.own_values && highest > -lowest ? highest : lowest;
    return {largest != 0.0f ? extreme / largest : 0.0f, 0.0f, 0.0f};
  }
  const float spread = highest - lowest;
  const auto scale = spread > 0.0f ? static_cast<float>((static_cast<double>(high) - low) / spread) : 0.0f;
  return {scale, scale > 0 ? lowest - low / scale : 0.0f, low - scale * lowest};
}

// Fits the scale and zero point to the group, before they are rounded to their types. `table`: of values, or null.
ScaleAndZero Fit(const FormatInfo& f, const std::int8_t* table, const Group& group, ZeroKind zero_kind,
                 DataType zero_type) {
  float low = group.weights[0], high = low;
  double sum = 0, magnitudes = 0;
  group.ForEach([&](float w, std::size_t, std::size_t) {
    low = std::min(low, w);
    high = std::max(high, w);
    sum += w;
    magnitudes += std::fabs(w);
  });
  const double count = static_cast<double>(group.rows) * static_cast<double>(group.count);
  const bool mean_scale = f.format == Format::kInt1 || f.format == Format::kTernary;
  const bool free_mean = zero_kind != ZeroKind::kNone && IsFloat(zero_type);
  if (mean_scale && !free_mean) return {static_cast<float>(magnitudes / count), 0.0f, 0.0f};
  if (mean_scale) {
    const double mean = sum / count;
    double deviations = 0;
    group.ForEach([&](float w, std::size_t, std::size_t) { deviations += std::fabs(w - mean); });
    const auto scale = static_cast<float>(deviations / count);
    return {scale, scale > 0 ? static_cast<float>(-mean / scale) : 0.0f, static_cast<float>(mean)};
  }
  const float extreme = -low > high ? low : high;
  if (f.is_float()) return {std::fabs(extreme) / f.value(f.floats.magnitudes - 1), 0.0f, 0.0f};
  if (table != nullptr) return FitTable(f, table, extreme, std::min(low, 0.0f), std::max(high, 0.0f), free_mean);
  if (zero_kind == ZeroKind::kNone) {  // the extreme is code 0, exactly
    return {-extreme / f.default_zero, f.default_zero, extreme};
  }
  low = std::min(low, 0.0f);  // zero stays exact
  high = std::max(high, 0.0f);
  const auto highest = static_cast<float>(f.levels - 1);
  auto scale = static_cast<float>((static_cast<double>(high) - low) / (f.levels - 1));
  if (!IsFloat(zero_type)) {
    const float highest_zero = zero_type == DataType::kUInt4 ? std::min(highest, 15.0f) : highest;
    scale = std::max(scale, -low / highest_zero);  // the range may need a higher zero point than four bits hold
    const float zero = scale > 0 ? std::nearbyint(-low / scale) : 0.0f;
    return {scale, std::clamp(zero, 0.0f, highest_zero), low};
  }
  return {scale, scale > 0 ? -low / scale : 0.0f, low};
}

// The code of the float that is nearest to the value; of two, the one whose mantissa is even.
std::uint8_t NearestFloat(const FloatCode& code, float value) {
  const float magnitude = std::min(std::fabs(value), code.value(code.magnitudes - 1));
  const int exponent = magnitude == 0.0f ? 0 : std::max(std::ilogb(magnitude) + code.bias, 1);
  // Numbers up to 2^(exponent + 1) are multiples of a step. As their code, the exponent continues the mantissa.
  const float steps = std::nearbyint(std::ldexp(magnitude, code.bias + code.mantissa_bits - exponent));
  const float of_exponent = static_cast<float>(std::max(exponent - 1, 0) << code.mantissa_bits);
  const int q = static_cast<int>(of_exponent + steps);
  return static_cast<std::uint8_t>(value < 0.0f && q != 0 ? q | 1 << (code.bits() - 1) : q);
}

// The code whose value is nearest to w / scale + zero.
std::uint8_t Nearest(const FormatInfo& f, const std::int8_t* table, float w, float scale, float zero) {
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

// The scale and zero point that are stored as number `at`.
ScaleAndZero Stored(const FormatInfo& f, std::size_t at, const GroupArrays& arrays) {
  const QuantizedView& v = arrays.shape;
  ScaleAndZero s{LoadFloat(arrays.scales, v.scale_type, at), f.default_zero, 0.0f};
  if (v.zero_kind == ZeroKind::kPoint && IsFloat(v.zero_type)) s.zero = LoadFloat(arrays.zeros, v.zero_type, at);
  if (v.zero_kind == ZeroKind::kPoint && !IsFloat(v.zero_type))
    s.zero = static_cast<const std::uint8_t*>(arrays.zeros)[at];
  if (v.zero_kind == ZeroKind::kOffset) {
    s.offset = LoadFloat(arrays.zeros, v.zero_type, at);
    s.zero = s.scale != 0.0f ? -s.offset / s.scale : 0.0f;
  }
  return s;
}

// Table number i; null if the format has none.
const std::int8_t* TableOf(const FormatInfo& f, const QuantizedView& shape, std::size_t i) {
  return f.own_values ? shape.codebook + i * static_cast<std::size_t>(f.levels) : f.values;
}

// Fits the scale and zero point for one table, and stores them.
void FitScale(const FormatInfo& f, const std::int8_t* table, const Group& group, std::size_t at,
              const GroupArrays& arrays) {
  const QuantizedView& v = arrays.shape;
  const ScaleAndZero s = Fit(f, table, group, v.zero_kind, v.zero_type);
  StoreFloat(s.scale, arrays.scales, v.scale_type, at);
  if (v.zero_kind == ZeroKind::kPoint && IsFloat(v.zero_type)) StoreFloat(s.zero, arrays.zeros, v.scale_type, at);
  if (v.zero_kind == ZeroKind::kOffset) StoreFloat(s.offset, arrays.zeros, v.scale_type, at);
  if (v.zero_kind == ZeroKind::kPoint && !IsFloat(v.zero_type)) {
    static_cast<std::uint8_t*>(arrays.zeros)[at] = static_cast<std::uint8_t>(s.zero);
  }
}

// The sum of squared errors of the group with this table.
double ErrorWith(const FormatInfo& f, const std::int8_t* table, const Group& group, const ScaleAndZero& s) {
  double error = 0;
  group.ForEach([&](float weight, std::size_t, std::size_t) {
    const double value = f.unit * static_cast<float>(table[Nearest(f, table, weight, s.scale, s.zero)]);
    const double difference = weight - s.scale * (value - s.zero);
    error += difference * difference;
  });
  return error;
}

}  // namespace

void FitGroup(const Group& group, std::size_t at, const GroupArrays& arrays) {
  const FormatInfo& f = Describe(arrays.shape.format);
  std::size_t best = 0;
  if (HasTableChoices(arrays.shape)) {
    double least = 0;
    for (std::size_t i = 0; i < arrays.shape.codebook_tables; ++i) {
      const std::int8_t* const table = TableOf(f, arrays.shape, i);
      FitScale(f, table, group, at, arrays);
      const double error = ErrorWith(f, table, group, Stored(f, at, arrays));
      if (i == 0 || error < least) best = i, least = error;
    }
    arrays.table_choices[at] = static_cast<std::uint8_t>(best);
  }
  FitScale(f, TableOf(f, arrays.shape, best), group, at, arrays);
}

void EncodeGroup(const Group& group, std::size_t at, const GroupArrays& arrays, std::uint8_t* codes,
                 std::size_t code_stride) {
  const FormatInfo& f = Describe(arrays.shape.format);
  const std::int8_t* const table =
      TableOf(f, arrays.shape, HasTableChoices(arrays.shape) ? arrays.table_choices[at] : 0);
  const ScaleAndZero s = Stored(f, at, arrays);
  group.ForEach([&](float weight, std::size_t r, std::size_t i) {
    codes[r * code_stride + i] = Nearest(f, table, weight, s.scale, s.zero);
  });
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
