// Access to the private members of Activations, for the code that prepares and reads them.
#pragma once

#include "lutra/activations.h"
#include "lutra/kernels/registry.h"
#include "packed_access.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

struct ActivationAccess {
  static internal::ActivationKey KeyFor(const PackedMatrix& w, ActivationKind kind, Precision precision) {
    const FormatInfo& f = Describe(w.format());
    const bool tables = Describe(kind).has_tables() && w.target() != nullptr;
    internal::ActivationKey key;
    key.scope = static_cast<int>(tables ? w.target()->info.layout.scope : internal::Scope::kBlock);
    key.k = w.k();
    key.block = BlockSize(f, w.group());
    key.cut = CutSize(f, w.group());
    key.kind = kind;
    key.precision = precision;
    key.order_checksum = PackedAccess::Fields(w).order_checksum;
    return key;
  }
  static const internal::ActivationKey& Key(const Activations& x) { return x.key_; }

  static std::size_t RowBytes(const ActivationInfo& a, const internal::Geometry& g, Precision precision) {
    return g.x_chunks() * static_cast<std::size_t>(Limbs(precision)) * a.chunk_bytes;
  }
  static internal::PreparedView View(const Activations& x, const internal::Geometry& g) {
    return {x.data_.data(), RowBytes(Describe(x.kind()), g, x.precision()), x.scales_.as<internal::BlockScale>(),
            x.row_group_};
  }

  // Prepares x, transformed, as the activation kind `kind`.
  static Status Prepare(const ActivationView& x, const internal::Transform& transform, const PackedMatrix& w,
                        Precision precision, Choice choice, ActivationKind kind, Context& context,
                        Activations* activations);
};

inline internal::Geometry GeometryOf(const PackedMatrix& w, ActivationKind kind) {
  return {Describe(w.format()), Describe(kind), w.k(), w.group(),
          internal::SchemeOf(w.scale_type(), w.zero_kind(), w.zero_type(), w.has_table_choices())};
}
// The geometry of packed weights, where the activation kind does not matter.
inline internal::Geometry GeometryOf(const PackedMatrix& w) { return GeometryOf(w, MethodOf(w.format()).kind); }

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
