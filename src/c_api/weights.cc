// The C API: weights, quantized, imported, packed, saved and loaded.
#include "c_api/c_api.h"

using lutra::Status;
using namespace lutra::c_api;

// --- Quantized weights

lutra_status lutra_quantize(const float* weights, size_t m, size_t k, size_t row_stride,
                            const lutra_quantize_options* options, lutra_quantized** w) noexcept {
  lutra::QuantizedMatrix result;
  Status status = FirstError({CheckNotNull(options, "options"), CheckNotNull(w, "w")});
  if (status.ok()) status = lutra::Quantize(weights, m, k, row_stride, FromC(*options), &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

lutra_status lutra_quantized_get(const lutra_quantized* w, lutra_quantized_view* view) noexcept {
  const Status status = FirstError({CheckHandle(w, "w"), CheckNotNull(view, "view")});
  if (status.ok()) *view = ToC(w->value.view());
  return ToC(status);
}

lutra_status lutra_dequantize(const lutra_quantized_view* w, float* out, size_t row_stride) noexcept {
  Status status = CheckNotNull(w, "w");
  if (status.ok()) status = lutra::Dequantize(FromC(*w), out, row_stride);
  return ToC(status);
}

lutra_status lutra_quantized_destroy(lutra_quantized** w) noexcept { return ToC(Destroy(w, "w")); }

// --- Quantized weights of other tools

lutra_status lutra_import_gguf(uint32_t type, const void* data, size_t size, size_t m, size_t k,
                               lutra_quantized** w) noexcept {
  lutra::QuantizedMatrix result;
  Status status = CheckNotNull(w, "w");
  if (status.ok()) status = lutra::ImportGguf(type, data, size, m, k, &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

lutra_status lutra_gptq_plausible_zeros(const lutra_gptq_view* gptq, uint32_t* readings) noexcept {
  Status status = CheckNotNull(gptq, "gptq");
  if (status.ok()) status = lutra::PlausibleGptqZeros(FromC(*gptq), readings);
  return ToC(status);
}

lutra_status lutra_import_gptq(const lutra_gptq_view* gptq, lutra_quantized** w) noexcept {
  lutra::QuantizedMatrix result;
  Status status = FirstError({CheckNotNull(gptq, "gptq"), CheckNotNull(w, "w")});
  if (status.ok()) status = lutra::ImportGptq(FromC(*gptq), &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

lutra_status lutra_import_awq(const lutra_awq_view* awq, lutra_quantized** w) noexcept {
  lutra::QuantizedMatrix result;
  Status status = FirstError({CheckNotNull(awq, "awq"), CheckNotNull(w, "w")});
  if (status.ok()) status = lutra::ImportAwq(FromC(*awq), &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

const char* lutra_checkpoint_name(lutra_checkpoint_scheme scheme) noexcept {
  const auto value = FromC<lutra::CheckpointScheme>(scheme);
  return lutra::IsScheme(value) ? lutra::Name(value) : nullptr;
}

lutra_status lutra_import_checkpoint(const lutra_checkpoint_view* checkpoint, lutra_quantized** w) noexcept {
  lutra::QuantizedMatrix result;
  Status status = FirstError({CheckNotNull(checkpoint, "checkpoint"), CheckNotNull(w, "w")});
  if (status.ok()) status = lutra::ImportCheckpoint(FromC(*checkpoint), &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

// --- Packed weights

lutra_status lutra_pack(const lutra_quantized_view* w, const char* target, lutra_context* context,
                        lutra_packed** packed) noexcept {
  lutra::PackOptions options;
  lutra::PackedMatrix result;
  Status status =
      FirstError({CheckNotNull(w, "w"), CheckNotNull(packed, "packed"), MakeOptions(target, context, &options)});
  if (status.ok()) status = lutra::Pack(FromC(*w), options, &result);
  if (status.ok()) status = Give(std::move(result), "packed", packed);
  return ToC(status);
}

lutra_status lutra_unpack(const lutra_packed* packed, lutra_quantized** w) noexcept {
  lutra::QuantizedMatrix result;
  Status status = FirstError({CheckHandle(packed, "packed"), CheckNotNull(w, "w")});
  if (status.ok()) status = lutra::Unpack(packed->value, &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

lutra_status lutra_packed_get(const lutra_packed* w, lutra_packed_info* info) noexcept {
  const Status status = FirstError({CheckHandle(w, "w"), CheckNotNull(info, "info")});
  if (!status.ok()) return ToC(status);
  const lutra::PackedMatrix& p = w->value;
  info->format = static_cast<lutra_format>(p.format());
  info->m = p.m();
  info->k = p.k();
  info->group = p.group();
  info->scale_type = static_cast<lutra_data_type>(p.scale_type());
  info->zero_kind = static_cast<lutra_zero_kind>(p.zero_kind());
  info->zero_type = static_cast<lutra_data_type>(p.zero_type());
  info->matrix_scale = p.matrix_scale();
  info->codebook_tables = p.codebook_tables();
  info->has_bias = p.has_bias();
  info->target = lutra::TargetName(p.target());
  info->bytes = p.bytes();
  info->bits_per_weight = p.bits_per_weight();
  info->file_size = lutra::PackedFileSize(p);
  return ToC(status);
}

lutra_status lutra_packed_destroy(lutra_packed** w) noexcept { return ToC(Destroy(w, "w")); }

// --- Packed weights in files and in memory

lutra_status lutra_save(const lutra_packed* w, const char* path) noexcept {
  Status status = CheckHandle(w, "w");
  if (status.ok()) status = lutra::SavePacked(w->value, path);
  return ToC(status);
}

lutra_status lutra_save_bytes(const lutra_packed* w, void* bytes, size_t size) noexcept {
  Status status = CheckHandle(w, "w");
  if (status.ok()) status = lutra::SavePacked(w->value, bytes, size);
  return ToC(status);
}

namespace {

// The part that both load functions share. load(options, matrix, how) sets the matrix and how it was loaded.
template <class Load>
Status LoadWith(const Load& load, const char* target, lutra_context* context, lutra_packed** w, lutra_loaded* loaded) {
  lutra::PackOptions options;
  lutra::PackedMatrix result;
  lutra::Loaded how{};
  Status status = FirstError({CheckNotNull(w, "w"), MakeOptions(target, context, &options)});
  if (status.ok()) status = load(options, &result, &how);
  if (status.ok()) status = Give(std::move(result), "w", w);
  if (status.ok() && loaded != nullptr) *loaded = static_cast<lutra_loaded>(how);
  return status;
}

}  // namespace

lutra_status lutra_load(const char* path, const char* target, lutra_context* context, lutra_packed** w,
                        lutra_loaded* loaded) noexcept {
  const auto load = [&](const lutra::PackOptions& options, lutra::PackedMatrix* result, lutra::Loaded* how) {
    return lutra::LoadPacked(path, options, result, how);
  };
  return ToC(LoadWith(load, target, context, w, loaded));
}

lutra_status lutra_load_unmapped(const char* path, const char* target, lutra_context* context, lutra_packed** w,
                                 lutra_loaded* loaded) noexcept {
  const auto load = [&](const lutra::PackOptions& options, lutra::PackedMatrix* result, lutra::Loaded* how) {
    return lutra::LoadPacked(path, options, result, how, lutra::FileAccess::kRead);
  };
  return ToC(LoadWith(load, target, context, w, loaded));
}

lutra_status lutra_load_unchecked(const char* path, const char* target, lutra_context* context, lutra_packed** w,
                                  lutra_loaded* loaded) noexcept {
  const auto load = [&](lutra::PackOptions options, lutra::PackedMatrix* result, lutra::Loaded* how) {
    options.check_data = false;
    return lutra::LoadPacked(path, options, result, how);
  };
  return ToC(LoadWith(load, target, context, w, loaded));
}

lutra_status lutra_load_bytes(const void* bytes, size_t size, const char* target, lutra_context* context,
                              lutra_packed** w, lutra_loaded* loaded) noexcept {
  const auto load = [&](const lutra::PackOptions& options, lutra::PackedMatrix* result, lutra::Loaded* how) {
    return lutra::LoadPacked(bytes, size, options, result, how);
  };
  return ToC(LoadWith(load, target, context, w, loaded));
}
