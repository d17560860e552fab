// Finds matrices by the names, dtypes and shapes of tensors, and by quantization_config. kRules has a row for each way
// in which tools name the tensors of a matrix.
#include "safetensors_schemes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <string_view>

#include "lutra/lutra.h"
#include "safetensors_layer.h"

namespace lutra::examples {
namespace {

using nlohmann::json;

bool SetFloatType(const SafeTensor& tensor, DataType* type) {
  for (const auto& [name, value] :
       {std::pair("F32", DataType::kF32), {"F16", DataType::kF16}, {"BF16", DataType::kBF16}}) {
    if (tensor.dtype == name) return *type = value, true;
  }
  return false;
}

// The only element of a tensor of floats.
bool GetScalar(const SafeTensor* tensor, float* value) {
  DataType type;
  if (tensor == nullptr || tensor->Elements() != 1 || !SetFloatType(*tensor, &type)) return false;
  std::uint16_t half = 0;
  if (type == DataType::kF32) return std::memcpy(value, tensor->data, sizeof(*value)), true;
  std::memcpy(&half, tensor->data, sizeof(half));
  *value = type == DataType::kF16 ? F16ToF32(half) : BF16ToF32(half);
  return true;
}

// The group size with which a row of K weights has `groups` groups: `configured`, if it fits; else another one that
// fits; 0 if none does. -1: one group.
std::ptrdiff_t GroupSize(std::size_t k, std::size_t groups, std::ptrdiff_t configured) {
  if (groups <= 1) return -1;
  if (k > std::numeric_limits<std::uint32_t>::max()) return 0;
  if (configured > 0 && GroupsPerRow(k, static_cast<std::size_t>(configured)) == groups) return configured;
  for (std::size_t size = 16; size < k; size *= 2) {
    if (GroupsPerRow(k, size) == groups) return static_cast<std::ptrdiff_t>(size);
  }
  return k % groups == 0 ? static_cast<std::ptrdiff_t>(k / groups) : 0;
}

// Whether all bytes of a tensor are 0.
bool IsZero(const SafeTensor& tensor) {
  return std::all_of(tensor.data, tensor.data + tensor.size, [](std::uint8_t byte) { return byte == 0; });
}

// Sets g_idx, if the layer has one; false if its elements are not int32.
bool SetGroupIndex(const Layer& layer, const char* suffix, CheckpointView* view) {
  const SafeTensor* const g_idx = layer.Get(suffix);
  if (g_idx == nullptr) return true;
  view->g_idx = {reinterpret_cast<const std::int32_t*>(g_idx->data), g_idx->Elements()};
  return g_idx->dtype == "I32";
}

constexpr const char* kShapes = "its tensors do not have shapes that fit together";
constexpr const char* kGroupIndex = "its g_idx is not of type I32";

// --- Each function fills in a view, or returns why it cannot.

std::string FillGptqOrAwq(const Layer& layer, FoundMatrix* found) {
  CheckpointView& v = found->view;
  const SafeTensor &zeros = *layer.Get(".qzeros"), &scales = *layer.Get(".scales", "F16");
  if (layer.codes.shape.size() != 2 || zeros.shape.size() != 2 || scales.shape.size() != 2) return kShapes;
  const std::size_t rows = layer.codes.shape[0], columns = layer.codes.shape[1];
  v.m = scales.shape[1];
  v.codes = BytesOf(layer.codes);
  v.zeros = BytesOf(zeros);
  v.scales = BytesOf(scales);
  if (v.m == 0 || zeros.shape[0] != scales.shape[0]) return kShapes;
  const std::size_t bits = zeros.shape[1] * 32 / v.m;
  if (columns == v.m) {
    v.scheme = CheckpointScheme::kGptq;
    v.bits = static_cast<int>(bits);
    if (!Describe(v.scheme).has_width(v.bits)) return fmt::format("it has codes of {} bits", bits);
    v.k = rows * 32 / bits;
    if (layer.Text("checkpoint_format") == "gptq_v2") v.gptq_zeros = GptqZeros::kV2;
    if (!SetGroupIndex(layer, ".g_idx", &v)) return kGroupIndex;
  } else if (columns * 8 == v.m && bits == 4) {
    v.scheme = CheckpointScheme::kAwq;
    v.k = rows;
  } else {
    return kShapes;
  }
  v.group_size = GroupSize(v.k, scales.shape[0], layer.Number("group_size"));
  // GPTQ's g_idx is all zeros where there is no order.
  bool zero = v.g_idx.size != 0;
  for (std::size_t i = 0; i < v.g_idx.size * sizeof(std::int32_t) && zero; ++i) {
    zero = reinterpret_cast<const std::uint8_t*>(v.g_idx.data)[i] == 0;
  }
  if (zero) v.g_idx = {};
  return "";
}

// Whether a row of K codes takes this number of words, without padding bits or with them.
bool FillsWords(std::size_t k, std::size_t bits, std::size_t words) {
  const std::size_t per_word = 32 / bits;
  return k / 32 * bits + (k % 32 * bits + 31) / 32 == words || (k + per_word - 1) / per_word == words;
}

// The rows that share scales, if M rows have this number of them: one, all, or as many as a block has; 0 if none fits.
// Blocks that are not configured have 128 rows, or another power of two.
std::size_t ScaleRows(std::size_t m, std::size_t rows, std::ptrdiff_t block_rows) {
  if (rows == m) return 1;
  if (rows == 1) return m;
  const auto fits = [m, rows](std::size_t size) { return m / size + (m % size != 0) == rows; };
  if (block_rows > 0) return fits(static_cast<std::size_t>(block_rows)) ? static_cast<std::size_t>(block_rows) : 0;
  for (const std::size_t size : {128u, 256u, 64u, 32u, 16u}) {
    if (fits(size)) return size;
  }
  return 0;
}

// Sets the scales of blocks of W, and how many rows and columns of the M x K weights each has: a tensor of [rows x
// groups], or of one scale for each block of rows. `group`: the columns of blocks that are not configured; 0 if that is
// not known either. Returns why it cannot.
std::string SetBlockScales(const Layer& layer, const SafeTensor& scales, std::ptrdiff_t group, CheckpointView* v) {
  const Layer::Block block = layer.BlockOfScales();
  const std::vector<std::size_t>& shape = scales.shape;
  if (shape.size() > 2) return kShapes;
  const bool exponents = (scales.dtype == "U8" || scales.dtype == "F8_E8M0") &&
                         (v->scheme == CheckpointScheme::kFp8 || v->scheme == CheckpointScheme::kFp8E5M2);
  if (exponents) v->scale_type = DataType::kE8M0;
  if (!exponents && !SetFloatType(scales, &v->scale_type)) return fmt::format("it has scales of type {}", scales.dtype);
  v->scale_rows = ScaleRows(v->m, shape.size() == 2 ? shape[0] : scales.Elements(), block.rows);
  v->group_size = GroupSize(v->k, shape.size() == 2 ? shape[1] : 1, block.columns > 0 ? block.columns : group);
  v->scales = BytesOf(scales);
  return v->scale_rows != 0 ? "" : kShapes;
}

std::string FillPackQuantized(const Layer& layer, FoundMatrix* found) {
  CheckpointView& v = found->view;
  v.scheme = CheckpointScheme::kPackQuantized;
  if (layer.codes.shape.size() != 2) return kShapes;
  const std::size_t words = layer.codes.shape[1];
  std::vector<std::ptrdiff_t> widths;
  std::ptrdiff_t group = 0;
  for (const json& entry : Member(layer.config(), "config_groups")) {
    const json& weights = Member(entry, "weights");
    widths.push_back(Layer::NumberIn(weights, "num_bits"));
    group = Layer::NumberIn(weights, "group_size");
  }
  for (const std::ptrdiff_t bits : {4, 8, 2, 3, 5, 6, 7, 1}) widths.push_back(bits);
  v.m = layer.codes.shape[0];
  v.k = layer.Has(".weight_shape", "") ? layer.Integer(".weight_shape", 1) : words * 8;
  v.bits = 0;
  for (const std::ptrdiff_t bits : widths) {
    if (v.bits == 0 && bits >= 1 && bits <= 8 && FillsWords(v.k, static_cast<std::size_t>(bits), words)) {
      v.bits = static_cast<int>(bits);
    }
  }
  if (v.bits == 0) return kShapes;
  std::string error = SetBlockScales(layer, *layer.Get(".weight_scale"), group, &v);
  if (!error.empty()) return error;
  v.codes = BytesOf(layer.codes);
  const SafeTensor* const zeros = layer.Get(".weight_zero_point");
  if (zeros != nullptr && (zeros->dtype == "I32" || !IsZero(*zeros))) {  // symmetric: zeros of any type, or none
    v.byte_zeros = zeros->dtype == "I8";
    if (zeros->dtype != "I32" && !v.byte_zeros) return fmt::format("its zero points have the type {}", zeros->dtype);
    v.zeros = BytesOf(*zeros);
  }
  return SetGroupIndex(layer, ".weight_g_idx", &v) ? "" : kGroupIndex;
}

std::string FillIntQuantized(const Layer& layer, FoundMatrix* found) {
  CheckpointView& v = found->view;
  v.scheme = CheckpointScheme::kIntQuantized;
  v.bits = 8;
  if (layer.codes.shape.size() != 2) return kShapes;
  v.m = layer.codes.shape[0];
  v.k = layer.codes.shape[1];
  v.codes = BytesOf(layer.codes);
  const SafeTensor* const zeros = layer.Get(".weight_zero_point");
  if (zeros != nullptr && zeros->dtype == "I8") {
    v.zeros = BytesOf(*zeros);
  } else if (zeros != nullptr && !IsZero(*zeros)) {
    return fmt::format("its zero points have the type {}", zeros->dtype);
  }
  return SetBlockScales(layer, *layer.Get(".weight_scale"), 0, &v);
}

std::string FillBitsAndBytes(const Layer& layer, FoundMatrix* found) {
  CheckpointView& v = found->view;
  const SafeTensor* const nf4 = layer.Get(".weight.quant_state.bitsandbytes__nf4", "U8");
  const SafeTensor* const fp4 = layer.Get(".weight.quant_state.bitsandbytes__fp4", "U8");
  layer.Get(".weight.quant_map");
  const SafeTensor* const state = nf4 != nullptr ? nf4 : fp4;
  if (state == nullptr) return "it has no quant_state";
  v.scheme = nf4 != nullptr ? CheckpointScheme::kNf4 : CheckpointScheme::kFp4;
  const auto* const text = reinterpret_cast<const char*>(state->data);
  const json values = json::parse(text, text + state->size, nullptr, false);
  const json& shape = Member(values, "shape");
  if (!shape.is_array() || shape.size() != 2 || !shape[0].is_number_unsigned() || !shape[1].is_number_unsigned()) {
    return "its quant_state has no shape of a matrix";
  }
  v.m = shape[0].get<std::size_t>();
  v.k = shape[1].get<std::size_t>();
  v.group_size = Layer::NumberIn(values, "blocksize");
  v.codes = BytesOf(layer.codes);
  v.scales = BytesOf(*layer.Get(".weight.absmax"));
  const SafeTensor* const nested = layer.Get(".weight.nested_absmax", "F32");
  const SafeTensor* const map = layer.Get(".weight.nested_quant_map", "F32");
  if (nested == nullptr || map == nullptr) return "";
  v.nested.absmax = {reinterpret_cast<const float*>(nested->data), nested->Elements()};
  v.nested.map = {reinterpret_cast<const float*>(map->data), map->Elements()};
  v.nested.block = static_cast<std::size_t>(Layer::NumberIn(values, "nested_blocksize"));
  const json& offset = Member(values, "nested_offset");
  if (!offset.is_number()) return "its quant_state has no nested_offset";
  const auto value = offset.get<double>();
  if (std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())) return "its nested_offset is no float";
  v.nested.offset = static_cast<float>(value);
  return "";
}

// gpt-oss: experts, each of which has [M x K / 32 x 16] bytes.
std::string FillBlocks(const Layer& layer, FoundMatrix* found) {
  CheckpointView& v = found->view;
  v.scheme = CheckpointScheme::kMxfp4;
  const std::vector<std::size_t>& shape = layer.codes.shape;
  const SafeTensor& scales = *layer.Get("_scales");
  if (shape.size() < 3 || shape.size() > 4 || shape.back() != 16) return kShapes;
  const std::size_t first = shape.size() - 3;
  found->slices = first == 0 ? 1 : shape[0];
  v.m = shape[first];
  v.k = 32 * shape[first + 1];
  if (found->slices == 0 || scales.Elements() * 16 != layer.codes.Elements()) return kShapes;
  v.codes = {layer.codes.data, layer.codes.size / found->slices};
  v.scales = {scales.data, scales.size / found->slices};
  return "";
}

// MXFP4 or NVFP4: the type of the scales tells which.
std::string FillFloat4(const Layer& layer, FoundMatrix* found) {
  CheckpointView& v = found->view;
  const SafeTensor& scales = *layer.Get(".weight_scale");
  if (layer.codes.shape.size() != 2) return kShapes;
  v.m = layer.codes.shape[0];
  v.k = 2 * layer.codes.shape[1];
  v.codes = BytesOf(layer.codes);
  v.scales = BytesOf(scales);
  v.scheme = CheckpointScheme::kMxfp4;
  if (scales.dtype == "U8" || scales.dtype == "F8_E8M0") return "";
  v.scheme = CheckpointScheme::kNvfp4;
  v.matrix_scale_divides = layer.Has(".weight_global_scale", "");
  const char* const name = v.matrix_scale_divides ? ".weight_global_scale" : ".weight_scale_2";
  return GetScalar(layer.Get(name), &v.matrix_scale) ? "" : fmt::format("{} is no number", name);
}

std::string FillHqq(const Layer& layer, FoundMatrix* found) {
  CheckpointView& v = found->view;
  v.scheme = CheckpointScheme::kHqq;
  const SafeTensor &scales = *layer.Get(".scale"), &zeros = *layer.Get(".zero");
  for (const char* const other :
       {".compute_dtype", ".packing", ".view_as_float", ".unpack_view_dtype", ".quant_scale", ".quant_zero",
        ".channel_wise", ".optimize", ".round_zero", ".offload_meta", ".stores_quant_config"}) {
    layer.Get(other);
  }
  if (!SetFloatType(scales, &v.scale_type) || scales.dtype != zeros.dtype) return "its scales or zeros are not floats";
  if (!layer.Has(".axis", "")) return "it has no tensor 'axis'";
  v.groups_down_rows = layer.Integer(".axis", 0) != 1;  // the library refuses it
  v.bits = static_cast<int>(layer.Integer(".nbits", 0) % 64);
  float nbits;
  if (GetScalar(layer.Get(".nbits"), &nbits) && nbits == 1.58f) v.bits = 2;  // three levels
  v.m = layer.Integer(".shape", 0);
  v.k = layer.Integer(".shape", 1);
  const std::size_t group = layer.Integer(".group_size", 0);
  v.group_size = group == 0 || group > v.k ? -1 : static_cast<std::ptrdiff_t>(group);
  v.codes = BytesOf(layer.codes);
  v.scales = BytesOf(scales);
  v.zeros = BytesOf(zeros);
  return "";
}

std::string FillBitnet(const Layer& layer, FoundMatrix* found) {
  CheckpointView& v = found->view;
  v.scheme = CheckpointScheme::kBitnet;
  v.bits = 2;
  if (layer.codes.shape.size() != 2) return kShapes;
  if (!GetScalar(layer.Get(".weight_scale"), &v.matrix_scale)) return "weight_scale is no number";
  v.m = 4 * layer.codes.shape[0];
  v.k = layer.codes.shape[1];
  v.codes = BytesOf(layer.codes);
  v.matrix_scale_divides = layer.Text("linear_class") != "autobitlinear";
  return "";
}

std::string FillFp8(const Layer& layer, FoundMatrix* found) {
  CheckpointView& v = found->view;
  v.scheme = layer.codes.dtype == "F8_E4M3" ? CheckpointScheme::kFp8 : CheckpointScheme::kFp8E5M2;
  v.bits = 8;
  const SafeTensor* scales = layer.Get(".weight_scale");
  for (const char* const other : {".weight_scale_inv", ".scale"}) {
    if (scales == nullptr) scales = layer.Get(other);
  }
  layer.Get(".input_scale");  // of x, which stays a float here
  if (scales == nullptr) return "it has no scales";
  if (layer.codes.shape.size() != 2) return kShapes;
  v.m = layer.codes.shape[0];
  v.k = layer.codes.shape[1];
  v.codes = BytesOf(layer.codes);
  return SetBlockScales(layer, *scales, 128, &v);
}

// A rule fits a tensor whose name has this suffix and that has this dtype, if the needed tensors are in the file.
struct Rule {
  const char *codes, *dtype;
  struct Needed {
    const char *suffix, *dtype;
  } needed[2];
  std::string (*fill)(const Layer& layer, FoundMatrix* found);
};
constexpr Rule kRules[] = {
    {".qweight", "I32", {{".qzeros", "I32"}, {".scales", "F16"}}, FillGptqOrAwq},
    {".weight_packed", "I32", {{".weight_scale", ""}}, FillPackQuantized},
    {".weight_packed", "U8", {{".weight_scale", "U8"}}, FillFloat4},
    {".weight_packed", "U8", {{".weight_scale", "F8_E8M0"}}, FillFloat4},
    {".weight_packed", "U8", {{".weight_scale", "F8_E4M3"}, {".weight_global_scale", ""}}, FillFloat4},
    {".weight", "U8", {{".weight_scale", "F8_E4M3"}, {".weight_scale_2", ""}}, FillFloat4},
    {".weight", "U8", {{".weight.absmax", ""}}, FillBitsAndBytes},
    {"_blocks", "U8", {{"_scales", "U8"}}, FillBlocks},
    {".W_q", "U8", {{".scale", ""}, {".zero", ""}}, FillHqq},
    {".W_q", "I32", {{".scale", ""}, {".zero", ""}}, FillHqq},
    {".weight", "I8", {{".weight_scale", ""}}, FillIntQuantized},
    {".weight", "U8", {{".weight_scale", ""}}, FillBitnet},
    {".weight", "F8_E4M3", {}, FillFp8},
    {".weight", "F8_E5M2", {}, FillFp8},
};

bool EndsWith(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Fills in the matrix whose codes are in a tensor. False if no rule fits.
bool FindMatrix(const SafetensorsFile& file, const SafeTensor& codes, FoundMatrix* found) {
  for (const Rule& rule : kRules) {
    if (!EndsWith(codes.name, rule.codes) || codes.dtype != rule.dtype) continue;
    const Layer layer(file, codes, std::strlen(rule.codes), found);
    bool all = true;
    for (const Rule::Needed& needed : rule.needed) {
      all = all && (needed.suffix == nullptr || layer.Has(needed.suffix, needed.dtype));
    }
    if (!all) continue;
    found->name = codes.name;
    found->refusal = rule.fill(layer, found);
    found->bytes = found->view.codes.size + found->view.scales.size + found->view.zeros.size;
    if (!found->refusal.empty()) return true;
    PackedLayout layout;
    if (found->view.m == 0 || found->view.k == 0) found->refusal = "it is empty";
    if (found->view.group_size == 0 && Describe(found->view.scheme).group == 0) found->refusal = kShapes;
    const Status status = found->refusal.empty() ? LayoutOf(found->view, {}, &layout) : Status();
    if (!status.ok()) found->refusal = status.message();
    if (Describe(found->view.scheme).refusal != nullptr) found->refusal = Describe(found->view.scheme).refusal;
    return true;
  }
  return false;
}

}  // namespace

CheckpointView FoundMatrix::Slice(std::size_t i) const {
  CheckpointView slice = view;
  if (i == 0) return slice;
  slice.codes.data = static_cast<const std::uint8_t*>(view.codes.data) + i * view.codes.size;
  slice.scales.data = static_cast<const std::uint8_t*>(view.scales.data) + i * view.scales.size;
  return slice;
}

std::vector<FoundMatrix> FindMatrices(const SafetensorsFile& file) {
  std::vector<FoundMatrix> matrices;
  for (const SafeTensor& tensor : file.tensors()) {
    FoundMatrix found;
    if (FindMatrix(file, tensor, &found)) matrices.push_back(std::move(found));
  }
  return matrices;
}

}  // namespace lutra::examples
