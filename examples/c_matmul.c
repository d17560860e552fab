// From C: quantize, pack, save, load, prepare, multiply, and compare with a plain loop. c_matmul [FILE]
#include <stdio.h>
#include <stdlib.h>

#include "lutra/lutra_c.h"

enum { M = 300, K = 512, N = 3 };

// The same numbers on every machine, evenly spread over (-1, 1).
static void fill(float* values, size_t count, uint32_t seed) {
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = (float)(seed >> 8) / (float)(1u << 23) - 1.0f;
  }
}

// Once, when a model is converted: packs float weights and saves them. `dequantized` becomes what the codes stand for.
static lutra_status convert(const float* weights, const char* path, float* dequantized) {
  const lutra_quantize_options options = {
      .format = LUTRA_FORMAT_INT4, .group = 128, .scale_type = LUTRA_TYPE_F16, .zero_kind = LUTRA_ZERO_NONE};
  lutra_quantized* quantized = NULL;
  lutra_packed* w = NULL;
  lutra_quantized_view view;  // an engine fills in one of a model's own codes and scales
  lutra_status status = lutra_quantize(weights, M, K, K, &options, &quantized);
  if (status.code == LUTRA_OK) status = lutra_quantized_get(quantized, &view);
  if (status.code == LUTRA_OK) status = lutra_dequantize(&view, dequantized, K);
  if (status.code == LUTRA_OK) status = lutra_pack(&view, NULL, NULL, &w);
  if (status.code == LUTRA_OK) status = lutra_save(w, path);
  lutra_packed_destroy(&w);
  lutra_quantized_destroy(&quantized);
  return status;
}

// Loads the weights, and multiplies: y[N x M] = x[N x K] * W[M x K]^T.
static lutra_status multiply(const char* path, const float* x, float* y) {
  const lutra_activation_view x_view = {x, LUTRA_TYPE_F32, N, K, K, NULL, LUTRA_PER_ROW};
  const lutra_output_view y_view = {y, LUTRA_TYPE_F32, N, M, M};
  lutra_context* context = NULL;
  lutra_packed* w = NULL;
  lutra_activations* activations = NULL;
  lutra_packed_info info;
  lutra_status status = lutra_context_create(2, &context);  // or lutra_context_create_over an engine's own threads
  if (status.code == LUTRA_OK) status = lutra_load(path, NULL, context, &w, NULL);
  if (status.code == LUTRA_OK) status = lutra_packed_get(w, &info);
  if (status.code == LUTRA_OK) {
    printf("Lutra %s on %s, %.3f bits per weight\n", lutra_version(), info.target, info.bits_per_weight);
  }
  // Once per x, for every matrix that reads it; then once per matrix. Keep `activations` for the next x.
  if (status.code == LUTRA_OK) status = lutra_activations_create(&activations);
  if (status.code == LUTRA_OK) status = lutra_prepare(&x_view, w, LUTRA_PRECISION_INT8, context, activations);
  if (status.code == LUTRA_OK) status = lutra_matmul(w, activations, &y_view, context);
  lutra_activations_destroy(&activations);
  lutra_packed_destroy(&w);
  lutra_context_destroy(&context);
  return status;
}

// The squared error of y over the squared result of a plain loop.
static double error_of(const float* y, const float* x, const float* weights) {
  double error = 0, power = 0;
  for (size_t n = 0; n < N; ++n) {
    for (size_t m = 0; m < M; ++m) {
      double sum = 0;
      for (size_t k = 0; k < K; ++k) sum += (double)x[n * K + k] * (double)weights[m * K + k];
      const double difference = (double)y[n * M + m] - sum;
      error += difference * difference;
      power += sum * sum;
    }
  }
  return error / power;
}

int main(int argc, char** argv) {
  static float weights[M * K], dequantized[M * K], x[N * K], y[N * M];
  const char* const path = argc > 1 ? argv[1] : "c_matmul.lutra";
  fill(weights, M * K, 1);
  fill(x, N * K, 2);
  lutra_status status = convert(weights, path, dequantized);
  if (status.code == LUTRA_OK) status = multiply(path, x, y);
  remove(path);
  if (status.code != LUTRA_OK) {
    char message[200];
    lutra_status_message(status, message, sizeof(message));
    fprintf(stderr, "%s\n", message);
    return EXIT_FAILURE;
  }
  const double error = error_of(y, x, dequantized);
  printf("squared error over squared result: %.1e\n", error);
  return error < 5e-5 ? EXIT_SUCCESS : EXIT_FAILURE;
}
