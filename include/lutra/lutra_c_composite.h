// The C API of composites: rows of several formats, sparse weights, a path of low rank, outliers of x; block floating
// point. lutra/composite.h, lutra/sparse.h and lutra/block_float.h say more about the functions of the same names.
//
//     lutra_composite_parts parts = {0};
//     parts.rows = packed;                                     // handles, which must outlive the composite
//     parts.row_matrices = 3;
//     lutra_composite* w = NULL;
//     lutra_compose(&parts, &w);                               // at load time
//     lutra_composite_matmul(w, &x_view, NULL, &y_view, NULL); // every call
//
// What lutra_c.h says of handles, threads and structures holds here, too.
#pragma once

#include "lutra/lutra_c.h"
#include "lutra/lutra_c_grouped.h"

#if defined(__cplusplus)
extern "C" {
#endif

// --- Sparse weights

// S[M x K] by rows: see lutra::SparseView. `columns` are uint16_t if k is at most 65536, otherwise uint32_t.
typedef struct lutra_sparse_view {
  size_t m, k;
  const uint32_t* offsets;  // [m + 1]
  const void* columns;
  const uint16_t* values;  // f16
} lutra_sparse_view;

// Sparse weights that own their memory.
typedef struct lutra_sparse lutra_sparse;

// Quantizes as lutra_quantize does, but takes at most share * m * k of the weights out: see
// lutra::QuantizeWithOutliers.
LUTRA_C_API lutra_status lutra_quantize_with_outliers(const float* weights, size_t m, size_t k, size_t row_stride,
                                                      const lutra_quantize_options* options, double share,
                                                      lutra_quantized** w, lutra_sparse** outliers) LUTRA_C_NOEXCEPT;
// The view of a handle, valid until it is destroyed.
LUTRA_C_API lutra_status lutra_sparse_get(const lutra_sparse* sparse, lutra_sparse_view* view) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_sparse_destroy(lutra_sparse** sparse) LUTRA_C_NOEXCEPT;

// --- Composites

// What a composite is made of: see lutra::CompositeParts. Zeros stand for parts that there are not.
typedef struct lutra_composite_parts {
  const lutra_packed* const* rows;  // [row_matrices]
  size_t row_matrices;
  const uint32_t* order;     // [M] or NULL: row r of all matrices gives column order[r] of y; copied
  lutra_sparse_view sparse;  // copied
  const lutra_packed* down;  // both or none
  const lutra_packed* up;
} lutra_composite_parts;

typedef struct lutra_composite lutra_composite;

// The properties of a composite.
typedef struct lutra_composite_info {
  size_t m, k;
  size_t bytes;            // that a multiplication reads
  double bits_per_weight;  // 8 * bytes / (m * k); 0 if the matrix is empty
} lutra_composite_info;

LUTRA_C_API lutra_status lutra_compose(const lutra_composite_parts* parts, lutra_composite** w) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_composite_get(const lutra_composite* w, lutra_composite_info* info) LUTRA_C_NOEXCEPT;
// Frees the composite, not the matrices that it was composed of.
LUTRA_C_API lutra_status lutra_composite_destroy(lutra_composite** w) LUTRA_C_NOEXCEPT;

// Writes w to one file; maps such a file, or reads it to memory that w owns: as lutra_save, lutra_load and
// lutra_load_unmapped.
LUTRA_C_API lutra_status lutra_composite_save(const lutra_composite* w, const char* path) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_composite_load(const char* path, const char* target, lutra_context* context,
                                              lutra_composite** w) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_composite_load_unmapped(const char* path, const char* target, lutra_context* context,
                                                       lutra_composite** w) LUTRA_C_NOEXCEPT;

// How lutra_composite_matmul multiplies. Zeros stand for what NULL stands for: as lutra_prepare, without outliers.
typedef struct lutra_composite_options {
  lutra_prepare_options prepare;
  float outliers;  // the threshold above which elements of x are multiplied in floats; 0: none are
} lutra_composite_options;

// y[N x M] = x[N x K] * W^T. Prepares x itself, and allocates its scratch memory in each call. Fails as lutra::MatMul
// of a composite does.
LUTRA_C_API lutra_status lutra_composite_matmul(const lutra_composite* w, const lutra_activation_view* x,
                                                const lutra_composite_options* options, const lutra_output_view* y,
                                                lutra_context* context) LUTRA_C_NOEXCEPT;

// --- Block floating point

// order[k] sorts magnitudes[k] in descending order: for lutra_quantize_options and lutra_round_to_block_float.
LUTRA_C_API lutra_status lutra_order_by_magnitude(const float* magnitudes, size_t k, uint32_t* order) LUTRA_C_NOEXCEPT;
// out[N x K]: x rounded to integers of mantissa_bits bits with an exponent per `block` columns, in an order or, if that
// is NULL, as they are.
LUTRA_C_API lutra_status lutra_round_to_block_float(const lutra_activation_view* x, int32_t mantissa_bits, size_t block,
                                                    const uint32_t* order, lutra_context* context,
                                                    float* out) LUTRA_C_NOEXCEPT;

#if defined(__cplusplus)
}
#endif
