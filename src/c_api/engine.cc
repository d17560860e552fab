// The C API of engines: layouts, panels, and prepared activations in parts.
#include "c_api/c_api.h"
#include "lutra/lutra_c_engine.h"

using lutra::PackedLayout;
using lutra::Status;
using namespace lutra::c_api;

// --- Layouts

namespace {

// Gives the layout that layout_of(options, layout) makes.
template <class LayoutOf>
lutra_status CreateLayout(const lutra_layout_options* options, lutra_layout** out, const LayoutOf& layout_of) {
  lutra::LayoutOptions given;
  PackedLayout layout;
  Status status = CheckNotNull(out, "layout");
  if (status.ok() && options != nullptr) status = OptionsOf(*options, &given);
  if (status.ok()) status = layout_of(given, &layout);
  if (status.ok()) status = Give(layout, "layout", out);
  return ToC(status);
}

}  // namespace

lutra_status lutra_layout_create(const lutra_quantized_view* shape, const lutra_layout_options* options,
                                 lutra_layout** layout) noexcept {
  if (const Status status = CheckNotNull(shape, "shape"); !status.ok()) return ToC(status);
  return CreateLayout(options, layout, [&](const lutra::LayoutOptions& given, PackedLayout* out) {
    return lutra::LayoutOf(FromC(*shape), given, out);
  });
}

lutra_status lutra_layout_create_gguf(uint32_t type, size_t m, size_t k, const lutra_layout_options* options,
                                      lutra_layout** layout) noexcept {
  return CreateLayout(options, layout, [&](const lutra::LayoutOptions& given, PackedLayout* out) {
    return lutra::LayoutOfGguf(type, m, k, given, out);
  });
}

lutra_status lutra_layout_create_gguf_blocks(const lutra_gguf_blocks* blocks, size_t m, size_t k,
                                             const lutra_layout_options* options, lutra_layout** layout) noexcept {
  if (const Status status = CheckNotNull(blocks, "blocks"); !status.ok()) return ToC(status);
  return CreateLayout(options, layout, [&](const lutra::LayoutOptions& given, PackedLayout* out) {
    return lutra::LayoutOfGguf(FromC(*blocks), m, k, given, out);
  });
}

lutra_status lutra_layout_create_gptq(const lutra_gptq_view* gptq, const lutra_layout_options* options,
                                      lutra_layout** layout) noexcept {
  if (const Status status = CheckNotNull(gptq, "gptq"); !status.ok()) return ToC(status);
  return CreateLayout(options, layout, [&](const lutra::LayoutOptions& given, PackedLayout* out) {
    return lutra::LayoutOf(FromC(*gptq), given, out);
  });
}

lutra_status lutra_layout_create_awq(const lutra_awq_view* awq, const lutra_layout_options* options,
                                     lutra_layout** layout) noexcept {
  if (const Status status = CheckNotNull(awq, "awq"); !status.ok()) return ToC(status);
  return CreateLayout(options, layout, [&](const lutra::LayoutOptions& given, PackedLayout* out) {
    return lutra::LayoutOf(FromC(*awq), given, out);
  });
}

lutra_status lutra_layout_get(const lutra_layout* layout, lutra_layout_info* info) noexcept {
  const Status status = FirstError({CheckHandle(layout, "layout"), CheckNotNull(info, "info")});
  if (!status.ok()) return ToC(status);
  const PackedLayout& l = layout->value;
  info->format = static_cast<lutra_format>(l.format());
  info->m = l.m();
  info->k = l.k();
  info->group = l.group();
  info->target = lutra::TargetName(l.target());
  info->has_bias = l.has_bias();
  info->has_order = l.has_order();
  info->count = l.count();
  info->bytes = l.bytes();
  info->stride = l.stride();
  info->panels = l.panels();
  info->alignment = PackedLayout::kAlignment;
  return ToC(status);
}

lutra_status lutra_layout_prepared_size(const lutra_layout* layout, size_t n, lutra_precision precision,
                                        size_t* bytes) noexcept {
  Status status = CheckHandle(layout, "layout");
  if (status.ok()) status = lutra::PreparedSize(layout->value, n, FromC<lutra::Precision>(precision), bytes);
  return ToC(status);
}

lutra_status lutra_layout_destroy(lutra_layout** layout) noexcept { return ToC(Destroy(layout, "layout")); }

// --- Packed weights

namespace {

template <class Source>
lutra_status PackFrom(const lutra_layout* layout, const Source* source, const char* name, size_t first, size_t last,
                      void* memory, size_t size) {
  Status status = FirstError({CheckHandle(layout, "layout"), CheckNotNull(source, name)});
  if (status.ok()) status = lutra::PackPanels(layout->value, FromC(*source), first, last, memory, size);
  return ToC(status);
}

}  // namespace

lutra_status lutra_pack_panels(const lutra_layout* layout, const lutra_quantized_view* w, size_t first, size_t last,
                               void* memory, size_t size) noexcept {
  return PackFrom(layout, w, "w", first, last, memory, size);
}

lutra_status lutra_pack_panels_gguf(const lutra_layout* layout, const lutra_gguf_blocks* blocks, size_t first,
                                    size_t last, void* memory, size_t size) noexcept {
  return PackFrom(layout, blocks, "blocks", first, last, memory, size);
}

lutra_status lutra_pack_panels_gptq(const lutra_layout* layout, const lutra_gptq_view* gptq, size_t first, size_t last,
                                    void* memory, size_t size) noexcept {
  return PackFrom(layout, gptq, "gptq", first, last, memory, size);
}

lutra_status lutra_pack_panels_awq(const lutra_layout* layout, const lutra_awq_view* awq, size_t first, size_t last,
                                   void* memory, size_t size) noexcept {
  return PackFrom(layout, awq, "awq", first, last, memory, size);
}

lutra_status lutra_pack_panels_floats(const lutra_layout* layout, const float* weights, size_t row_stride, size_t first,
                                      size_t last, void* memory, size_t size) noexcept {
  Status status = CheckHandle(layout, "layout");
  if (status.ok()) {
    status = lutra::PackPanels(layout->value, lutra::FloatRows{weights, row_stride}, first, last, memory, size);
  }
  return ToC(status);
}

lutra_status lutra_pack_bias(const lutra_layout* layout, const float* bias, void* memory, size_t size) noexcept {
  Status status = CheckHandle(layout, "layout");
  if (status.ok()) status = lutra::PackBias(layout->value, bias, memory, size);
  return ToC(status);
}

lutra_status lutra_view(const lutra_layout* layout, const void* memory, size_t size, size_t index,
                        lutra_packed** w) noexcept {
  lutra::PackedMatrix result;
  Status status = FirstError({CheckHandle(layout, "layout"), CheckNotNull(w, "w")});
  if (status.ok()) status = lutra::View(layout->value, memory, size, index, &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

lutra_status lutra_dequantize_rows(const lutra_packed* w, const int32_t* rows, size_t count, float* y,
                                   size_t row_stride) noexcept {
  Status status = CheckHandle(w, "w");
  if (status.ok()) status = lutra::DequantizeRows(w->value, rows, count, y, row_stride);
  return ToC(status);
}

lutra_status lutra_unpack_gguf(const lutra_packed* w, uint32_t type, size_t begin, size_t end, void* blocks,
                               size_t size) noexcept {
  Status status = CheckHandle(w, "w");
  if (status.ok()) status = lutra::UnpackGguf(w->value, type, begin, end, blocks, size);
  return ToC(status);
}

// --- Prepared activations

lutra_status lutra_prepare_part(const lutra_activation_view* x, const lutra_packed* w, lutra_precision precision,
                                size_t part, size_t parts, void* memory, size_t size) noexcept {
  Status status = FirstError({CheckNotNull(x, "x"), CheckHandle(w, "w")});
  if (status.ok()) {
    status = lutra::PreparePart(FromC(*x), w->value, FromC<lutra::Precision>(precision), part, parts, memory, size);
  }
  return ToC(status);
}

lutra_status lutra_prepare_part_rms_norm(const lutra_activation_view* x, const float* weight, float epsilon,
                                         const lutra_packed* w, lutra_precision precision, size_t part, size_t parts,
                                         void* memory, size_t size) noexcept {
  Status status = FirstError({CheckNotNull(x, "x"), CheckHandle(w, "w")});
  if (status.ok()) {
    status = lutra::PreparePart(FromC(*x), NormOf(weight, epsilon), w->value, FromC<lutra::Precision>(precision), part,
                                parts, memory, size);
  }
  return ToC(status);
}

lutra_status lutra_activations_view(const lutra_packed* w, size_t n, lutra_precision precision, const void* memory,
                                    size_t size, lutra_activations* activations) noexcept {
  Status status = FirstError({CheckHandle(w, "w"), CheckHandle(activations, "activations")});
  if (status.ok()) {
    status = lutra::ViewActivations(w->value, n, FromC<lutra::Precision>(precision), memory, size, &activations->value);
  }
  return ToC(status);
}
