// The C API of quantizers: lutra/quantize.h says what each does.
//
//     lutra_quantize_options options = {0};  // as for lutra_quantize
//     options.format = LUTRA_FORMAT_INT3, options.group = 64, options.scale_type = LUTRA_TYPE_F16;
//     lutra_fit_options fit = {LUTRA_FIT_LEAST_ERROR, importance, context};
//     lutra_quantized* w = NULL;
//     lutra_quantize_fit(weights, M, K, K, &options, &fit, &w);
//
// What lutra_c.h says of handles, threads and structures holds here, too.
#pragma once

#include "lutra/lutra_c.h"

#if defined(__cplusplus)
extern "C" {
#endif

typedef int32_t lutra_fit;
enum {
  LUTRA_FIT_RANGE = 0,       // round to nearest, as lutra_quantize
  LUTRA_FIT_LEAST_ERROR = 1  // a search for scale and zero point
};

// How qparams are fitted.
typedef struct lutra_fit_options {
  lutra_fit fit;
  const float* importance;       // [k] or NULL: what squared errors of each column count
  const lutra_context* context;  // or NULL: the calling thread
} lutra_fit_options;

// Quantizes weights[m x k]; destroy w by lutra_quantized_destroy. Fails as lutra::Quantize does.
LUTRA_C_API lutra_status lutra_quantize_fit(const float* weights, size_t m, size_t k, size_t row_stride,
                                            const lutra_quantize_options* options, const lutra_fit_options* fit,
                                            lutra_quantized** w) LUTRA_C_NOEXCEPT;

// Learns the tables of LUTRA_FORMAT_CODEBOOK3 or 4, from options->codebook if that is not NULL, and writes them to
// codebook[codebook_tables x 8 or 16]. Fails as lutra::LearnCodebook does.
LUTRA_C_API lutra_status lutra_learn_codebook(const float* weights, size_t m, size_t k, size_t row_stride,
                                              const lutra_quantize_options* options, const lutra_fit_options* fit,
                                              int8_t* codebook) LUTRA_C_NOEXCEPT;

// What is known of x: see lutra::Feedback.
typedef struct lutra_feedback {
  const float* hessian;  // H[k x k]: x^T * x; its upper triangle is read
  const float* factor;   // U[k x k], upper triangular: U^T * U is the inverse of H, damped and in options->order
} lutra_feedback;

// Quantizes with GPTQ's error feedback. fit->importance must be NULL. Fails as lutra::QuantizeWithFeedback does.
LUTRA_C_API lutra_status lutra_quantize_with_feedback(const float* weights, size_t m, size_t k, size_t row_stride,
                                                      const lutra_quantize_options* options,
                                                      const lutra_fit_options* fit, const lutra_feedback* feedback,
                                                      lutra_quantized** w) LUTRA_C_NOEXCEPT;

#if defined(__cplusplus)
}  // extern "C"
#endif
