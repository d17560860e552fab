// Allocates the arrays of quantized weights.
#include "lutra/quantized_matrix.h"

#include <utility>

#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

Status QuantizedMatrix::Allocate(const QuantizedView& shape, bool bias) {
  LUTRA_RETURN_IF_ERROR(internal::ValidateShape(shape));
  const std::size_t scales = ScaleCount(shape);
  const std::size_t super_bytes = SuperScaleCount(shape) * sizeof(std::uint16_t);
  const std::size_t codebook_size = CodebookSize(shape), choice_count = HasTableChoices(shape) ? scales : 0;
  Buffer codes, scale_data, zeros, super_scales, super_offsets, codebook, choices, bias_data, order;
  // One byte more than needed, so that pointers of an empty matrix are not null.
  if (!codes.Reserve(shape.m * shape.k + 1) || !scale_data.Reserve(scales * SizeOf(shape.scale_type) + 1) ||
      !zeros.Reserve(scales * ZeroSize(shape) + 1) || !super_scales.Reserve(super_bytes) ||
      !super_offsets.Reserve(shape.zero_kind == ZeroKind::kOffset ? super_bytes : 0) ||
      !codebook.Reserve(codebook_size) || !choices.Reserve(choice_count + (HasTableChoices(shape) ? 1 : 0)) ||
      !bias_data.Reserve(bias ? shape.m * sizeof(float) + 1 : 0) ||
      !order.Reserve(shape.order != nullptr ? shape.k * sizeof(std::uint32_t) + 1 : 0)) {
    return Status::OutOfMemory("w");
  }
  codes_ = std::move(codes);
  scales_ = std::move(scale_data);
  zeros_ = std::move(zeros);
  super_scales_ = std::move(super_scales);
  super_offsets_ = std::move(super_offsets);
  codebook_ = std::move(codebook);
  table_choices_ = std::move(choices);
  bias_ = std::move(bias_data);
  order_ = std::move(order);
  view_ = shape;
  view_.codes = codes_.data();
  view_.code_stride = shape.k;
  view_.scales = scales_.data();
  view_.zeros = shape.zero_kind == ZeroKind::kNone ? nullptr : zeros_.data();
  view_.super_scales = super_scales_.as<std::uint16_t>();
  view_.super_offsets = super_offsets_.as<std::uint16_t>();
  view_.codebook = codebook_.as<std::int8_t>();
  view_.table_choices = table_choices_.data();
  view_.bias = bias ? bias_.as<float>() : nullptr;
  view_.order = shape.order != nullptr ? order_.as<std::uint32_t>() : nullptr;
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
