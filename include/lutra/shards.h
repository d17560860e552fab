// Shards: parts of a matrix that different machines or processes multiply, each packed in a file of its own.
//
//     rows       y of a shard is some columns of y; all of them, side by side, have the bits of the whole product.
//                Rows(view, begin, end) of a view (matrix.h), or ViewRows of a packed matrix (row_ranges.h)
//     columns    a shard multiplies some columns of x; y is the sum of all shards' products, in any order that the
//                caller fixes. CopyColumns
//
//     for (std::size_t i = 0; i < count; ++i) {
//       const lutra::ShardRange rows = lutra::ShardOf(w.m(), lutra::RowUnit(w), i, count);
//       lutra::ViewRows(w, rows.begin, rows.end, &shard);
//       lutra::SavePacked(shard, paths[i]);
//     }
//
// examples/mpi_shards.cc multiplies both kinds over MPI.
#pragma once

#include <cstddef>

#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/quantized_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Rows or columns [begin, end).
struct ShardRange {
  std::size_t begin, end;
  constexpr std::size_t size() const { return end - begin; }
};

namespace functions {

// Shard `i` < count of `size` rows or columns: cut at multiples of `unit`, all about as long. If there are more shards
// than units, some are empty.
constexpr ShardRange ShardOf(std::size_t size, std::size_t unit, std::size_t i, std::size_t count) {
  const std::size_t units = size / unit + (size % unit != 0), whole = units / count, more = units % count;
  const std::size_t first = i * whole + i * more / count, last = (i + 1) * whole + (i + 1) * more / count;
  return {first < units ? first * unit : size, last < units ? last * unit : size};
}

// The columns at whose multiples K can be cut, so that the parts have the K-blocks of the whole: a group (two-level
// scales and zero points of four bits: a super-group of 256), or 128 weights (ternary: 192) where a row has one scale.
// The shape of w must be valid.
LUTRA_API std::size_t ColumnUnit(const QuantizedView& w);

// Sets *columns to the columns [begin, end) of w. The bias goes to the part that begins at column 0, so that a sum of
// parts has it once. Each K-block's sum has the same bits as in the whole product; their sum is rounded in another
// order. Thread-safe for different *columns. Fails, with *columns unchanged, on weights that Pack refuses, except that
// codes are not checked; on a range that w does not have, or that begins or ends neither at a multiple of ColumnUnit(w)
// nor at K ("begin", "end"); on an order of columns, as parts would need columns of x from everywhere (kUnsupported);
// and if memory is short.
LUTRA_API Status CopyColumns(const QuantizedView& w, std::size_t begin, std::size_t end, QuantizedMatrix* columns);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
