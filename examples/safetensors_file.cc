// Reads .safetensors files, indices of shards, and the configuration beside them.
#include "safetensors_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "lutra/lutra.h"
#include "texts.h"

namespace lutra::examples {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxHeader = 100'000'000;  // bytes; the limit of the format's own library
constexpr std::size_t kMaxRank = 8;

json ParseJson(const char* text, std::size_t size) {
  return size == 0 ? json(json::value_t::discarded) : json::parse(text, text + size, nullptr, false);
}

std::string Map(const std::string& path, MappedFile* file) {
  errno = 0;
  const Status status = file->Open(path.c_str());
  if (status.ok()) return "";
  return fmt::format("{} {}{}{}", path, status.reason(), errno != 0 ? ": " : "",
                     errno != 0 ? std::strerror(errno) : "");
}

// Sets *value. False if `number` is not an integer from 0 on.
bool GetSize(const json& number, std::size_t* value) {
  if (!number.is_number_unsigned()) return false;
  *value = number.get<std::size_t>();
  return true;
}

// Sets the fields of a tensor from its entry; `data` are the bytes behind the header.
std::string ParseTensor(const json& entry, const std::uint8_t* data, std::size_t size, SafeTensor* tensor) {
  constexpr std::size_t kMost = static_cast<std::size_t>(-1) / 64;
  if (!entry.is_object()) return "is no object";
  const json &dtype = Member(entry, "dtype"), &shape = Member(entry, "shape");
  const json& offsets = Member(entry, "data_offsets");
  if (!dtype.is_string() || BitsOf(dtype.get_ref<const std::string&>()) == 0) return "has no dtype that is known";
  tensor->dtype = dtype.get<std::string>();
  if (!shape.is_array() || shape.size() > kMaxRank) return "has no shape, or too many dimensions";
  std::size_t elements = 1;
  for (const json& number : shape) {
    std::size_t dim = 0;
    if (!GetSize(number, &dim) || dim > kMost || (dim != 0 && elements > kMost / dim))
      return "has a shape that is too large";
    elements *= dim;
    tensor->shape.push_back(dim);
  }
  std::size_t begin = 0, end = 0;
  if (!offsets.is_array() || offsets.size() != 2 || !GetSize(offsets[0], &begin) || !GetSize(offsets[1], &end)) {
    return "has no data_offsets";
  }
  if (begin > end || end > size) return "reaches beyond the end of the file";
  if (elements * BitsOf(tensor->dtype) != 8 * (end - begin)) return "does not have the size of its shape";
  tensor->data = data + begin;
  tensor->size = end - begin;
  return "";
}

// Sets *tensors from the bytes of a file.
std::string ParseTensors(const std::uint8_t* bytes, std::size_t size, std::vector<SafeTensor>* tensors) {
  constexpr std::size_t kLength = sizeof(std::uint64_t);
  std::uint64_t length = 0;
  if (size < kLength) return "is too short for a .safetensors file";
  std::memcpy(&length, bytes, kLength);
  if (length > size - kLength || length > kMaxHeader) return "has a header that is too long: no .safetensors file?";
  const auto header_size = static_cast<std::size_t>(length);
  const json header = ParseJson(reinterpret_cast<const char*>(bytes) + kLength, header_size);
  if (!header.is_object()) return "has a header that is no JSON object";
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    SafeTensor tensor;
    tensor.name = name;
    const std::string error = ParseTensor(entry, bytes + kLength + header_size, size - kLength - header_size, &tensor);
    if (!error.empty()) return fmt::format("tensor '{}' {}", Printable(name), error);
    tensors->push_back(std::move(tensor));
  }
  return "";
}

bool EndsWith(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Whether a name is that of a .safetensors file in the folder of the index, on any system.
bool IsShard(const std::string& name) {
  constexpr std::string_view kForbidden("/\\:\0", 4);
  return EndsWith(name, ".safetensors") && name.find_first_of(kForbidden) == std::string::npos;
}

}  // namespace

const json& Member(const json& object, const char* key) {
  static const json kNone;
  const auto found = object.find(key);
  return found == object.end() ? kNone : *found;
}

std::size_t BitsOf(std::string_view dtype) {
  constexpr std::pair<std::string_view, std::size_t> kTypes[] = {
      {"BOOL", 8}, {"U8", 8},    {"I8", 8},   {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"U16", 16}, {"I16", 16},
      {"F16", 16}, {"BF16", 16}, {"U32", 32}, {"I32", 32},    {"F32", 32},    {"U64", 64},    {"I64", 64}, {"F64", 64}};
  for (const auto& [name, bits] : kTypes) {
    if (name == dtype) return bits;
  }
  return 0;
}

std::string ParseIndex(const char* text, std::size_t size, Shards* shards) {
  const json index = ParseJson(text, size);
  const json& map = Member(index, "weight_map");
  if (!index.is_object() || !map.is_object()) return "is no JSON object with a weight_map";
  Shards result;
  for (const auto& [tensor, file] : map.items()) {
    if (!file.is_string()) return fmt::format("names no file for tensor '{}'", Printable(tensor));
    const auto& name = file.get_ref<const std::string&>();
    if (!IsShard(name)) return fmt::format("names '{}', which is no .safetensors file beside it", Printable(name));
    result[name].push_back(tensor);
  }
  *shards = std::move(result);
  return "";
}

std::string SafetensorsFile::Open(const std::string& path) {
  constexpr const char *kIndex = "model.safetensors.index.json", *kModel = "model.safetensors";
  std::error_code none;
  std::string file = path;
  if (std::filesystem::is_directory(path, none)) {
    const std::filesystem::path index = std::filesystem::path(path) / kIndex;
    file = std::filesystem::exists(index, none) ? index.string() : (std::filesystem::path(path) / kModel).string();
  }
  std::filesystem::path folder_path = std::filesystem::path(file).parent_path();
  if (!folder_path.empty()) folder_path /= "";
  const std::string folder = folder_path.string();
  std::string error = EndsWith(file, ".json") ? OpenShards(file, folder) : OpenFile(file);
  return error.empty() ? OpenConfig(folder) : error;
}

std::string SafetensorsFile::OpenFile(const std::string& path) {
  MappedFile file;
  if (std::string error = Map(path, &file); !error.empty()) return error;
  if (std::string error = Parse(file.data(), file.size()); !error.empty()) return fmt::format("{}: {}", path, error);
  files_.clear();
  files_.push_back(std::move(file));
  return "";
}

std::string SafetensorsFile::OpenShards(const std::string& path, const std::string& folder) {
  MappedFile index;
  Shards shards;
  if (std::string error = Map(path, &index); !error.empty()) return error;
  const auto* const text = reinterpret_cast<const char*>(index.data());
  if (std::string error = ParseIndex(text, index.size(), &shards); !error.empty()) {
    return fmt::format("{} {}", path, error);
  }
  std::vector<SafeTensor> all;
  std::vector<MappedFile> files;
  for (const auto& [name, tensors] : shards) {
    SafetensorsFile shard;
    if (std::string error = shard.OpenFile(folder + name); !error.empty()) return error;
    for (const std::string& tensor : tensors) {
      const SafeTensor* const found = shard.Find(tensor);
      if (found == nullptr) return fmt::format("{}{} has no tensor '{}'", folder, name, Printable(tensor));
      all.push_back(*found);
    }
    files.push_back(std::move(shard.files_[0]));
  }
  std::sort(all.begin(), all.end(), [](const SafeTensor& a, const SafeTensor& b) { return a.name < b.name; });
  Take(std::move(all));
  files_ = std::move(files);
  return "";
}

std::string SafetensorsFile::OpenConfig(const std::string& folder) {
  for (const char* const name : {"config.json", "quantize_config.json"}) {
    MappedFile file;
    if (config_.is_object() || !Map(folder + name, &file).empty()) continue;
    const auto* const text = reinterpret_cast<const char*>(file.data());
    if (std::string error = ParseConfig(text, file.size()); !error.empty()) {
      return fmt::format("{}{}: {}", folder, name, error);
    }
  }
  return "";
}

std::string SafetensorsFile::Parse(const std::uint8_t* bytes, std::size_t size) {
  std::vector<SafeTensor> tensors;
  std::string error = ParseTensors(bytes, size, &tensors);
  if (error.empty()) Take(std::move(tensors));
  return error;
}

void SafetensorsFile::Take(std::vector<SafeTensor> tensors) {
  tensors_ = std::move(tensors);
  by_name_.clear();
  for (std::size_t i = 0; i < tensors_.size(); ++i) by_name_.emplace(tensors_[i].name, i);
}

std::string SafetensorsFile::ParseConfig(const char* text, std::size_t size) {
  json config = ParseJson(text, size);
  if (!config.is_object()) return "is no JSON object";
  if (config.contains("quantization_config")) {
    config_ = std::move(config["quantization_config"]);
  } else if (config.contains("bits")) {  // quantize_config.json
    config_ = std::move(config);
  }
  return "";
}

const SafeTensor* SafetensorsFile::Find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace lutra::examples
