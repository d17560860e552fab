// A GGUF file that is open, with errors that a user can read.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "lutra/lutra.h"

namespace lutra::examples {

// Text from a file, fit for a terminal.
inline std::string Printable(std::string_view text) {
  std::string printable(text);
  for (char& c : printable) {
    if (c < ' ' || c > '~') c = '?';
  }
  return printable;
}

inline std::string TypeName(std::uint32_t type) {
  const GgufType* const known = FindGgufType(type);
  return known != nullptr ? known->name : fmt::format("type {}", type);
}

// Returns what is wrong; empty if nothing is.
class ModelFile {
 public:
  std::string Open(const std::string& path) {
    errno = 0;
    if (const Status status = bytes_.Open(path.c_str()); !status.ok()) {
      return fmt::format("{} {}{}{}", path, status.reason(), errno != 0 ? ": " : "",
                         errno != 0 ? std::strerror(errno) : "");
    }
    const Status status = tensors_.Parse(bytes_.data(), bytes_.size());
    return status.ok() ? "" : fmt::format("{}: its bytes {}", path, status.reason());
  }

  std::string Import(const std::string& name, QuantizedMatrix* w) const {
    const GgufTensor* const tensor = tensors_.Find(name);
    if (tensor == nullptr) return fmt::format("there is no tensor '{}' in the file", name);
    const Status status = ImportGguf(*tensor, w);
    return status.ok() ? "" : fmt::format("tensor '{}': {} {}", name, status.argument(), status.reason());
  }

  const GgufFile& tensors() const { return tensors_; }

 private:
  MappedFile bytes_;
  GgufFile tensors_;
};

}  // namespace lutra::examples
