// Multiplies a matrix and prints its error and speed, as gguf_matmul and safetensors_matmul do.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "best_ms.h"
#include "lutra/lutra.h"
#include "lutra/sampled_error.h"

namespace lutra::examples {

// The largest relative error that passes. A kernel without faults stays far below.
inline constexpr double kMaxError = 0.05;

// One line of the table: w, which was packed from q, times n tokens. Sets *error, relative to the double reference.
inline Status Multiply(const QuantizedView& q, const PackedMatrix& w, std::size_t n, double* error) {
  std::mt19937_64 random(n);
  std::normal_distribution<float> gaussian;
  std::vector<float> x(n * q.k), y(n * q.m);
  std::generate(x.begin(), x.end(), [&] { return gaussian(random); });
  const ActivationView x_view(x.data(), n, q.k);
  const OutputView y_view(y.data(), n, q.m);
  Context context;
  Activations tables;
  Status status;
  const double ms = BestMs([] {},
                           [&] {
                             if (status.ok()) status = Prepare(x_view, w, Precision::kInt8, context, &tables);
                             if (status.ok()) status = MatMul(w, tables, y_view, context);
                           });
  Nmse nmse;
  if (status.ok()) status = CompareWithReference(q, x_view, y.data(), &nmse);
  if (!status.ok()) return status;
  *error = std::sqrt(nmse.value());
  fmt::print("{:>4}  {:>8.3f}  {:>8.1f}  {:>8.1f}  {:>15.1e}\n", n, ms,
             1e-6 * static_cast<double>(n * q.m) * static_cast<double>(q.k) / ms,
             1e-6 * static_cast<double>(w.bytes()) / ms, *error);
  return {};
}

// Packs and multiplies a matrix that takes `bytes` bytes in a file, where its type is `type`. Returns what is wrong, or
// an empty string.
inline std::string MultiplyAndPrint(const std::string& name, const std::string& type, std::size_t bytes,
                                    const QuantizedView& q) {
  PackedMatrix w;
  Status status = Pack(q, &w);
  if (!status.ok()) return status.message();
  fmt::print("{}: W[{} x {}], {} of {:.3f} bits per weight, packed as {} of {:.3f} for {}\n\n", name, w.m(), w.k(),
             type, 8 * static_cast<double>(bytes) / static_cast<double>(w.m()) / static_cast<double>(w.k()),
             Name(w.format()), w.bits_per_weight(), TargetName(w.target()));
  fmt::print("{:>4}  {:>8}  {:>8}  {:>8}  {:>15}\n", "N", "ms", "GMAC/s", "GB/s", "relative error");
  for (const std::size_t n : {std::size_t{1}, std::size_t{32}}) {
    double relative = 0;
    if (status = Multiply(q, w, n, &relative); !status.ok()) return status.message();
    if (!(relative <= kMaxError)) return fmt::format("the error is above {}", kMaxError);
  }
  return "";
}

}  // namespace lutra::examples
