// GgufModel: an open GGUF model, in one file or in several.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "lutra/export.h"
#include "lutra/gguf_file.h"
#include "lutra/mapped_file.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// The files of a model and their lists of tensors. Movable. Any number of threads may read it.
//
//     lutra::GgufModel model;
//     model.Open("model-00001-of-00003.gguf");
//     lutra::ImportGguf(*model.Find("blk.0.ffn_up.weight"), &quantized);
class LUTRA_API GgufModel {
 public:
  // Opens the file at `path`. If it is a part of a split model (split.count is above 1), opens all parts, whose names
  // end in -00001-of-00003.gguf; `path` may be any of them. Files are mapped, or read: see MappedFile.
  //
  // Fails, with this object unchanged: as MappedFile::Open and GgufFile::Parse do; with kInvalidArgument if the name of
  // a part does not end like that, if a part has another split.count or not its split.no, or if there are not
  // split.tensors.count tensors in all; with kIo if a part cannot be read; and if memory is short.
  Status Open(const char* path, FileAccess access = FileAccess::kMap);

  // The files, in the order of split.no.
  std::size_t size() const { return size_; }
  const GgufFile& file(std::size_t i) const { return parts_[i].tensors; }
  // The number of tensors in all files.
  std::size_t tensors() const;
  // The first tensor of that name; null if there is none.
  const GgufTensor* Find(std::string_view name) const;

 private:
  struct Part {
    MappedFile bytes;
    GgufFile tensors;
    Status Open(const char* path, FileAccess access);
  };
  Status OpenParts(const char* path, FileAccess access, Part first);

  std::unique_ptr<Part[]> parts_;
  std::size_t size_ = 0;
};

namespace functions {

// ImportGguf (gguf_file.h) of a matrix and its scale; they may be in different files.
LUTRA_API Status ImportGguf(const GgufModel& model, std::string_view name, std::size_t i, QuantizedMatrix* w);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
