// Access to the private members of PackedMatrix, for the code that creates one.
#pragma once

#include <utility>

#include "lutra/layout/panels.h"
#include "lutra/packed_matrix.h"
#include "lutra/quantize.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

struct PackedAccess {
  static PackedMatrix Make(const internal::PackedFields& fields, Buffer buffer = {}, MappedFile file = {}) {
    PackedMatrix w;
    w.fields_ = fields;
    w.buffer_ = std::move(buffer);
    w.file_ = std::move(file);
    return w;
  }
  static const internal::PackedFields& Fields(const PackedMatrix& w) { return w.fields_; }
  static const internal::PackedFields& Fields(const PackedLayout& layout) { return layout.fields_; }
  static const MappedFile& File(const PackedMatrix& w) { return w.file_; }

  static std::uint16_t& SharedScale(PackedLayout& layout) { return layout.shared_scale_; }
  static std::uint16_t SharedScale(const PackedLayout& layout) { return layout.shared_scale_; }

  // The layout of `count` matrices whose shape is valid. `fields` needs no bytes.
  static PackedLayout Layout(const internal::PackedFields& fields, std::size_t count, bool bias, bool order);
};

namespace internal {

inline QparamScheme SchemeOf(const PackedFields& w) {
  return SchemeOf(w.scale_type, w.zero_kind, w.zero_type, w.codebook_tables > 1);
}
// Geometry::joint_ratio. Integers of 16 bits have no joint K-blocks.
inline int JointRatioOf(const PackedFields& w, ActivationKind kind, Precision precision) {
  if (kind != ActivationKind::kIntegers || precision != Precision::kInt8) return 0;
  return JointRatio(Describe(w.format), SchemeOf(w), w.group);
}
// The geometry of packed weights, for x of an activation kind and precision; and where x does not matter.
inline Geometry GeometryOf(const PackedFields& w, ActivationKind kind, Precision precision) {
  return {Describe(w.format), Describe(kind), w.k, w.group, SchemeOf(w), JointRatioOf(w, kind, precision)};
}
inline Geometry GeometryOf(const PackedFields& w) {
  return {Describe(w.format), MethodOf(w.format).activations(), w.k, w.group, SchemeOf(w)};
}

// Fields that follow from the shape of w, which must be valid: all but data, bias, order and target.
PackedFields FieldsOf(const QuantizedView& w);
// A view of the shape, without its arrays.
QuantizedView ShapeOf(const PackedFields& fields);
// The bytes after the packed data, in memory and in files: bias, then order.
struct Tail {
  std::size_t bias_bytes, order_bytes;
  Tail(const PackedFields& fields, bool bias, bool order)
      : bias_bytes(bias ? fields.m * sizeof(float) : 0), order_bytes(order ? fields.k * sizeof(std::uint32_t) : 0) {}
  explicit Tail(const PackedLayout& layout)
      : Tail(PackedAccess::Fields(layout), layout.has_bias(), layout.has_order()) {}
  std::size_t bytes() const { return bias_bytes + order_bytes; }
};
// Sets the fields that depend on the address of data and tail, whose bytes must be complete.
void SetData(const std::uint8_t* data, const Tail& tail, PackedFields* fields);
// Unpack for a matrix that is packed in `layout`, which may not be the layout of its target.
Status UnpackFrom(const PackedMatrix& packed, Layout layout, QuantizedMatrix* w);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
