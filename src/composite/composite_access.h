// Access to the private members of CompositeMatrix, for the code that creates one.
#pragma once

#include <memory>
#include <utility>

#include "lutra/composite.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

struct CompositeAccess {
  // What owns the matrices of a composite that was loaded.
  static void Own(std::unique_ptr<PackedMatrix[]> loaded, Buffer buffer, MappedFile file, CompositeMatrix* w) {
    w->loaded_ = std::move(loaded);
    w->buffer_ = std::move(buffer);
    w->file_ = std::move(file);
  }
  static Status Compose(const CompositeParts& parts, CompositeMatrix* w);
};

namespace internal {

// Checks the arrays of sparse weights, at addresses that are aligned. `name` is the argument that an error names.
Status ValidateSparse(const SparseView& sparse, const char* name);
// Column of entry i.
inline std::size_t ColumnAt(const SparseView& sparse, std::size_t i) {
  return ColumnBytes(sparse.k) == 2 ? static_cast<const std::uint16_t*>(sparse.columns)[i]
                                    : static_cast<const std::uint32_t*>(sparse.columns)[i];
}
inline void SetColumn(std::size_t k, void* columns, std::size_t i, std::size_t column) {
  if (ColumnBytes(k) == 2) {
    static_cast<std::uint16_t*>(columns)[i] = static_cast<std::uint16_t>(column);
  } else {
    static_cast<std::uint32_t*>(columns)[i] = static_cast<std::uint32_t>(column);
  }
}
// The matrices of a composite: its rows, then down and up.
inline std::size_t MatrixCount(const CompositeParts& parts) {
  return parts.rows.size() + (parts.up != nullptr ? 2 : 0);
}
inline const PackedMatrix& MatrixAt(const CompositeParts& parts, std::size_t i) {
  return i < parts.rows.size() ? parts.rows[i] : i == parts.rows.size() ? *parts.down : *parts.up;
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
