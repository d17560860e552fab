// What is in a GGUF file, and how fast and how exactly Lutra multiplies one of its tensors: gguf_matmul FILE [TENSOR]
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

void PrintTensors(const GgufFile& file) {
  std::size_t width = 6;
  for (const GgufTensor& tensor : file) width = std::max(width, tensor.name.size());
  const auto print = [&](const std::string& name, const std::string& type, const std::string& shape,
                         const std::string& mb, const std::string& import) {
    fmt::print("{:<{}}  {:<8}  {:>15}  {:>8}  {}\n", name, width, type, shape, mb, import);
  };
  print("tensor", "type", "M x K", "MB", "imported");
  for (const GgufTensor& tensor : file) {
    const GgufType* const type = FindGgufType(tensor.type);
    const char* const refusal = type == nullptr ? "is of an unknown type" : type->refusal;
    print(Printable(tensor.name), TypeName(tensor.type), fmt::format("{} x {}", tensor.m(), tensor.k()),
          fmt::format("{:.2f}", 1e-6 * static_cast<double>(tensor.size)),
          refusal == nullptr ? std::string("yes, as ") + Name(type->format) : fmt::format("no: {}", refusal));
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
    PrintTensors(file.tensors());
    return kOk;
  }
  QuantizedMatrix q;
  PackedMatrix w;
  if (const std::string error = file.Import(name, &q); !error.empty()) return Fail(kBadUsage, error);
  Status status = Pack(q.view(), &w);
  if (!status.ok()) return Fail(kFailed, status.message());
  const GgufTensor& tensor = *file.tensors().Find(name);
  fmt::print("{}: W[{} x {}], {} of {:.3f} bits per weight, packed as {} of {:.3f} for {}\n\n", name, w.m(), w.k(),
             TypeName(tensor.type),
             8 * static_cast<double>(tensor.size) / static_cast<double>(w.m()) / static_cast<double>(w.k()),
             Name(w.format()), w.bits_per_weight(), TargetName(w.target()));
  fmt::print("{:>4}  {:>8}  {:>8}  {:>8}  {:>15}\n", "N", "ms", "GMAC/s", "GB/s", "relative error");
  for (const std::size_t n : {std::size_t{1}, std::size_t{32}}) {
    double error = 0;
    if (status = Multiply(q.view(), w, n, &error); !status.ok()) return Fail(kFailed, status.message());
    if (!(error <= kMaxError)) return Fail(kFailed, fmt::format("the error is above {}", kMaxError));
  }
  return kOk;
}

}  // namespace
}  // namespace lutra::examples

int main(int argc, char** argv) {
  using namespace lutra::examples;
  if (argc != 2 && argc != 3) {
    return Fail(kBadUsage, "usage: gguf_matmul FILE [TENSOR]\nLists the tensors of a GGUF file, or multiplies one.");
  }
  return Run(argv[1], argc == 3 ? argv[2] : "");
}
