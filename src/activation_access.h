// Access to the private members of Activations, for the code that prepares and reads them.
#pragma once

#include "lutra/activations.h"
#include "lutra/kernels/registry.h"
#include "packed_access.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

struct ActivationAccess {
  // The key of n rows.
  static internal::ActivationKey KeyFor(const internal::PackedFields& w, ActivationKind kind, Precision precision,
                                        std::size_t n) {
    const FormatInfo& f = Describe(w.format);
    const bool scoped = kind != ActivationKind::kIntegers && w.target != nullptr;
    internal::ActivationKey key;
    key.scope = static_cast<int>(scoped ? w.target->info.layout.scope : internal::Scope::kBlock);
    key.k = w.k;
    key.joint_ratio = internal::JointRatioOf(w, kind, precision);
    key.block = key.joint_ratio != 0 ? internal::kJointWeights : BlockSize(f, w.group);
    key.cut = key.joint_ratio != 0 ? internal::kJointWeights : CutSize(f, w.group);
    key.kind = kind;
    key.precision = kind == ActivationKind::kBits ? Precision::kInt8 : precision;  // bits have one limb
    key.order_checksum = w.order_checksum;
    key.row_group = w.target == nullptr ? internal::kNR : w.target->row_group(kind, n);
    return key;
  }
  static const internal::ActivationKey& Key(const Activations& x) { return x.key_; }

  static std::size_t RowBytes(const ActivationInfo& a, const internal::Geometry& g, Precision precision) {
    return g.x_chunks() * static_cast<std::size_t>(Limbs(a, precision)) * a.chunk_bytes;
  }
  // Where the scales of N prepared rows begin.
  static std::size_t ScalesAt(std::size_t n, std::size_t row_bytes) {
    return internal::RoundUp(n * row_bytes, Buffer::kAlignment);
  }
  // The bytes of N prepared rows: the rows, their scales, and what a matrix unit reads beyond the last row.
  static std::size_t PreparedBytes(std::size_t n, std::size_t row_bytes, const internal::Geometry& g,
                                   std::size_t row_group) {
    const std::size_t overrun = row_group == 1 ? internal::kOverrunRows * row_bytes + internal::kOverrunBytes : 0;
    return ScalesAt(n, row_bytes) + n * g.x_scales * sizeof(internal::BlockScale) +
           internal::RoundUp(overrun, Buffer::kAlignment);
  }
  static internal::PreparedView View(const Activations& x, const internal::Geometry& g) {
    const std::size_t row_bytes = RowBytes(Describe(x.kind()), g, x.precision());
    const std::uint8_t* const scales = x.prepared_ + ScalesAt(x.n(), row_bytes);
    return {x.prepared_, row_bytes, reinterpret_cast<const internal::BlockScale*>(scales), g.x_scales,
            x.key_.row_group};
  }
  // Makes *x prepared rows at `prepared`, which *x does not own.
  static void Set(const internal::ActivationKey& key, std::size_t n, const std::uint8_t* prepared, Activations* x) {
    x->key_ = key;
    x->n_ = n;
    x->prepared_ = prepared;
  }

  // Prepares x, transformed, as the activation kind `kind`.
  static Status Prepare(const ActivationView& x, const internal::Transform& transform, const PackedMatrix& w,
                        const PrepareOptions& options, ActivationKind kind, Context& context, Activations* activations);
};

inline internal::Geometry GeometryOf(const PackedMatrix& w, ActivationKind kind, Precision precision) {
  return internal::GeometryOf(PackedAccess::Fields(w), kind, precision);
}
// The geometry of packed weights, where x does not matter.
inline internal::Geometry GeometryOf(const PackedMatrix& w) { return internal::GeometryOf(PackedAccess::Fields(w)); }

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
