// Views of checkpoints for the C API.
#pragma once

#include "lutra/checkpoint.h"
#include "lutra/lutra_c_checkpoint.h"

namespace lutra::test {

inline lutra_checkpoint_view CView(const CheckpointView& v) {
  lutra_checkpoint_view view = {};
  view.scheme = static_cast<lutra_checkpoint_scheme>(v.scheme);
  view.bits = v.bits;
  view.m = v.m;
  view.k = v.k;
  view.group_size = v.group_size;
  view.codes = v.codes.data;
  view.codes_size = v.codes.size;
  view.scales = v.scales.data;
  view.scales_size = v.scales.size;
  view.zeros = v.zeros.data;
  view.zeros_size = v.zeros.size;
  view.scale_type = static_cast<lutra_data_type>(v.scale_type);
  view.g_idx = v.g_idx.data;
  view.g_idx_size = v.g_idx.size;
  view.gptq_zeros = static_cast<lutra_gptq_zeros>(v.gptq_zeros);
  view.matrix_scale = v.matrix_scale;
  view.matrix_scale_divides = v.matrix_scale_divides;
  view.nested_absmax = v.nested.absmax.data;
  view.nested_absmax_size = v.nested.absmax.size;
  view.nested_map = v.nested.map.data;
  view.nested_map_size = v.nested.map.size;
  view.nested_block = v.nested.block;
  view.nested_offset = v.nested.offset;
  view.scale_rows = v.scale_rows;
  view.byte_zeros = v.byte_zeros;
  view.groups_down_rows = v.groups_down_rows;
  return view;
}

}  // namespace lutra::test
