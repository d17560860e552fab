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

// The rows list[0 .. rows) of x, which has n rows; null: the rows `first`, first + 1 and so on. Consecutive rows that
// begin row groups and end with one, and consecutive rows of one row group, which tokens that are alone with an expert
// are, are multiplied where they stand. Others are copied to `memory`, as row groups as large as those of x: the
// kernels read the four rows of a group in turn, which is why weights that are unpacked once serve all four.
BlockRows GatherRows(const Operands& operands, std::size_t n, const std::int32_t* list, std::size_t first,
                     std::size_t rows, void* memory);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
