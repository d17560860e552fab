// What is in a .safetensors file, and how fast and how exactly Lutra multiplies a matrix of it:
// safetensors_matmul FILE [TENSOR | TENSOR[e]]
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>
#include <unordered_map>
#include <vector>

#include "lutra/lutra.h"
#include "multiply.h"
#include "safetensors_file.h"
#include "safetensors_schemes.h"
#include "texts.h"

namespace lutra::examples {
namespace {

enum ExitCode { kOk = 0, kFailed = 1, kBadUsage = 2 };

int Fail(ExitCode code, const std::string& message) {
  fmt::print(stderr, "safetensors_matmul: {}\n", message);
  return code;
}

std::string SchemeOf(const CheckpointView& view) { return fmt::format("{}-bit {}", view.bits, Name(view.scheme)); }

std::string Verdict(const FoundMatrix& matrix) {
  const CheckpointView& view = matrix.view;
  if (!matrix.refusal.empty()) return fmt::format("no: {}", matrix.refusal);
  PackedLayout layout;
  const Status status = LayoutOf(view, {}, &layout);
  std::string text = fmt::format("yes, {} x {} of {} as {}", view.m, view.k, SchemeOf(view),
                                 status.ok() ? Name(layout.format()) : "?");
  if (matrix.slices > 1) text += fmt::format("; slices {0}[0] to {0}[{1}]", Printable(matrix.name), matrix.slices - 1);
  return text;
}

void PrintTensors(const SafetensorsFile& file, const std::vector<FoundMatrix>& matrices) {
  std::unordered_map<std::string, std::string> verdicts;
  for (const FoundMatrix& matrix : matrices) {
    verdicts[matrix.name] = Verdict(matrix);
    for (const std::string& part : matrix.parts) verdicts[part] = "with " + Printable(matrix.name);
  }
  std::size_t width = 6;
  for (const SafeTensor& tensor : file.tensors()) width = std::max(width, Printable(tensor.name).size());
  const auto print = [&](const std::string& name, const std::string& dtype, const std::string& shape,
                         const std::string& mb, const std::string& import) {
    fmt::print("{:<{}}  {:<7}  {:>15}  {:>8}  {}\n", name, width, dtype, shape, mb, import);
  };
  print("tensor", "type", "shape", "MB", "imported");
  for (const SafeTensor& tensor : file.tensors()) {
    const auto found = verdicts.find(tensor.name);
    const bool floats = tensor.dtype == "F32" || tensor.dtype == "F16" || tensor.dtype == "BF16";
    const std::string other =
        floats ? fmt::format("no: {} tensors are not quantized; the engine multiplies them itself", tensor.dtype)
               : "no: belongs to no known scheme";
    print(Printable(tensor.name), tensor.dtype, fmt::format("{}", fmt::join(tensor.shape, " x ")),
          fmt::format("{:.2f}", 1e-6 * static_cast<double>(tensor.size)),
          found != verdicts.end() ? found->second : other);
  }
}

// The matrix of this name, which may end with the number of a slice.
const FoundMatrix* Find(const std::vector<FoundMatrix>& matrices, const std::string& name, std::size_t* slice) {
  std::string_view all;
  const bool sliced = SplitSliceName(name, &all, slice);
  for (const FoundMatrix& matrix : matrices) {
    if (matrix.name == name) return *slice = 0, &matrix;
    if (sliced && matrix.name == all && *slice < matrix.slices) return &matrix;
  }
  return nullptr;
}

int Run(const std::string& path, const std::string& name) {
  SafetensorsFile file;
  if (const std::string error = file.Open(path); !error.empty()) return Fail(kBadUsage, error);
  const std::vector<FoundMatrix> matrices = FindMatrices(file);
  if (name.empty()) {
    PrintTensors(file, matrices);
    return kOk;
  }
  std::size_t slice = 0;
  const FoundMatrix* const matrix = Find(matrices, name, &slice);
  if (matrix == nullptr) return Fail(kBadUsage, fmt::format("there is no matrix '{}' in the file", name));
  if (!matrix->refusal.empty()) return Fail(kBadUsage, fmt::format("'{}': {}", name, matrix->refusal));
  QuantizedMatrix q;
  const Status status = ImportCheckpoint(matrix->Slice(slice), &q);
  if (!status.ok()) return Fail(kBadUsage, fmt::format("'{}': {}", name, status.message()));
  const std::string error = MultiplyAndPrint(name, SchemeOf(matrix->view), matrix->bytes, q.view());
  return error.empty() ? kOk : Fail(kFailed, error);
}

}  // namespace
}  // namespace lutra::examples

int main(int argc, char** argv) {
  using namespace lutra::examples;
  if (argc != 2 && argc != 3) {
    return Fail(kBadUsage,
                "usage: safetensors_matmul FILE [TENSOR]\n"
                "Lists the tensors of a .safetensors file, or multiplies the matrix whose codes are in TENSOR.\n"
                "FILE may also be model.safetensors.index.json, which names shards, or a folder that has one of both.\n"
                "TENSOR[e] is one slice (expert) of a tensor of several. Reads config.json beside the file.");
  }
  try {
    return Run(argv[1], argc == 3 ? argv[2] : "");
  } catch (const std::exception& error) {  // memory is short, or the JSON library throws
    return Fail(kFailed, error.what());
  }
}
