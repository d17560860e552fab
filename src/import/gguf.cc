// ImportGguf: the table of GGUF's types, and the import of tensors block by block.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <utility>

#include "import/gguf_blocks.h"
#include "import/gguf_foreign.h"
#include "import/gguf_import.h"
#include "import/gguf_rows.h"
#include "lutra/import.h"
#include "memory/little_endian.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

// --- The table.

// A row of the table: the public type; the function that decodes it, null if the type is refused; the function that
// encodes it, null if the decoded block does not keep every bit.
struct GgufCodec {
  GgufType type;
  internal::GgufDecode* decode;
  internal::GgufEncode* encode = nullptr;
};

constexpr GgufCodec Refused(std::uint32_t id, const char* name, std::size_t weights, std::size_t bytes,
                            const char* refusal) {
  return {{id, name, weights, bytes, refusal}, nullptr, nullptr};
}
constexpr GgufCodec Imported(std::uint32_t id, const char* name, std::size_t weights, std::size_t bytes, Format format,
                             std::size_t group, DataType scale_type, ZeroKind zero_kind, internal::GgufDecode* decode) {
  return {{id, name, weights, bytes, nullptr, format, group, scale_type, zero_kind}, decode, nullptr};
}

constexpr GgufCodec Restored(internal::GgufEncode* encode, GgufCodec codec) {
  codec.type.restorable = true;
  codec.encode = encode;
  return codec;
}
// The codec, with a larger packed_ratio.
constexpr GgufCodec Growing(float packed_ratio, GgufCodec codec) {
  codec.type.packed_ratio = packed_ratio;
  return codec;
}
constexpr GgufCodec AlsoWithId(std::uint32_t other_id, GgufCodec codec) {
  codec.type.other_id = other_id;
  return codec;
}
constexpr GgufCodec WithTail(std::size_t tail_bytes, GgufCodec codec) {
  codec.type.tail_bytes = tail_bytes;
  return codec;
}

constexpr DataType kF32 = DataType::kF32, kF16 = DataType::kF16, kInt8 = DataType::kInt8, kUInt4 = DataType::kUInt4,
                   kE8M0 = DataType::kE8M0, kE4M3 = DataType::kE4M3;
constexpr ZeroKind kNone = ZeroKind::kNone, kOffset = ZeroKind::kOffset;

// iq1_s could be ternary with offsets, in 2.5 bits per weight, but the offsets' super-offset, 1/8 of the super-scale,
// is not exact in f16 where that is below 2^-11. iq1 always holds it.
constexpr GgufCodec kCodecs[] = {
    Refused(0, "f32", 1, 4, "is f32, which is not quantized: quantize it by Quantize, or multiply it without Lutra"),
    Refused(1, "f16", 1, 2, "is f16, which is not quantized: multiply it without Lutra"),
    Restored(internal::EncodeQ4_0, Imported(2, "q4_0", 32, 18, Format::kInt4, 32, kF16, kNone, internal::DecodeQ4_0)),
    Restored(internal::EncodeQ4_1, Imported(3, "q4_1", 32, 20, Format::kInt4, 32, kF16, kOffset, internal::DecodeQ4_1)),
    Restored(internal::EncodeQ5_0, Imported(6, "q5_0", 32, 22, Format::kInt5, 32, kF16, kNone, internal::DecodeQ5_0)),
    Restored(internal::EncodeQ5_1, Imported(7, "q5_1", 32, 24, Format::kInt5, 32, kF16, kOffset, internal::DecodeQ5_1)),
    Restored(internal::EncodeQ8_0, Imported(8, "q8_0", 32, 34, Format::kInt8, 32, kF16, kNone, internal::DecodeQ8_0)),
    Refused(9, "q8_1", 32, 36, "is q8_1, which ggml has for activations"),
    Restored(internal::EncodeQ2_K,
             Imported(10, "q2_K", 256, 84, Format::kInt2Codes, 16, kUInt4, kOffset, internal::DecodeQ2_K)),
    Restored(internal::EncodeQ3_K,
             Imported(11, "q3_K", 256, 110, Format::kInt3, 16, kInt8, kNone, internal::DecodeQ3_K)),
    Restored(internal::EncodeQ4_K,
             Imported(12, "q4_K", 256, 144, Format::kInt4, 32, kInt8, kOffset, internal::DecodeQ4_K)),
    Restored(internal::EncodeQ5_K,
             Imported(13, "q5_K", 256, 176, Format::kInt5, 32, kInt8, kOffset, internal::DecodeQ5_K)),
    Restored(internal::EncodeQ6_K,
             Imported(14, "q6_K", 256, 210, Format::kInt6, 16, kInt8, kNone, internal::DecodeQ6_K)),
    Refused(15, "q8_K", 256, 292, "is q8_K, which ggml has for activations"),
    Growing(1.61f, Imported(16, "iq2_xxs", 256, 66, Format::kIq2, 32, kInt8, kNone, internal::DecodeIQ2_XXS)),
    Growing(1.55f, Imported(17, "iq2_xs", 256, 74, Format::kIq2, 16, kInt8, kNone, internal::DecodeIQ2_XS)),
    Growing(1.41f, Imported(18, "iq3_xxs", 256, 98, Format::kIq3xxs, 32, kInt8, kNone, internal::DecodeIQ3_XXS)),
    Growing(2.13f, Imported(19, "iq1_s", 256, 50, Format::kIq1, 32, kInt8, kNone, internal::DecodeIQ1_S)),
    Restored(internal::EncodeQ4_0,
             Imported(20, "iq4_nl", 32, 18, Format::kIq4nl, 32, kF16, kNone, internal::DecodeQ4_0)),
    Growing(1.26f, Imported(21, "iq3_s", 256, 110, Format::kIq3s, 32, kInt8, kNone, internal::DecodeIQ3_S)),
    Growing(1.4f, Imported(22, "iq2_s", 256, 82, Format::kIq2, 16, kInt8, kNone, internal::DecodeIQ2_S)),
    Restored(internal::EncodeIQ4_XS,
             Imported(23, "iq4_xs", 256, 136, Format::kIq4nl, 32, kInt8, kNone, internal::DecodeIQ4_XS)),
    Refused(24, "i8", 1, 1, "is i8, which has no scales"),
    Refused(25, "i16", 1, 2, "is i16, which has no scales"),
    Refused(26, "i32", 1, 4, "is i32, which has no scales"),
    Refused(27, "i64", 1, 8, "is i64, which has no scales"),
    Refused(28, "f64", 1, 8, "is f64, which is not quantized: multiply it without Lutra"),
    Growing(2.04f, Imported(29, "iq1_m", 256, 56, Format::kIq1, 16, kInt8, kNone, internal::DecodeIQ1_M)),
    Refused(30, "bf16", 1, 2, "is bf16, which is not quantized: multiply it without Lutra"),
    Restored(internal::EncodeTQ1_0,
             Imported(34, "tq1_0", 256, 54, Format::kTernary, 256, kF16, kNone, internal::DecodeTQ1_0)),
    Restored(internal::EncodeTQ2_0,
             Imported(35, "tq2_0", 256, 66, Format::kTernary, 256, kF16, kNone, internal::DecodeTQ2_0)),
    WithTail(32, Imported(36, "i2_s", 128, 32, Format::kTernary, kPerMatrix, kF32, kNone, internal::DecodeI2_S)),
    Restored(internal::EncodeMxfp4,
             Imported(39, "mxfp4", 32, 17, Format::kFp4, 32, kE8M0, kNone, internal::DecodeMxfp4)),
    Restored(internal::EncodeNvfp4,
             Imported(40, "nvfp4", 64, 36, Format::kFp4, 16, kE4M3, kNone, internal::DecodeNvfp4)),
    Restored(internal::EncodeQ1_0,
             Imported(41, "q1_0", 128, 18, Format::kInt1, 128, kF16, kNone, internal::DecodeQ1_0)),
    Restored(internal::EncodeQ2_0,
             Imported(42, "q2_0", 64, 18, Format::kTernary, 64, kF16, kNone, internal::DecodeQ2_0)),
    AlsoWithId(42, Restored(internal::EncodePQ2_0, Imported(142, "pq2_0", 128, 34, Format::kTernary, 128, kF16, kNone,
                                                            internal::DecodePQ2_0))),
    Growing(1.08f, Restored(internal::EncodePTQ1_0, Imported(143, "ptq1_0", 128, 28, Format::kTernary, 128, kF16, kNone,
                                                             internal::DecodePTQ1_0))),
};

// The public list has the same rows.
constexpr std::size_t kTypeCount = std::size(kCodecs);
constexpr std::array<GgufType, kTypeCount> PublicTypes() {
  std::array<GgufType, kTypeCount> types = {};
  for (std::size_t i = 0; i < kTypeCount; ++i) types[i] = kCodecs[i].type;
  return types;
}
constexpr std::array<GgufType, kTypeCount> kTypes = PublicTypes();

// --- Tensors.

// Bytes of a tensor. M * K weights do not overflow and are whole blocks.
std::size_t BytesOfTensor(const GgufType& type, std::size_t m, std::size_t k) {
  return m == 0 || k == 0 ? 0 : m * (k / type.weights) * type.bytes + type.tail_bytes;
}

// The type itself, or the one of the same id that has `size` bytes for M x K weights.
const GgufType& OfSize(const GgufType& type, std::size_t size, std::size_t m, std::size_t k) {
  const auto fits = [=, &type](const GgufType& other) {
    return other.other_id == type.id && k % other.weights == 0 && size == BytesOfTensor(other, m, k);
  };
  const auto* const found = std::find_if(kTypes.begin(), kTypes.end(), fits);
  return found != kTypes.end() ? *found : type;
}

// Whether a matrix of this shape has one f16 scale in each row or one in all.
bool SharesScales(const GgufType& type, const QuantizedView& shape) {
  return internal::MayShareScales(type) && HasRowScales(shape.group);
}

// The places of a row of *w, which is allocated for the tensor.
internal::GgufPlaces PlacesOf(std::size_t row, QuantizedMatrix* w) {
  const QuantizedView& v = w->view();
  const std::size_t at = v.group == kPerMatrix ? 0 : row * GroupsPerRow(v.k, v.group) * SizeOf(v.scale_type);
  const std::size_t super_at = row * GroupsPerRow(v.k, kSuperGroup) * sizeof(std::uint16_t);
  const auto from = [](void* array, std::size_t offset) {
    return array == nullptr ? nullptr : static_cast<std::uint8_t*>(array) + offset;
  };
  return {w->codes() + row * v.k, from(w->scales(), at), from(w->zeros(), at), from(w->super_scales(), super_at),
          from(w->super_offsets(), super_at)};
}

// Fills *w, which is allocated for the rows of a tensor. `scale` is of the matrix, if its ternary blocks share one.
Status Decode(const internal::GgufRows& rows, std::uint16_t scale, QuantizedMatrix* w) {
  const QuantizedView& v = w->view();
  const bool shares = SharesScales(*rows.type, v);
  for (std::size_t row = 0; row < v.m; ++row) {
    internal::CommonScale common;
    internal::GgufPlaces places = PlacesOf(row, w);
    if (shares) places.common = &common;
    LUTRA_RETURN_IF_ERROR(rows.Decode(row, 0, rows.per_row, places));
    if (shares && v.group == kPerRow) static_cast<std::uint16_t*>(w->scales())[row] = common.scale();
  }
  if (shares && v.group == kPerMatrix) *static_cast<std::uint16_t*>(w->scales()) = scale;
  if (v.scale_type == kF32) {  // one, which follows the blocks
    LUTRA_RETURN_IF_ERROR(rows.LoadTail(w->scales()));
  }
  if (v.zero_kind == ZeroKind::kPoint) std::fill_n(static_cast<std::uint8_t*>(w->zeros()), ScaleCount(v), 1);
  return {};
}

}  // namespace

GgufTypeList functions::GgufTypes() { return {kTypes.data(), kTypes.size()}; }

const GgufType* functions::FindGgufType(std::uint32_t id) {
  for (const GgufType& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

Status internal::FindImported(std::uint32_t id, const GgufType** type) {
  *type = FindGgufType(id);
  if (*type == nullptr) return Status::Unsupported("type", internal::ForeignGgufType(id));
  return (*type)->refusal == nullptr ? Status() : Status::Unsupported("type", (*type)->refusal);
}

internal::GgufEncode* internal::EncoderOf(const GgufType& type) { return kCodecs[&type - kTypes.data()].encode; }

Status internal::CheckShape(const GgufType& type, std::size_t m, std::size_t k) {
  constexpr const char* kNames[][2] = {{"w.m", "m"}, {"w.k", "k"}};
  LUTRA_RETURN_IF_ERROR(internal::Renamed(internal::ValidateShape(ShapeOf(type, m, k)), kNames));
  if (k % type.weights != 0) return Status::Invalid("k", "is not a multiple of the weights in a block of the type");
  return {};
}

Status internal::FindRows(std::uint32_t id, const void* data, std::size_t size, std::size_t m, std::size_t k,
                          GgufRows* rows) {
  const GgufType* of_id = nullptr;
  LUTRA_RETURN_IF_ERROR(FindImported(id, &of_id));
  LUTRA_RETURN_IF_ERROR(CheckShape(*of_id, m, k));
  const GgufType& type = OfSize(*of_id, size, m, k);
  if (size != BytesOfTensor(type, m, k)) return Status::Invalid("size", "is not that of M x K weights");
  if (size != 0 && data == nullptr) return Status::Invalid("data", "is null");
  const GgufCodec& codec = kCodecs[&type - kTypes.data()];
  *rows = {&type, codec.decode, static_cast<const std::uint8_t*>(data), m, k / type.weights};
  return {};
}

Status internal::ImportGguf(std::uint32_t type_id, const void* data, std::size_t size, std::size_t m, std::size_t k,
                            float matrix_scale, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  GgufRows rows;
  LUTRA_RETURN_IF_ERROR(FindRows(type_id, data, size, m, k, &rows));
  QuantizedView shape = ShapeOf(*rows.type, m, k);
  shape.matrix_scale = matrix_scale;
  std::uint16_t scale = 0;
  if (MayShareScales(*rows.type) && size != 0) ChooseTernary(rows, &shape, &scale);
  QuantizedMatrix result;
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape));
  if (size != 0) {
    LUTRA_RETURN_IF_ERROR(Decode(rows, scale, &result));
  } else {  // K may be 0 with any M; a matrix has a scale even then
    std::memset(result.scales(), 0, ScaleCount(shape) * SizeOf(shape.scale_type));
  }
  *w = std::move(result);
  return {};
}

Status functions::ImportGguf(std::uint32_t type, const void* data, std::size_t size, std::size_t m, std::size_t k,
                             QuantizedMatrix* w) {
  return internal::ImportGguf(type, data, size, m, k, 1.0f, w);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
