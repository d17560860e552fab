// Round-to-nearest and absmean quantization, and its inverse.
#include "lutra/quantize.h"

#include <algorithm>
#include <cmath>

#include "load_float.h"
#include "lutra/reference.h"
#include "scales.h"
#include "validate.h"

namespace lutra {

Status QuantizedMatrix::Allocate(const QuantizedView& shape, bool bias) {
  LUTRA_RETURN_IF_ERROR(internal::ValidateShape(shape));
  const std::size_t scales = ScaleCount(shape);
  const std::size_t super_bytes = SuperScaleCount(shape) * sizeof(std::uint16_t);
  Buffer codes, scale_data, zeros, super_scales, super_offsets, bias_data, order;
  // At least a byte each: an empty matrix has pointers, too.
  if (!codes.Reserve(shape.m * shape.k + 1) || !scale_data.Reserve(scales * SizeOf(shape.scale_type) + 1) ||
      !zeros.Reserve(scales * ZeroSize(shape) + 1) || !super_scales.Reserve(super_bytes) ||
      !super_offsets.Reserve(shape.zero_kind == ZeroKind::kOffset ? super_bytes : 0) ||
      !bias_data.Reserve(bias ? shape.m * sizeof(float) + 1 : 0) ||
      !order.Reserve(shape.order != nullptr ? shape.k * sizeof(std::uint32_t) + 1 : 0)) {
    return Status::OutOfMemory("w");
  }
  codes_ = std::move(codes);
  scales_ = std::move(scale_data);
  zeros_ = std::move(zeros);
  super_scales_ = std::move(super_scales);
  super_offsets_ = std::move(super_offsets);
  bias_ = std::move(bias_data);
  order_ = std::move(order);
  view_ = shape;
  view_.codes = codes_.data();
  view_.code_stride = shape.k;
  view_.scales = scales_.data();
  view_.zeros = shape.zero_kind == ZeroKind::kNone ? nullptr : zeros_.data();
  view_.super_scales = super_scales_.as<std::uint16_t>();
  view_.super_offsets = super_offsets_.as<std::uint16_t>();
  view_.bias = bias ? bias_.as<float>() : nullptr;
  view_.order = shape.order != nullptr ? order_.as<std::uint32_t>() : nullptr;
  return {};
}

namespace {

using internal::LoadFloat;

// Stores the value rounded to the type, and returns it. Saturates instead of becoming infinite.
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
  const float* weights;
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

// What the group asks for, before rounding to the types.
ScaleAndZero Fit(const FormatInfo& f, const Group& group, ZeroKind zero_kind) {
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
  const bool free_mean = zero_kind == ZeroKind::kFloat || zero_kind == ZeroKind::kOffset;
  if (mean_scale && !free_mean) return {static_cast<float>(magnitudes / count), 0.0f, 0.0f};
  if (mean_scale) {
    const double mean = sum / count;
    double deviations = 0;
    group.ForEach([&](float w, std::size_t, std::size_t) { deviations += std::fabs(w - mean); });
    const auto scale = static_cast<float>(deviations / count);
    return {scale, scale > 0 ? static_cast<float>(-mean / scale) : 0.0f, static_cast<float>(mean)};
  }
  if (zero_kind == ZeroKind::kNone) {
    const float extreme = -low > high ? low : high;  // is code 0, exactly
    return {-extreme / f.default_zero, f.default_zero, extreme};
  }
  low = std::min(low, 0.0f);  // zero stays exact
  high = std::max(high, 0.0f);
  const float scale = static_cast<float>((static_cast<double>(high) - low) / (f.levels - 1));
  float zero = scale > 0 ? -low / scale : 0.0f;
  if (IsInteger(zero_kind)) zero = std::clamp(std::nearbyint(zero), 0.0f, static_cast<float>(f.levels - 1));
  return {scale, zero, low};
}

// The code whose value is nearest to w / scale + zero.
std::uint8_t Nearest(const FormatInfo& f, float w, float scale, float zero) {
  if (scale == 0.0f) w = 0.0f, scale = 1.0f;
  const float value = w / scale + zero;
  if (f.levels == 2) return value >= 0.0f ? 1 : 0;
  const float code = std::nearbyint((value - f.value(0)) / (f.value(1) - f.value(0)));
  return static_cast<std::uint8_t>(std::clamp(code, 0.0f, static_cast<float>(f.levels - 1)));
}

void QuantizeGroup(const FormatInfo& f, const Group& group, std::size_t at, QuantizedMatrix& w, std::uint8_t* codes) {
  const QuantizedView& v = w.view();
  ScaleAndZero s = Fit(f, group, v.zero_kind);
  s.scale = StoreFloat(s.scale, w.scales(), v.scale_type, at);
  if (v.zero_kind == ZeroKind::kFloat) s.zero = StoreFloat(s.zero, w.zeros(), v.scale_type, at);
  if (v.zero_kind == ZeroKind::kOffset) {
    s.offset = StoreFloat(s.offset, w.zeros(), v.scale_type, at);
    s.zero = s.scale != 0.0f ? -s.offset / s.scale : 0.0f;
  }
  if (IsInteger(v.zero_kind)) static_cast<std::uint8_t*>(w.zeros())[at] = static_cast<std::uint8_t>(s.zero);
  group.ForEach([&](float weight, std::size_t r, std::size_t i) {
    codes[r * v.code_stride + i] = Nearest(f, weight, s.scale, s.zero);
  });
}

}  // namespace

Status Quantize(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                const QuantizeOptions& options, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  QuantizedView shape;
  shape.format = options.format;
  shape.m = m;
  shape.k = k;
  shape.group = options.group;
  shape.scale_type = options.scale_type;
  shape.zero_kind = options.zero_kind;
  if (!IsFloat(options.scale_type)) return Status::Invalid("options.scale_type", "is not kF32, kF16 or kBF16");
  if (const Status status = internal::ValidateShape(shape); !status.ok()) {
    constexpr const char* kNames[][2] = {{"w.format", "options.format"},
                                         {"w.group", "options.group"},
                                         {"w.scale_type", "options.scale_type"},
                                         {"w.zero_kind", "options.zero_kind"},
                                         {"w.m", "m"},
                                         {"w.k", "k"}};
    return internal::Renamed(status, kNames);
  }
  const bool empty = m == 0 || k == 0;
  if (!empty && weights == nullptr) return Status::Invalid("weights", "is null");
  if (m > 1 && row_stride < k) return Status::Invalid("row_stride", "is smaller than K");
  if (internal::Overflows(m, row_stride, sizeof(float))) {
    return Status::Invalid("row_stride", "is too large: M * stride overflows");
  }
  for (std::size_t row = 0; !empty && row < m; ++row) {
    if (!internal::AllFinite(weights + row * row_stride, DataType::kF32, k)) {
      return Status::Invalid("weights", "holds a value that is not finite");
    }
  }

  QuantizedMatrix result;
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape));
  if (!empty) {
    const FormatInfo& f = Describe(options.format);
    const bool whole = options.group == kPerMatrix;
    const std::size_t group = HasRowScales(options.group) ? k : options.group;
    const std::size_t groups = GroupsPerRow(k, options.group);
    for (std::size_t row = 0; row < (whole ? 1 : m); ++row) {
      for (std::size_t g = 0; g < groups; ++g) {
        const std::size_t at = row * row_stride + g * group;
        QuantizeGroup(f, {weights + at, whole ? m : 1, row_stride, std::min(group, k - g * group)}, row * groups + g,
                      result, result.codes() + row * k + g * group);
      }
    }
  }
  *w = std::move(result);
  return {};
}

Status Dequantize(const QuantizedView& w, float* out, std::size_t row_stride) {
  LUTRA_RETURN_IF_ERROR(internal::ValidateWeights(w));
  if (w.m == 0 || w.k == 0) return {};
  if (out == nullptr) return Status::Invalid("out", "is null");
  if (w.m > 1 && row_stride < w.k) return Status::Invalid("row_stride", "is smaller than K");
  if (internal::Overflows(w.m, row_stride, sizeof(float))) {
    return Status::Invalid("row_stride", "is too large: M * stride overflows");
  }
  const FormatInfo& f = Describe(w.format);
  for (std::size_t m = 0; m < w.m; ++m) {
    for (std::size_t k = 0; k < w.k; ++k) {
      if (w.codes[m * w.code_stride + k] >= f.levels)
        return Status::Invalid("w.codes", "holds a code that the format does not have");
    }
  }
  for (std::size_t m = 0; m < w.m; ++m) {
    for (std::size_t k = 0; k < w.k; ++k) {
      out[m * row_stride + ColumnOfX(w, k)] =
          internal::WeightAt<float>(w, m, k, f.value(w.codes[m * w.code_stride + k]));
    }
  }
  return {};
}

}  // namespace lutra
