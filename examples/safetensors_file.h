// Reads .safetensors files (https://github.com/huggingface/safetensors): eight bytes with the length of the header, the
// header, which is a JSON object that describes the tensors, and their data. Large models have several files (shards),
// and an index, a JSON object whose weight_map says which file has which tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lutra/mapped_file.h"

namespace lutra::examples {

struct SafeTensor {
  std::string name, dtype;  // "F16", "I32", "U8", ...
  std::vector<std::size_t> shape;
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;  // bytes

  std::size_t Elements() const {
    std::size_t product = 1;
    for (const std::size_t dim : shape) product *= dim;
    return product;
  }
};

// A member of an object; null if there is none. (It is a reference, because the copy of a deeply nested value would
// need a deep stack.)
const nlohmann::json& Member(const nlohmann::json& object, const char* key);

// Bits of an element of this dtype; 0 if safetensors have no such dtype.
std::size_t BitsOf(std::string_view dtype);

// The shards of an index: the names of the tensors of each file.
using Shards = std::map<std::string, std::vector<std::string>>;

// Sets *shards from the text of an index. Files must lie in its folder. Returns what is wrong, or an empty string.
std::string ParseIndex(const char* text, std::size_t size, Shards* shards);

// A file that is open, or all shards of an index, and the config.json beside it. Input is untrusted: malformed files
// are refused, and every tensor lies within the bytes of its file. Functions return what is wrong, or an empty string.
class SafetensorsFile {
 public:
  SafetensorsFile() noexcept(false) = default;  // the JSON library may throw
  SafetensorsFile(const SafetensorsFile&) = delete;
  // Opens a .safetensors file, an index (.json), or the model.safetensors.index.json or model.safetensors of a folder.
  // Also takes quantization_config from config.json, or all of quantize_config.json, in the same folder.
  std::string Open(const std::string& path);
  // The same from bytes, which must outlive this object.
  std::string Parse(const std::uint8_t* bytes, std::size_t size);
  std::string ParseConfig(const char* text, std::size_t size);

  const std::vector<SafeTensor>& tensors() const { return tensors_; }  // by name
  const SafeTensor* Find(const std::string& name) const;
  // quantization_config; a JSON null if there is none.
  const nlohmann::json& config() const { return config_; }

 private:
  std::string OpenFile(const std::string& path);
  std::string OpenShards(const std::string& path, const std::string& folder);
  std::string OpenConfig(const std::string& folder);
  void Take(std::vector<SafeTensor> tensors);

  std::vector<MappedFile> files_;
  std::vector<SafeTensor> tensors_;
  std::unordered_map<std::string, std::size_t> by_name_;
  nlohmann::json config_;
};

}  // namespace lutra::examples
