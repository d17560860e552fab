// What is in a GGUF model, and how fast and how exactly Lutra multiplies a tensor: gguf_matmul FILE [TENSOR |
// TENSOR[e]]
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "best_ms.h"
#include "lutra/lutra.h"
#include "lutra/sampled_error.h"
#include "model_file.h"

namespace lutra::examples {
namespace {

enum ExitCode { kOk = 0, kFailed = 1, kBadUsage = 2 };

// A sound kernel stays far below.
constexpr double kMaxError = 0.05;

int Fail(ExitCode code, const std::string& message) {
  fmt::print(stderr, "gguf_matmul: {}\n", message);
  return code;
}

// Whether Lutra imports a tensor, and what is said about it.
std::string Verdict(const GgufTensor& tensor) {
  if (!tensor.error.ok()) return fmt::format("no: {}", tensor.error.reason());
  const GgufType* const type = FindGgufType(tensor.type);
  if (const char* const refusal = GgufRefusal(tensor.type); refusal != nullptr) {
    const std::string name = type == nullptr ? "" : type->name;
    const bool floats = name == "f32" || name == "f16" || name == "bf16";
    return floats ? fmt::format("no: {} stays the engine's", name) : fmt::format("no: {}", refusal);
  }
  std::string text = fmt::format("yes, as {}", Name(type->format));
  if (tensor.slices() > 1)
    text += fmt::format("; slices {0}[0] to {0}[{1}]", Printable(tensor.name), tensor.slices() - 1);
  return text;
}

void PrintTensors(const GgufModel& model) {
  std::size_t width = 6;
  for (std::size_t i = 0; i < model.size(); ++i) {
    for (const GgufTensor& tensor : model.file(i)) width = std::max(width, Printable(tensor.name).size());
  }
  const auto print = [&](const std::string& name, const std::string& type, const std::string& shape,
                         const std::string& mb, const std::string& import) {
    fmt::print("{:<{}}  {:<8}  {:>15}  {:>8}  {}\n", name, width, type, shape, mb, import);
  };
  print("tensor", "type", "M x K", "MB", "imported");
  for (std::size_t i = 0; i < model.size(); ++i) {
    for (const GgufTensor& tensor : model.file(i)) {
      print(Printable(tensor.name), TypeName(tensor.type), fmt::format("{} x {}", tensor.m(), tensor.k()),
            fmt::format("{:.2f}", 1e-6 * static_cast<double>(tensor.size)), Verdict(tensor));
    }
  }
}

// One line of the table: w, which was packed from q, times n tokens. Sets *error, relative to the double reference.
Status Multiply(const QuantizedView& q, const PackedMatrix& w, std::size_t n, double* error) {
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

int Run(const std::string& path, const std::string& name) {
  ModelFile file;
  if (const std::string error = file.Open(path); !error.empty()) return Fail(kBadUsage, error);
  if (name.empty()) {
    PrintTensors(file.model());
    return kOk;
  }
  GgufTensor tensor;
  QuantizedMatrix q;
  PackedMatrix w;
  std::string error = file.Find(name, &tensor);
  if (error.empty()) error = file.Import(name, &q);
  if (!error.empty()) return Fail(kBadUsage, error);
  Status status = Pack(q.view(), &w);
  if (!status.ok()) return Fail(kFailed, status.message());
  fmt::print("{}: W[{} x {}], {} of {:.3f} bits per weight, packed as {} of {:.3f} for {}\n\n", name, w.m(), w.k(),
             TypeName(tensor.type),
             8 * static_cast<double>(tensor.size) / static_cast<double>(w.m()) / static_cast<double>(w.k()),
             Name(w.format()), w.bits_per_weight(), TargetName(w.target()));
  fmt::print("{:>4}  {:>8}  {:>8}  {:>8}  {:>15}\n", "N", "ms", "GMAC/s", "GB/s", "relative error");
  for (const std::size_t n : {std::size_t{1}, std::size_t{32}}) {
    double relative = 0;
    if (status = Multiply(q.view(), w, n, &relative); !status.ok()) return Fail(kFailed, status.message());
    if (!(relative <= kMaxError)) return Fail(kFailed, fmt::format("the error is above {}", kMaxError));
  }
  return kOk;
}

}  // namespace
}  // namespace lutra::examples

int main(int argc, char** argv) {
  using namespace lutra::examples;
  if (argc != 2 && argc != 3) {
    return Fail(kBadUsage,
                "usage: gguf_matmul FILE [TENSOR]\n"
                "Lists the tensors of a GGUF model, or multiplies one. FILE may be any part of a split model.\n"
                "TENSOR[e] is one slice (expert) of a tensor of several.");
  }
  return Run(argv[1], argc == 3 ? argv[2] : "");
}
