// The tensors of one matrix in a safetensors file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#include "lutra/lutra.h"
#include "safetensors_schemes.h"

namespace lutra::examples {

// The tensor with the codes of a matrix, and the tensors that belong to it.
class Layer {
 public:
  Layer(const SafetensorsFile& file, const SafeTensor& codes_, std::size_t suffix, FoundMatrix* found)
      : codes(codes_), file_(file), base_(codes_.name.substr(0, codes_.name.size() - suffix)), found_(found) {}

  // The tensor with this suffix, if it has this dtype ("": any); null if there is none. Adds it to the matrix's parts.
  const SafeTensor* Get(const std::string& suffix, std::string_view dtype = "") const {
    const SafeTensor* const tensor = file_.Find(base_ + suffix);
    if (tensor == nullptr || (!dtype.empty() && tensor->dtype != dtype)) return nullptr;
    for (const std::string& part : found_->parts) {
      if (part == tensor->name) return tensor;
    }
    found_->parts.push_back(tensor->name);
    return tensor;
  }
  bool Has(const std::string& suffix, std::string_view dtype) const {
    const SafeTensor* const tensor = file_.Find(base_ + suffix);
    return tensor != nullptr && (dtype.empty() || tensor->dtype == dtype);
  }
  const nlohmann::json& config() const { return file_.config(); }
  // A string of quantization_config, empty if there is none; a number from -1 to 2^31 - 1, 0 if there is none.
  std::string Text(const char* key) const {
    const nlohmann::json& value = Member(config(), key);
    return value.is_string() ? value.get<std::string>() : "";
  }
  std::ptrdiff_t Number(const char* key) const { return NumberIn(config(), key); }
  static std::ptrdiff_t NumberIn(const nlohmann::json& object, const char* key) {
    return NumberOf(Member(object, key));
  }
  // The rows and columns of the blocks that share scales, as quantization_config says; zeros if it does not.
  struct Block {
    std::ptrdiff_t rows = 0, columns = 0;
  };
  Block BlockOfScales() const {
    const nlohmann::json* size = &Member(config(), "weight_block_size");
    for (const nlohmann::json& entry : Member(config(), "config_groups")) {
      if (!size->is_array()) size = &Member(Member(entry, "weights"), "block_structure");
    }
    return size->is_array() && size->size() == 2 ? Block{NumberOf((*size)[0]), NumberOf((*size)[1])} : Block();
  }
  // Number i of a tensor of integers; 0 if there is none.
  std::size_t Integer(const std::string& suffix, std::size_t i) const {
    const SafeTensor* const tensor = Get(suffix);
    if (tensor == nullptr || tensor->Elements() <= i) return 0;
    const std::size_t bytes = BitsOf(tensor->dtype) / 8;
    const bool integers = tensor->dtype[0] == 'I' || tensor->dtype[0] == 'U';
    std::uint64_t value = 0;
    if (integers) std::memcpy(&value, tensor->data + i * bytes, bytes);  // little-endian
    return static_cast<std::size_t>(value);
  }

  const SafeTensor& codes;

 private:
  static std::ptrdiff_t NumberOf(const nlohmann::json& value) {
    if (!value.is_number_integer()) return 0;
    const auto number = value.get<std::int64_t>();
    return number >= -1 && number <= std::numeric_limits<std::int32_t>::max() ? static_cast<std::ptrdiff_t>(number) : 0;
  }
  const SafetensorsFile& file_;
  std::string base_;
  FoundMatrix* found_;
};

inline TensorBytes BytesOf(const SafeTensor& tensor) { return {tensor.data, tensor.size}; }

}  // namespace lutra::examples
