// The C API, for C, Rust, Go, Zig or Python (ctypes), in C11. C++ programs include lutra/lutra.h.
//
//     lutra_quantized* q = NULL;  // or a lutra_quantized_view of a model's own codes
//     lutra_quantize(weights, M, K, K, &options, &q);
//     lutra_quantized_view view;
//     lutra_quantized_get(q, &view);
//     lutra_packed* w = NULL;
//     lutra_pack(&view, NULL, NULL, &w);                                          // at load time
//
//     lutra_activations* x = NULL;
//     lutra_activations_create(&x);
//     lutra_activation_view x_view = {x_data, LUTRA_TYPE_F32, N, K, K, NULL, 0};  // every call
//     lutra_prepare(&x_view, w, LUTRA_PRECISION_INT8, NULL, x);
//     lutra_output_view y_view = {y_data, LUTRA_TYPE_F32, N, M, M};
//     lutra_matmul(w, x, &y_view, NULL);                                          // y[N x M] = x * W^T
//
// A function that can fail returns a lutra_status; check it. No function throws, aborts or prints. A function that
// fails leaves its outputs unchanged; only lutra_prepare does not.
//
// Handles: a function that creates a handle writes it to its last pointer to a handle, whose old value does not matter.
// A function that destroys a handle takes a pointer to it and sets it to NULL; with a NULL handle it does nothing. All
// functions refuse handles of another kind, and NULL unless they say otherwise. A destroyed handle, or a copy of one,
// must not be used.
//
// Threads: any number of threads may use a handle at the same time in functions that take it as const, and a context in
// all functions except its destruction. While a function creates, destroys or prepares a handle, no other thread may
// use it.
//
// Structures are views of the caller's memory; functions read them during the call only. They have no defaults: start
// from zeros. lutra/matrix.h and lutra/quantize.h say more about the structures of the same names.
#pragma once

#include "lutra/lutra_c_base.h"

#if defined(__cplusplus)
extern "C" {
#endif

// --- Quantized weights

// The format of weights: lutra/format.h says what their codes stand for.
typedef int32_t lutra_format;
enum {
  LUTRA_FORMAT_INT1 = 0,
  LUTRA_FORMAT_INT2 = 1,
  LUTRA_FORMAT_INT3 = 2,
  LUTRA_FORMAT_INT4 = 3,
  LUTRA_FORMAT_TERNARY = 4,
  LUTRA_FORMAT_IQ4NL = 5,  // ggml's table of 16 values
  LUTRA_FORMAT_FP4 = 6,    // E2M1
  LUTRA_FORMAT_INT5 = 7,
  LUTRA_FORMAT_INT6 = 8,
  LUTRA_FORMAT_INT7 = 9,
  LUTRA_FORMAT_INT8 = 10,
  LUTRA_FORMAT_IQ1 = 11,  // ggml's grids, with their signs, as tables of 6 or 16 values
  LUTRA_FORMAT_IQ2 = 12,
  LUTRA_FORMAT_IQ3XXS = 13,
  LUTRA_FORMAT_IQ3S = 14,
  LUTRA_FORMAT_CODEBOOK3 = 15,  // tables of 8 or 16 values of the matrix's own
  LUTRA_FORMAT_CODEBOOK4 = 16,
  LUTRA_FORMAT_INT2_CODES = 17,  // as INT2, multiplied as integers: for scales of two levels
  LUTRA_FORMAT_FP8_E4M3 = 18,    // floats of 8 bits; x stays f32, or becomes bf16 under LUTRA_CHOICE_FASTEST
  LUTRA_FORMAT_FP8_E5M2 = 19,
  LUTRA_FORMAT_FP6_E3M2 = 20,  // floats of 6 bits, multiplied as FP8
  LUTRA_FORMAT_FP6_E2M3 = 21   // E2M3 as a table of 64 values, multiplied as integers
};

// The type of array elements.
typedef int32_t lutra_data_type;
enum {
  LUTRA_TYPE_F32 = 0,
  LUTRA_TYPE_F16 = 1,    // IEEE binary16, 2 bytes
  LUTRA_TYPE_BF16 = 2,   // upper 16 bits of a binary32, 2 bytes
  LUTRA_TYPE_INT8 = 3,   // activations, and scales of two levels
  LUTRA_TYPE_UINT4 = 4,  // scales of two levels only: 0 .. 15, a byte each in views
  LUTRA_TYPE_UINT8 = 5,  // zero points
  LUTRA_TYPE_E8M0 = 6,   // scales: a byte e is 2^(e - 127)
  LUTRA_TYPE_E4M3 = 7,   // scales: a float of 8 bits, not negative
  LUTRA_TYPE_INT4 = 8,   // activations only: two in a byte, the first in its low four bits
  LUTRA_TYPE_BITS = 9    // activations only: bits 1 and 0 stand for 1 and -1; eight in a byte, from its lowest bit on
};

// The meaning of zeros[].
typedef int32_t lutra_zero_kind;
enum {
  LUTRA_ZERO_NONE = 0,   // the format's default: 0 for int1, ternary and tables of values, 2^(bits-1) for int2 to int8
  LUTRA_ZERO_POINT = 1,  // W = scale * (value - zero)
  LUTRA_ZERO_OFFSET = 2  // W = scale * value + offset
};

// Group sizes, other than 16, 32, 64, 128 and 256 weights.
#define LUTRA_PER_ROW 0            // one scale per row of W
#define LUTRA_PER_MATRIX SIZE_MAX  // one scale for all of W

// A quantized W[M x K], M output features: see lutra::QuantizedView.
typedef struct lutra_quantized_view {
  lutra_format format;
  size_t m, k;
  const uint8_t* codes;  // one code per byte
  size_t code_stride;    // bytes from row to row
  size_t group;          // weights of a row that share a scale; or LUTRA_PER_ROW, LUTRA_PER_MATRIX
  const void* scales;    // [m x ceil(k / group)]; [m] or [1] for the other two
  lutra_data_type scale_type;
  lutra_zero_kind zero_kind;
  lutra_data_type zero_type;      // of zeros: see QuantizedView::zero_type in lutra/matrix.h
  const void* zeros;              // as many as scales, or NULL
  const uint16_t* super_scales;   // f16 [m x ceil(k / 256)] if scale_type is an integer type, or NULL
  const uint16_t* super_offsets;  // the same if zero_kind is LUTRA_ZERO_OFFSET, too, or NULL
  float matrix_scale;             // multiplies scales of type E8M0 or E4M3; 0 means 1
  const int8_t* codebook;         // CODEBOOK3, CODEBOOK4: [codebook_tables x 8 or 16] values from -127 to 127
  size_t codebook_tables;         // 1 to 4; 0 means 1
  const uint8_t* table_choices;   // the table of each group, an array like scales; read if there are several tables
  const float* bias;              // [m] or NULL
  const uint32_t* order;          // [k] or NULL: the column of x that a column of codes multiplies
} lutra_quantized_view;

// How lutra_quantize quantizes.
typedef struct lutra_quantize_options {
  lutra_format format;
  size_t group;
  lutra_data_type scale_type;
  lutra_zero_kind zero_kind;
  lutra_data_type zero_type;  // of zeros: see QuantizedView::zero_type in lutra/matrix.h
  const int8_t* codebook;     // as in lutra_quantized_view; copied
  size_t codebook_tables;     // 1 to 4; 0 means 1
  const uint32_t* order;      // [k] or NULL: a permutation, as in lutra_quantized_view; copied
  float matrix_scale;         // factor of scales of type E8M0 or E4M3; 0: see lutra::QuantizeOptions
} lutra_quantize_options;

// A quantized matrix that owns its memory.
typedef struct lutra_quantized lutra_quantized;

// Quantizes weights[m x k] (row-major, row_stride elements from row to row, finite) as lutra::Quantize does.
LUTRA_C_API lutra_status lutra_quantize(const float* weights, size_t m, size_t k, size_t row_stride,
                                        const lutra_quantize_options* options, lutra_quantized** w) LUTRA_C_NOEXCEPT;

// The view of w, valid until w is destroyed.
LUTRA_C_API lutra_status lutra_quantized_get(const lutra_quantized* w, lutra_quantized_view* view) LUTRA_C_NOEXCEPT;

// out[m x k] = W in float, row_stride elements from row to row.
LUTRA_C_API lutra_status lutra_dequantize(const lutra_quantized_view* w, float* out,
                                          size_t row_stride) LUTRA_C_NOEXCEPT;

// Frees w. The views of w are invalid then.
LUTRA_C_API lutra_status lutra_quantized_destroy(lutra_quantized** w) LUTRA_C_NOEXCEPT;

// --- Quantized weights of other tools: see lutra/import.h. The data are not needed afterwards, and may be at any
// address: they need not be aligned to their elements.

// Imports a GGUF tensor W[M x K] from `size` bytes of blocks. `type` is ggml's id of the type.
LUTRA_C_API lutra_status lutra_import_gguf(uint32_t type, const void* data, size_t size, size_t m, size_t k,
                                           lutra_quantized** w) LUTRA_C_NOEXCEPT;

// What the numbers z in qzeros stand for: see lutra::GptqZeros.
typedef int32_t lutra_gptq_zeros;
enum {
  LUTRA_GPTQ_ZEROS_V1_WORDS = 0,   // checkpoint_format "gptq" of GPTQModel: 1 is added in whole words, with carries
  LUTRA_GPTQ_ZEROS_V2 = 1,         // z: "gptq_v2"
  LUTRA_GPTQ_ZEROS_V1_FIELDS = 2,  // z + 1, which may be 2^bits
  LUTRA_GPTQ_ZEROS_V1_MASKED = 3   // (z + 1) mod 2^bits
};

// G = ceil(k / group_size) groups; 1 if group_size is -1. Sizes are in elements.
typedef struct lutra_gptq_view {
  int32_t bits;  // 2, 3, 4 or 8
  size_t m, k;   // m * bits and k * bits are multiples of 32
  ptrdiff_t group_size;
  const uint32_t* qweight;  // [k * bits / 32 x m]
  size_t qweight_size;
  const uint32_t* qzeros;  // [G x m * bits / 32]
  size_t qzeros_size;
  const uint16_t* scales;  // [G x m], f16
  size_t scales_size;
  const int32_t* g_idx;  // [k], the group of each column, or NULL: k / group_size
  size_t g_idx_size;
  lutra_gptq_zeros zeros;
} lutra_gptq_view;
// Sets *readings to a set of bits 1 << lutra_gptq_zeros: the readings that the words in qzeros allow. Fails as
// lutra::PlausibleGptqZeros does.
LUTRA_C_API lutra_status lutra_gptq_plausible_zeros(const lutra_gptq_view* gptq, uint32_t* readings) LUTRA_C_NOEXCEPT;
// Imports GPTQ weights; fails as lutra::ImportGptq does.
LUTRA_C_API lutra_status lutra_import_gptq(const lutra_gptq_view* gptq, lutra_quantized** w) LUTRA_C_NOEXCEPT;

// 4 bits, in the layout that AWQ calls GEMM. G as above. Sizes are in elements.
typedef struct lutra_awq_view {
  size_t m, k;  // m is a multiple of 8
  ptrdiff_t group_size;
  const uint32_t* qweight;  // [k x m / 8]
  size_t qweight_size;
  const uint32_t* qzeros;  // [G x m / 8]
  size_t qzeros_size;
  const uint16_t* scales;  // [G x m], f16
  size_t scales_size;
} lutra_awq_view;
// Imports AWQ weights; fails as lutra::ImportAwq does.
LUTRA_C_API lutra_status lutra_import_awq(const lutra_awq_view* awq, lutra_quantized** w) LUTRA_C_NOEXCEPT;

// --- Packed weights

// W[M x K] laid out for one target.
typedef struct lutra_packed lutra_packed;

// The properties of packed weights.
typedef struct lutra_packed_info {
  lutra_format format;
  size_t m, k, group;
  lutra_data_type scale_type;
  lutra_zero_kind zero_kind;
  lutra_data_type zero_type;  // of zeros: see QuantizedView::zero_type in lutra/matrix.h
  float matrix_scale;         // 1 if scale_type ignores it
  size_t codebook_tables;     // 0 if the format is not CODEBOOK3 or CODEBOOK4
  bool has_bias;
  const char* target;      // a constant
  size_t bytes;            // read by a multiplication, with padding and scales, without the bias
  double bits_per_weight;  // 8 * bytes / (m * k); 0 if the matrix is empty
  size_t file_size;        // bytes that lutra_save and lutra_save_bytes write
} lutra_packed_info;

// Packs W[m x k]. `target` is a name (lutra_target_name), or NULL for the best target. Reads the view once; it is not
// needed afterwards. Fails as lutra::Pack does, and with LUTRA_UNSUPPORTED if this CPU cannot run the target.
LUTRA_C_API lutra_status lutra_pack(const lutra_quantized_view* w, const char* target, lutra_context* context,
                                    lutra_packed** packed) LUTRA_C_NOEXCEPT;

// Restores the codes, scales, zeros, codebook, bias and order that were packed.
LUTRA_C_API lutra_status lutra_unpack(const lutra_packed* packed, lutra_quantized** w) LUTRA_C_NOEXCEPT;

// The properties of w. Texts are constants of the library.
LUTRA_C_API lutra_status lutra_packed_get(const lutra_packed* w, lutra_packed_info* info) LUTRA_C_NOEXCEPT;

// Frees w, or ends its use of bytes that it was loaded from in place.
LUTRA_C_API lutra_status lutra_packed_destroy(lutra_packed** w) LUTRA_C_NOEXCEPT;

// --- Packed weights in files and in memory: see lutra/packed_file.h

// How a matrix was loaded.
typedef int32_t lutra_loaded;
enum {
  LUTRA_LOADED_IN_PLACE = 0,  // without a copy
  LUTRA_LOADED_COPIED = 1,    // the bytes were not aligned to 64, or read from a file
  LUTRA_LOADED_REPACKED = 2   // the target has another layout than the bytes
};

// Writes w to a file, under a name of its own that is then renamed: see lutra::SavePacked.
LUTRA_C_API lutra_status lutra_save(const lutra_packed* w, const char* path) LUTRA_C_NOEXCEPT;

// Writes the same to bytes[0 .. size); size is lutra_packed_info's file_size.
LUTRA_C_API lutra_status lutra_save_bytes(const lutra_packed* w, void* bytes, size_t size) LUTRA_C_NOEXCEPT;

// Maps a file that lutra_save wrote; refuses damaged ones. `target` as in lutra_pack. Sets *loaded on success, unless
// `loaded` is NULL. The file must not be truncated while it is mapped: the system would end the program with a signal
// (SIGBUS) when w is multiplied.
LUTRA_C_API lutra_status lutra_load(const char* path, const char* target, lutra_context* context, lutra_packed** w,
                                    lutra_loaded* loaded) LUTRA_C_NOEXCEPT;

// The same without a mapping: reads the file to memory that w owns.
LUTRA_C_API lutra_status lutra_load_unmapped(const char* path, const char* target, lutra_context* context,
                                             lutra_packed** w, lutra_loaded* loaded) LUTRA_C_NOEXCEPT;

// The same from memory. If *loaded is LUTRA_LOADED_IN_PLACE, `bytes` must outlive w, unchanged.
LUTRA_C_API lutra_status lutra_load_bytes(const void* bytes, size_t size, const char* target, lutra_context* context,
                                          lutra_packed** w, lutra_loaded* loaded) LUTRA_C_NOEXCEPT;

// --- Activations

// x[N x K], N tokens, row-major: see lutra::ActivationView.
typedef struct lutra_activation_view {
  const void* data;
  lutra_data_type type;  // LUTRA_TYPE_F32, F16, BF16, INT8, INT4 or BITS
  size_t n, k;
  size_t row_stride;    // elements
  const float* scales;  // INT8, INT4, BITS: x = scale * int. [n], or [n x ceil(k / scale_group)]; otherwise NULL
  size_t scale_group;   // LUTRA_PER_ROW, or elements of a row that share a scale
} lutra_activation_view;

// How x is rounded: lutra/format.h.
typedef int32_t lutra_precision;
enum {
  LUTRA_PRECISION_INT8 = 0,  // fast
  LUTRA_PRECISION_INT16 = 1  // sums are exact integers: for int8 activations without any rounding
};

// Activations that lutra_prepare prepared. Reuse one for every call: its memory only grows.
typedef struct lutra_activations lutra_activations;

// The properties of prepared activations.
typedef struct lutra_activations_info {
  size_t n, k;
  lutra_precision precision;
  size_t bytes;  // the memory that they hold, which may have served more rows
} lutra_activations_info;

// Creates activations without rows.
LUTRA_C_API lutra_status lutra_activations_create(lutra_activations** activations) LUTRA_C_NOEXCEPT;

// Prepares x for w, and for every matrix that it fits, in place. Fails as lutra::Prepare does; the activations then
// have no rows, unless an argument is NULL or a handle of another kind.
LUTRA_C_API lutra_status lutra_prepare(const lutra_activation_view* x, const lutra_packed* w, lutra_precision precision,
                                       lutra_context* context, lutra_activations* activations) LUTRA_C_NOEXCEPT;

// The same for x(n, k) * weight[k] / sqrt(mean of x(n, 0 .. k - 1)^2 + epsilon). `weight` is [k], or NULL: ones.
LUTRA_C_API lutra_status lutra_prepare_rms_norm(const lutra_activation_view* x, const float* weight, float epsilon,
                                                const lutra_packed* w, lutra_precision precision,
                                                lutra_context* context,
                                                lutra_activations* activations) LUTRA_C_NOEXCEPT;

// The same for H * (signs * x) of each `block` consecutive elements of a row: lutra::PrepareHadamard. `signs` is [k],
// 1 or -1, or NULL: ones. `block` is a power of two from 2 to 65536, and k a multiple of it.
LUTRA_C_API lutra_status lutra_prepare_hadamard(const lutra_activation_view* x, const float* signs, size_t block,
                                                const lutra_packed* w, lutra_precision precision,
                                                lutra_context* context,
                                                lutra_activations* activations) LUTRA_C_NOEXCEPT;

// Sets *bytes to the memory that lutra_prepare and lutra_prepare_rms_norm allocate for n rows of x: see
// lutra::PreparedSize.
LUTRA_C_API lutra_status lutra_prepared_size(const lutra_packed* w, size_t n, lutra_precision precision,
                                             size_t* bytes) LUTRA_C_NOEXCEPT;

// Whether lutra_matmul accepts x for w: see lutra::Activations::Fits. False for a NULL handle or one of another kind.
LUTRA_C_API bool lutra_activations_fit(const lutra_activations* x, const lutra_packed* w) LUTRA_C_NOEXCEPT;

// The properties of x.
LUTRA_C_API lutra_status lutra_activations_get(const lutra_activations* x,
                                               lutra_activations_info* info) LUTRA_C_NOEXCEPT;

// Frees the activations.
LUTRA_C_API lutra_status lutra_activations_destroy(lutra_activations** activations) LUTRA_C_NOEXCEPT;

// --- Multiplication: y[N x M] = x[N x K] * W[M x K]^T + bias[M]

// y[N x M], row-major.
typedef struct lutra_output_view {
  void* data;
  lutra_data_type type;  // LUTRA_TYPE_F32, F16 or BF16
  size_t n, m;
  size_t row_stride;  // elements
} lutra_output_view;

// Multiplies. x must fit w; y must not overlap them. Allocates no memory of its own. Fails as lutra::MatMul does.
LUTRA_C_API lutra_status lutra_matmul(const lutra_packed* w, const lutra_activations* x, const lutra_output_view* y,
                                      lutra_context* context) LUTRA_C_NOEXCEPT;

// Computes the columns [m_begin, m_end) of y on the calling thread, for engines that split the work themselves; y
// describes the whole output. Every element has the same bits as from lutra_matmul. Ranges that begin and end at
// multiples of 64 avoid double work.
LUTRA_C_API lutra_status lutra_matmul_range(const lutra_packed* w, const lutra_activations* x,
                                            const lutra_output_view* y, size_t m_begin, size_t m_end) LUTRA_C_NOEXCEPT;

#if defined(__cplusplus)
}
#endif
