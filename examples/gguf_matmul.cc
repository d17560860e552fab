// What is in a GGUF model, and how fast and how exactly Lutra multiplies a tensor: gguf_matmul FILE [TENSOR |
// TENSOR[e]]
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>

#include "lutra/lutra.h"
#include "model_file.h"
#include "multiply.h"

namespace lutra::examples {
namespace {

enum ExitCode { kOk = 0, kFailed = 1, kBadUsage = 2 };

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
    return floats ? fmt::format("no: {} tensors are not quantized; the engine multiplies them itself", name)
                  : fmt::format("no: {}", refusal);
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

int Run(const std::string& path, const std::string& name) {
  ModelFile file;
  if (const std::string error = file.Open(path); !error.empty()) return Fail(kBadUsage, error);
  if (name.empty()) {
    PrintTensors(file.model());
    return kOk;
  }
  GgufTensor tensor;
  QuantizedMatrix q;
  std::string error = file.Find(name, &tensor);
  if (error.empty()) error = file.Import(name, &q);
  if (!error.empty()) return Fail(kBadUsage, error);
  error = MultiplyAndPrint(name, TypeName(tensor.type), tensor.size, q.view());
  return error.empty() ? kOk : Fail(kFailed, error);
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
