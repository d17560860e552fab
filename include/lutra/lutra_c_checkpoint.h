// The C API of safetensors checkpoints: lutra/checkpoint.h says where each scheme has its weights.
//
//     lutra_checkpoint_view view = {0};
//     view.scheme = LUTRA_CHECKPOINT_PACK_QUANTIZED;
//     view.bits = 4, view.m = M, view.k = K, view.group_size = 32;
//     view.codes = weight_packed, view.codes_size = bytes;
//     view.scales = weight_scale, view.scales_size = bytes;
//     view.scale_type = LUTRA_TYPE_BF16;
//     lutra_quantized* w = NULL;
//     lutra_import_checkpoint(&view, &w);
//
// What lutra_c.h says of handles, threads and structures holds here, too.
#pragma once

#include "lutra/lutra_c_engine.h"

#if defined(__cplusplus)
extern "C" {
#endif

typedef int32_t lutra_checkpoint_scheme;
enum {
  LUTRA_CHECKPOINT_GPTQ = 0,
  LUTRA_CHECKPOINT_AWQ = 1,
  LUTRA_CHECKPOINT_PACK_QUANTIZED = 2,  // compressed-tensors
  LUTRA_CHECKPOINT_INT_QUANTIZED = 3,
  LUTRA_CHECKPOINT_NF4 = 4,  // bitsandbytes
  LUTRA_CHECKPOINT_FP4 = 5,
  LUTRA_CHECKPOINT_MXFP4 = 6,  // gpt-oss
  LUTRA_CHECKPOINT_NVFP4 = 7,  // ModelOpt, compressed-tensors
  LUTRA_CHECKPOINT_HQQ = 8,
  LUTRA_CHECKPOINT_BITNET = 9,  // transformers
  LUTRA_CHECKPOINT_FP8 = 10,    // E4M3; compressed-tensors, DeepSeek, ModelOpt
  LUTRA_CHECKPOINT_FP8_E5M2 = 11
};

// The tensors of W[m x k]: see lutra::CheckpointView. Fields that a scheme does not have are ignored.
typedef struct lutra_checkpoint_view {
  lutra_checkpoint_scheme scheme;
  int32_t bits;  // of a code
  size_t m, k;
  ptrdiff_t group_size;  // weights of a row that share a scale; -1: all K
  const void* codes;
  size_t codes_size;  // bytes, as scales_size and zeros_size
  const void* scales;
  size_t scales_size;
  const void* zeros;
  size_t zeros_size;
  lutra_data_type scale_type;
  const int32_t* g_idx;
  size_t g_idx_size;  // elements, as all sizes below
  lutra_gptq_zeros gptq_zeros;
  float matrix_scale;  // 0 means 1
  bool matrix_scale_divides;
  const float* nested_absmax;  // NULL: not nested
  size_t nested_absmax_size;
  const float* nested_map;
  size_t nested_map_size;
  size_t nested_block;
  float nested_offset;
  size_t scale_rows;      // rows that share scales and zero points; 0 means 1
  bool byte_zeros;        // pack-quantized: zeros are int8
  bool groups_down_rows;  // HQQ with axis 0, which is refused
} lutra_checkpoint_view;

// The name of a scheme, such as "pack-quantized"; NULL if there is no such scheme.
LUTRA_C_API const char* lutra_checkpoint_name(lutra_checkpoint_scheme scheme) LUTRA_C_NOEXCEPT;

// Imports a matrix; destroy it by lutra_quantized_destroy. Fails as lutra::ImportCheckpoint does.
LUTRA_C_API lutra_status lutra_import_checkpoint(const lutra_checkpoint_view* checkpoint,
                                                 lutra_quantized** w) LUTRA_C_NOEXCEPT;

// Creates the layout of the matrix. Reads g_idx and integer zero points. Fails as lutra::LayoutOf does.
LUTRA_C_API lutra_status lutra_layout_create_checkpoint(const lutra_checkpoint_view* checkpoint,
                                                        const lutra_layout_options* options,
                                                        lutra_layout** layout) LUTRA_C_NOEXCEPT;

// Packs the panels [first, last) into `memory`; `size` is at least the layout's bytes. Fails as
// lutra::PackPanels does.
LUTRA_C_API lutra_status lutra_pack_panels_checkpoint(const lutra_layout* layout,
                                                      const lutra_checkpoint_view* checkpoint, size_t first,
                                                      size_t last, void* memory, size_t size) LUTRA_C_NOEXCEPT;

#if defined(__cplusplus)
}  // extern "C"
#endif
