// Rows of prepared x by a list: in place where the layout allows, or copied side by side.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sweep.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The memory that `rows` gathered rows take: a multiple of 64 bytes.
inline std::size_t GatheredBytes(const Operands& operands, std::size_t rows) {
  return ActivationAccess::PreparedBytes(rows, operands.x.row_bytes, operands.geometry, operands.x.row_group);
}

// The rows list[0 .. rows) of x, which has n rows; null: the rows `first`, first + 1 and so on. Consecutive rows are
// multiplied where they stand if they are whole row groups, or if one row group holds them all (a token that is alone
// with an expert). Other rows are copied to `memory`, in row groups of the same size as in x, because kernels read the
// rows of a group in turn: weights that are unpacked once then serve all of them.
BlockRows GatherRows(const Operands& operands, std::size_t n, const std::int32_t* list, std::size_t first,
                     std::size_t rows, void* memory);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
