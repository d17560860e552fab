// The C API of composites, sparse weights and block floating point.
#include <limits>

#include "c_api/c_api.h"
#include "lutra/lutra_c_composite.h"

using lutra::Status;
using namespace lutra::c_api;

struct lutra_sparse : lutra::c_api::Handle<lutra::SparseMatrix, 9> {};
struct lutra_composite : lutra::c_api::Handle<lutra::CompositeMatrix, 10> {};

// --- Sparse weights

lutra_status lutra_quantize_with_outliers(const float* weights, size_t m, size_t k, size_t row_stride,
                                          const lutra_quantize_options* options, double share, lutra_quantized** w,
                                          lutra_sparse** outliers) noexcept {
  lutra::QuantizedMatrix quantized;
  lutra::SparseMatrix sparse;
  Status status =
      FirstError({CheckNotNull(options, "options"), CheckNotNull(w, "w"), CheckNotNull(outliers, "outliers")});
  if (status.ok()) {
    status = lutra::QuantizeWithOutliers(weights, m, k, row_stride, FromC(*options), share, &quantized, &sparse);
  }
  lutra_quantized* handle = nullptr;
  if (status.ok()) status = Give(std::move(quantized), "w", &handle);
  if (status.ok()) status = Give(std::move(sparse), "outliers", outliers);
  if (status.ok()) {
    *w = handle;
  } else {
    (void)Destroy(&handle, "w");
  }
  return ToC(status);
}

lutra_status lutra_sparse_get(const lutra_sparse* sparse, lutra_sparse_view* view) noexcept {
  const Status status = FirstError({CheckHandle(sparse, "sparse"), CheckNotNull(view, "view")});
  if (status.ok()) {
    const lutra::SparseView& s = sparse->value.view();
    *view = {s.m, s.k, s.offsets, s.columns, s.values};
  }
  return ToC(status);
}

lutra_status lutra_sparse_destroy(lutra_sparse** sparse) noexcept { return ToC(Destroy(sparse, "sparse")); }

// --- Composites

namespace {

// A matrix of a handle; null if there is none.
Status MatrixOf(const lutra_packed* handle, const char* name, const lutra::PackedMatrix** matrix) {
  if (handle == nullptr) return {};
  const Status status = CheckHandle(handle, name);
  if (status.ok()) *matrix = &handle->value;
  return status;
}

Status Compose(const lutra_composite_parts& p, lutra::CompositeMatrix* w) {
  lutra::Buffer pointers;
  lutra::CompositeParts parts;
  Status status;
  if (p.row_matrices != 0) status = CheckNotNull(p.rows, "parts.rows");
  if (status.ok() && p.row_matrices > std::numeric_limits<std::size_t>::max() / sizeof(void*)) {
    status = Status::Invalid("parts.row_matrices", "is too large");
  }
  if (status.ok() && !pointers.Reserve(p.row_matrices * sizeof(void*))) status = Status::OutOfMemory("w");
  auto* const list = pointers.as<const lutra::PackedMatrix*>();
  for (std::size_t i = 0; i < p.row_matrices && status.ok(); ++i) {
    status = CheckHandle(p.rows[i], "parts.rows");
    if (status.ok()) list[i] = &p.rows[i]->value;
  }
  if (status.ok()) status = MatrixOf(p.down, "parts.down", &parts.down);
  if (status.ok()) status = MatrixOf(p.up, "parts.up", &parts.up);
  if (!status.ok()) return status;
  parts.rows = {list, p.row_matrices};
  parts.order = p.order;
  parts.sparse = {p.sparse.m, p.sparse.k, p.sparse.offsets, p.sparse.columns, p.sparse.values};
  return lutra::Compose(parts, w);
}

Status Load(const char* path, lutra::FileAccess access, const char* target, const lutra_context* context,
            lutra_composite** w) {
  lutra::PackOptions options;
  lutra::CompositeMatrix result;
  Status status = FirstError({CheckNotNull(w, "w"), MakeOptions(target, context, &options)});
  if (status.ok()) status = lutra::LoadComposite(path, options, &result, access);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return status;
}

lutra::CompositeOptions OptionsOf(const lutra_composite_options* o) {
  lutra::CompositeOptions options;
  if (o == nullptr) return options;
  options.prepare = {FromC<lutra::Precision>(o->prepare.precision), FromC<lutra::Choice>(o->prepare.choice),
                     FromC<lutra::NonFinite>(o->prepare.non_finite)};
  if (o->outliers != 0) options.outliers = o->outliers;
  return options;
}

}  // namespace

lutra_status lutra_compose(const lutra_composite_parts* parts, lutra_composite** w) noexcept {
  lutra::CompositeMatrix result;
  Status status = FirstError({CheckNotNull(parts, "parts"), CheckNotNull(w, "w")});
  if (status.ok()) status = Compose(*parts, &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

lutra_status lutra_composite_get(const lutra_composite* w, lutra_composite_info* info) noexcept {
  const Status status = FirstError({CheckHandle(w, "w"), CheckNotNull(info, "info")});
  if (status.ok()) *info = {w->value.m(), w->value.k(), w->value.bytes(), w->value.bits_per_weight()};
  return ToC(status);
}

lutra_status lutra_composite_destroy(lutra_composite** w) noexcept { return ToC(Destroy(w, "w")); }

lutra_status lutra_composite_save(const lutra_composite* w, const char* path) noexcept {
  Status status = CheckHandle(w, "w");
  if (status.ok()) status = lutra::SaveComposite(w->value, path);
  return ToC(status);
}

lutra_status lutra_composite_load(const char* path, const char* target, lutra_context* context,
                                  lutra_composite** w) noexcept {
  return ToC(Load(path, lutra::FileAccess::kMap, target, context, w));
}

lutra_status lutra_composite_load_unmapped(const char* path, const char* target, lutra_context* context,
                                           lutra_composite** w) noexcept {
  return ToC(Load(path, lutra::FileAccess::kRead, target, context, w));
}

lutra_status lutra_composite_matmul(const lutra_composite* w, const lutra_activation_view* x,
                                    const lutra_composite_options* options, const lutra_output_view* y,
                                    lutra_context* context) noexcept {
  const Status status =
      FirstError({CheckHandle(w, "w"), CheckNotNull(x, "x"), CheckNotNull(y, "y"), CheckContext(context)});
  if (!status.ok()) return ToC(status);
  lutra::Context call = ContextOf(context);
  return ToC(lutra::MatMul(w->value, FromC(*x), FromC(*y), OptionsOf(options), call));
}

// --- Block floating point

lutra_status lutra_order_by_magnitude(const float* magnitudes, size_t k, uint32_t* order) noexcept {
  return ToC(lutra::OrderByMagnitude(magnitudes, k, order));
}

lutra_status lutra_round_to_block_float(const lutra_activation_view* x, int32_t mantissa_bits, size_t block,
                                        const uint32_t* order, lutra_context* context, float* out) noexcept {
  const Status status = FirstError({CheckNotNull(x, "x"), CheckContext(context)});
  if (!status.ok()) return ToC(status);
  lutra::Context call = ContextOf(context);
  return ToC(lutra::RoundToBlockFloat(FromC(*x), {mantissa_bits, block}, order, call, out));
}
