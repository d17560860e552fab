// The C API of engines: packed weights and prepared activations in the caller's memory, made in parts by the caller's
// threads. lutra/packed_layout.h, pack_panels.h and prepare_parts.h say more about the functions of the same names.
//
//     lutra_layout* layout = NULL;
//     lutra_layout_create_gguf(type, M, K, NULL, &layout);
//     lutra_layout_info info;
//     lutra_layout_get(layout, &info);
//     lutra_gguf_blocks blocks = {type, data, size, 0, 0};
//     lutra_pack_panels_gguf(layout, &blocks, 0, info.panels, memory, info.bytes);  // any range on any thread
//     lutra_packed* w = NULL;
//     lutra_view(layout, memory, info.bytes, 0, &w);
//
// What lutra_c.h says of handles, threads and structures holds here, too. Except where a handle is created, functions
// allocate nothing, but to check an order of columns.
#pragma once

#include "lutra/lutra_c.h"

#if defined(__cplusplus)
extern "C" {
#endif

// --- Layouts: the sizes of packed weights, before there are any

// Where packed matrices of one shape stand in memory: see lutra::PackedLayout.
typedef struct lutra_layout lutra_layout;

// NULL stands for a structure of zeros.
typedef struct lutra_layout_options {
  const char* target;  // a name (lutra_target_name), or NULL for the best target
  size_t count;        // matrices of the shape; 0 means 1
  bool bias;           // whether each matrix has a bias, beside the one of a shape
  float matrix_scale;  // of blocks of GGUF with scales of type E8M0 or E4M3; 0 means 1
} lutra_layout_options;

// The properties of a layout. Sizes are in bytes.
typedef struct lutra_layout_info {
  lutra_format format;
  size_t m, k, group;
  const char* target;  // a constant
  bool has_bias, has_order;
  size_t count;      // matrices
  size_t bytes;      // of the memory, which must be aligned to 64 bytes
  size_t stride;     // from a matrix to the next
  size_t panels;     // of all matrices
  size_t alignment;  // of the memory: 64
} lutra_layout_info;

// Creates the layout of matrices of this shape: reads fields, codebook and matrix_scale; of bias and order only whether
// they are NULL.
LUTRA_C_API lutra_status lutra_layout_create(const lutra_quantized_view* shape, const lutra_layout_options* options,
                                             lutra_layout** layout) LUTRA_C_NOEXCEPT;

// Creates the layout of tensors of a GGUF type, as the type alone says.
LUTRA_C_API lutra_status lutra_layout_create_gguf(uint32_t type, size_t m, size_t k,
                                                  const lutra_layout_options* options,
                                                  lutra_layout** layout) LUTRA_C_NOEXCEPT;

// Blocks of the matrices of a layout, one matrix after the other.
typedef struct lutra_gguf_blocks {
  uint32_t type;
  const void* data;
  size_t size;
  // lutra_pack_panels_gguf alone: data holds only the rows [first_row, first_row + rows), numbered through all
  // matrices. If both are 0, data holds all rows. Other functions refuse a part of the rows.
  size_t first_row, rows;
} lutra_gguf_blocks;

// Creates the layout that lutra_import_gguf chooses, which depends on the blocks of ternary types.
LUTRA_C_API lutra_status lutra_layout_create_gguf_blocks(const lutra_gguf_blocks* blocks, size_t m, size_t k,
                                                         const lutra_layout_options* options,
                                                         lutra_layout** layout) LUTRA_C_NOEXCEPT;

// Creates the layout of a GPTQ or AWQ matrix. Reads g_idx and the zero points.
LUTRA_C_API lutra_status lutra_layout_create_gptq(const lutra_gptq_view* gptq, const lutra_layout_options* options,
                                                  lutra_layout** layout) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_layout_create_awq(const lutra_awq_view* awq, const lutra_layout_options* options,
                                                 lutra_layout** layout) LUTRA_C_NOEXCEPT;

// The properties of a layout.
LUTRA_C_API lutra_status lutra_layout_get(const lutra_layout* layout, lutra_layout_info* info) LUTRA_C_NOEXCEPT;

// Sets *bytes to what lutra_prepared_size says of the matrices of the layout.
LUTRA_C_API lutra_status lutra_layout_prepared_size(const lutra_layout* layout, size_t n, lutra_precision precision,
                                                    size_t* bytes) LUTRA_C_NOEXCEPT;

// Frees the layout. Matrices in its memory stay as they are.
LUTRA_C_API lutra_status lutra_layout_destroy(lutra_layout** layout) LUTRA_C_NOEXCEPT;

// --- Packed weights in the caller's memory

// Packs the panels [first, last) of all matrices into `memory`; `size` is at least the layout's bytes. The rows of all
// matrices follow each other in w, in the blocks and in the weights. GPTQ and AWQ have one matrix.
LUTRA_C_API lutra_status lutra_pack_panels(const lutra_layout* layout, const lutra_quantized_view* w, size_t first,
                                           size_t last, void* memory, size_t size) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_pack_panels_gguf(const lutra_layout* layout, const lutra_gguf_blocks* blocks,
                                                size_t first, size_t last, void* memory, size_t size) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_pack_panels_gptq(const lutra_layout* layout, const lutra_gptq_view* gptq, size_t first,
                                                size_t last, void* memory, size_t size) LUTRA_C_NOEXCEPT;
LUTRA_C_API lutra_status lutra_pack_panels_awq(const lutra_layout* layout, const lutra_awq_view* awq, size_t first,
                                               size_t last, void* memory, size_t size) LUTRA_C_NOEXCEPT;
// From float weights, row_stride elements from row to row, quantized as lutra_quantize does.
LUTRA_C_API lutra_status lutra_pack_panels_floats(const lutra_layout* layout, const float* weights, size_t row_stride,
                                                  size_t first, size_t last, void* memory,
                                                  size_t size) LUTRA_C_NOEXCEPT;

// Writes the biases of all matrices, bias[count * m].
LUTRA_C_API lutra_status lutra_pack_bias(const lutra_layout* layout, const float* bias, void* memory,
                                         size_t size) LUTRA_C_NOEXCEPT;

// Creates a matrix over the bytes of matrix number `index`, which must outlive w, unchanged. Does not check them.
LUTRA_C_API lutra_status lutra_view(const lutra_layout* layout, const void* memory, size_t size, size_t index,
                                    lutra_packed** w) LUTRA_C_NOEXCEPT;

// y[count x k] = the rows rows[0 .. count) of W in float, row_stride elements from row to row.
LUTRA_C_API lutra_status lutra_dequantize_rows(const lutra_packed* w, const int32_t* rows, size_t count, float* y,
                                               size_t row_stride) LUTRA_C_NOEXCEPT;

// Writes the rows [begin, end) as blocks of a GGUF type to blocks[0 .. size): see lutra::UnpackGguf.
LUTRA_C_API lutra_status lutra_unpack_gguf(const lutra_packed* w, uint32_t type, size_t begin, size_t end, void* blocks,
                                           size_t size) LUTRA_C_NOEXCEPT;

// --- Prepared activations in the caller's memory

// Prepares part number `part` of `parts` of x into `memory`, which is aligned to 64 bytes; `size` is at least
// lutra_prepared_size of x->n. Each part says whether it met a value that is not finite; the activations may be used
// only if all parts succeed.
LUTRA_C_API lutra_status lutra_prepare_part(const lutra_activation_view* x, const lutra_packed* w,
                                            lutra_precision precision, size_t part, size_t parts, void* memory,
                                            size_t size) LUTRA_C_NOEXCEPT;

// The same for x normalized as lutra_prepare_rms_norm does.
LUTRA_C_API lutra_status lutra_prepare_part_rms_norm(const lutra_activation_view* x, const float* weight, float epsilon,
                                                     const lutra_packed* w, lutra_precision precision, size_t part,
                                                     size_t parts, void* memory, size_t size) LUTRA_C_NOEXCEPT;

// Sets *activations to the n rows in `memory`, which must stay as it is while they are used.
LUTRA_C_API lutra_status lutra_activations_view(const lutra_packed* w, size_t n, lutra_precision precision,
                                                const void* memory, size_t size,
                                                lutra_activations* activations) LUTRA_C_NOEXCEPT;

#if defined(__cplusplus)
}
#endif
