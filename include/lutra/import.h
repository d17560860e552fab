// Imports quantized weights of other tools without loss: GGUF blocks, GPTQ and AWQ. Pack takes the result.
//
// Every W(m, k) equals the tool's own dequantized weight in float, bit for bit. The functions read the data once; it is
// not needed afterwards. The result has no bias; to add one, set QuantizedView::bias in a copy of the view. The
// functions are thread-safe. They fail, with *w unchanged, if sizes do not match M and K, if no format can hold the
// codes or scales, if a scale is not finite, and if memory is short.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/quantized_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// --- GGUF (ggml, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). gguf_file.h finds the tensors of a file.

// A type of block: `weights` consecutive weights of one row take `bytes`. The list has all types of ggml, PQ2_0 and
// PTQ1_0 of PrismML's llama.cpp, and I2_S of bitnet.cpp. Lutra imports a type whose `refusal` is null; the fields after
// it are the types of the imported matrix.
struct GgufType {
  std::uint32_t id;  // ggml's
  const char* name;  // ggml's
  std::size_t weights, bytes;
  const char* refusal;  // why no format holds this type; null if one does

  Format format = Format::kInt4;
  std::size_t group = 0;                 // kTernary: kPerRow or kPerMatrix if all scales of a row or matrix are equal
  DataType scale_type = DataType::kF16;  // kInt8 or kUInt4: with super-scales
  // Offsets have scale_type. A kTernary type with f16 scales is imported as int2 with zero points of 1 (kUInt8) if any
  // of its codes is 3, which stands for twice the scale.
  ZeroKind zero_kind = ZeroKind::kNone;
  std::size_t tail_bytes = 0;  // of a tensor, after its last block; i2_s: the scale
  // Files also give the type this id, which is that of a type with other sizes. The size of a tensor tells the two.
  std::uint32_t other_id = id;
  // Packed bytes per byte of the tensor, at most; M and K without their padding. Above 1.05 for indices of grid
  // entries, in place of which the codes of the weights are packed.
  float packed_ratio = 1.05f;
  // Whether UnpackGguf (pack_panels.h) gives the blocks back, bit for bit, as quantizers write them: tq1_0 and ptq1_0
  // have several bytes for the same codes, and an nvfp4 scale that is NaN becomes 0. Not so are types with grids, whose
  // indices are not kept, and i2_s.
  bool restorable = false;
};

struct GgufTypeList {
  const GgufType* data;
  std::size_t size;
  const GgufType* begin() const { return data; }
  const GgufType* end() const { return data + size; }
};

namespace functions {

// All types of ggml, in ascending order of ids. The list has static storage duration. Thread-safe.
LUTRA_API GgufTypeList GgufTypes();
// The type with this id; null if ggml has none. Thread-safe.
LUTRA_API const GgufType* FindGgufType(std::uint32_t id);
// Why ImportGguf does not import this type; null if it does. Of a type that ggml does not have, but a fork of it, the
// text says which one. The text has static storage duration. Thread-safe.
LUTRA_API const char* GgufRefusal(std::uint32_t type);

// Imports a tensor W[M x K] from `size` bytes at any address: the blocks of row 0, then the blocks of row 1, and so on,
// then the tail. Fails with kUnsupported on a type with a refusal; the refusal is the reason of the status. A type of
// 42 means q2_0 or pq2_0, as the size says. i2_s has the layout of 128 weights in 32 bytes, as bitnet.cpp's converters
// write it. nvfp4: a scale of the tensor, where the model has one, is a tensor of its own, which the
// functions with a name in gguf_file.h and gguf_model.h read, too. Scales with a sign are refused.
LUTRA_API Status ImportGguf(std::uint32_t type, const void* data, std::size_t size, std::size_t m, std::size_t k,
                            QuantizedMatrix* w);

}  // namespace functions

// --- GPTQ (https://arxiv.org/abs/2210.17323) and AWQ (https://arxiv.org/abs/2306.00978), as safetensors have them:
// W(m, k) = scale * (code - zero). The first value in a word has the lowest bits. *w has zero points (kUInt4; kUInt8 if
// one is above 15, kF16 if one is 256) unless all zero points equal the format's default. Groups of more than 256
// weights, and others that no format has, become several groups with the same scale and zero point.

// The elements of a tensor, dense and row-major, in the byte order of the machine. Words are unsigned. `data` may be at
// any address: it need not be aligned to the elements.
template <class T>
struct TensorView {
  const T* data = nullptr;
  std::size_t size = 0;  // elements
};

// What the numbers z in qzeros stand for. A zero point is z + 1 in checkpoint_format "gptq" (version 1), z in
// "gptq_v2". The readings of version 1 differ only where a field of qzeros has its largest number, 2^bits - 1, which a
// zero point of 0 leaves there: never in symmetric checkpoints.
enum class GptqZeros : std::uint8_t {
  // Version 1 of GPTQModel, which maintains the format: it subtracts a 1 in each field (4 bits: 0x11111111) from
  // whole words, and adds them again, so a zero point of 0 borrows from its neighbour. 3 bits: as kV1Masked.
  kV1Words,
  kV2,        // z: version 2, of GPTQModel
  kV1Fields,  // z + 1, which may be 2^bits: as AutoGPTQ and most kernels read version 1
  kV1Masked,  // (z + 1) mod 2^bits: as AutoGPTQ's first kernels read version 1
};

namespace functions {

// "v1_words", "v2", "v1_fields" or "v1_masked"; "?" for a value that is none of these.
constexpr const char* Name(GptqZeros zeros) noexcept {
  switch (zeros) {
    case GptqZeros::kV1Words:
      return "v1_words";
    case GptqZeros::kV2:
      return "v2";
    case GptqZeros::kV1Fields:
      return "v1_fields";
    case GptqZeros::kV1Masked:
      return "v1_masked";
  }
  return "?";
}

}  // namespace functions

// G = ceil(K / group_size) groups; 1 if group_size is -1.
struct GptqView {
  int bits = 4;                            // 2, 3, 4 or 8; of 3 bits, some lie across two words
  std::size_t m = 0, k = 0;                // M * bits and K * bits are multiples of 32
  std::ptrdiff_t group_size = 128;         // a multiple of 16, or at least K; -1: one group
  TensorView<std::uint32_t> qweight = {};  // [K * bits / 32 x M], packed along K
  TensorView<std::uint32_t> qzeros = {};   // [G x M * bits / 32], packed along M
  TensorView<std::uint16_t> scales = {};   // [G x M], f16
  // [K], the group of each column, or null: k / group_size. If the groups of columns do not ascend (act-order), *w has
  // the columns sorted by group, and an order. Each group has group_size columns; the last one may have fewer.
  TensorView<std::int32_t> g_idx = {};
  GptqZeros zeros = GptqZeros::kV1Words;
};

namespace functions {

// Fails as the head of this file says. kUnsupported: another group_size, groups of uneven sizes. A g_idx that
// is all zeros, though there are several groups, means nothing: pass none.
LUTRA_API Status ImportGptq(const GptqView& gptq, QuantizedMatrix* w);

// The bit of a reading in a set of readings.
constexpr std::uint32_t Reading(GptqZeros zeros) { return std::uint32_t{1} << static_cast<unsigned>(zeros); }

// Sets *readings to the readings that the words in qzeros allow. Symmetric checkpoints, whose zero points are all
// 2^(bits - 1), tell version 1 (all numbers are one less) from version 2; other words may be of either. Uses the bits,
// M and qzeros of the view alone. Fails, with *readings unchanged, if they do not fit together.
LUTRA_API Status PlausibleGptqZeros(const GptqView& gptq, std::uint32_t* readings);

}  // namespace functions

// 4 bits, in the layout that AWQ calls GEMM: a word holds columns 8i .. 8i + 7 in its nibbles 0, 4, 1, 5, 2, 6, 3, 7.
struct AwqView {
  std::size_t m = 0, k = 0;                // M is a multiple of 8
  std::ptrdiff_t group_size = 128;         // as of GPTQ
  TensorView<std::uint32_t> qweight = {};  // [K x M / 8], packed along M
  TensorView<std::uint32_t> qzeros = {};   // [G x M / 8], packed along M, as they are
  TensorView<std::uint16_t> scales = {};   // [G x M], f16
};

namespace functions {

// Fails as the head of this file says. kUnsupported: another group_size.
LUTRA_API Status ImportAwq(const AwqView& awq, QuantizedMatrix* w);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
