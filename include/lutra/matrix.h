// Views of the caller's matrices. Nothing here owns memory; nothing is read before Pack, Prepare or MatMul is called.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/format.h"

namespace lutra {

enum class DataType : std::uint8_t {
  kF32,
  kF16,   // IEEE binary16, 2 bytes
  kBF16,  // upper half of a binary32, 2 bytes
  kInt8,  // activations only
};
constexpr std::size_t SizeOf(DataType type) { return type == DataType::kF32 ? 4 : type == DataType::kInt8 ? 1 : 2; }

// x[N x K], row-major: element (n, k) at data[n * row_stride + k]. All elements must be finite.
struct ActivationView {
  const void* data = nullptr;
  DataType type = DataType::kF32;
  std::size_t n = 0, k = 0;
  std::size_t row_stride = 0;  // elements; at least k, if n > 1

  // kInt8 only: x = scale * int. scale_group = kPerRow: scales[n]. Otherwise any number of elements but kPerMatrix:
  // scales[n * ceil(k / scale_group) + k / scale_group]. Finite.
  const float* scales = nullptr;
  std::size_t scale_group = kPerRow;
};

// y[N x M], row-major: element (n, m) at data[n * row_stride + m]. kF32, kF16 or kBF16 (rounded to nearest even).
struct OutputView {
  void* data = nullptr;
  DataType type = DataType::kF32;
  std::size_t n = 0, m = 0;
  std::size_t row_stride = 0;  // elements; at least m, if n > 1
};

enum class ZeroKind : std::uint8_t {
  kNone,     // the format's default: 0 for int1 and ternary, 2^(bits-1) for int2 to int4
  kInteger,  // std::uint8_t zeros[]
  kFloat,    // zeros[] of the type of the scales
};
inline constexpr ZeroKind kZeroKinds[] = {ZeroKind::kNone, ZeroKind::kInteger, ZeroKind::kFloat};

// A quantized W[M x K]: W(m, k) = scale * (value(codes[m * code_stride + k]) - zero), see FormatInfo.
// Scales and zeros: one per group of `group` consecutive weights of a row, [M x GroupsPerRow(k, group)], row-major;
// [M] for kPerRow, [1] for kPerMatrix. They must be finite.
struct QuantizedView {
  Format format = Format::kInt4;
  std::size_t m = 0, k = 0;
  const std::uint8_t* codes = nullptr;  // one code per byte, each below the format's `levels`
  std::size_t code_stride = 0;          // bytes from row to row; at least k, if m > 1
  std::size_t group = 128;
  const void* scales = nullptr;
  DataType scale_type = DataType::kF16;  // kF32, kF16 or kBF16
  ZeroKind zero_kind = ZeroKind::kNone;
  const void* zeros = nullptr;
  const float* bias = nullptr;  // [M] or null
};

constexpr std::size_t ScaleCount(const QuantizedView& w) {
  return w.group == kPerMatrix ? 1 : w.m * GroupsPerRow(w.k, w.group);
}

}  // namespace lutra
