// Imports a matrix of a GGUF file together with its scale, which is a tensor of its own.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "import/gguf_import.h"
#include "lutra/gguf_file.h"
#include "lutra/gguf_model.h"
#include "memory/little_endian.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

constexpr std::uint32_t kF32Type = 0;
constexpr std::string_view kWeight = ".weight", kScale = ".scale";

bool EndsIn(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// The first tensor in the file that has the name of the tensor `weight`, with .scale in place of .weight; null if there
// is none.
const GgufTensor* FindScale(const GgufFile& file, std::string_view weight) {
  if (!EndsIn(weight, kWeight)) return nullptr;
  const std::string_view stem = weight.substr(0, weight.size() - kWeight.size());
  for (const GgufTensor& tensor : file) {
    const bool same_size = tensor.name.size() == stem.size() + kScale.size();
    if (same_size && tensor.name.substr(0, stem.size()) == stem && EndsIn(tensor.name, kScale)) return &tensor;
  }
  return nullptr;
}

// Sets *value to the element of a tensor of scales that belongs to matrix number i of `slices`.
Status ReadScale(const GgufTensor& scale, std::size_t i, std::size_t slices, float* value) {
  constexpr const char* kName = "scale";
  if (!scale.error.ok()) return {scale.error.code(), kName, scale.error.reason()};
  if (scale.type != kF32Type) return Status::Unsupported(kName, "is not f32");
  const std::size_t count = scale.size / sizeof(float);
  if (count != 1 && count != slices) return Status::Invalid(kName, "has neither one element nor one per slice");
  const auto bits = internal::LoadLittleEndian<std::uint32_t>(scale.data + (count == 1 ? 0 : i) * sizeof(float));
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  if (result == 0.0f || !internal::IsFinite(result)) return Status::Invalid(kName, "is 0 or not finite");
  *value = result;
  return {};
}

// Imports matrix number i of a tensor, which has a scale unless that is null.
Status ImportScaled(const GgufTensor* tensor, const GgufTensor* scale, std::size_t i, QuantizedMatrix* w) {
  if (tensor == nullptr) return Status::Invalid("name", "is not that of a tensor");
  GgufTensor slice;
  LUTRA_RETURN_IF_ERROR(SliceOf(*tensor, i, &slice));
  float matrix_scale = 1.0f;
  if (scale != nullptr) {
    const GgufType* const type = FindGgufType(tensor->type);
    if (type == nullptr || !HasMatrixScale(type->scale_type)) {
      return Status::Unsupported("scale", "belongs to a tensor whose type has no such scale: multiply y with it");
    }
    LUTRA_RETURN_IF_ERROR(ReadScale(*scale, i, tensor->slices(), &matrix_scale));
  }
  return internal::ImportGguf(slice.type, slice.data, slice.size, slice.m(), slice.k(), matrix_scale, w);
}

}  // namespace

Status functions::ImportGguf(const GgufFile& file, std::string_view name, std::size_t i, QuantizedMatrix* w) {
  return ImportScaled(file.Find(name), FindScale(file, name), i, w);
}

Status functions::ImportGguf(const GgufModel& model, std::string_view name, std::size_t i, QuantizedMatrix* w) {
  const GgufTensor* scale = nullptr;
  for (std::size_t part = 0; part < model.size() && scale == nullptr; ++part) {
    scale = FindScale(model.file(part), name);
  }
  return ImportScaled(model.Find(name), scale, i, w);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
