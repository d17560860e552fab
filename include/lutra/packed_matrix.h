// Pack: lays weights out in the order in which the kernels of a target read them. Unpack is the inverse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "lutra/buffer.h"
#include "lutra/executor.h"
#include "lutra/export.h"
#include "lutra/mapped_file.h"
#include "lutra/matrix.h"
#include "lutra/packed_layout.h"
#include "lutra/quantized_matrix.h"
#include "lutra/status.h"
#include "lutra/targets.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Options of Pack and LoadPacked.
struct PackOptions {
  Target target = nullptr;       // null: the best of RunnableTargets()
  Executor* executor = nullptr;  // null: serial
  bool check_data = true;        // LoadPacked: whether it reads and checks the packed data (packed_file.h)
};

// W[M x K] laid out for one target, whose kernels multiply it. layout/panels.h describes the layout. Read-only after
// Pack or LoadPacked: any number of threads may use it at the same time. A moved-from matrix is 0 x 0.
class LUTRA_API PackedMatrix {
 public:
  PackedMatrix() = default;
  PackedMatrix(PackedMatrix&& other) noexcept { *this = std::move(other); }
  PackedMatrix& operator=(PackedMatrix&& other) noexcept {
    std::swap(fields_, other.fields_);
    std::swap(buffer_, other.buffer_);
    std::swap(file_, other.file_);
    return *this;
  }

  Format format() const { return fields_.format; }
  std::size_t m() const { return fields_.m; }
  std::size_t k() const { return fields_.k; }
  std::size_t group() const { return fields_.group; }
  DataType scale_type() const { return fields_.scale_type; }
  ZeroKind zero_kind() const { return fields_.zero_kind; }
  DataType zero_type() const { return fields_.zero_type; }
  float matrix_scale() const { return fields_.matrix_scale; }  // 1 if scale_type() ignores it
  // The tables of a format with own_values, as in QuantizedView: [codebook_tables()][levels]. 0 for other formats.
  std::size_t codebook_tables() const { return fields_.codebook_tables; }
  const std::int8_t* codebook() const { return fields_.codebook; }
  bool has_table_choices() const { return fields_.codebook_tables > 1; }
  bool has_bias() const { return fields_.bias != nullptr; }
  Target target() const { return fields_.target; }

  // The packed bytes that a multiplication reads: with padding and scales, without bias and order.
  std::size_t bytes() const { return fields_.bytes; }
  double bits_per_weight() const {
    return m() == 0 || k() == 0
               ? 0.0
               : 8.0 * static_cast<double>(bytes()) / static_cast<double>(m()) / static_cast<double>(k());
  }

  const std::uint8_t* data() const { return fields_.data; }     // aligned to 64 bytes
  const float* bias() const { return fields_.bias; }            // [M] or null
  const std::uint32_t* order() const { return fields_.order; }  // [K] or null, see QuantizedView

 private:
  friend struct PackedAccess;

  internal::PackedFields fields_;
  Buffer buffer_;  // buffer_ or file_ owns data, bias and order, or else the caller of LoadPacked or View
  MappedFile file_;
};

namespace functions {

// Packs W[M x K] for options.target, over options.executor. Reads codes, scales, zeros, bias and order once; the view
// is not needed afterwards. M = 0 or K = 0 is valid. Thread-safe for different *packed. The layouts follow T-MAC
// (planes of indices) and TL2 of bitnet.cpp (signs of ternary indices apart).
//
// Fails, with *packed unchanged, on null data of nonzero size, a stride below K, a group size or type that matrix.h
// does not list, a code that the format does not have, a kUInt4 value above 15, scales, zeros or bias that are not
// finite, an order that is not a permutation, a codebook that is null or holds -128, a choice of a table that it does
// not have, sizes that overflow, and short memory.
LUTRA_API Status Pack(const QuantizedView& w, const PackOptions& options, PackedMatrix* packed);
inline Status Pack(const QuantizedView& w, PackedMatrix* packed) { return Pack(w, PackOptions{}, packed); }

// Restores the codes, scales, zeros, codebook, bias and order that were packed, in their types. Thread-safe for
// different *w. Fails, with *w unchanged, if memory is short.
LUTRA_API Status Unpack(const PackedMatrix& packed, QuantizedMatrix* w);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
