// From float weights to a product; README.md shows the same.
#include <cstdio>
#include <vector>

#include "lutra/lutra.h"

int main() {
  const std::size_t M = 256, K = 512, N = 2;
  const std::vector<float> weights(M * K, 0.5f), x(N * K, 1.0f);
  std::vector<float> y(N * M);
  lutra::QuantizeOptions options;
  options.format = lutra::Format::kInt2;
  lutra::QuantizedMatrix quantized;
  lutra::PackedMatrix w;  // once, at load time: quantize, or start from a lutra::QuantizedView of codes and scales
  lutra::Status status = lutra::Quantize(weights.data(), M, K, K, options, &quantized);
  if (status.ok()) status = lutra::Pack(quantized.view(), &w);
  lutra::Context context;  // every call: the context keeps the memory that prepared x takes, and may name an executor
  if (status.ok()) {
    status = lutra::MatMul(w, lutra::ActivationView(x.data(), N, K), lutra::OutputView(y.data(), N, M), context);
  }
  std::printf("%s, y[0] = %g\n", status.message().c_str(), static_cast<double>(y[0]));  // ok, y[0] = 256
  return status.ok() ? 0 : 1;
}
