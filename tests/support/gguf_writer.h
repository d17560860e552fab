// Writes GGUF files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/gguf_blocks.h"

namespace lutra::test {

class GgufWriter {
 public:
  explicit GgufWriter(std::uint32_t version = 3, std::size_t alignment = 32) : alignment_(alignment) {
    bytes_ = {'G', 'G', 'U', 'F'};
    Put(version);
    Put(std::uint64_t{0});
    Put(std::uint64_t{0});
  }

  template <class T>
  void Put(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  void Text(const std::string& text) {
    Put(std::uint64_t{text.size()});
    bytes_.insert(bytes_.end(), text.begin(), text.end());
  }
  // The value must follow.
  void Key(const std::string& key, std::uint32_t type) {
    Text(key);
    Put(type);
    ++bytes_[16];
  }
  // Metadata of part number `no` of a split model.
  void Split(std::uint16_t no, std::uint16_t count, std::int32_t tensors) {
    Key("split.no", 2);
    Put(no);
    Key("split.count", 2);
    Put(count);
    Key("split.tensors.count", 5);
    Put(static_cast<std::uint32_t>(tensors));
  }
  void Tensor(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
              const std::vector<std::uint8_t>& data) {
    Describe(name, dims, type, data_.size());
    data_.insert(data_.end(), data.begin(), data.end());
    data_.resize((data_.size() + alignment_ - 1) / alignment_ * alignment_);
  }
  void Describe(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                std::uint64_t offset) {
    Text(name);
    Put(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t dim : dims) Put(dim);
    Put(type);
    Put(offset);
    ++bytes_[8];
  }
  // Up to 255 keys and tensors.
  std::vector<std::uint8_t> Bytes() const {
    std::vector<std::uint8_t> bytes = bytes_;
    bytes.resize((bytes.size() + alignment_ - 1) / alignment_ * alignment_);
    bytes.insert(bytes.end(), data_.begin(), data_.end());
    return bytes;
  }

 private:
  std::size_t alignment_;
  std::vector<std::uint8_t> bytes_, data_;
};

}  // namespace lutra::test
