// Imports weights of safetensors checkpoints: the layouts of GPTQ, AWQ, compressed-tensors, bitsandbytes, gpt-oss,
// ModelOpt, HQQ and BitNet, from the bytes of their tensors.
//
//     lutra::CheckpointView view;
//     view.scheme = lutra::CheckpointScheme::kPackQuantized;
//     view.m = M, view.k = K, view.group_size = 32;
//     view.codes = {weight_packed, bytes};
//     view.scales = {weight_scale, bytes};
//     view.scale_type = lutra::DataType::kBF16;
//     lutra::ImportCheckpoint(view, &quantized);
//
// pack_panels.h packs them without a matrix in between. import.h has views of GPTQ and AWQ with elements of their own
// types.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/export.h"
#include "lutra/import.h"
#include "lutra/matrix.h"
#include "lutra/quantized_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// How the weights of a matrix lie in the tensors of a checkpoint. A row has G = ceil(K / group_size) groups; scales
// have R = ceil(M / scale_rows) rows. All tensors are row-major. W(m, k) = scale * (code - zero) unless said otherwise,
// with the scale and zero point of its group.
enum class CheckpointScheme : std::uint8_t {
  kGptq,  // GPTQ: see GptqView. codes: qweight; zeros: qzeros; g_idx
  kAwq,   // AWQ: see AwqView. codes: qweight; zeros: qzeros
  // compressed-tensors "pack-quantized": codes: weight_packed, words of 32 bits [M x .], the codes of a row from the
  // lowest bits on. Words hold whole codes, or codes without padding: the number of words tells. scales: weight_scale
  // [R x G]; zeros: weight_zero_point, words [. x G], packed along R in the same way, or, with byte_zeros, int8
  // [R x G]; without them a zero point is half the number of codes; g_idx: weight_g_idx.
  kPackQuantized,
  // compressed-tensors "int-quantized": codes: weight, int8 [M x K]; scales: weight_scale [R x G]; zeros:
  // weight_zero_point, int8 [R x G]; without them a zero point is 0.
  kIntQuantized,
  // bitsandbytes: codes: weight, M * K / 2 bytes of two codes, the first one in the high bits, of all rows in one
  // sequence; K is even. scales: weight.absmax, f32, one for each group_size weights of the sequence; a byte each with
  // `nested`. Values of NF4 and FP4 are not integers: the int8 tables of the imported matrix differ from them by up to
  // 0.0039 * absmax (NF4; 0.0018 RMS over the codes) and 0.0032 * absmax (FP4: only the codes 1 and 9).
  kNf4,
  kFp4,
  // gpt-oss, and compressed-tensors "mxfp4-pack-quantized": codes: *_blocks or weight_packed, bytes [M x K / 2] of two
  // E2M1 values, the first one in the low bits; scales: *_scales or weight_scale, E8M0 [M x K / 32].
  kMxfp4,
  // compressed-tensors "nvfp4-pack-quantized" and ModelOpt: codes as kMxfp4; scales: weight_scale, E4M3 [M x K / 16];
  // matrix_scale: weight_scale_2 of ModelOpt, or weight_global_scale, which divides.
  kNvfp4,
  // HQQ with axis 1 (groups along K): codes: W_q. Elements are bytes, or, for 3 bits, words of 32 bits with ten codes.
  // All weights in one sequence are cut into as many parts as an element has codes (8, 6 and 5 bits: 1, 4: 2, 3: 10, 2:
  // 4, 1: 8). A part is a multiple of a group long; of 3 bits the last parts may be shorter or empty. Element i has the
  // code number i of each part, the first part in the highest bits. scales: scale, zeros: zero, floats of scale_type,
  // one for each group_size weights of the sequence.
  kHqq,
  // BitNet of transformers: codes: weight, bytes [ceil(M / 4) x K], whose lowest two bits have the first quarter of the
  // rows; matrix_scale: weight_scale, which divides (BitLinear) or multiplies (AutoBitLinear). W = scale * (code - 1).
  kBitnet,
  // Floats of 8 bits, of compressed-tensors "float-quantized" and "mxfp8-quantized", DeepSeek and ModelOpt: codes:
  // weight, E4M3 [M x K]; scales: weight_scale or weight_scale_inv, numbers of scale_type that multiply, [R x G]:
  // blocks of scale_rows x group_size weights share one. A scale for the matrix: scale_rows = M, group_size = -1.
  // MXFP8: scale_type = kE8M0, group_size = 32.
  kFp8,
  kFp8E5M2,  // the same with codes that are E5M2
};

struct CheckpointInfo {
  CheckpointScheme scheme;
  const char* name;
  const char* refusal;   // why no format holds the scheme; null if one does
  std::uint32_t widths;  // the bit 1 << b is set if codes may have b bits
  std::size_t group;     // weights that share a scale, or kPerMatrix; 0: CheckpointView::group_size says

  constexpr bool has_width(int bits) const { return bits > 0 && bits < 32 && (widths >> bits & 1) != 0; }
};

inline constexpr CheckpointInfo kCheckpointSchemes[] = {
    {CheckpointScheme::kGptq, "gptq", nullptr, 0x11c, 0},
    {CheckpointScheme::kAwq, "awq", nullptr, 0x10, 0},
    {CheckpointScheme::kPackQuantized, "pack-quantized", nullptr, 0x1fe, 0},
    {CheckpointScheme::kIntQuantized, "int-quantized", nullptr, 0x100, 0},
    {CheckpointScheme::kNf4, "nf4", nullptr, 0x10, 0},
    {CheckpointScheme::kFp4, "fp4", nullptr, 0x10, 0},
    {CheckpointScheme::kMxfp4, "mxfp4", nullptr, 0x10, 32},
    {CheckpointScheme::kNvfp4, "nvfp4", nullptr, 0x10, 16},
    {CheckpointScheme::kHqq, "hqq", nullptr, 0x17e, 0},
    {CheckpointScheme::kBitnet, "bitnet", nullptr, 0x4, kPerMatrix},
    {CheckpointScheme::kFp8, "fp8", nullptr, 0x100, 0},
    {CheckpointScheme::kFp8E5M2, "fp8_e5m2", nullptr, 0x100, 0},
};
inline constexpr std::size_t kCheckpointSchemeCount = sizeof(kCheckpointSchemes) / sizeof(kCheckpointSchemes[0]);

namespace functions {

constexpr bool IsScheme(CheckpointScheme scheme) { return static_cast<std::size_t>(scheme) < kCheckpointSchemeCount; }
// The row of a scheme; only if IsScheme(scheme).
constexpr const CheckpointInfo& Describe(CheckpointScheme scheme) {
  return kCheckpointSchemes[static_cast<std::size_t>(scheme)];
}
// "?" for a value that is no scheme.
constexpr const char* Name(CheckpointScheme scheme) noexcept { return IsScheme(scheme) ? Describe(scheme).name : "?"; }

}  // namespace functions

// The bytes of a tensor, at any address, in the byte order of the machine.
struct TensorBytes {
  const void* data = nullptr;
  std::size_t size = 0;  // bytes
};

// bitsandbytes' double quantization: absmax number i is map[byte i] * absmax[i / block] + offset. It must be finite.
struct NestedAbsmax {
  TensorView<float> absmax = {};  // weight.nested_absmax, one for each `block` scales; empty: scales are not nested
  TensorView<float> map = {};     // weight.nested_quant_map, 256 values
  std::size_t block = 256;        // nested_blocksize of the quant_state; not 0
  float offset = 0.0f;            // nested_offset of the quant_state
};

// The tensors of W[M x K]; CheckpointScheme says which. Fields that a scheme does not have are ignored.
struct CheckpointView {
  CheckpointScheme scheme = CheckpointScheme::kPackQuantized;
  int bits = 4;  // of a code: CheckpointInfo::widths
  std::size_t m = 0, k = 0;
  // Weights of a row that share a scale; -1: all K weights of a row. kNf4, kFp4, kHqq: a multiple of K, or 16 divides
  // both group_size and K. Other schemes: a multiple of 16, or at least K.
  std::ptrdiff_t group_size = 128;
  TensorBytes codes = {}, scales = {}, zeros = {};
  // kPackQuantized, kIntQuantized, kHqq: kF16, kBF16 or kF32. kFp8, kFp8E5M2: one of these or kE8M0.
  DataType scale_type = DataType::kF16;
  TensorView<std::int32_t> g_idx = {};  // as GptqView::g_idx
  GptqZeros gptq_zeros = GptqZeros::kV1Words;
  float matrix_scale = 1.0f;  // kNvfp4, kBitnet: finite, and not 0
  // Whether weights are divided by matrix_scale. They are multiplied by its reciprocal in float, so they differ by up
  // to two units in the last place from a division.
  bool matrix_scale_divides = false;
  NestedAbsmax nested = {};  // kNf4, kFp4
  // kPackQuantized, kIntQuantized, kFp8, kFp8E5M2: rows of W that share scales and zero points; not 0.
  std::size_t scale_rows = 1;
  // kPackQuantized: zeros are int8 [R x G] instead of words. A zero point is the byte plus half the number of codes; a
  // byte is at least minus half and below half of that number. compressed-tensors stores the zero points of blocks and
  // of the matrix (strategies "block" and "tensor") in this way.
  bool byte_zeros = false;
  // kHqq: axis 0 (groups run down the rows), which is refused: each weight of a row then has a scale of its own.
  bool groups_down_rows = false;
};

namespace functions {

// Imports a matrix. Every W(m, k) equals the definition of the scheme in float, bit for bit, except as said above.
// If g_idx does not ascend, the import sorts columns by group, and *w has an order. Codes of one bit become int2.
// Fails as the head of import.h says, and with kUnsupported on a scheme with a refusal, on groups that run down the
// rows, on a group_size that is not listed above, on a g_idx whose groups have uneven sizes, and on an odd K of kNf4
// and kFp4.
LUTRA_API Status ImportCheckpoint(const CheckpointView& checkpoint, QuantizedMatrix* w);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
