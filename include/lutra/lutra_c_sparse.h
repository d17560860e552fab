// The C API of weights without their zero blocks: lutra/block_sparse.h says what they are.
//
//     lutra_block_sparse* w = NULL;
//     lutra_packed* shape = NULL;
//     lutra_pack_block_sparse(&view, NULL, NULL, &w);
//     lutra_block_sparse_shape(w, &shape);
//     lutra_prepare(&x, shape, LUTRA_PRECISION_INT8, context, activations);
//     lutra_matmul_block_sparse(w, activations, &y, context);
//
// What lutra_c.h says of handles, threads and structures holds here, too.
#pragma once

#include "lutra/lutra_c.h"

#if defined(__cplusplus)
extern "C" {
#endif

typedef struct lutra_block_sparse lutra_block_sparse;

typedef struct lutra_block_sparse_info {
  size_t m, k;
  size_t block_columns;  // of a block, which has 64 rows
  size_t blocks, kept;   // all blocks; the blocks that are not zero
  size_t bytes;          // that a multiplication reads
} lutra_block_sparse_info;

// Packs W[m x k] without its zero blocks. `target` and `context` as in lutra_pack.
LUTRA_C_API lutra_status lutra_pack_block_sparse(const lutra_quantized_view* w, const char* target,
                                                 lutra_context* context, lutra_block_sparse** packed) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_block_sparse_get(const lutra_block_sparse* w,
                                                lutra_block_sparse_info* info) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_block_sparse_destroy(lutra_block_sparse** w) LUTRA_C_NOEXCEPT;

// Creates a matrix without rows that has the shape of w, for the functions that prepare x. It must not outlive w.
LUTRA_C_API lutra_status lutra_block_sparse_shape(const lutra_block_sparse* w, lutra_packed** shape) LUTRA_C_NOEXCEPT;

// y[n x m] = x[n x k] * W^T + bias, and the columns [m_begin, m_end) of y: as lutra_matmul and lutra_matmul_range.
LUTRA_C_API lutra_status lutra_matmul_block_sparse(const lutra_block_sparse* w, const lutra_activations* x,
                                                   const lutra_output_view* y, lutra_context* context) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_matmul_block_sparse_range(const lutra_block_sparse* w, const lutra_activations* x,
                                                         const lutra_output_view* y, size_t m_begin,
                                                         size_t m_end) LUTRA_C_NOEXCEPT;

#if defined(__cplusplus)
}  // extern "C"
#endif
