// The inside of PackedMatrix, for those who make one.
#pragma once

#include <utility>

#include "lutra/kernels/layout.h"
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
};

namespace internal {

// All but data, bias and target: what follows from the shape of w, which must be valid.
PackedFields FieldsOf(const QuantizedView& w);
Status UnpackFrom(const PackedMatrix& packed, Layout layout, QuantizedMatrix* w);

}  // namespace internal
}  // namespace lutra
