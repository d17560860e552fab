// The layouts of checkpoints: a row for each CheckpointScheme. ImportCheckpoint and PackPanels derive from them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "import/fields.h"
#include "lutra/checkpoint.h"
#include "lutra/format.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// What codes stand for.
enum class CodeValues : std::uint8_t {
  kIntegers,  // an integer format of as many bits
  kSigned,    // a signed integer: flipping its highest bit gives the code of the integer format
  kE2m1,
  kTernary,
  kE4m3,
  kE5m2,
  kTable,  // CodeRow::table
};
struct CodeRow {
  FieldLayout fields;
  CodeValues values;
  const std::int8_t* table = nullptr;
  float unit = 0.0f;  // what the table has for the scheme's value 1: scales are absmax / unit; 0: scales are as stored
  const FieldLayout* three_bits = nullptr;  // replaces `fields` for codes of 3 bits
};

enum class ScaleOrder : std::uint8_t {
  kGroups,  // [G x M]
  kRows,    // [M x G]
  kBlocks,  // [ceil(M / CheckpointView::scale_rows) x G]; zero points, too
  kAll,     // one for each group_size weights of the sequence of all rows
  kMatrix,  // none: matrix_scale is the only one
};
enum class ScaleTypes : std::uint8_t {
  kOne,
  kFloats,        // CheckpointView::scale_type, a float type
  kFloatsOrE8M0,  // CheckpointView::scale_type
};
struct ScaleRow {
  ScaleOrder order;
  DataType type;  // of the imported scales, if they have one type
  ScaleTypes types = ScaleTypes::kOne;
  bool of_matrix = false;  // there is CheckpointView::matrix_scale, beside the scales or alone
};

enum class ZeroStorage : std::uint8_t {
  kNone,
  kFields,    // fields of an [M x G] array, of as many bits as the codes; signed if the codes are
  kOptional,  // as kFields, but a checkpoint may have none
  kFloats,    // in the order and type of the scales
};
struct ZeroRow {
  ZeroStorage storage = ZeroStorage::kNone;
  FieldLayout fields = {};
  const FieldLayout* bytes = nullptr;  // replaces `fields` if CheckpointView::byte_zeros: signed numbers of 8 bits
};

struct CheckpointLayout {
  CheckpointScheme scheme;
  CodeRow codes;
  ScaleRow scales;
  ZeroRow zeros = {};
  bool has_g_idx = false;
};

// NF4 in steps of 1 / 112.03, which have the smallest squared error; bitsandbytes' FP4 in steps of 1 / 120, which are
// exact but for 1 / 192.
inline constexpr std::int8_t kNf4Table[16] = {-112, -78, -59, -44, -32, -21, -10, 0, 9, 18, 28, 38, 49, 63, 81, 112};
inline constexpr std::int8_t kBnbFp4Table[16] = {0, 1, 80, 120, 40, 60, 20, 30, 0, -1, -80, -120, -40, -60, -20, -30};

inline constexpr FieldLayout kGptqCodes = {32, Axis::kK, StreamStep::kApart, Fill::kDense, FieldOrder::kLowFirst};
inline constexpr FieldLayout kGptqZeros = {32, Axis::kM, StreamStep::kNext, Fill::kDense, FieldOrder::kLowFirst};
inline constexpr FieldLayout kAwqFields = {32, Axis::kM, StreamStep::kNext, Fill::kDense, FieldOrder::kAwq};
inline constexpr FieldLayout kPackedCodes = {32, Axis::kK, StreamStep::kNext, Fill::kRounded, FieldOrder::kLowFirst};
inline constexpr FieldLayout kPackedZeros = {32, Axis::kM, StreamStep::kApart, Fill::kRounded, FieldOrder::kLowFirst};
inline constexpr FieldLayout kByteCodes = {8, Axis::kK, StreamStep::kNext, Fill::kRounded, FieldOrder::kLowFirst};
inline constexpr FieldLayout kBnbCodes = {8, Axis::kAll, StreamStep::kNext, Fill::kDense, FieldOrder::kHighFirst};
inline constexpr FieldLayout kHqqCodes = {8, Axis::kAll, StreamStep::kNext, Fill::kPlanes, FieldOrder::kHighFirst};
inline constexpr FieldLayout kHqqWords = {32, Axis::kAll, StreamStep::kNext, Fill::kPlanes, FieldOrder::kHighFirst};
inline constexpr FieldLayout kBitnetCodes = {8, Axis::kM, StreamStep::kApart, Fill::kPlanes, FieldOrder::kLowFirst};

inline constexpr CheckpointLayout kCheckpointLayouts[] = {
    {CheckpointScheme::kGptq,
     {kGptqCodes, CodeValues::kIntegers},
     {ScaleOrder::kGroups, DataType::kF16},
     {ZeroStorage::kFields, kGptqZeros},
     true},
    {CheckpointScheme::kAwq,
     {kAwqFields, CodeValues::kIntegers},
     {ScaleOrder::kGroups, DataType::kF16},
     {ZeroStorage::kFields, kAwqFields}},
    {CheckpointScheme::kPackQuantized,
     {kPackedCodes, CodeValues::kIntegers},
     {ScaleOrder::kBlocks, DataType::kF16, ScaleTypes::kFloats},
     {ZeroStorage::kOptional, kPackedZeros, &kByteCodes},
     true},
    {CheckpointScheme::kIntQuantized,
     {kByteCodes, CodeValues::kSigned},
     {ScaleOrder::kBlocks, DataType::kF16, ScaleTypes::kFloats},
     {ZeroStorage::kOptional, kByteCodes}},
    {CheckpointScheme::kNf4, {kBnbCodes, CodeValues::kTable, kNf4Table, 112.03f}, {ScaleOrder::kAll, DataType::kF32}},
    {CheckpointScheme::kFp4, {kBnbCodes, CodeValues::kTable, kBnbFp4Table, 120.0f}, {ScaleOrder::kAll, DataType::kF32}},
    {CheckpointScheme::kMxfp4, {kByteCodes, CodeValues::kE2m1}, {ScaleOrder::kRows, DataType::kE8M0}},
    {CheckpointScheme::kNvfp4,
     {kByteCodes, CodeValues::kE2m1},
     {ScaleOrder::kRows, DataType::kE4M3, ScaleTypes::kOne, true}},
    {CheckpointScheme::kHqq,
     {kHqqCodes, CodeValues::kIntegers, nullptr, 0.0f, &kHqqWords},
     {ScaleOrder::kAll, DataType::kF16, ScaleTypes::kFloats},
     {ZeroStorage::kFloats}},
    {CheckpointScheme::kBitnet,
     {kBitnetCodes, CodeValues::kTernary},
     {ScaleOrder::kMatrix, DataType::kF32, ScaleTypes::kOne, true}},
    {CheckpointScheme::kFp8,
     {kByteCodes, CodeValues::kE4m3},
     {ScaleOrder::kBlocks, DataType::kF32, ScaleTypes::kFloatsOrE8M0}},
    {CheckpointScheme::kFp8E5M2,
     {kByteCodes, CodeValues::kE5m2},
     {ScaleOrder::kBlocks, DataType::kF32, ScaleTypes::kFloatsOrE8M0}},
};

constexpr bool HasRowOfEachScheme() {
  for (std::size_t i = 0; i < kCheckpointSchemeCount; ++i) {
    if (kCheckpointLayouts[i].scheme != kCheckpointSchemes[i].scheme) return false;
    if (static_cast<std::size_t>(kCheckpointSchemes[i].scheme) != i) return false;
  }
  return sizeof(kCheckpointLayouts) / sizeof(kCheckpointLayouts[0]) == kCheckpointSchemeCount;
}
static_assert(HasRowOfEachScheme());

constexpr const CheckpointLayout& LayoutOf(CheckpointScheme scheme) {
  return kCheckpointLayouts[static_cast<std::size_t>(scheme)];
}

// The format of codes of `bits` bits.
constexpr Format FormatOf(CodeValues values, int bits) {
  constexpr Format kIntegers[] = {Format::kInt2, Format::kInt2, Format::kInt2, Format::kInt3, Format::kInt4,
                                  Format::kInt5, Format::kInt6, Format::kInt7, Format::kInt8};
  return values == CodeValues::kE2m1      ? Format::kFp4
         : values == CodeValues::kTernary ? Format::kTernary
         : values == CodeValues::kE4m3    ? Format::kFp8E4M3
         : values == CodeValues::kE5m2    ? Format::kFp8E5M2
         : values == CodeValues::kTable   ? Format::kCodebook4
                                          : kIntegers[bits];
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
