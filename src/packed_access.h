// The inside of PackedMatrix, for those who make one.
#pragma once

#include <utility>

#include "lutra/layout/panels.h"
#include "lutra/packed_matrix.h"
#include "lutra/quantize.h"

namespace lutra {

struct PackedAccess {
  static PackedMatrix Make(const internal::PackedFields& fields, Buffer buffer = {}, MappedFile file = {}) {
    PackedMatrix w;
    w.fields_ = fields;
    w.buffer_ = std::move(buffer);
    w.file_ = std::move(file);
    return w;
  }
  static const internal::PackedFields& Fields(const PackedMatrix& w) { return w.fields_; }
};

namespace internal {

// Of what is packed, whatever the activations.
inline Geometry GeometryOf(const QuantizedView& w) {
  return {Describe(w.format), MethodOf(w.format).activations(), w.k, w.group, SchemeOf(w)};
}

// All but data, bias, order and target: what follows from the shape of w, which must be valid.
PackedFields FieldsOf(const QuantizedView& w);
// Bias and order follow the data, in memory as in files.
struct Tail {
  std::size_t bias_bytes, order_bytes;
  Tail(const PackedFields& fields, bool bias, bool order)
      : bias_bytes(bias ? fields.m * sizeof(float) : 0), order_bytes(order ? fields.k * sizeof(std::uint32_t) : 0) {}
  std::size_t bytes() const { return bias_bytes + order_bytes; }
};
// Sets what depends on where data and tail are; they must be there.
void SetData(const std::uint8_t* data, const Tail& tail, PackedFields* fields);
Status UnpackFrom(const PackedMatrix& packed, Layout layout, QuantizedMatrix* w);

}  // namespace internal
}  // namespace lutra
