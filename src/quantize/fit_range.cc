// See fit_range.h.
#include "quantize/fit_range.h"

#include <algorithm>
#include <cmath>

#include "quantize/sums.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

// Fits a format with a table of values, of the format or the matrix. Without a free zero point, the lowest value of the
// table stands for the extreme weight; of a table of the matrix, the highest one if its magnitude is larger. With a
// free zero point, the values of the table spread over [low, high].
Qparams FitTable(const FormatInfo& f, const std::int8_t* table, float extreme, float low, float high, bool free_zero) {
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

// The least scale with which values from `lowest` to `highest`, around the zero point, reach all weights of a range.
float PositiveScale(float low, float high, float lowest, float highest) {
  const float down = lowest < 0.0f ? low / lowest : 0.0f, up = highest > 0.0f ? high / highest : 0.0f;
  return std::max({down, up, 0.0f});
}

// int1 and ternary: the mean of the magnitudes, around the mean of the weights if a zero is free.
Qparams FitMean(const Group& group, double mean, bool free_zero) {
  const double count = static_cast<double>(group.rows) * static_cast<double>(group.count);
  double deviations = 0;
  if (!free_zero) {
    group.ForEach([&](float w, std::size_t, std::size_t) { deviations += std::fabs(w); });
    return {static_cast<float>(deviations / count), 0.0f, 0.0f};
  }
  group.ForEach([&](float w, std::size_t, std::size_t) { deviations += std::fabs(w - mean); });
  const auto scale = static_cast<float>(deviations / count);
  return {scale, scale > 0 ? static_cast<float>(-mean / scale) : 0.0f, static_cast<float>(mean)};
}

}  // namespace

Qparams FitRange(const Group& group, const QuantizedView& shape, const std::int8_t* table) {
  const FormatInfo& f = Describe(shape.format);
  const bool free_zero = FreedomOf(shape) == ZeroFreedom::kReal;
  float low = group.weights[0], high = low;
  double sum = 0;
  group.ForEach([&](float w, std::size_t, std::size_t) {
    low = std::min(low, w);
    high = std::max(high, w);
    sum += w;
  });
  if (f.format == Format::kInt1 || f.format == Format::kTernary) {
    return FitMean(group, sum / (static_cast<double>(group.rows) * static_cast<double>(group.count)), free_zero);
  }
  const float extreme = -low > high ? low : high;
  if (f.is_float()) return {std::fabs(extreme) / f.value(f.floats.magnitudes - 1), 0.0f, 0.0f};
  if (HasMatrixScale(shape.scale_type) && FreedomOf(shape) == ZeroFreedom::kFixed) {  // no scales are negative
    const Values values(f, table);
    return {PositiveScale(low, high, values.lowest() - f.default_zero, values.highest() - f.default_zero),
            f.default_zero, 0.0f};
  }
  if (table != nullptr) return FitTable(f, table, extreme, std::min(low, 0.0f), std::max(high, 0.0f), free_zero);
  if (shape.zero_kind == ZeroKind::kNone) {  // the extreme is code 0, exactly
    return {-extreme / f.default_zero, f.default_zero, extreme};
  }
  low = std::min(low, 0.0f);  // zero stays exact
  high = std::max(high, 0.0f);
  auto scale = static_cast<float>((static_cast<double>(high) - low) / (f.levels - 1));
  if (!free_zero) {
    scale = std::max(scale, -low / HighestZero(shape));  // the range may need a higher zero point than four bits hold
  }
  return {scale, scale > 0 ? -low / scale : 0.0f, low};
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
