// QuantizedMatrix: quantized weights that own their memory. Quantize, Unpack and the importers return it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/buffer.h"
#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// Owns the arrays of a quantized W[M x K]. Movable. Any number of threads may read it at the same time.
class LUTRA_API QuantizedMatrix {
 public:
  // Valid as long as this object lives and is not allocated or assigned anew.
  const QuantizedView& view() const { return view_; }

  // Allocates arrays for the format, M, K, group, types and codebook_tables of `shape`: with an order if shape.order is
  // not null, with M floats of bias if `bias` is true. Ignores the other pointers and code_stride of `shape`; rows of
  // codes are K bytes apart. The contents of the arrays are undefined. Fails, with this object unchanged, on a shape
  // that Pack refuses and on short memory. Not thread-safe.
  Status Allocate(const QuantizedView& shape, bool bias = false);

  // The arrays of view(), writable. Null for an array that it does not have.
  std::uint8_t* codes() { return codes_.data(); }
  void* scales() { return scales_.data(); }
  void* zeros() { return view_.zero_kind == ZeroKind::kNone ? nullptr : zeros_.data(); }
  std::uint16_t* super_scales() { return super_scales_.as<std::uint16_t>(); }
  std::uint16_t* super_offsets() { return super_offsets_.as<std::uint16_t>(); }
  std::int8_t* codebook() { return codebook_.as<std::int8_t>(); }
  std::uint8_t* table_choices() { return table_choices_.data(); }
  float* bias() { return view_.bias == nullptr ? nullptr : bias_.as<float>(); }
  std::uint32_t* order() { return view_.order == nullptr ? nullptr : order_.as<std::uint32_t>(); }

 private:
  QuantizedView view_;
  Buffer codes_, scales_, zeros_, super_scales_, super_offsets_, codebook_, table_choices_, bias_, order_;
};

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
