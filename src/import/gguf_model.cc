// GgufModel: opens the files of a model, and checks that they belong together.
#include "lutra/gguf_model.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include "lutra/buffer.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

constexpr std::uint64_t kMaxParts = 65535;  // split.count has 16 bits

Status WrongPart(const char* reason) { return Status::Invalid("path", reason); }

// The end of the name of part number `number`, which counts from 1.
struct PartSuffix {
  char text[32];
  int length;
  PartSuffix(std::size_t number, std::size_t count)
      : length(std::snprintf(text, sizeof(text), "-%05zu-of-%05zu.gguf", number, count)) {}
};

}  // namespace

Status GgufModel::Part::Open(const char* path, FileAccess access) {
  MappedFile file;
  LUTRA_RETURN_IF_ERROR(file.Open(path, access));
  LUTRA_RETURN_IF_ERROR(tensors.Parse(file.data(), file.size()));
  bytes = std::move(file);
  return {};
}

Status GgufModel::OpenParts(const char* path, FileAccess access, Part first) {
  if (first.tensors.split_count() > kMaxParts) return WrongPart("names a file with a split.count that is too large");
  const auto count = static_cast<std::size_t>(first.tensors.split_count());
  const std::uint64_t at = first.tensors.split_no();
  if (at >= count) return WrongPart("names a file whose split.no is not below its split.count");
  const PartSuffix suffix(static_cast<std::size_t>(at) + 1, count);
  const auto length = static_cast<std::size_t>(suffix.length), path_length = std::strlen(path);
  if (path_length < length || std::memcmp(path + path_length - length, suffix.text, length) != 0) {
    return WrongPart(
        "names a part of a split model, but not as -00001-of-00003.gguf, with its split.no and split.count");
  }
  std::unique_ptr<Part[]> parts(new (std::nothrow) Part[count]);
  Buffer name;
  if (parts == nullptr || !name.Reserve(path_length + 1)) return Status::OutOfMemory("path");
  std::memcpy(name.data(), path, path_length + 1);

  parts[at] = std::move(first);
  std::uint64_t tensors = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (i != at) {
      std::memcpy(name.data() + path_length - length, PartSuffix(i + 1, count).text, length);
      const Status status = parts[i].Open(name.as<const char>(), access);
      if (status.code() == StatusCode::kIo) {
        return {StatusCode::kIo, "path", "names a part of a split model of which another part cannot be read"};
      }
      if (!status.ok()) return status;
    }
    const GgufFile& part = parts[i].tensors;
    if (part.split_count() != count) return WrongPart("names a part of a split model; another part has another count");
    if (part.split_no() != i) return WrongPart("names a part of a split model; the number of another part is wrong");
    tensors += part.size();
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t wanted = parts[i].tensors.split_tensors();
    if (wanted != 0 && wanted != tensors) {
      return WrongPart("names a part of a split model whose parts do not have split.tensors.count tensors");
    }
  }
  parts_ = std::move(parts);
  size_ = count;
  return {};
}

Status GgufModel::Open(const char* path, FileAccess access) {
  Part first;
  LUTRA_RETURN_IF_ERROR(first.Open(path, access));
  if (first.tensors.split_count() > 1) return OpenParts(path, access, std::move(first));
  std::unique_ptr<Part[]> parts(new (std::nothrow) Part[1]);
  if (parts == nullptr) return Status::OutOfMemory("path");
  parts[0] = std::move(first);
  parts_ = std::move(parts);
  size_ = 1;
  return {};
}

std::size_t GgufModel::tensors() const {
  std::size_t count = 0;
  for (std::size_t i = 0; i < size_; ++i) count += file(i).size();
  return count;
}

const GgufTensor* GgufModel::Find(std::string_view name) const {
  for (std::size_t i = 0; i < size_; ++i) {
    if (const GgufTensor* const tensor = file(i).Find(name); tensor != nullptr) return tensor;
  }
  return nullptr;
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
