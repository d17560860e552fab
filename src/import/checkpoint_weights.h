// CheckpointWeights: the weights of a checkpoint in any of its schemes, one interface for the import and for panels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "import/checkpoint_layouts.h"
#include "import/fields.h"
#include "lutra/checkpoint.h"
#include "lutra/matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The matrix of a checkpoint. Rows and groups have the order of the file. Columns are numbered as columns of x.
class CheckpointWeights {
 public:
  // Checks everything but the values of codes, scales and zeros; then sets *w. Allocates memory to check g_idx.
  static Status Of(const CheckpointView& checkpoint, CheckpointWeights* w);

  // The shape of the imported matrix, without an order.
  const QuantizedView& shape() const { return shape_; }
  // Whether columns are sorted by group, because the groups in g_idx do not ascend.
  bool sorted() const { return g_idx_ != nullptr; }

  // Sets the kind and type of integer zero points of the shape: none if all are the default of the format; kUInt4 or
  // kUInt8, or a float if one is 256. Reads all of them.
  void ChooseZeros();
  // Whether ZeroOf writes zeros of this kind and type.
  bool MayHaveZeros(ZeroKind kind, DataType type) const;

  // Writes the codes of `count` rows in some columns, `stride` bytes from row to row. Columns ascend by one unless
  // sorted().
  void CodesOf(const std::uint32_t* columns, std::size_t column_count, std::size_t row, std::size_t count,
               std::uint8_t* codes, std::size_t stride) const;
  // Writes the scale of a group of the shape. Fails if it is not finite.
  Status ScaleOf(std::size_t row, std::size_t group, std::uint8_t* to) const;
  // Writes the zero point of a group, of a kind and type that MayHaveZeros allows. Fails if the type does not hold it.
  // kNone: writes nothing, and fails if the zero point is not the default of the format.
  Status ZeroOf(std::size_t row, std::size_t group, ZeroKind kind, DataType type, std::uint8_t* to) const;

  // columns[j - begin] = the column of x that column j of the codes multiplies, for j in [begin, end).
  void ColumnsOf(std::size_t begin, std::size_t end, std::uint32_t* columns) const;

 private:
  Status ChooseGroup(const CheckpointView& checkpoint);
  Status ChooseShape(const CheckpointView& checkpoint);
  Status ChooseScales(const CheckpointView& checkpoint);
  Status CheckCodes(const CheckpointView& checkpoint);
  Status CheckGroups(const CheckpointView& checkpoint);

  // The group of the file that a group of the shape is in; the number of its scale in the file.
  std::size_t FileGroup(std::size_t group) const;
  std::size_t ScaleIndex(std::size_t row, std::size_t group) const;
  unsigned IntegerZeroAt(std::size_t row, std::size_t file_group) const;

  QuantizedView shape_;
  const CheckpointLayout* layout_ = nullptr;
  Fields codes_, zeros_;
  const void *scales_ = nullptr, *float_zeros_ = nullptr;
  const std::int32_t* g_idx_ = nullptr;
  NestedAbsmax nested_;
  // Of the file: columns of a group, groups of a row, scales. Files may have larger groups than any format: several
  // groups of the shape then have the same scale.
  std::size_t group_ = 0, groups_ = 0, scale_rows_ = 1, scale_count_ = 0;
  float matrix_scale_ = 1.0f;
  GptqZeros reading_ = GptqZeros::kV2;
  bool has_zeros_ = false, signed_zeros_ = false;
};

// The zero point that a field of qzeros stands for.
unsigned ReadGptqZero(const Fields& zeros, std::size_t m, std::size_t group, GptqZeros reading);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
