// PackedLayout: the sizes of packed weights, from their shape and target alone, before there are any weights.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/status.h"
#include "lutra/targets.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

class PackedMatrix;

namespace internal {

// The properties of a PackedMatrix, and the addresses of its bytes.
struct PackedFields {
  Format format = Format::kInt4;
  std::size_t m = 0, k = 0, group = 128, bytes = 0;
  DataType scale_type = DataType::kF16;
  ZeroKind zero_kind = ZeroKind::kNone;
  DataType zero_type = DataType::kF16;
  float matrix_scale = 1.0f;
  std::size_t codebook_tables = 0;             // 0: the format has no own_values
  std::int8_t codebook[kMaxTables * 16] = {};  // [codebook_tables][levels]
  Target target = nullptr;
  const std::uint8_t* data = nullptr;
  const float* bias = nullptr;
  const std::uint32_t* order = nullptr;
  std::uint64_t order_checksum = 0;  // 0 if there is none
};

}  // namespace internal

// What LayoutOf and LayoutOfGguf need beside the shape.
struct LayoutOptions {
  Target target = nullptr;  // null: the best of RunnableTargets()
  std::size_t count = 1;    // matrices of this shape, such as the experts of a layer; they share one codebook
  bool bias = false;        // whether each matrix has a bias, beside the one of a shape
  // LayoutOfGguf, scales of type kE8M0 or kE4M3: as QuantizedView::matrix_scale. It is no part of packed bytes: where
  // matrices have a scale each, View each with a layout of its own.
  float matrix_scale = 1.0f;
};

// Where `count` packed matrices of one shape stand in one piece of memory, which is the caller's: PackPanels fills it,
// and View makes matrices of it (pack_panels.h). A value; Pack, Unpack and files have the same bytes.
class LUTRA_API PackedLayout {
 public:
  static constexpr std::size_t kAlignment = 64;  // of the memory

  // The shape of one matrix.
  Format format() const { return fields_.format; }
  std::size_t m() const { return fields_.m; }
  std::size_t k() const { return fields_.k; }
  std::size_t group() const { return fields_.group; }
  DataType scale_type() const { return fields_.scale_type; }
  ZeroKind zero_kind() const { return fields_.zero_kind; }
  DataType zero_type() const { return fields_.zero_type; }
  bool has_bias() const { return bias_; }
  bool has_order() const { return order_; }
  Target target() const { return fields_.target; }

  std::size_t count() const { return count_; }
  // The bytes of the memory: exact, and a multiple of kAlignment. Matrix number i begins at i * stride().
  std::size_t bytes() const { return count_ * stride_; }
  std::size_t stride() const { return stride_; }
  // Panels of all matrices: PackPanels takes any range of them. Panel p has 64 rows (the last one of a matrix fewer) of
  // matrix p / panels_per_matrix().
  std::size_t panels() const { return count_ * panels_per_matrix(); }
  std::size_t panels_per_matrix() const { return m() / 64 + (m() % 64 != 0); }
  // The rows of all matrices that stand before panel `panel`, 0 to panels(): GgufBlocks::first_row.
  std::size_t rows_before(std::size_t panel) const {
    const std::size_t each = panels_per_matrix();
    return each == 0 ? 0 : panel / each * m() + panel % each * 64;
  }

 private:
  friend struct PackedAccess;

  internal::PackedFields fields_;
  bool bias_ = false, order_ = false;
  std::uint16_t shared_scale_ = 0;  // f16, of ternary blocks of GGUF whose matrix has one
  std::size_t count_ = 0, stride_ = 0;
};

namespace functions {

// Sets *layout to that of matrices of this shape. Reads the fields, the codebook and matrix_scale; of bias and order
// only whether they are null. Thread-safe. Fails, with *layout unchanged, on a shape that Pack refuses, and on sizes
// that overflow ("options.count").
LUTRA_API Status LayoutOf(const QuantizedView& shape, const LayoutOptions& options, PackedLayout* layout);

// The layout of a packed matrix.
LUTRA_API PackedLayout LayoutOf(const PackedMatrix& w);

// Sets *layout to that of tensors W[M x K] of a GGUF type (import.h), as the type alone says: ternary types keep a
// scale per block, and their codes are ternary. Type 42 means q2_0; 142 is pq2_0. Thread-safe. Fails as ImportGguf
// does, and as above.
LUTRA_API Status LayoutOfGguf(std::uint32_t type, std::size_t m, std::size_t k, const LayoutOptions& options,
                              PackedLayout* layout);

}  // namespace functions

// Blocks of the matrices of a layout: of matrix 0, then of matrix 1, and so on, row after row, at any address; as
// ImportGguf reads them.
struct GgufBlocks {
  std::uint32_t type = 0;
  const void* data = nullptr;
  std::size_t size = 0;  // bytes
  // PackPanels alone: `data` holds only the rows [first_row, first_row + rows), numbered through all matrices, from 0
  // to count * M. If both are 0, `data` holds all rows. Types with a tail (GgufType::tail_bytes) must have both 0.
  std::size_t first_row = 0, rows = 0;
};

namespace functions {

// The same, but ternary types get the format and the group that ImportGguf chooses: one scale per row or for all
// matrices if their scales allow, and int2 if a code is not ternary. Reads all of these blocks; of other types, none.
// Fails if blocks.first_row or blocks.rows is not 0 ("blocks.rows").
LUTRA_API Status LayoutOfGguf(const GgufBlocks& blocks, std::size_t m, std::size_t k, const LayoutOptions& options,
                              PackedLayout* layout);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
