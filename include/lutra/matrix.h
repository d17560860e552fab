// Views of the caller's matrices: quantized W, x and y. Views own no memory; functions that take them read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lutra/format.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// The type of array elements.
enum class DataType : std::uint8_t {
  kF32,
  kF16,    // IEEE binary16, 2 bytes
  kBF16,   // upper 16 bits of a binary32, 2 bytes
  kInt8,   // activations, and scales of two levels
  kUInt4,  // scales of two levels only: 0 .. 15, a byte each in views, four bits when packed
  kUInt8,  // zero points
  kE8M0,   // scales: a byte e is 2^(e - 127) (OCP Microscaling Formats); 255, its NaN, is refused
  // Scales: a float of 4 bits of exponent (bias 7) and 3 of mantissa (OFP8; NVFP4), without a sign: 0 to 0x7e, which is
  // 448. Bytes from 0x7f on, NaN and negative numbers, are refused.
  kE4M3,
  kInt4,  // activations only: -8 .. 7, two in a byte, the first in its low four bits
  kBits,  // activations only: bits 1 and 0 stand for 1 and -1; eight in a byte, the first in its lowest bit
};

namespace functions {

// "f32", "bf16", "e8m0", ... Here and below, Name returns "?" for a value that is no enumerator.
constexpr const char* Name(DataType type) noexcept {
  switch (type) {
    case DataType::kF32:
      return "f32";
    case DataType::kF16:
      return "f16";
    case DataType::kBF16:
      return "bf16";
    case DataType::kInt8:
      return "int8";
    case DataType::kUInt4:
      return "uint4";
    case DataType::kUInt8:
      return "uint8";
    case DataType::kE8M0:
      return "e8m0";
    case DataType::kE4M3:
      return "e4m3";
    case DataType::kInt4:
      return "int4";
    case DataType::kBits:
      return "bits";
  }
  return "?";
}
constexpr bool IsFloat(DataType type) { return type <= DataType::kBF16; }
// Bytes of an element in views; of kInt4 and kBits the byte that several elements share.
constexpr std::size_t SizeOf(DataType type) { return type == DataType::kF32 ? 4 : IsFloat(type) ? 2 : 1; }
// Elements that share a byte: 2 of kInt4, 8 of kBits, otherwise 1.
constexpr std::size_t PerByte(DataType type) { return type == DataType::kBits ? 8 : type == DataType::kInt4 ? 2 : 1; }
// Whether activations of this type are integers, which have scales.
constexpr bool HasScales(DataType type) {
  return type == DataType::kInt8 || type == DataType::kInt4 || type == DataType::kBits;
}

}  // namespace functions

// What Prepare does with NaN and infinity in x.
//
//   kRefuse      fails.
//   kPropagate   each row of x that holds one, in its elements or scales or after its norm or transform, gives a row of
//                y whose elements are all NaN (the positive quiet NaN without payload), on every target. All other rows
//                have the bits that they have without it. (In floats, infinity gives infinity or NaN, by the signs and
//                zeros of the weights; here it gives NaN.)
enum class NonFinite : std::uint8_t { kRefuse, kPropagate };

namespace functions {

// "refuse" or "propagate".
constexpr const char* Name(NonFinite non_finite) noexcept {
  return non_finite == NonFinite::kRefuse ? "refuse" : non_finite == NonFinite::kPropagate ? "propagate" : "?";
}

}  // namespace functions

// x[N x K], row-major: element (n, k) at data[n * row_stride + k]. Elements and scales must be finite, unless NonFinite
// says otherwise. The arrays must be aligned to their elements (4 bytes for f32, 2 for f16 and bf16).
//
//     ActivationView(x.data(), n, k)            // of floats
//     ActivationView::BF16(x.data(), n, k)      // of std::uint16_t
//
// Where a row_stride of 0 is given, or none, rows follow each other: it is k, rounded up to whole bytes.
struct ActivationView {
  const void* data = nullptr;
  DataType type = DataType::kF32;
  std::size_t n = 0, k = 0;
  std::size_t row_stride = 0;  // elements; at least k and a multiple of PerByte(type), if n > 1

  // kInt8, kInt4 and kBits only: x = scale * integer. Element (n, k) has scales[n] if scale_group is kPerRow. Otherwise
  // scale_group is any number of elements (not kPerMatrix), and element (n, k) has scales[n * ceil(K / scale_group) + k
  // / scale_group].
  const float* scales = nullptr;
  std::size_t scale_group = kPerRow;

  constexpr ActivationView() = default;
  constexpr ActivationView(const float* x, std::size_t n_, std::size_t k_, std::size_t row_stride_ = 0)
      : ActivationView(x, DataType::kF32, n_, k_, row_stride_ != 0 ? row_stride_ : k_) {}
  // All fields, for a type that is known only at run time. A row_stride of 0 stays 0.
  constexpr ActivationView(const void* data_, DataType type_, std::size_t n_, std::size_t k_, std::size_t row_stride_,
                           const float* scales_ = nullptr, std::size_t scale_group_ = kPerRow)
      : data(data_), type(type_), n(n_), k(k_), row_stride(row_stride_), scales(scales_), scale_group(scale_group_) {}

  // x in the bits of f16.
  static constexpr ActivationView F16(const std::uint16_t* x, std::size_t n, std::size_t k,
                                      std::size_t row_stride = 0) {
    return {x, DataType::kF16, n, k, row_stride != 0 ? row_stride : k};
  }
  // x in the bits of bf16.
  static constexpr ActivationView BF16(const std::uint16_t* x, std::size_t n, std::size_t k,
                                       std::size_t row_stride = 0) {
    return {x, DataType::kBF16, n, k, row_stride != 0 ? row_stride : k};
  }
  // x = scale * integer; scales[N], or scales[N x ceil(K / scale_group)].
  static constexpr ActivationView Int8(const std::int8_t* x, const float* scales, std::size_t n, std::size_t k,
                                       std::size_t scale_group = kPerRow, std::size_t row_stride = 0) {
    return {x, DataType::kInt8, n, k, row_stride != 0 ? row_stride : k, scales, scale_group};
  }
  // The same with integers of four bits, two in a byte.
  static constexpr ActivationView Int4(const std::uint8_t* x, const float* scales, std::size_t n, std::size_t k,
                                       std::size_t scale_group = kPerRow, std::size_t row_stride = 0) {
    return {x, DataType::kInt4, n, k, row_stride != 0 ? row_stride : k + k % 2, scales, scale_group};
  }
  // The same with 1 and -1, eight in a byte.
  static constexpr ActivationView Bits(const std::uint8_t* x, const float* scales, std::size_t n, std::size_t k,
                                       std::size_t scale_group = kPerRow, std::size_t row_stride = 0) {
    return {x, DataType::kBits, n, k, row_stride != 0 ? row_stride : (k + 7) / 8 * 8, scales, scale_group};
  }
};

// How PrepareRmsNorm normalizes a row of x: x(n, k) * weight[k] / sqrt(mean of x(n, 0 .. K - 1)^2 + epsilon). (RMSNorm,
// https://arxiv.org/abs/1910.07467.)
struct RmsNorm {
  const float* weight = nullptr;  // [K], finite, aligned to 4 bytes; or null: ones
  float epsilon = 0.0f;           // finite, not negative
};

// The largest block of a Hadamard transform.
inline constexpr std::size_t kMaxHadamardBlock = std::size_t{1} << 16;

// How PrepareHadamard transforms x: each `block` consecutive elements of a row become H * (signs * elements), where H
// is the Walsh-Hadamard matrix in Sylvester's order, normalized: H(i, j) = (-1)^(number of bits of i & j) /
// sqrt(block). (Rotations of x that spread its outliers, undone by rotated weights: QuaRot,
// https://arxiv.org/abs/2404.00456; with random signs: QuIP#, https://arxiv.org/abs/2402.04396. GGUF files of PrismML:
// metadata prism.hadamard.*.)
struct Hadamard {
  const float* signs = nullptr;  // [K], 1 or -1, aligned to 4 bytes; or null: ones
  std::size_t block = 1024;      // a power of two from 2 to kMaxHadamardBlock, of which K is a multiple
};

// y[N x M], row-major: element (n, m) at data[n * row_stride + m]. kF32, kF16 or kBF16 (rounded to nearest even). It
// must be aligned to its elements.
//
//     OutputView(y.data(), n, m)                // of floats
//
// Where a row_stride of 0 is given, or none, rows follow each other: it is m.
struct OutputView {
  void* data = nullptr;
  DataType type = DataType::kF32;
  std::size_t n = 0, m = 0;
  std::size_t row_stride = 0;  // elements; at least m, if n > 1

  constexpr OutputView() = default;
  constexpr OutputView(float* y, std::size_t n_, std::size_t m_, std::size_t row_stride_ = 0)
      : OutputView(y, DataType::kF32, n_, m_, row_stride_ != 0 ? row_stride_ : m_) {}
  // All fields, for a type that is known only at run time. A row_stride of 0 stays 0.
  constexpr OutputView(void* data_, DataType type_, std::size_t n_, std::size_t m_, std::size_t row_stride_)
      : data(data_), type(type_), n(n_), m(m_), row_stride(row_stride_) {}

  // y in the bits of f16.
  static constexpr OutputView F16(std::uint16_t* y, std::size_t n, std::size_t m, std::size_t row_stride = 0) {
    return {y, DataType::kF16, n, m, row_stride != 0 ? row_stride : m};
  }
  // y in the bits of bf16.
  static constexpr OutputView BF16(std::uint16_t* y, std::size_t n, std::size_t m, std::size_t row_stride = 0) {
    return {y, DataType::kBF16, n, m, row_stride != 0 ? row_stride : m};
  }
};

// The meaning of zeros[] of a matrix.
enum class ZeroKind : std::uint8_t {
  kNone,    // no zeros: W has the format's default zero point
  kPoint,   // zero points: W = scale * (value - zero)
  kOffset,  // offsets: W = scale * value + offset
};

namespace functions {

// "none", "point" or "offset".
constexpr const char* Name(ZeroKind kind) noexcept {
  switch (kind) {
    case ZeroKind::kNone:
      return "none";
    case ZeroKind::kPoint:
      return "point";
    case ZeroKind::kOffset:
      return "offset";
  }
  return "?";
}

}  // namespace functions

// A quantized W[M x K]: W(m, k) = scale * (value(codes[m * code_stride + k]) - zero), or scale * value + offset; see
// FormatInfo and ZeroKind. Each group of `group` consecutive weights of a row has one scale and one zero: row-major
// arrays [M x GroupsPerRow(k, group)]; [M] for kPerRow, [1] for kPerMatrix. All must be finite.
//
// Scales may have two levels, as in the K-quants of GGUF: scales[] and offsets are integers, kInt8 or kUInt4. A scale
// is multiplied by the super-scale of its super-group, an offset by the super-offset: f16 arrays [M x GroupsPerRow(k,
// kSuperGroup)].
//
// All arrays may be at any address: tensors of files often are not aligned to their elements.
struct QuantizedView {
  Format format = Format::kInt4;
  std::size_t m = 0, k = 0;
  const std::uint8_t* codes = nullptr;  // one code per byte, each one that the format has
  std::size_t code_stride = 0;          // bytes from row to row; at least k, if m > 1
  std::size_t group = 128;
  // Formats whose values are floats: scales (times matrix_scale) of 2^113 and above make y infinite or NaN.
  const void* scales = nullptr;
  DataType scale_type = DataType::kF16;
  ZeroKind zero_kind = ZeroKind::kNone;  // with scales of two levels kNone or kOffset
  // The type of zeros[]. kPoint: kUInt8, kUInt4 (a byte each, 0 .. 15, packed as four bits), or scale_type if that is a
  // float. kOffset: scale_type, which must not be kE8M0 or kE4M3.
  DataType zero_type = DataType::kF16;
  const void* zeros = nullptr;
  const std::uint16_t* super_scales = nullptr;   // if scales have two levels
  const std::uint16_t* super_offsets = nullptr;  // if, moreover, zero_kind is kOffset
  // Scales of type kE8M0 or kE4M3 are multiplied by it, and the product is rounded to float (NVFP4's scale of a
  // tensor). Finite and not 0. Other types ignore it.
  float matrix_scale = 1.0f;
  // Formats with own_values: tables of the values of codes, each [levels], from -127 to 127; 1 to kMaxTables tables. If
  // there are several, each group has one: table_choices[] is its number, an array like scales[]. Other formats ignore
  // these fields.
  const std::int8_t* codebook = nullptr;
  std::size_t codebook_tables = 1;
  const std::uint8_t* table_choices = nullptr;
  const float* bias = nullptr;  // [M] or null
  // [K] or null: a permutation (GPTQ's act-order). Column j of the codes multiplies column order[j] of x. Groups are
  // consecutive columns of the codes.
  const std::uint32_t* order = nullptr;
};

inline constexpr std::size_t kSuperGroup = 256;  // weights of a super-group

namespace functions {

// The column of x that column j of the codes multiplies.
inline std::size_t ColumnOfX(const QuantizedView& w, std::size_t j) {
  if (w.order == nullptr) return j;
  std::uint32_t column;
  std::memcpy(&column, reinterpret_cast<const unsigned char*>(w.order) + j * sizeof(column), sizeof(column));
  return column;
}

// Whether scales of this type are integers that are multiplied by super-scales.
constexpr bool HasTwoLevels(DataType scale_type) {
  return scale_type == DataType::kInt8 || scale_type == DataType::kUInt4;
}
// Whether scales of this type are multiplied by matrix_scale.
constexpr bool HasMatrixScale(DataType scale_type) {
  return scale_type == DataType::kE8M0 || scale_type == DataType::kE4M3;
}
// The number of elements of scales[] (and of zeros[]), and of super_scales[].
constexpr std::size_t ScaleCount(const QuantizedView& w) {
  return w.group == kPerMatrix ? 1 : w.m * GroupsPerRow(w.k, w.group);
}
constexpr std::size_t SuperScaleCount(const QuantizedView& w) {
  return HasTwoLevels(w.scale_type) ? w.m * GroupsPerRow(w.k, kSuperGroup) : 0;
}
// The tables of w, whose format must be one; 0 if it has no values of its own.
constexpr std::size_t TableCount(const QuantizedView& w) {
  return Describe(w.format).own_values ? w.codebook_tables : 0;
}
// Values of codebook[].
constexpr std::size_t CodebookSize(const QuantizedView& w) {
  return TableCount(w) * static_cast<std::size_t>(Describe(w.format).levels);
}
// Whether w has table_choices[].
constexpr bool HasTableChoices(const QuantizedView& w) { return TableCount(w) > 1; }
// Bytes of an element of zeros[]; 0 if there are none.
constexpr std::size_t ZeroSize(const QuantizedView& w) {
  return w.zero_kind == ZeroKind::kNone ? 0 : SizeOf(w.zero_type);
}

// The view of the rows [begin, end) of w; end <= w.m.
inline QuantizedView Rows(QuantizedView w, std::size_t begin, std::size_t end) {
  const auto skip = [](const void* data, std::size_t bytes) -> const void* {
    return data == nullptr ? nullptr : static_cast<const std::uint8_t*>(data) + bytes;
  };
  const std::size_t groups = w.group == kPerMatrix ? 0 : begin * GroupsPerRow(w.k, w.group);
  const std::size_t super_groups = begin * GroupsPerRow(w.k, kSuperGroup);
  w.m = end - begin;
  if (w.codes != nullptr && w.k != 0) w.codes += begin * w.code_stride;  // without columns, any stride is valid
  w.scales = skip(w.scales, groups * SizeOf(w.scale_type));
  w.zeros = skip(w.zeros, groups * ZeroSize(w));
  if (w.table_choices != nullptr) w.table_choices += groups;
  if (w.super_scales != nullptr) w.super_scales += super_groups;
  if (w.super_offsets != nullptr) w.super_offsets += super_groups;
  if (w.bias != nullptr) w.bias += begin;
  return w;
}

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
