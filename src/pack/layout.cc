// PackedLayout: where packed matrices and their tails stand, and views of them.
#include <algorithm>
#include <cstring>

#include "lutra/pack_panels.h"
#include "lutra/packed_layout.h"
#include "memory/checksum.h"
#include "pack/panel_packer.h"
#include "packed_access.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

internal::PackedFields internal::FieldsOf(const QuantizedView& w) {
  PackedFields fields;
  fields.format = w.format;
  fields.m = w.m;
  fields.k = w.k;
  fields.group = w.group;
  fields.scale_type = w.scale_type;
  fields.zero_kind = w.zero_kind;
  fields.zero_type = w.zero_type;
  if (HasMatrixScale(w.scale_type)) fields.matrix_scale = w.matrix_scale;
  fields.codebook_tables = TableCount(w);
  if (w.codebook != nullptr) std::copy_n(w.codebook, CodebookSize(w), fields.codebook);
  fields.bytes = PanelsIn(w.m) * GeometryOf(fields).panel_bytes;
  return fields;
}

QuantizedView internal::ShapeOf(const PackedFields& fields) {
  QuantizedView shape;
  shape.format = fields.format;
  shape.m = fields.m;
  shape.k = fields.k;
  shape.group = fields.group;
  shape.scale_type = fields.scale_type;
  shape.zero_kind = fields.zero_kind;
  shape.zero_type = fields.zero_type;
  shape.matrix_scale = fields.matrix_scale;
  shape.codebook_tables = std::max<std::size_t>(fields.codebook_tables, 1);
  return shape;
}

void internal::SetData(const std::uint8_t* data, const Tail& tail, PackedFields* fields) {
  fields->data = data;
  if (tail.bias_bytes != 0) fields->bias = reinterpret_cast<const float*>(data + fields->bytes);
  if (tail.order_bytes == 0) return;
  fields->order = reinterpret_cast<const std::uint32_t*>(data + fields->bytes + tail.bias_bytes);
  fields->order_checksum = Checksum(fields->order, tail.order_bytes);
}

PackedLayout PackedAccess::Layout(const internal::PackedFields& fields, std::size_t count, bool bias, bool order) {
  PackedLayout layout;
  layout.fields_ = fields;
  layout.bias_ = bias && fields.m != 0;
  layout.order_ = order && fields.k != 0;
  layout.count_ = count;
  layout.stride_ = internal::RoundUp(fields.bytes + internal::Tail(layout).bytes(), PackedLayout::kAlignment);
  return layout;
}

Status functions::LayoutOf(const QuantizedView& shape, const LayoutOptions& options, PackedLayout* layout) {
  if (layout == nullptr) return Status::Invalid("layout", "is null");
  LUTRA_RETURN_IF_ERROR(internal::ValidateShape(shape));
  LUTRA_RETURN_IF_ERROR(internal::ValidateCodebook(shape));
  LUTRA_RETURN_IF_ERROR(internal::ValidateMatrixScale(shape));
  internal::PackedFields fields = internal::FieldsOf(shape);
  fields.target = options.target != nullptr ? options.target : RunnableTargets().data[0];
  const PackedLayout result =
      PackedAccess::Layout(fields, options.count, options.bias || shape.bias != nullptr, shape.order != nullptr);
  // The rows of all matrices together must be as many as one matrix may have.
  QuantizedView all = shape;
  all.m = result.panels_per_matrix() * internal::kPanelRows;
  if (internal::Overflows(options.count, all.m) || internal::Overflows(options.count, result.stride())) {
    return Status::Invalid("options.count", "is too large: count * M * K overflows");
  }
  all.m *= options.count;
  if (!internal::ValidateShape(all).ok()) {
    return Status::Invalid("options.count", "is too large: count * M * K overflows");
  }
  *layout = result;
  return {};
}

PackedLayout functions::LayoutOf(const PackedMatrix& w) {
  return PackedAccess::Layout(PackedAccess::Fields(w), 1, w.has_bias(), w.order() != nullptr);
}

Status functions::PackBias(const PackedLayout& layout, const float* bias, void* memory, std::size_t size) {
  if (!layout.has_bias()) return Status::Invalid("layout", "has no bias");
  if (bias == nullptr) return Status::Invalid("bias", "is null");
  LUTRA_RETURN_IF_ERROR(internal::CheckMemory(layout, memory, size));
  if (!internal::AllFinite(bias, DataType::kF32, layout.count() * layout.m())) {
    return Status::Invalid("bias", "holds a value that is not finite");
  }
  const auto* const from = reinterpret_cast<const std::uint8_t*>(bias);
  const std::size_t bytes = internal::Tail(layout).bias_bytes, data = PackedAccess::Fields(layout).bytes;
  for (std::size_t i = 0; i < layout.count(); ++i) {
    std::memcpy(static_cast<std::uint8_t*>(memory) + i * layout.stride() + data, from + i * bytes, bytes);
  }
  return {};
}

Status functions::View(const PackedLayout& layout, const void* memory, std::size_t size, std::size_t index,
                       PackedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  if (index >= layout.count()) return Status::Invalid("index", "is not below layout.count()");
  LUTRA_RETURN_IF_ERROR(internal::CheckMemory(layout, memory, size));
  internal::PackedFields fields = PackedAccess::Fields(layout);
  internal::SetData(static_cast<const std::uint8_t*>(memory) + index * layout.stride(), internal::Tail(layout),
                    &fields);
  *w = PackedAccess::Make(fields);
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
