// Row ranges of packed matrices: views of them, and hints to the system about the memory of mapped ones. They serve
// matrices that are larger than memory, shards, and threads that own rows.
//
//     lutra::PackOptions options;
//     options.check_data = false;  // do not read a file that is larger than memory
//     lutra::LoadPacked(path, options, &w);
//     lutra::PrefetchRows(w, begin, end);                          // some time before
//     lutra::ViewRows(w, begin, end, &rows);
//     lutra::MatMul(rows, x, lutra::OutputView(y + begin, N, end - begin, M), context);
//     lutra::ReleaseRows(w, begin, end);
//
// (LLM in a flash, https://arxiv.org/abs/2312.11514, reads the rows of a layer that a predictor chose.)
//
// All functions are thread-safe. They fail, with *rows unchanged, on a range that w does not have ("begin", "end").
#pragma once

#include <cstddef>

#include "lutra/export.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

namespace functions {

// The rows that stand together in packed bytes: 64, or 256 where four panels are interleaved. Every target and format
// has ranges at multiples of 256.
LUTRA_API std::size_t RowUnit(const PackedMatrix& w);

// The packed bytes that hold the rows [begin, end), and the rest of the units that they are in. 0 for a range that w
// does not have.
LUTRA_API std::size_t RowBytes(const PackedMatrix& w, std::size_t begin, std::size_t end);

// Sets *rows to the rows [begin, end) of w: a matrix that reads the bytes of w, with the bias of its rows and the order
// of w. Each element of a product has the same bits as with w. It owns no weights: they must stay as long as *rows, or
// a matrix that *rows is moved to, exists. SavePacked writes a file of its rows alone. Takes no time; with both a bias
// and an order it copies these, and fails if memory is short. Also fails if `begin` or `end` is neither a multiple of
// RowUnit(w) nor M. `rows` may be w only if w is such a view.
LUTRA_API Status ViewRows(const PackedMatrix& w, std::size_t begin, std::size_t end, PackedMatrix* rows);

// Hints, as MappedFile::Prefetch and Release (mapped_file.h), about the bytes of the rows [begin, end) of a matrix that
// LoadPacked mapped in place; for other matrices, and views, they do nothing. PrefetchRows begins to read the units
// that hold these rows. ReleaseRows gives back the memory of the units that lie in the range wholly: a product that
// reads them later reads the file again, and has the same bits.
LUTRA_API Status PrefetchRows(const PackedMatrix& w, std::size_t begin, std::size_t end);
LUTRA_API Status ReleaseRows(const PackedMatrix& w, std::size_t begin, std::size_t end);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
