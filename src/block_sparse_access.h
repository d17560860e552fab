// Access to the private members of BlockSparseMatrix, for the code that packs and multiplies it.
#pragma once

#include <utility>

#include "lutra/block_sparse.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

struct BlockSparseAccess {
  static BlockSparseMatrix Make(PackedMatrix shape, const internal::BlockSparseFields& fields, Buffer data,
                                Buffer lists) {
    BlockSparseMatrix w;
    w.shape_ = std::move(shape);
    w.fields_ = fields;
    w.data_ = std::move(data);
    w.lists_ = std::move(lists);
    return w;
  }
  static const internal::BlockSparseFields& Fields(const BlockSparseMatrix& w) { return w.fields_; }
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
