// Quantize (round to nearest, absmean) and Dequantize.
#include "lutra/quantize.h"

#include <algorithm>

#include "fit_group.h"
#include "float_mode.h"
#include "memory/elements.h"
#include "scales.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

// Quantizes every group of W[M x K]; M and K are not 0.
void QuantizeGroups(const internal::Elements<float>& weights, std::size_t row_stride, QuantizedMatrix& w) {
  const QuantizedView& v = w.view();
  const internal::GroupArrays arrays{v, w.scales(), w.zeros(), w.table_choices()};
  const bool whole = v.group == kPerMatrix;
  const std::size_t size = HasRowScales(v.group) ? v.k : v.group, groups = GroupsPerRow(v.k, v.group);
  for (std::size_t row = 0; row < (whole ? 1 : v.m); ++row) {
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t begin = g * size;
      const internal::Group group{weights.From(row * row_stride + begin), whole ? v.m : 1, row_stride,
                                  std::min(size, v.k - begin)};
      internal::FitGroup(group, row * groups + g, arrays);
      internal::EncodeGroup(group, row * groups + g, arrays, w.codes() + row * v.k + begin, v.code_stride);
    }
  }
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
    if (!internal::AllCodesExist(Describe(w.format), w.codes + m * w.code_stride, w.k)) return false;
  }
  return true;
}

}  // namespace

Status functions::Quantize(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
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

Status functions::Dequantize(const QuantizedView& w, float* out, std::size_t row_stride) {
  LUTRA_RETURN_IF_ERROR(internal::ValidateWeights(w));
  if (w.m == 0 || w.k == 0) return {};
  LUTRA_RETURN_IF_ERROR(ValidateRows(out, w.m, w.k, row_stride, "out"));
  if (!AllCodesExist(w)) return Status::Invalid("w.codes", "holds a code that the format does not have");
  const internal::FloatMode mode;
  for (std::size_t m = 0; m < w.m; ++m) internal::DequantizeRow(w, m, out + m * row_stride);
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
