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

// A tensor of a file: its name, type and shape, and its bytes. A tensor that the file describes wrongly stays in the
// list, with an error.
struct GgufTensor {
  std::string_view name;     // UTF-8
  std::uint32_t type = 0;    // see FindGgufType and GgufRefusal
  std::uint32_t rank = 0;    // 0 to 4
  std::size_t dims[4] = {};  // the first is K, whose elements are contiguous; 1 from the rank on; 0 is valid
  std::uint64_t offset = 0;  // of the data, from the begin of the file
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;  // bytes; of a type that Lutra does not know, all bytes up to the next tensor or the end
  Status error;          // why this tensor cannot be read; then data is null, and size is 0

  std::size_t k() const { return dims[0]; }
  // The rows of all slices together, which follow each other.
  std::size_t m() const { return dims[1] * dims[2] * dims[3]; }
  // The matrices in the tensor: more than 1 if it holds experts. Each has dims[1] rows.
  std::size_t slices() const { return dims[2] * dims[3]; }
};

namespace functions {

// Sets *slice to matrix number i of a tensor, as a tensor of rank 2 with the same name. Fails, with *slice unchanged,
// with kInvalidArgument if i is not below slices() or the tensor has an error, with kUnsupported if its type is one
// whose size Lutra does not know, or if several slices share what follows them (i2_s).
LUTRA_API Status SliceOf(const GgufTensor& tensor, std::size_t i, GgufTensor* slice);

}  // namespace functions

namespace internal {

// What a file says before its tensors.
struct GgufHead {
  std::uint32_t version = 0;
  std::size_t alignment = 0;
  std::uint64_t split_no = 0, split_count = 0, split_tensors = 0;
};

}  // namespace internal

// The list of tensors of a file. Tensors and their names point into the bytes, which must outlive this object
// unchanged. Any number of threads may read it. gguf_model.h opens whole files and files in parts.
class LUTRA_API GgufFile {
 public:
  GgufFile() = default;
  GgufFile(GgufFile&& other) noexcept { *this = std::move(other); }
  GgufFile& operator=(GgufFile&& other) noexcept {
    std::swap(head_, other.head_);
    std::swap(size_, other.size_);
    std::swap(tensors_, other.tensors_);
    std::swap(by_name_, other.by_name_);
    return *this;
  }

  // Reads the list of tensors from `size` bytes of a file of version 2 or 3, little-endian. Skips all metadata except
  // general.alignment and split.*. Input is untrusted: malformed data is rejected, never read out of bounds, and every
  // tensor lies within the bytes. Fails, with this object unchanged, with kInvalidArgument on a damaged or truncated
  // list and with kUnsupported on other versions. Time and memory are proportional to the part of the file before the
  // data (and n log n for n tensors).
  //
  // A fault of one tensor is its `error`, and the others can be used: more than 4 dimensions, too large ones, rows that
  // are not whole blocks, data that are not aligned or that reach beyond the end, the name of a tensor before it.
  Status Parse(const void* bytes, std::size_t size);

  std::uint32_t version() const { return head_.version; }
  std::size_t alignment() const { return head_.alignment; }

  // A model may be split in parts: see gguf_model.h. split.no counts from 0; split.count is 0 in a file that is whole;
  // split.tensors.count is the number of tensors in all parts, 0 if the file does not say.
  std::uint64_t split_no() const { return head_.split_no; }
  std::uint64_t split_count() const { return head_.split_count; }
  std::uint64_t split_tensors() const { return head_.split_tensors; }

  // In the order of the file.
  const GgufTensor* begin() const { return tensors_.as<GgufTensor>(); }
  const GgufTensor* end() const { return begin() + size_; }
  std::size_t size() const { return size_; }
  // The first tensor of that name; null if there is none.
  const GgufTensor* Find(std::string_view name) const;

 private:
  internal::GgufHead head_;
  std::size_t size_ = 0;
  Buffer tensors_, by_name_;  // GgufTensor[size_]; pointers to them, sorted
};

namespace functions {

// ImportGguf (import.h) of a tensor of a file: of all its slices, if there are several. Fails with the error of a
// tensor that has one.
inline Status ImportGguf(const GgufTensor& tensor, QuantizedMatrix* w) {
  if (!tensor.error.ok()) return tensor.error;
  return ImportGguf(tensor.type, tensor.data, tensor.size, tensor.m(), tensor.k(), w);
}

// Imports matrix number i (0, but for experts) of the tensor with this name, and its scale. Models of nvfp4 have scales
// beside their weights: a tensor x.scale of f32 for x.weight, with one element or one per slice, which becomes
// matrix_scale; 1 without such a tensor. Fails as SliceOf and ImportGguf do, with kInvalidArgument if no tensor has the
// name or the scale is none, and with kUnsupported if a tensor of another type has a scale.
LUTRA_API Status ImportGguf(const GgufFile& file, std::string_view name, std::size_t i, QuantizedMatrix* w);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
