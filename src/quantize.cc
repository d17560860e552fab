// Quantize (round to nearest, absmean) and Dequantize.
#include "lutra/quantize.h"

#include <algorithm>
#include <cmath>

#include "float_mode.h"
#include "load_float.h"
#include "lutra/float16.h"
#include "memory/elements.h"
#include "scales.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::LoadFloat;

// Stores the value, rounded to the type, and returns the rounded value. Saturates at the largest finite value.
float StoreFloat(float value, void* data, DataType type, std::size_t i) {
  if (type == DataType::kF32) return static_cast<float*>(data)[i] = value;
  if (type == DataType::kF16) {
    value = std::clamp(value, -65504.0f, 65504.0f);
    static_cast<std::uint16_t*>(data)[i] = F32ToF16(value);
  } else {
    value = std::clamp(value, -0x1.fep127f, 0x1.fep127f);
    static_cast<std::uint16_t*>(data)[i] = F32ToBF16(value);
  }
  return LoadFloat(data, type, i);
}

// The weights that share a scale: `count` of each of `rows` rows.
struct Group {
  internal::Elements<float> weights;
  std::size_t rows, row_stride, count;

  template <class Function>
  void ForEach(Function&& function) const {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < count; ++i) function(weights[r * row_stride + i], r, i);
    }
  }
};

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

// The code whose value is nearest to w / scale + zero.
std::uint8_t Nearest(const FormatInfo& f, const std::int8_t* table, float w, float scale, float zero) {
  if (scale == 0.0f) w = 0.0f, scale = 1.0f;
  const float value = w / scale + zero;
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

// Fits the scale and zero point of group `at`, stores them, and returns them as they are rounded.
ScaleAndZero FitGroup(const FormatInfo& f, const std::int8_t* table, const Group& group, std::size_t at,
                      QuantizedMatrix& w) {
  const QuantizedView& v = w.view();
  ScaleAndZero s = Fit(f, table, group, v.zero_kind, v.zero_type);
  s.scale = StoreFloat(s.scale, w.scales(), v.scale_type, at);
  if (v.zero_kind == ZeroKind::kPoint && IsFloat(v.zero_type)) s.zero = StoreFloat(s.zero, w.zeros(), v.scale_type, at);
  if (v.zero_kind == ZeroKind::kOffset) {
    s.offset = StoreFloat(s.offset, w.zeros(), v.scale_type, at);
    s.zero = s.scale != 0.0f ? -s.offset / s.scale : 0.0f;
  }
  if (v.zero_kind == ZeroKind::kPoint && !IsFloat(v.zero_type))
    static_cast<std::uint8_t*>(w.zeros())[at] = static_cast<std::uint8_t>(s.zero);
  return s;
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

// Chooses the table of group `at`, stores its number, and returns the table; null if the format has none.
const std::int8_t* ChooseTable(const FormatInfo& f, const Group& group, std::size_t at, QuantizedMatrix& w) {
  const QuantizedView& v = w.view();
  if (!f.own_values) return f.values;
  if (!HasTableChoices(v)) return v.codebook;
  const auto table = [&](std::size_t i) { return v.codebook + i * static_cast<std::size_t>(f.levels); };
  std::size_t best = 0;
  double least = 0;
  for (std::size_t i = 0; i < v.codebook_tables; ++i) {
    const double error = ErrorWith(f, table(i), group, FitGroup(f, table(i), group, at, w));
    if (i == 0 || error < least) best = i, least = error;
  }
  w.table_choices()[at] = static_cast<std::uint8_t>(best);
  return table(best);
}

void QuantizeGroup(const FormatInfo& f, const Group& group, std::size_t at, QuantizedMatrix& w, std::uint8_t* codes) {
  const std::int8_t* const table = ChooseTable(f, group, at, w);
  const ScaleAndZero s = FitGroup(f, table, group, at, w);
  group.ForEach([&](float weight, std::size_t r, std::size_t i) {
    codes[r * w.view().code_stride + i] = Nearest(f, table, weight, s.scale, s.zero);
  });
}

// Quantizes every group of W[M x K]; M and K are not 0.
void QuantizeGroups(const internal::Elements<float>& weights, std::size_t row_stride, QuantizedMatrix& w) {
  const QuantizedView& v = w.view();
  const FormatInfo& f = Describe(v.format);
  const bool whole = v.group == kPerMatrix;
  const std::size_t size = HasRowScales(v.group) ? v.k : v.group, groups = GroupsPerRow(v.k, v.group);
  for (std::size_t row = 0; row < (whole ? 1 : v.m); ++row) {
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t begin = g * size;
      const Group group{weights.From(row * row_stride + begin), whole ? v.m : 1, row_stride,
                        std::min(size, v.k - begin)};
      QuantizeGroup(f, group, row * groups + g, w, w.codes() + row * v.k + begin);
    }
  }
}

QuantizedView ShapeOf(std::size_t m, std::size_t k, const QuantizeOptions& options) {
  QuantizedView shape;
  shape.format = options.format;
  shape.m = m;
  shape.k = k;
  shape.group = options.group;
  shape.scale_type = options.scale_type;
  shape.zero_kind = options.zero_kind;
  shape.zero_type = options.zero_type;
  shape.codebook = options.codebook;
  shape.codebook_tables = options.codebook_tables;
  return shape;
}

// Checks the options; `shape` is a view with their values.
Status ValidateOptions(const QuantizedView& shape) {
  if (!IsFloat(shape.scale_type)) return Status::Invalid("options.scale_type", "is not kF32, kF16 or kBF16");
  constexpr const char* kNames[][2] = {{"w.format", "options.format"},
                                       {"w.group", "options.group"},
                                       {"w.scale_type", "options.scale_type"},
                                       {"w.zero_kind", "options.zero_kind"},
                                       {"w.zero_type", "options.zero_type"},
                                       {"w.codebook", "options.codebook"},
                                       {"w.codebook_tables", "options.codebook_tables"},
                                       {"w.m", "m"},
                                       {"w.k", "k"}};
  Status status = internal::ValidateShape(shape);
  if (status.ok()) status = internal::ValidateCodebook(shape);
  return internal::Renamed(status, kNames);
}

// Checks the pointer and stride of a float matrix [M x K]; `name` is the argument that points to it.
Status ValidateRows(const float* data, std::size_t m, std::size_t k, std::size_t row_stride, const char* name) {
  if (m != 0 && k != 0 && data == nullptr) return Status::Invalid(name, "is null");
  if (m > 1 && row_stride < k) return Status::Invalid("row_stride", "is smaller than K");
  if (internal::Overflows(m, row_stride, sizeof(float))) {
    return Status::Invalid("row_stride", "is too large: M * stride overflows");
  }
  return {};
}

bool AllRowsFinite(const internal::Elements<float>& weights, std::size_t m, std::size_t k, std::size_t row_stride) {
  for (std::size_t row = 0; k != 0 && row < m; ++row) {
    if (!internal::AllFinite(weights.From(row * row_stride).data(), DataType::kF32, k)) return false;
  }
  return true;
}

bool AllCodesExist(const QuantizedView& w) {
  for (std::size_t m = 0; m < w.m; ++m) {
    const auto levels = static_cast<std::size_t>(Describe(w.format).levels);
    if (!internal::AllBelow(w.codes + m * w.code_stride, w.k, levels)) return false;
  }
  return true;
}

}  // namespace

Status Quantize(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                const QuantizeOptions& options, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  const QuantizedView shape = ShapeOf(m, k, options);
  LUTRA_RETURN_IF_ERROR(ValidateOptions(shape));
  LUTRA_RETURN_IF_ERROR(ValidateRows(weights, m, k, row_stride, "weights"));
  const internal::Elements<float> elements(weights);
  if (!AllRowsFinite(elements, m, k, row_stride)) return Status::Invalid("weights", "holds a value that is not finite");
  QuantizedMatrix result;
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape));
  std::copy_n(shape.codebook, CodebookSize(shape), result.codebook());
  const internal::FloatMode mode;
  if (m != 0 && k != 0) QuantizeGroups(elements, row_stride, result);
  *w = std::move(result);
  return {};
}

Status Dequantize(const QuantizedView& w, float* out, std::size_t row_stride) {
  LUTRA_RETURN_IF_ERROR(internal::ValidateWeights(w));
  if (w.m == 0 || w.k == 0) return {};
  LUTRA_RETURN_IF_ERROR(ValidateRows(out, w.m, w.k, row_stride, "out"));
  if (!AllCodesExist(w)) return Status::Invalid("w.codes", "holds a code that the format does not have");
  const internal::FloatMode mode;
  for (std::size_t m = 0; m < w.m; ++m) {
    for (std::size_t k = 0; k < w.k; ++k) {
      out[m * row_stride + ColumnOfX(w, k)] =
          internal::WeightAt<float>(w, m, k, internal::ValueAt(w, m, k, w.codes[m * w.code_stride + k]));
    }
  }
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
