// The C API: quantizers.
#include "c_api/c_api.h"
#include "lutra/lutra_c_quantize.h"

using lutra::Status;
using namespace lutra::c_api;

static_assert(LUTRA_FIT_RANGE == static_cast<int>(lutra::Fit::kRange));
static_assert(LUTRA_FIT_LEAST_ERROR == static_cast<int>(lutra::Fit::kLeastError));
static_assert(*lutra::Name(static_cast<lutra::Fit>(LUTRA_FIT_LEAST_ERROR + 1)) == '?',
              "a constant for each lutra::Fit");

namespace {

// Checks and converts the options of all functions here.
Status QuantizingOptions(const lutra_quantize_options* options, const lutra_fit_options* fit,
                         lutra::QuantizeOptions* out) {
  Status status = FirstError({CheckNotNull(options, "options"), CheckNotNull(fit, "fit")});
  if (status.ok()) status = CheckContext(fit->context);
  if (!status.ok()) return status;
  *out = FromC(*options);
  out->fit = FromC<lutra::Fit>(fit->fit);
  out->importance = fit->importance;
  out->executor = ContextOf(fit->context).executor;
  return {};
}

}  // namespace

lutra_status lutra_quantize_fit(const float* weights, size_t m, size_t k, size_t row_stride,
                                const lutra_quantize_options* options, const lutra_fit_options* fit,
                                lutra_quantized** w) noexcept {
  lutra::QuantizeOptions with;
  lutra::QuantizedMatrix result;
  Status status = FirstError({CheckNotNull(w, "w"), QuantizingOptions(options, fit, &with)});
  if (status.ok()) status = lutra::Quantize(weights, m, k, row_stride, with, &result);
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}

lutra_status lutra_learn_codebook(const float* weights, size_t m, size_t k, size_t row_stride,
                                  const lutra_quantize_options* options, const lutra_fit_options* fit,
                                  int8_t* codebook) noexcept {
  lutra::QuantizeOptions with;
  Status status = QuantizingOptions(options, fit, &with);
  if (status.ok()) status = lutra::LearnCodebook(weights, m, k, row_stride, with, codebook);
  return ToC(status);
}

lutra_status lutra_quantize_with_feedback(const float* weights, size_t m, size_t k, size_t row_stride,
                                          const lutra_quantize_options* options, const lutra_fit_options* fit,
                                          const lutra_feedback* feedback, lutra_quantized** w) noexcept {
  lutra::QuantizeOptions with;
  lutra::QuantizedMatrix result;
  Status status =
      FirstError({CheckNotNull(feedback, "feedback"), CheckNotNull(w, "w"), QuantizingOptions(options, fit, &with)});
  if (status.ok()) {
    const lutra::Feedback known{feedback->hessian, feedback->factor};
    status = lutra::QuantizeWithFeedback(weights, m, k, row_stride, with, known, &result);
  }
  if (status.ok()) status = Give(std::move(result), "w", w);
  return ToC(status);
}
