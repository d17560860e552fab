// Prepare: turns x into sum tables or integers, once for all matrices that read the same x.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/buffer.h"
#include "lutra/export.h"
#include "lutra/matrix.h"
#include "lutra/packed_matrix.h"
#include "lutra/status.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// How Prepare chooses the activation kind.
//
//   kInvariant   the format's own, so that a row of y has the same bits on every target, for every N (batch
//                invariance), any number of threads and any split into ranges.
//   kFastest     the one that the plan names for the format, target, N, group and precision (plan.h). The bits of a row
//                of y then depend on these five, but still not on threads or splits. Under kInt8, from three rows of x
//                on, fp8 and fp6_e3m2 weights multiply x rounded to bf16 on AVX3_ZEN4, AVX3_SPR, AVX3_SPR_AMX and
//                NEON_I8MM.
//                Each element of x then has a relative error of at most 2^-9 (2^-8 beyond the finite numbers of bf16,
//                whose largest it becomes), or none if x is of type kBF16. Sums are f32; the instruction chooses their
//                rounding, and may treat subnormal x and sums as zero.
//   kBits        bits, for x of type kBits and weights of int1, which it requires. Products are exact, with the same
//                bits on every target and for every N, as under kInvariant; the precision is ignored. On AVX-512 it is
//                faster than lookups for every N (bench/README.md), and prepared x is small.
enum class Choice : std::uint8_t { kInvariant, kFastest, kBits };

namespace functions {

constexpr const char* Name(Choice choice) noexcept {
  return choice == Choice::kInvariant ? "invariant"
         : choice == Choice::kFastest ? "fastest"
         : choice == Choice::kBits    ? "bits"
                                      : "?";
}

}  // namespace functions

namespace internal {

// The properties on which prepared activations depend. Matrices with equal keys share them.
struct ActivationKey {
  int scope = 0;                          // internal::Scope of the target, unless kind is kIntegers
  std::size_t k = 0, block = 0, cut = 0;  // BlockSize, CutSize
  ActivationKind kind = ActivationKind::kIntegers;
  Precision precision = Precision::kInt8;
  Choice choice = Choice::kInvariant;  // not compared
  std::size_t row_group = 0;           // rows of a row group: by target and N; not compared
  int joint_ratio = 0;                 // internal::Geometry
  std::uint64_t order_checksum = 0;    // PackedFields::order_checksum
  bool operator==(const ActivationKey& o) const {
    return scope == o.scope && k == o.k && block == o.block && cut == o.cut && kind == o.kind &&
           precision == o.precision && joint_ratio == o.joint_ratio && order_checksum == o.order_checksum;
  }
};

}  // namespace internal

struct Context;

// Options of Prepare; a Precision alone converts to them.
struct PrepareOptions {
  Precision precision;
  Choice choice;
  NonFinite non_finite;
  // Implicit, so that a Precision alone is enough. NOLINTNEXTLINE(google-explicit-constructor)
  constexpr PrepareOptions(Precision precision_ = Precision::kInt8, Choice choice_ = Choice::kInvariant,
                           NonFinite non_finite_ = NonFinite::kRefuse)
      : precision(precision_), choice(choice_), non_finite(non_finite_) {}
};

// x[N x K], prepared. Read-only after Prepare: any number of threads may use it. Reuse one object for every call: its
// memory only grows. ViewActivations (prepare_parts.h) sets it to memory of the caller's.
class LUTRA_API Activations {
 public:
  std::size_t n() const { return n_; }
  std::size_t k() const { return key_.k; }
  Precision precision() const { return key_.precision; }
  ActivationKind kind() const { return key_.kind; }
  // The memory that they own, which may have served more rows: see PreparedSize.
  std::size_t bytes() const { return memory_.size() + rows_.size(); }
  // True if MatMul accepts these activations for w. All of these must hold:
  //   - the same K, and the same K-blocks: all group sizes from 128 on share them, except that for ternary 128, 256 and
  //     whole rows differ;
  //   - the format's own activation kind (sums in base 2 for int1 and int2, sums in base 3 for ternary, floats for fp8
  //     and fp6_e3m2, integers for all others), another kind that the format multiplies (plan.h) if they were prepared
  //     under kFastest or by a plan, or bits if the format is int1;
  //   - for sum tables and bits, a target with the same scope (layout/panels.h);
  //   - under kInt8 and for integers: scales of two levels in groups of 16 to 64 weights on both sides or on none. Such
  //     matrices share x whatever their groups are, unless the largest ratio differs (layout/joint.h): 15 for codes of
  //     up to 6 bits, 4 where values are large, as in iq4nl;
  //   - the same order of columns, or none; orders are compared by a checksum of 64 bits.
  // Thread-safe.
  bool Fits(const PackedMatrix& w) const;

 private:
  friend struct ActivationAccess;

  internal::ActivationKey key_;
  std::size_t n_ = 0;
  const std::uint8_t* prepared_ = nullptr;  // the rows, then their scales
  Buffer memory_;                           // of Prepare: prepared_ points into it
  Buffer rows_;                             // of PrepareHadamard: transformed rows, a row group for each task
};

namespace functions {

// Prepares x[N x K] for w[M x K] and for every other matrix that it fits (Activations::Fits), over context.executor.
// Reads x once; bytes between rows are not read. Thread-safe for different *activations and contexts.
//
// Fails on null data of nonzero size, a stride below K or within a byte, K other than w.k(), integers without scales,
// sizes that overflow, short memory, and, under NonFinite::kRefuse, on NaN or infinity in x ("x.data"), in the scales
// of integers ("x.scales"), or in their products ("x.data"). *activations then has no rows. Under Choice::kBits it also
// fails on formats other than int1 ("choice"), x that is not of type kBits ("x.type") or is transformed ("choice"), and
// K-blocks with several scales of x ("x.scale_group").
//
// Integers of x are exact: int8 under kInt16 or prepared as integers, kInt4 and kBits always, if no K-block has several
// scales of x. (With sum tables under kInt8, scales of kInt4 and kBits are rounded to 22 bits.)
//
// Zeros and subnormals are valid. Magnitudes of x up to 1e32 are safe (1e30 if the values of W are floats); above, y
// may be infinite or NaN.
LUTRA_API Status Prepare(const ActivationView& x, const PackedMatrix& w, const PrepareOptions& options,
                         Context& context, Activations* activations);

// Sets *bytes to the memory that Prepare and PrepareRmsNorm allocate for N rows of x, a multiple of 64: exactly what
// new Activations then own, and what PreparePart (prepare_parts.h) fills. Activations that hold less get this much
// before their own is freed. The size depends on N, K, the K-blocks of w, the activation kind and the precision; int4
// per 128 weights, for instance, takes (K + 64 * ceil(K / 128)) * N bytes under kInt8, int2 takes K * 4 instead of K.
// For a matrix unit (AVX3_SPR_AMX, from 8 rows of x on, integers or bf16) 7 rows of prepared x and 48 bytes are added.
// PrepareHadamard adds the transformed rows. Thread-safe. Fails on invalid options, and on sizes that overflow ("n").
LUTRA_API Status PreparedSize(const PackedMatrix& w, std::size_t n, const PrepareOptions& options, std::size_t* bytes);

// Prepares x normalized by RMSNorm. The result has the same bits as Prepare of the output of ReferenceRmsNorm, but
// normalized rows are never stored. Fails as Prepare does, and on a weight or an epsilon that is not finite, a negative
// epsilon, and a row whose normalized values are not finite (such as a row of zeros with epsilon 0).
LUTRA_API Status PrepareRmsNorm(const ActivationView& x, const RmsNorm& norm, const PackedMatrix& w,
                                const PrepareOptions& options, Context& context, Activations* activations);

// Prepares x transformed by a Hadamard matrix, for weights whose rows were rotated by it. The result has the same bits
// as Prepare of the output of ReferenceHadamard, but of the transformed rows only four per thread are stored at a time,
// in memory that *activations keeps: min(4, N) * (K rounded up to 128) floats for each thread. Fails as Prepare does,
// and on a block that is no power of two, is out of range or does not divide K ("hadamard.block"), a sign other than 1
// and -1 ("hadamard.signs"), and a row whose transformed values are not finite: magnitudes of x up to 1e32 are safe.
LUTRA_API Status PrepareHadamard(const ActivationView& x, const Hadamard& hadamard, const PackedMatrix& w,
                                 const PrepareOptions& options, Context& context, Activations* activations);
// The same for x normalized by RMSNorm first, as ReferenceHadamard of the output of ReferenceRmsNorm.
LUTRA_API Status PrepareHadamard(const ActivationView& x, const RmsNorm& norm, const Hadamard& hadamard,
                                 const PackedMatrix& w, const PrepareOptions& options, Context& context,
                                 Activations* activations);

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
