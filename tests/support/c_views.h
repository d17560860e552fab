// Converts views of the C++ API to views of the C API.
#pragma once

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"

namespace lutra::test {

inline lutra_quantized_view CView(const QuantizedView& w) {
  lutra_quantized_view view = {};
  view.format = static_cast<lutra_format>(w.format);
  view.m = w.m;
  view.k = w.k;
  view.codes = w.codes;
  view.code_stride = w.code_stride;
  view.group = w.group;
  view.scales = w.scales;
  view.scale_type = static_cast<lutra_data_type>(w.scale_type);
  view.zero_kind = static_cast<lutra_zero_kind>(w.zero_kind);
  view.zero_type = static_cast<lutra_data_type>(w.zero_type);
  view.matrix_scale = w.matrix_scale;
  view.zeros = w.zeros;
  view.super_scales = w.super_scales;
  view.super_offsets = w.super_offsets;
  view.codebook = w.codebook;
  view.codebook_tables = w.codebook_tables;
  view.table_choices = w.table_choices;
  view.bias = w.bias;
  view.order = w.order;
  return view;
}
inline lutra_activation_view CView(const ActivationView& x) {
  return {x.data, static_cast<lutra_data_type>(x.type), x.n, x.k, x.row_stride, x.scales, x.scale_group};
}
inline lutra_output_view CView(const OutputView& y) {
  return {y.data, static_cast<lutra_data_type>(y.type), y.n, y.m, y.row_stride};
}

}  // namespace lutra::test
