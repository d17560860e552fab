// Pack, and PackPanels from a view.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "lutra/pack_panels.h"
#include "lutra/packed_matrix.h"
#include "pack/panel_packer.h"
#include "packed_access.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::kPanelRows;

// The rows of a view, whole: nothing needs to be decoded.
struct ViewSource {
  static constexpr const char* kCodes = "w.codes";
  struct Buffer {};

  const QuantizedView& w;
  const internal::QparamScheme scheme = internal::SchemeOf(w);

  static std::size_t PieceWeights(const internal::PanelPacker& packer) { return packer.geometry().k; }

  Status Decode(std::size_t row, std::size_t rows, std::size_t begin, std::size_t, Buffer&,
                internal::Piece* piece) const {
    piece->codes = w.codes + row * w.code_stride + begin;
    piece->code_stride = w.code_stride;
    piece->rows = rows;
    for (std::size_t i = 0; i < scheme.count; ++i) {
      const internal::QparamField& field = scheme.fields[i];
      piece->strides[i] = internal::ValuesPerRow(field, w.k, w.group) * SizeOf(field.type);
      piece->values[i] = static_cast<const std::uint8_t*>(internal::ArrayOf(w, field.role)) + row * piece->strides[i];
    }
    return {};
  }
};

// Writes the order of one matrix.
void PackOrder(const PackedLayout& layout, const std::uint32_t* order, std::uint8_t* matrix) {
  const internal::Tail tail(layout);
  std::uint8_t* const to = matrix + PackedAccess::Fields(layout).bytes + tail.bias_bytes;
  if (tail.order_bytes != 0) std::memcpy(to, order, tail.order_bytes);
  internal::ZeroPadding(layout, matrix);
}

// Packs panels of a view that is valid, with the bias of their rows, and an order with the first panel of a matrix.
Status PackValidPanels(const internal::PanelPacker& packer, const PackedLayout& layout, const QuantizedView& w,
                       std::size_t first, std::size_t last, std::uint8_t* memory) {
  const std::size_t data = PackedAccess::Fields(layout).bytes, per_matrix = layout.panels_per_matrix();
  for (std::size_t i = first; i < last; ++i) {
    const std::size_t matrix = i / per_matrix, begin = i % per_matrix * kPanelRows;
    std::uint8_t* const to = memory + matrix * layout.stride();
    if (begin == 0) PackOrder(layout, w.order, to);
    if (w.bias == nullptr) continue;
    const auto* const from = reinterpret_cast<const std::uint8_t*>(w.bias) + matrix * layout.m() * sizeof(float);
    const std::size_t end = std::min(begin + kPanelRows, layout.m());
    std::memcpy(to + data + begin * sizeof(float), from + begin * sizeof(float), (end - begin) * sizeof(float));
  }
  return internal::PackRange(packer, layout, ViewSource{w}, first, last, memory);
}

// Checks that the view has the shape and the types of the layout.
Status CheckShape(const PackedLayout& layout, const QuantizedView& w) {
  const internal::PackedFields& fields = PackedAccess::Fields(layout);
  if (w.format != fields.format) return Status::Invalid("w.format", "is not the layout's");
  if (w.m != layout.count() * fields.m) return Status::Invalid("w.m", "is not count() * M of the layout");
  if (w.k != fields.k) return Status::Invalid("w.k", "is not the layout's");
  if (w.group != fields.group) return Status::Invalid("w.group", "is not the layout's");
  if (w.scale_type != fields.scale_type) return Status::Invalid("w.scale_type", "is not the layout's");
  if (w.zero_kind != fields.zero_kind) return Status::Invalid("w.zero_kind", "is not the layout's");
  if (w.zero_kind != ZeroKind::kNone && w.zero_type != fields.zero_type) {
    return Status::Invalid("w.zero_type", "is not the layout's");
  }
  if (HasMatrixScale(w.scale_type) && w.matrix_scale != fields.matrix_scale) {
    return Status::Invalid("w.matrix_scale", "is not the layout's");
  }
  const bool same_tables =
      TableCount(w) == fields.codebook_tables &&
      (w.codebook == nullptr || TableCount(w) == 0 || std::memcmp(w.codebook, fields.codebook, CodebookSize(w)) == 0);
  if (!same_tables) return Status::Invalid("w.codebook", "is not the layout's");
  if (w.bias != nullptr && !layout.has_bias() && w.m != 0)
    return Status::Invalid("w.bias", "is not null, but the layout has none");
  if ((w.order != nullptr && w.k != 0) != layout.has_order()) {
    return Status::Invalid("w.order", "is null, but the layout has one, or the other way round");
  }
  return {};
}

}  // namespace

Status functions::PackPanels(const PackedLayout& layout, const QuantizedView& w, std::size_t first, std::size_t last,
                             void* memory, std::size_t size) {
  LUTRA_RETURN_IF_ERROR(internal::CheckPanels(layout, first, last));
  LUTRA_RETURN_IF_ERROR(internal::CheckMemory(layout, memory, size));
  LUTRA_RETURN_IF_ERROR(internal::ValidateShape(w));
  LUTRA_RETURN_IF_ERROR(CheckShape(layout, w));
  const std::size_t per_matrix = layout.panels_per_matrix();
  auto* const to = static_cast<std::uint8_t*>(memory);
  if (per_matrix == 0) {  // matrices without rows may have an order
    if (w.order != nullptr) LUTRA_RETURN_IF_ERROR(internal::ValidateOrder(w.order, w.k, "w.order"));
    for (std::size_t i = 0; i < layout.count(); ++i) PackOrder(layout, w.order, to + i * layout.stride());
  }
  if (first == last) return {};
  // Checks the rows of these panels alone, and the order where it is packed.
  const auto row_of = [&](std::size_t panel) {
    return panel / per_matrix * layout.m() + std::min(panel % per_matrix * kPanelRows, layout.m());
  };
  QuantizedView part = Rows(w, row_of(first), row_of(last));
  const bool begins_matrix = first % per_matrix == 0 || first / per_matrix != (last - 1) / per_matrix;
  if (!begins_matrix) part.order = nullptr;
  LUTRA_RETURN_IF_ERROR(internal::ValidateWeights(part));
  const internal::PanelPacker packer(PackedAccess::Fields(layout));
  return PackValidPanels(packer, layout, w, first, last, to);
}

namespace {

// The work of a call of Pack: a panel for each task.
struct Work {
  const internal::PanelPacker& packer;
  const PackedLayout& layout;
  const QuantizedView& w;
  std::uint8_t* memory;
  std::atomic<bool> codes_valid{true};

  void PackPanel(std::size_t panel) {
    if (PackValidPanels(packer, layout, w, panel, panel + 1, memory).ok()) return;
    codes_valid.store(false, std::memory_order_relaxed);
  }
};

}  // namespace

Status functions::Pack(const QuantizedView& w, const PackOptions& options, PackedMatrix* packed) {
  if (packed == nullptr) return Status::Invalid("packed", "is null");
  LUTRA_RETURN_IF_ERROR(internal::ValidateWeights(w));
  PackedLayout layout;
  LayoutOptions layout_options;
  layout_options.target = options.target;
  LUTRA_RETURN_IF_ERROR(LayoutOf(w, layout_options, &layout));
  Buffer buffer;
  if (!buffer.Reserve(layout.bytes())) return Status::OutOfMemory("packed");
  const internal::PanelPacker packer(PackedAccess::Fields(layout));
  Work work{packer, layout, w, buffer.data()};
  if (w.m == 0) PackOrder(layout, w.order, buffer.data());  // no panel does
  internal::RunTasks<Work>(options.executor, layout.panels(), work,
                           [](Work& work_, std::size_t panel) { work_.PackPanel(panel); });
  if (!work.codes_valid.load(std::memory_order_relaxed)) {
    return Status::Invalid("w.codes", "holds a code that the format does not have");
  }
  internal::PackedFields fields = PackedAccess::Fields(layout);
  internal::SetData(buffer.data(), internal::Tail(layout), &fields);
  *packed = PackedAccess::Make(fields, std::move(buffer));
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
