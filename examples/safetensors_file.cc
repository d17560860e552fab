// Reads .safetensors files, and the configuration beside them.
#include "safetensors_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "lutra/lutra.h"
#include "texts.h"

namespace lutra::examples {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxHeader = 100'000'000;  // bytes; the limit of the format's own library
constexpr std::size_t kMaxRank = 8;

json ParseJson(const char* text, std::size_t size) { return json::parse(text, text + size, nullptr, false); }

std::string OpenFile(const std::string& path, MappedFile* file) {
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

std::string SafetensorsFile::Open(const std::string& path) {
  if (std::string error = OpenFile(path, &file_); !error.empty()) return error;
  if (std::string error = Parse(file_.data(), file_.size()); !error.empty()) return fmt::format("{}: {}", path, error);
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  for (const char* const name : {"config.json", "quantize_config.json"}) {
    MappedFile file;
    if (config_.is_object() || !OpenFile(folder + name, &file).empty()) continue;
    const auto* const text = reinterpret_cast<const char*>(file.data());
    if (std::string error = ParseConfig(text, file.size()); !error.empty()) {
      return fmt::format("{}{}: {}", folder, name, error);
    }
  }
  return "";
}

std::string SafetensorsFile::Parse(const std::uint8_t* bytes, std::size_t size) {
  constexpr std::size_t kLength = sizeof(std::uint64_t);
  std::uint64_t length = 0;
  if (size < kLength) return "is too short for a .safetensors file";
  std::memcpy(&length, bytes, kLength);
  if (length > size - kLength || length > kMaxHeader) return "has a header that is too long: no .safetensors file?";
  const auto header_size = static_cast<std::size_t>(length);
  const json header = ParseJson(reinterpret_cast<const char*>(bytes) + kLength, header_size);
  if (!header.is_object()) return "has a header that is no JSON object";
  std::vector<SafeTensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    SafeTensor tensor;
    tensor.name = name;
    const std::string error = ParseTensor(entry, bytes + kLength + header_size, size - kLength - header_size, &tensor);
    if (!error.empty()) return fmt::format("tensor '{}' {}", Printable(name), error);
    tensors.push_back(std::move(tensor));
  }
  tensors_ = std::move(tensors);
  by_name_.clear();
  for (std::size_t i = 0; i < tensors_.size(); ++i) by_name_.emplace(tensors_[i].name, i);
  return "";
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
