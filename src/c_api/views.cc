// Converts the constants and views of the C API. Each conversion lists all fields of the C++ view, so that a new field
// does not compile until it is converted here.
#include "c_api/c_api.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace c_api {
namespace {

// --- Constants. Conversions are casts, so values must be equal.

template <class Enum>
constexpr bool Same(std::int32_t c, Enum value) {
  return c == static_cast<std::int32_t>(value);
}
// Whether the constant is the last one: the C++ enum has no enumerator after it.
template <class Enum>
constexpr bool IsLast(std::int32_t c) {
  return *Name(static_cast<Enum>(c)) != '?' && *Name(static_cast<Enum>(c + 1)) == '?';
}

static_assert(Same(LUTRA_OK, StatusCode::kOk));
static_assert(Same(LUTRA_INVALID_ARGUMENT, StatusCode::kInvalidArgument));
static_assert(Same(LUTRA_UNSUPPORTED, StatusCode::kUnsupported));
static_assert(Same(LUTRA_OUT_OF_MEMORY, StatusCode::kOutOfMemory));
static_assert(Same(LUTRA_IO, StatusCode::kIo));
static_assert(IsLast<StatusCode>(LUTRA_IO));

static_assert(Same(LUTRA_FORMAT_INT1, Format::kInt1));
static_assert(Same(LUTRA_FORMAT_INT2, Format::kInt2));
static_assert(Same(LUTRA_FORMAT_INT3, Format::kInt3));
static_assert(Same(LUTRA_FORMAT_INT4, Format::kInt4));
static_assert(Same(LUTRA_FORMAT_TERNARY, Format::kTernary));
static_assert(Same(LUTRA_FORMAT_IQ4NL, Format::kIq4nl));
static_assert(Same(LUTRA_FORMAT_FP4, Format::kFp4));
static_assert(Same(LUTRA_FORMAT_INT5, Format::kInt5));
static_assert(Same(LUTRA_FORMAT_INT6, Format::kInt6));
static_assert(Same(LUTRA_FORMAT_INT7, Format::kInt7));
static_assert(Same(LUTRA_FORMAT_INT8, Format::kInt8));
static_assert(Same(LUTRA_FORMAT_IQ1, Format::kIq1));
static_assert(Same(LUTRA_FORMAT_IQ2, Format::kIq2));
static_assert(Same(LUTRA_FORMAT_IQ3XXS, Format::kIq3xxs));
static_assert(Same(LUTRA_FORMAT_IQ3S, Format::kIq3s));
static_assert(Same(LUTRA_FORMAT_CODEBOOK3, Format::kCodebook3));
static_assert(Same(LUTRA_FORMAT_CODEBOOK4, Format::kCodebook4));
static_assert(Same(LUTRA_FORMAT_INT2_CODES, Format::kInt2Codes));
static_assert(Same(LUTRA_FORMAT_FP8_E4M3, Format::kFp8E4M3));
static_assert(Same(LUTRA_FORMAT_FP8_E5M2, Format::kFp8E5M2));
static_assert(Same(LUTRA_FORMAT_FP6_E3M2, Format::kFp6E3M2));
static_assert(Same(LUTRA_FORMAT_FP6_E2M3, Format::kFp6E2M3));
static_assert(IsLast<Format>(LUTRA_FORMAT_FP6_E2M3));

static_assert(Same(LUTRA_TYPE_F32, DataType::kF32));
static_assert(Same(LUTRA_TYPE_F16, DataType::kF16));
static_assert(Same(LUTRA_TYPE_BF16, DataType::kBF16));
static_assert(Same(LUTRA_TYPE_INT8, DataType::kInt8));
static_assert(Same(LUTRA_TYPE_UINT4, DataType::kUInt4));
static_assert(Same(LUTRA_TYPE_UINT8, DataType::kUInt8));
static_assert(Same(LUTRA_TYPE_E8M0, DataType::kE8M0));
static_assert(Same(LUTRA_TYPE_E4M3, DataType::kE4M3));
static_assert(Same(LUTRA_TYPE_INT4, DataType::kInt4));
static_assert(Same(LUTRA_TYPE_BITS, DataType::kBits));
static_assert(IsLast<DataType>(LUTRA_TYPE_BITS));

static_assert(Same(LUTRA_ZERO_NONE, ZeroKind::kNone));
static_assert(Same(LUTRA_ZERO_POINT, ZeroKind::kPoint));
static_assert(Same(LUTRA_ZERO_OFFSET, ZeroKind::kOffset));
static_assert(IsLast<ZeroKind>(LUTRA_ZERO_OFFSET));

static_assert(Same(LUTRA_PRECISION_INT8, Precision::kInt8));
static_assert(Same(LUTRA_PRECISION_INT16, Precision::kInt16));
static_assert(IsLast<Precision>(LUTRA_PRECISION_INT16));

static_assert(Same(LUTRA_LOADED_IN_PLACE, Loaded::kInPlace));
static_assert(Same(LUTRA_LOADED_COPIED, Loaded::kCopied));
static_assert(Same(LUTRA_LOADED_REPACKED, Loaded::kRepacked));
static_assert(IsLast<Loaded>(LUTRA_LOADED_REPACKED));

static_assert(Same(LUTRA_GPTQ_ZEROS_V1_WORDS, GptqZeros::kV1Words));
static_assert(Same(LUTRA_GPTQ_ZEROS_V2, GptqZeros::kV2));
static_assert(Same(LUTRA_GPTQ_ZEROS_V1_FIELDS, GptqZeros::kV1Fields));
static_assert(Same(LUTRA_GPTQ_ZEROS_V1_MASKED, GptqZeros::kV1Masked));
static_assert(IsLast<GptqZeros>(LUTRA_GPTQ_ZEROS_V1_MASKED));

static_assert(Same(LUTRA_CHECKPOINT_GPTQ, CheckpointScheme::kGptq));
static_assert(Same(LUTRA_CHECKPOINT_AWQ, CheckpointScheme::kAwq));
static_assert(Same(LUTRA_CHECKPOINT_PACK_QUANTIZED, CheckpointScheme::kPackQuantized));
static_assert(Same(LUTRA_CHECKPOINT_INT_QUANTIZED, CheckpointScheme::kIntQuantized));
static_assert(Same(LUTRA_CHECKPOINT_NF4, CheckpointScheme::kNf4));
static_assert(Same(LUTRA_CHECKPOINT_FP4, CheckpointScheme::kFp4));
static_assert(Same(LUTRA_CHECKPOINT_MXFP4, CheckpointScheme::kMxfp4));
static_assert(Same(LUTRA_CHECKPOINT_NVFP4, CheckpointScheme::kNvfp4));
static_assert(Same(LUTRA_CHECKPOINT_HQQ, CheckpointScheme::kHqq));
static_assert(Same(LUTRA_CHECKPOINT_BITNET, CheckpointScheme::kBitnet));
static_assert(Same(LUTRA_CHECKPOINT_FP8, CheckpointScheme::kFp8));
static_assert(Same(LUTRA_CHECKPOINT_FP8_E5M2, CheckpointScheme::kFp8E5M2));
static_assert(IsLast<CheckpointScheme>(LUTRA_CHECKPOINT_FP8_E5M2));

static_assert(LUTRA_PER_ROW == kPerRow && LUTRA_PER_MATRIX == kPerMatrix);

}  // namespace

lutra_status ToC(const Status& status) {
  return {static_cast<lutra_status_code>(status.code()), status.argument(), status.reason()};
}

// --- Views

QuantizedView FromC(const lutra_quantized_view& w) {
  QuantizedView view;
  auto& [format, m, k, codes, code_stride, group, scales, scale_type, zero_kind, zero_type, zeros, super_scales,
         super_offsets, matrix_scale, codebook, codebook_tables, table_choices, bias, order] = view;
  format = FromC<Format>(w.format);
  m = w.m;
  k = w.k;
  codes = w.codes;
  code_stride = w.code_stride;
  group = w.group;
  scales = w.scales;
  scale_type = FromC<DataType>(w.scale_type);
  zero_kind = FromC<ZeroKind>(w.zero_kind);
  zero_type = FromC<DataType>(w.zero_type);
  zeros = w.zeros;
  super_scales = w.super_scales;
  super_offsets = w.super_offsets;
  matrix_scale = w.matrix_scale == 0.0f ? 1.0f : w.matrix_scale;
  codebook = w.codebook;
  codebook_tables = w.codebook_tables == 0 ? 1 : w.codebook_tables;
  table_choices = w.table_choices;
  bias = w.bias;
  order = w.order;
  return view;
}

lutra_quantized_view ToC(const QuantizedView& w) {
  const auto& [format, m, k, codes, code_stride, group, scales, scale_type, zero_kind, zero_type, zeros, super_scales,
               super_offsets, matrix_scale, codebook, codebook_tables, table_choices, bias, order] = w;
  lutra_quantized_view view = {};
  view.format = static_cast<lutra_format>(format);
  view.m = m;
  view.k = k;
  view.codes = codes;
  view.code_stride = code_stride;
  view.group = group;
  view.scales = scales;
  view.scale_type = static_cast<lutra_data_type>(scale_type);
  view.zero_kind = static_cast<lutra_zero_kind>(zero_kind);
  view.zero_type = static_cast<lutra_data_type>(zero_type);
  view.zeros = zeros;
  view.super_scales = super_scales;
  view.super_offsets = super_offsets;
  view.matrix_scale = matrix_scale;
  view.codebook = codebook;
  view.codebook_tables = codebook_tables;
  view.table_choices = table_choices;
  view.bias = bias;
  view.order = order;
  return view;
}

QuantizeOptions FromC(const lutra_quantize_options& o) {
  QuantizeOptions options;
  // Three come from a lutra_fit_options.
  auto& [format, group, scale_type, zero_kind, zero_type, codebook, codebook_tables, order, fit, importance, executor,
         matrix_scale] = options;
  format = FromC<Format>(o.format);
  group = o.group;
  scale_type = FromC<DataType>(o.scale_type);
  zero_kind = FromC<ZeroKind>(o.zero_kind);
  zero_type = FromC<DataType>(o.zero_type);
  codebook = o.codebook;
  codebook_tables = o.codebook_tables == 0 ? 1 : o.codebook_tables;
  order = o.order;
  matrix_scale = o.matrix_scale;
  return options;
}

GptqView FromC(const lutra_gptq_view& g) {
  GptqView view;
  auto& [bits, m, k, group_size, qweight, qzeros, scales, g_idx, zeros] = view;
  bits = g.bits;
  m = g.m;
  k = g.k;
  group_size = g.group_size;
  qweight = {g.qweight, g.qweight_size};
  qzeros = {g.qzeros, g.qzeros_size};
  scales = {g.scales, g.scales_size};
  g_idx = {g.g_idx, g.g_idx_size};
  zeros = FromC<GptqZeros>(g.zeros);
  return view;
}

AwqView FromC(const lutra_awq_view& a) {
  AwqView view;
  auto& [m, k, group_size, qweight, qzeros, scales] = view;
  m = a.m;
  k = a.k;
  group_size = a.group_size;
  qweight = {a.qweight, a.qweight_size};
  qzeros = {a.qzeros, a.qzeros_size};
  scales = {a.scales, a.scales_size};
  return view;
}

CheckpointView FromC(const lutra_checkpoint_view& c) {
  CheckpointView view;
  auto& [scheme, bits, m, k, group_size, codes, scales, zeros, scale_type, g_idx, gptq_zeros, matrix_scale,
         matrix_scale_divides, nested, scale_rows, byte_zeros, groups_down_rows] = view;
  scheme = FromC<CheckpointScheme>(c.scheme);
  bits = c.bits;
  m = c.m;
  k = c.k;
  group_size = c.group_size;
  codes = {c.codes, c.codes_size};
  scales = {c.scales, c.scales_size};
  zeros = {c.zeros, c.zeros_size};
  scale_type = FromC<DataType>(c.scale_type);
  g_idx = {c.g_idx, c.g_idx_size};
  gptq_zeros = FromC<GptqZeros>(c.gptq_zeros);
  matrix_scale = c.matrix_scale == 0.0f ? 1.0f : c.matrix_scale;
  matrix_scale_divides = c.matrix_scale_divides;
  auto& [absmax, map, block, offset] = nested;
  absmax = {c.nested_absmax, c.nested_absmax_size};
  map = {c.nested_map, c.nested_map_size};
  block = c.nested_block;
  offset = c.nested_offset;
  scale_rows = c.scale_rows == 0 ? 1 : c.scale_rows;
  byte_zeros = c.byte_zeros;
  groups_down_rows = c.groups_down_rows;
  return view;
}

RmsNorm NormOf(const float* weight_, float epsilon_) {
  RmsNorm norm;
  auto& [weight, epsilon] = norm;
  weight = weight_;
  epsilon = epsilon_;
  return norm;
}

Hadamard HadamardOf(const float* signs_, std::size_t block_) {
  Hadamard hadamard;
  auto& [signs, block] = hadamard;
  signs = signs_;
  block = block_;
  return hadamard;
}

ActivationView FromC(const lutra_activation_view& x) {
  ActivationView view;
  auto& [data, type, n, k, row_stride, scales, scale_group] = view;
  data = x.data;
  type = FromC<DataType>(x.type);
  n = x.n;
  k = x.k;
  row_stride = x.row_stride;
  scales = x.scales;
  scale_group = x.scale_group;
  return view;
}

OutputView FromC(const lutra_output_view& y) {
  OutputView view;
  auto& [data, type, n, m, row_stride] = view;
  data = y.data;
  type = FromC<DataType>(y.type);
  n = y.n;
  m = y.m;
  row_stride = y.row_stride;
  return view;
}

GgufBlocks FromC(const lutra_gguf_blocks& b) {
  GgufBlocks blocks;
  auto& [type, data, size, first_row, rows] = blocks;
  type = b.type;
  data = b.data;
  size = b.size;
  first_row = b.first_row;
  rows = b.rows;
  return blocks;
}

namespace {

Status TargetOf(const char* name, Target* target) {
  *target = FindTarget(name);
  if (name == nullptr || *target != nullptr) return {};
  return Status::Unsupported("target", "does not run here, or is none");
}

}  // namespace

Status OptionsOf(const lutra_layout_options& o, LayoutOptions* options) {
  auto& [target, count, bias, matrix_scale] = *options;
  count = o.count == 0 ? 1 : o.count;
  bias = o.bias;
  matrix_scale = o.matrix_scale == 0.0f ? 1.0f : o.matrix_scale;
  return TargetOf(o.target, &target);
}

Status MakeOptions(const char* name, const lutra_context* context, PackOptions* options) {
  if (const Status status = CheckContext(context); !status.ok()) return status;
  auto& [target, executor, check_data] = *options;
  check_data = true;
  executor = ContextOf(context).executor;
  return TargetOf(name, &target);
}

}  // namespace c_api
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
