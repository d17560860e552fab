// GgufFile: the list of tensors of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "lutra/buffer.h"
#include "lutra/export.h"
#include "lutra/import.h"
#include "lutra/quantized_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// A tensor of a file: its name, type and shape, and its bytes.
struct GgufTensor {
  std::string_view name;     // UTF-8
  std::uint32_t type = 0;    // see FindGgufType
  std::uint32_t rank = 0;    // 1 to 4
  std::size_t dims[4] = {};  // the first is K, whose elements are contiguous; 1 from the rank on; never 0
  std::uint64_t offset = 0;  // of the data, from the begin of the file
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;  // bytes; for a type that ggml does not have, all bytes from `data` to the end of the file

  std::size_t k() const { return dims[0]; }
  // The rows of all matrices in the tensor. Experts (rank 3) have dims[1] rows each and follow each other.
  std::size_t m() const { return dims[1] * dims[2] * dims[3]; }
};

// The list of tensors of a file. Tensors and their names point into the bytes, which must outlive this object
// unchanged. Any number of threads may read it.
class LUTRA_API GgufFile {
 public:
  GgufFile() = default;
  GgufFile(GgufFile&& other) noexcept { *this = std::move(other); }
  GgufFile& operator=(GgufFile&& other) noexcept {
    std::swap(version_, other.version_);
    std::swap(alignment_, other.alignment_);
    std::swap(size_, other.size_);
    std::swap(tensors_, other.tensors_);
    std::swap(by_name_, other.by_name_);
    return *this;
  }

  // Reads the list of tensors from `size` bytes of a file of version 2 or 3, little-endian. Skips all metadata except
  // general.alignment. Input is untrusted: malformed data is rejected, never read out of bounds, and every tensor lies
  // within the bytes. Fails, with this object unchanged, with kInvalidArgument on damaged or truncated files and with
  // kUnsupported on other versions. Time and memory are proportional to the part of the file before the data.
  Status Parse(const void* bytes, std::size_t size);

  std::uint32_t version() const { return version_; }
  std::size_t alignment() const { return alignment_; }

  // In the order of the file.
  const GgufTensor* begin() const { return tensors_.as<GgufTensor>(); }
  const GgufTensor* end() const { return begin() + size_; }
  std::size_t size() const { return size_; }
  // Null if no tensor has that name.
  const GgufTensor* Find(std::string_view name) const;

 private:
  std::uint32_t version_ = 0;
  std::size_t alignment_ = 0, size_ = 0;
  Buffer tensors_, by_name_;  // GgufTensor[size_]; pointers to them, sorted
};

// ImportGguf (import.h) of a tensor of a file.
inline Status ImportGguf(const GgufTensor& tensor, QuantizedMatrix* w) {
  return ImportGguf(tensor.type, tensor.data, tensor.size, tensor.m(), tensor.k(), w);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
