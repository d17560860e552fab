// The inside of Activations, for those who build and read tables.
#pragma once

#include "lutra/activations.h"
#include "lutra/kernels/registry.h"
#include "packed_access.h"

namespace lutra {

struct ActivationAccess {
  static internal::TableKey KeyFor(const PackedMatrix& w, Precision precision) {
    const FormatInfo& f = Describe(w.format());
    const bool tables = f.looks_up() && w.target() != nullptr;
    return {static_cast<int>(tables ? w.target()->layout.scope : internal::Scope::kBlock),
            w.k(),
            BlockSize(f, w.group()),
            CutSize(f, w.group()),
            f.prepared,
            precision,
            PackedAccess::Fields(w).order_checksum};
  }
  // Of x, or, unless `norm` is null, of x normalized.
  static Status Prepare(const ActivationView& x, const RmsNorm* norm, const PackedMatrix& w, Precision precision,
                        Context& context, Activations* activations);
  static const internal::TableKey& Key(const Activations& x) { return x.key_; }

  static std::size_t RowBytes(const FormatInfo& f, const internal::Geometry& g, Precision precision) {
    const std::size_t passes = precision == Precision::kInt16 ? 2 : 1;
    return g.total_chunks() * passes * internal::TableBytes(f);
  }
  static internal::TableView View(const Activations& x, const FormatInfo& f, const internal::Geometry& g) {
    return {x.tables_.data(), RowBytes(f, g, x.precision()), x.scales_.as<internal::BlockScale>()};
  }
};

inline internal::Geometry GeometryOf(const PackedMatrix& w) {
  return {Describe(w.format()), w.k(), w.group(), w.scale_type(), w.zero_kind()};
}

}  // namespace lutra
