// x turned into tables of partial sums, or integers, once per x; every matrix that reads the same x reuses them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/buffer.h"
#include "lutra/context.h"
#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {

namespace internal {

// What a set of tables depends on. Matrices with equal keys share prepared activations.
struct TableKey {
  int scope = 0;                          // internal::Scope of the target, where there are tables
  std::size_t k = 0, block = 0, cut = 0;  // BlockSize, CutSize
  Prepared prepared = Prepared::kIntegers;
  Precision precision = Precision::kInt8;
  std::uint64_t order_checksum = 0;  // PackedFields::order_checksum
  bool operator==(const TableKey& o) const {
    return scope == o.scope && k == o.k && block == o.block && cut == o.cut && prepared == o.prepared &&
           precision == o.precision && order_checksum == o.order_checksum;
  }
};

}  // namespace internal

// x[N x K] in tables. Read-only after Prepare: any number of threads may use it. Reuse one object for every call: its
// memory only grows.
class LUTRA_API Activations {
 public:
  std::size_t n() const { return n_; }
  std::size_t k() const { return key_.k; }
  Precision precision() const { return key_.precision; }
  // True if MatMul accepts these activations for w: same K, same FormatInfo::prepared (int1 and int2 share one, int3
  // and int4 another, ternary has its own), same target layout, same cut of K into blocks (group sizes from 128 on
  // share one, but for ternary those of 128, of 256, and of rows) and equal orders of columns, or none (compared by a
  // checksum of 64 bits).
  bool Fits(const PackedMatrix& w) const;

 private:
  friend struct ActivationAccess;

  internal::TableKey key_;
  std::size_t n_ = 0;
  Buffer tables_, scales_;
};

// Builds the tables of x for w and for every matrix they fit (see Fits), over context.executor. Fails on null data of
// nonzero size, a stride below K, K other than w.k(), int8 without scales, sizes that overflow, short memory, and on
// what is not finite; *activations then has no rows.
//
// No integer stands for NaN or infinity. They are refused wherever in x they are ("x.data"), in the scales of int8
// ("x.scales"), and where an int8 times its scale exceeds the floats ("x.data"). What lies between rows is not read.
// Zeros and subnormals are numbers like others. Magnitudes of x up to 1e32 are safe; beyond, y may be infinite or no
// number.
LUTRA_API Status Prepare(const ActivationView& x, const PackedMatrix& w, Precision precision, Context& context,
                         Activations* activations);

// The same for the normalized x, bit for bit what Prepare makes of ReferenceRmsNorm's output, but x is read from memory
// once, and its normalized rows are never stored. Fails besides on a weight or an epsilon that is not finite, epsilon <
// 0, and a row whose normalized values are not finite (as those of a row of zeros with epsilon 0).
LUTRA_API Status PrepareRmsNorm(const ActivationView& x, const RmsNorm& norm, const PackedMatrix& w,
                                Precision precision, Context& context, Activations* activations);

}  // namespace lutra
