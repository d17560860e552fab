// The C API: activations and multiplication.
#include "c_api/c_api.h"

using lutra::Status;
using namespace lutra::c_api;

// --- Activations

lutra_status lutra_activations_create(lutra_activations** activations) noexcept {
  Status status = CheckNotNull(activations, "activations");
  if (status.ok()) status = Give(lutra::Activations(), "activations", activations);
  return ToC(status);
}

namespace {

Status CheckPrepare(const lutra_activation_view* x, const lutra_packed* w, const lutra_context* context,
                    const lutra_activations* activations) {
  return FirstError(
      {CheckNotNull(x, "x"), CheckHandle(w, "w"), CheckContext(context), CheckHandle(activations, "activations")});
}

}  // namespace

lutra_status lutra_prepare(const lutra_activation_view* x, const lutra_packed* w, lutra_precision precision,
                           lutra_context* context, lutra_activations* activations) noexcept {
  if (const Status status = CheckPrepare(x, w, context, activations); !status.ok()) return ToC(status);
  lutra::Context call = ContextOf(context);
  return ToC(lutra::Prepare(FromC(*x), w->value, FromC<lutra::Precision>(precision), call, &activations->value));
}

lutra_status lutra_prepare_rms_norm(const lutra_activation_view* x, const float* weight, float epsilon,
                                    const lutra_packed* w, lutra_precision precision, lutra_context* context,
                                    lutra_activations* activations) noexcept {
  if (const Status status = CheckPrepare(x, w, context, activations); !status.ok()) return ToC(status);
  lutra::Context call = ContextOf(context);
  return ToC(lutra::PrepareRmsNorm(FromC(*x), NormOf(weight, epsilon), w->value, FromC<lutra::Precision>(precision),
                                   call, &activations->value));
}

lutra_status lutra_prepare_hadamard(const lutra_activation_view* x, const float* signs, size_t block,
                                    const lutra_packed* w, lutra_precision precision, lutra_context* context,
                                    lutra_activations* activations) noexcept {
  if (const Status status = CheckPrepare(x, w, context, activations); !status.ok()) return ToC(status);
  lutra::Context call = ContextOf(context);
  return ToC(lutra::PrepareHadamard(FromC(*x), HadamardOf(signs, block), w->value, FromC<lutra::Precision>(precision),
                                    call, &activations->value));
}

lutra_status lutra_prepared_size(const lutra_packed* w, size_t n, lutra_precision precision, size_t* bytes) noexcept {
  Status status = CheckHandle(w, "w");
  if (status.ok()) status = lutra::PreparedSize(w->value, n, FromC<lutra::Precision>(precision), bytes);
  return ToC(status);
}

bool lutra_activations_fit(const lutra_activations* x, const lutra_packed* w) noexcept {
  return FirstError({CheckHandle(x, "x"), CheckHandle(w, "w")}).ok() && x->value.Fits(w->value);
}

lutra_status lutra_activations_get(const lutra_activations* x, lutra_activations_info* info) noexcept {
  const Status status = FirstError({CheckHandle(x, "x"), CheckNotNull(info, "info")});
  if (status.ok())
    *info = {x->value.n(), x->value.k(), static_cast<lutra_precision>(x->value.precision()), x->value.bytes()};
  return ToC(status);
}

lutra_status lutra_activations_destroy(lutra_activations** activations) noexcept {
  return ToC(Destroy(activations, "activations"));
}

// --- Multiplication

lutra_status lutra_matmul(const lutra_packed* w, const lutra_activations* x, const lutra_output_view* y,
                          lutra_context* context) noexcept {
  const Status status =
      FirstError({CheckHandle(w, "w"), CheckHandle(x, "x"), CheckNotNull(y, "y"), CheckContext(context)});
  if (!status.ok()) return ToC(status);
  lutra::Context call = ContextOf(context);
  return ToC(lutra::MatMul(w->value, x->value, FromC(*y), call));
}

lutra_status lutra_matmul_range(const lutra_packed* w, const lutra_activations* x, const lutra_output_view* y,
                                size_t m_begin, size_t m_end) noexcept {
  Status status = FirstError({CheckHandle(w, "w"), CheckHandle(x, "x"), CheckNotNull(y, "y")});
  if (status.ok()) status = lutra::MatMulRange(w->value, x->value, FromC(*y), m_begin, m_end);
  return ToC(status);
}
