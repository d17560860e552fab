// See checks.h.
#include "quantize/checks.h"

#include <algorithm>

#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

// Checks the options; `shape` is a view with their values.
Status ValidateOptions(const QuantizeOptions& options, const QuantizedView& shape) {
  if (HasMatrixScale(shape.scale_type) && !(options.matrix_scale >= 0.0f && IsFinite(options.matrix_scale))) {
    return Status::Invalid("options.matrix_scale", "is negative or not finite");
  }
  if (options.fit > Fit::kLeastError) return Status::Invalid("options.fit", "is not a Fit");
  constexpr const char* kNames[][2] = {{"w.format", "options.format"},
                                       {"w.group", "options.group"},
                                       {"w.scale_type", "options.scale_type"},
                                       {"w.zero_kind", "options.zero_kind"},
                                       {"w.zero_type", "options.zero_type"},
                                       {"w.codebook", "options.codebook"},
                                       {"w.codebook_tables", "options.codebook_tables"},
                                       {"w.m", "m"},
                                       {"w.k", "k"}};
  Status status = ValidateShape(shape);
  if (status.ok()) status = ValidateCodebook(shape);
  if (status.ok() && shape.order != nullptr) status = ValidateOrder(shape.order, shape.k, "options.order");
  return Renamed(status, kNames);
}

Status ValidateImportance(const float* importance, std::size_t k) {
  if (importance == nullptr) return {};
  const bool valid = AllFinite(importance, DataType::kF32, k) &&
                     std::all_of(importance, importance + k, [](float value) { return value >= 0.0f; });
  return valid ? Status() : Status::Invalid("options.importance", "holds a value that is negative or not finite");
}

}  // namespace

Status ValidateRows(const float* data, std::size_t m, std::size_t k, std::size_t row_stride, const char* name) {
  if (m != 0 && k != 0 && data == nullptr) return Status::Invalid(name, "is null");
  if (m > 1 && row_stride < k) return Status::Invalid("row_stride", "is smaller than K");
  if (Overflows(m, row_stride, sizeof(float))) {
    return Status::Invalid("row_stride", "is too large: M * stride overflows");
  }
  return {};
}

Status ValidateQuantizing(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                          const QuantizeOptions& options) {
  LUTRA_RETURN_IF_ERROR(ValidateOptions(options, ShapeOf(m, k, options)));
  LUTRA_RETURN_IF_ERROR(ValidateRows(weights, m, k, row_stride, "weights"));
  if (m != 0) LUTRA_RETURN_IF_ERROR(ValidateImportance(options.importance, k));
  const Elements<float> elements(weights);
  for (std::size_t row = 0; k != 0 && row < m; ++row) {
    if (!AllFinite(elements.From(row * row_stride).data(), DataType::kF32, k)) {
      return Status::Invalid("weights", "holds a value that is not finite");
    }
  }
  return {};
}

GroupArrays ArraysOf(QuantizedMatrix& w) {
  return {w.view(), w.scales(), w.zeros(), w.table_choices(), w.super_scales(), w.super_offsets()};
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
