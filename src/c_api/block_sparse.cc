// The C API: weights without their zero blocks.
#include "lutra/block_sparse.h"

#include "c_api/c_api.h"
#include "lutra/lutra_c_sparse.h"
#include "lutra/row_ranges.h"

using lutra::Status;
using namespace lutra::c_api;

struct lutra_block_sparse : lutra::c_api::Handle<lutra::BlockSparseMatrix, 12> {};

lutra_status lutra_pack_block_sparse(const lutra_quantized_view* w, const char* target, lutra_context* context,
                                     lutra_block_sparse** packed) noexcept {
  lutra::PackOptions options;
  lutra::BlockSparseMatrix result;
  Status status =
      FirstError({CheckNotNull(w, "w"), CheckNotNull(packed, "packed"), MakeOptions(target, context, &options)});
  if (status.ok()) status = lutra::PackBlockSparse(FromC(*w), options, &result);
  if (status.ok()) status = Give(std::move(result), "packed", packed);
  return ToC(status);
}

lutra_status lutra_block_sparse_get(const lutra_block_sparse* w, lutra_block_sparse_info* info) noexcept {
  const Status status = FirstError({CheckHandle(w, "w"), CheckNotNull(info, "info")});
  if (!status.ok()) return ToC(status);
  const lutra::BlockSparseMatrix& value = w->value;
  *info = {value.m(), value.k(), value.block_columns(), value.blocks(), value.kept(), value.bytes()};
  return ToC(status);
}

lutra_status lutra_block_sparse_destroy(lutra_block_sparse** w) noexcept { return ToC(Destroy(w, "w")); }

lutra_status lutra_block_sparse_shape(const lutra_block_sparse* w, lutra_packed** shape) noexcept {
  lutra::PackedMatrix result;
  Status status = FirstError({CheckHandle(w, "w"), CheckNotNull(shape, "shape")});
  if (status.ok()) status = lutra::ViewRows(w->value.shape(), 0, 0, &result);
  if (status.ok()) status = Give(std::move(result), "shape", shape);
  return ToC(status);
}

lutra_status lutra_matmul_block_sparse(const lutra_block_sparse* w, const lutra_activations* x,
                                       const lutra_output_view* y, lutra_context* context) noexcept {
  const Status status =
      FirstError({CheckHandle(w, "w"), CheckHandle(x, "x"), CheckNotNull(y, "y"), CheckContext(context)});
  if (!status.ok()) return ToC(status);
  lutra::Context call = ContextOf(context);
  return ToC(lutra::MatMul(w->value, x->value, FromC(*y), call));
}

lutra_status lutra_matmul_block_sparse_range(const lutra_block_sparse* w, const lutra_activations* x,
                                             const lutra_output_view* y, size_t m_begin, size_t m_end) noexcept {
  Status status = FirstError({CheckHandle(w, "w"), CheckHandle(x, "x"), CheckNotNull(y, "y")});
  if (status.ok()) status = lutra::MatMulRange(w->value, x->value, FromC(*y), m_begin, m_end);
  return ToC(status);
}
