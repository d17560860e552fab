// Arrays of the caller at any address: tensors of safetensors files are often not aligned to their elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Element i of an array at any address.
template <class T>
T LoadElement(const void* data, std::size_t i) {
  T value;
  std::memcpy(&value, static_cast<const std::uint8_t*>(data) + i * sizeof(T), sizeof(T));
  return value;
}

// An array whose elements are read like that.
template <class T>
class Elements {
 public:
  explicit Elements(const void* data) : data_(static_cast<const std::uint8_t*>(data)) {}
  const void* data() const { return data_; }
  T operator[](std::size_t i) const { return LoadElement<T>(data_, i); }
  Elements From(std::size_t i) const { return Elements(data_ + i * sizeof(T)); }

 private:
  const std::uint8_t* data_;
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
