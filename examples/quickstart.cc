// From float weights to a product; README.md shows the same.
#include <cstdio>
#include <vector>

#include "lutra/lutra.h"

int main() {
  const std::size_t M = 256, K = 512, N = 2;
  const std::vector<float> weights(M * K, 0.5f), x(N * K, 1.0f);
  std::vector<float> y(N * M);

  // Once, at load time: quantize float weights, or start from a lutra::QuantizedView of a model's own codes and scales.
  lutra::QuantizeOptions options;
  options.format = lutra::Format::kInt2;
  lutra::QuantizedMatrix quantized;
  lutra::PackedMatrix w;
  lutra::Status status = lutra::Quantize(weights.data(), M, K, K, options, &quantized);
  if (status.ok()) status = lutra::Pack(quantized.view(), &w);

  // Every call: y = x * W^T. The context keeps the memory that prepared x takes; with an executor, it uses its threads.
  lutra::Context context;
  if (status.ok()) {
    status = lutra::MatMul(w, lutra::ActivationView(x.data(), N, K), lutra::OutputView(y.data(), N, M), context);
  }

  std::printf("%s, y[0] = %g\n", status.message().c_str(), static_cast<double>(y[0]));  // ok, y[0] = 256
  return status.ok() ? 0 : 1;
}
