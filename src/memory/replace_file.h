// Writes files that are never seen half-written.
#pragma once

#include <cstddef>
#include <initializer_list>

#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

struct FilePiece {
  const void* data;
  std::size_t size;
};

// Writes the pieces, one behind the other, to a new file in the folder of `path`, and renames it to `path`. Any number
// of threads and processes may do so at the same time; the last one wins. A file that is replaced keeps its mode. If
// `path` is a symbolic link, the file that it points to is replaced. Fails with kIo (errno may say why); then there is
// no new file, and `path` is untouched.
Status ReplaceFile(const char* path, std::initializer_list<FilePiece> pieces);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
