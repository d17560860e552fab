// A GGUF model that is open, with errors that a user can read.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "lutra/lutra.h"
#include "texts.h"

namespace lutra::examples {

inline std::string TypeName(std::uint32_t type) {
  const GgufType* const known = FindGgufType(type);
  return known != nullptr ? known->name : fmt::format("type {}", type);
}

// Returns what is wrong; empty if nothing is.
class ModelFile {
 public:
  // The path of a model, or of any part of a split one.
  std::string Open(const std::string& path) {
    errno = 0;
    const Status status = model_.Open(path.c_str());
    if (status.ok()) return "";
    const bool has_cause = status.code() == StatusCode::kIo && errno != 0;
    const bool of_bytes = status.argument() == std::string_view("bytes");
    return fmt::format("{}{} {}{}{}", path, of_bytes ? ": its bytes" : "", status.reason(), has_cause ? ": " : "",
                       has_cause ? std::strerror(errno) : "");
  }

  // Finds a tensor by its name, or slice e of it (an expert) by name[e].
  std::string Find(const std::string& name, GgufTensor* tensor) const {
    const GgufTensor* found = model_.Find(name);
    if (found != nullptr) {
      *tensor = *found;
      return "";
    }
    std::string_view all;
    std::size_t slice = 0;
    if (SplitSliceName(name, &all, &slice)) found = model_.Find(all);
    if (found == nullptr) return fmt::format("there is no tensor '{}' in the file", name);
    const Status status = SliceOf(*found, slice, tensor);
    return status.ok() ? "" : fmt::format("tensor '{}': {} {}", name, status.argument(), status.reason());
  }

  std::string Import(const std::string& name, QuantizedMatrix* w) const {
    GgufTensor tensor;
    if (std::string error = Find(name, &tensor); !error.empty()) return error;
    const Status status = ImportGguf(tensor, w);
    return status.ok() ? "" : fmt::format("tensor '{}': {} {}", name, status.argument(), status.reason());
  }

  const GgufModel& model() const { return model_; }

 private:
  GgufModel model_;
};

}  // namespace lutra::examples
