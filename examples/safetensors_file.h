// The tensors of a .safetensors file (https://github.com/huggingface/safetensors): eight bytes of a length, a JSON
// object with the tensors, and their data.
#pragma once

#include <cstddef>
#include <cstdint>
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

// A member of an object; null if there is none. (Copies of deep values would take as deep a stack.)
const nlohmann::json& Member(const nlohmann::json& object, const char* key);

// Bits of an element of a dtype of safetensors; 0 if it is none.
std::size_t BitsOf(std::string_view dtype);

// A file that is open, and the config.json beside it. Input is untrusted: what is malformed is refused, and every
// tensor lies within the bytes. Functions return what is wrong; nothing if it is empty.
class SafetensorsFile {
 public:
  SafetensorsFile() noexcept(false) = default;  // as the JSON library
  SafetensorsFile(const SafetensorsFile&) = delete;
  // Also takes quantization_config from config.json, or all of quantize_config.json, in the same folder.
  std::string Open(const std::string& path);
  // The same from bytes, which must outlive this object.
  std::string Parse(const std::uint8_t* bytes, std::size_t size);
  std::string ParseConfig(const char* text, std::size_t size);

  const std::vector<SafeTensor>& tensors() const { return tensors_; }  // by name
  const SafeTensor* Find(const std::string& name) const;
  // quantization_config; no object if there is none.
  const nlohmann::json& config() const { return config_; }

 private:
  MappedFile file_;
  std::vector<SafeTensor> tensors_;
  std::unordered_map<std::string, std::size_t> by_name_;
  nlohmann::json config_;
};

}  // namespace lutra::examples
