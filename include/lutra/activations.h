// x prepared once, as tables of partial sums or as integers; every matrix that reads the same x reuses it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/buffer.h"
#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {

// Which activation kind Prepare chooses.
//
//   kInvariant   the format's own, so that a row of y has the same bits on every target, for every N (batch
//                invariance), any number of threads and any split into ranges.
//   kFastest     the one that the plan names for the format, target, N and group (plan.h). The bits of a row of y then
//                depend on these four, but still not on threads or splits.
enum class Choice : std::uint8_t { kInvariant, kFastest };
constexpr const char* Name(Choice choice) noexcept {
  return choice == Choice::kInvariant ? "invariant" : choice == Choice::kFastest ? "fastest" : "?";
}

namespace internal {

// What prepared activations depend on. Matrices with equal keys share them.
struct ActivationKey {
  int scope = 0;                          // internal::Scope of the target, where there are tables
  std::size_t k = 0, block = 0, cut = 0;  // BlockSize, CutSize
  ActivationKind kind = ActivationKind::kIntegers;
  Precision precision = Precision::kInt8;
  Choice choice = Choice::kInvariant;  // not compared
  std::uint64_t order_checksum = 0;    // PackedFields::order_checksum
  bool operator==(const ActivationKey& o) const {
    return scope == o.scope && k == o.k && block == o.block && cut == o.cut && kind == o.kind &&
           precision == o.precision && order_checksum == o.order_checksum;
  }
};

}  // namespace internal

struct Context;

struct PrepareOptions {
  Precision precision;
  Choice choice;
  // Implicit, so that a Precision alone is enough. NOLINTNEXTLINE(google-explicit-constructor)
  constexpr PrepareOptions(Precision precision_ = Precision::kInt8, Choice choice_ = Choice::kInvariant)
      : precision(precision_), choice(choice_) {}
};

// x[N x K], prepared. Read-only after Prepare: any number of threads may use it. Reuse one object for every call: its
// memory only grows.
class LUTRA_API Activations {
 public:
  std::size_t n() const { return n_; }
  std::size_t k() const { return key_.k; }
  Precision precision() const { return key_.precision; }
  ActivationKind kind() const { return key_.kind; }
  // True if MatMul accepts these activations for w: same K, the format's own activation kind (int1 and int2 share sums
  // in base 2, ternary has sums in base 3, others have integers) or, under kFastest, integers; for sum tables a target
  // of the same layout, same K-blocks (group sizes from 128 on share them, but for ternary 128, 256, and rows), and
  // equal orders of columns, or none (compared by a checksum of 64 bits).
  bool Fits(const PackedMatrix& w) const;

 private:
  friend struct ActivationAccess;

  internal::ActivationKey key_;
  std::size_t n_ = 0;
  Buffer data_, scales_;
};

// Prepares x for w and for every matrix that it fits (Activations::Fits), over context.executor. Fails on null data of
// nonzero size, a stride below K, K other than w.k(), int8 without scales, sizes that overflow, short memory, and on
// values that are not finite; *activations then has no rows.
//
// No integer stands for NaN or infinity. They are refused wherever in x they are ("x.data"), in the scales of int8
// ("x.scales"), and where an int8 times its scale exceeds the floats ("x.data"). Bytes between rows are not read. Zeros
// and subnormals are numbers like others. Magnitudes of x up to 1e32 are safe; beyond, y may be infinite or no number.
LUTRA_API Status Prepare(const ActivationView& x, const PackedMatrix& w, const PrepareOptions& options,
                         Context& context, Activations* activations);

// The same for the normalized x, bit for bit as Prepare for the output of ReferenceRmsNorm, but x is read from memory
// once, and its normalized rows are never stored. Fails, too, on a weight or an epsilon that is not finite, epsilon <
// 0, and a row whose normalized values are not finite (as a row of zeros with epsilon 0).
LUTRA_API Status PrepareRmsNorm(const ActivationView& x, const RmsNorm& norm, const PackedMatrix& w,
                                const PrepareOptions& options, Context& context, Activations* activations);

}  // namespace lutra
