// Prepare, PrepareRmsNorm and PrepareHadamard: validate x, reserve memory, and prepare x row group by row group.
#include <algorithm>
#include <atomic>

#include "activation_access.h"
#include "lutra/context.h"
#include "lutra/plan.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::kNR;

// The work of a call: all row groups of x.
struct Work {
  internal::PrepareArgs all;
  internal::PrepareFunction prepare;
  std::size_t row_bytes;
  std::size_t row_group;  // rows of a row group, at most kNR
  std::atomic<bool> finite{true};
  std::atomic<std::size_t> next{0};  // the piece that PrepareTransformed takes next

  std::size_t pieces() const { return internal::DivideUp(all.rows, kNR); }

  // Prepares piece `piece`, which is kNR rows: one row group or several.
  void PreparePiece(std::size_t piece, float* transformed) {
    const std::size_t end = std::min((piece + 1) * kNR, all.rows);
    for (std::size_t begin = piece * kNR; begin < end; begin += row_group) {
      PrepareRowGroup(begin, std::min(begin + row_group, end), transformed);
    }
  }
  void PrepareRowGroup(std::size_t begin, std::size_t end, float* transformed) {
    internal::PrepareArgs rows = all;
    rows.x = static_cast<const std::uint8_t*>(rows.x) + begin * rows.x_stride;
    rows.rows = end - begin;
    if (rows.scales != nullptr) rows.scales += begin * rows.scale_stride;
    rows.prepared += begin * row_bytes;
    rows.block_scales += begin * rows.geometry->blocks;
    rows.transformed = transformed;
    if (!prepare(rows)) finite.store(false, std::memory_order_relaxed);
  }

  // Under a Hadamard transform there are as many tasks as threads, and each has memory for one row group. It takes
  // pieces until none is left.
  void PrepareTransformed(std::size_t task) {
    const std::size_t floats = TransformedFloats(all);
    while (true) {
      const std::size_t piece = next.fetch_add(1, std::memory_order_relaxed);
      if (piece >= pieces()) return;
      PreparePiece(piece, all.transformed + task * floats);
    }
  }

  // The floats of a transformed row group, at most.
  static std::size_t TransformedFloats(const internal::PrepareArgs& all) {
    return std::min(kNR, all.rows) * internal::HadamardStride(all.geometry->k);
  }
};

internal::PrepareArgs ArgsOf(const ActivationView& x, const internal::Transform& transform, const PackedMatrix& w,
                             const internal::Geometry& geometry) {
  internal::PrepareArgs args = {};
  args.x = x.data;
  args.x_stride = x.row_stride * SizeOf(x.type);
  args.rows = x.n;
  args.type = x.type;
  args.scales = x.scales;
  args.scale_group = x.scale_group == kPerRow ? std::max<std::size_t>(x.k, 1) : x.scale_group;
  args.scale_stride = GroupsPerRow(x.k, args.scale_group);
  args.order = w.order();
  args.transform = transform;
  args.geometry = &geometry;
  return args;
}

// The rows of a row group of N rows of x, prepared for w.
std::size_t RowGroup(const PackedMatrix& w, ActivationKind kind, std::size_t n) {
  return w.target() == nullptr ? kNR : w.target()->row_group(kind, n);
}

// The bytes of N prepared rows of x.
struct Sizes {
  std::size_t data, scales;
};
Status SizesOf(const internal::Geometry& geometry, std::size_t row_bytes, std::size_t row_group, std::size_t n,
               Sizes* sizes) {
  const bool overruns = row_group == 1;  // a matrix unit reads beyond the last row
  const std::size_t rows = overruns ? n + internal::kOverrunRows : n;
  if (rows < n || internal::Overflows(rows, row_bytes) ||
      internal::Overflows(n, geometry.blocks, sizeof(internal::BlockScale))) {
    return Status::Invalid("n", "is too large: N * K overflows");
  }
  *sizes = {rows * row_bytes + (overruns ? internal::kOverrunBytes : 0),
            n * geometry.blocks * sizeof(internal::BlockScale)};
  return {};
}

}  // namespace

Status ActivationAccess::Prepare(const ActivationView& x, const internal::Transform& transform, const PackedMatrix& w,
                                 Precision precision, Choice choice, ActivationKind kind, Context& context,
                                 Activations* activations) {
  if (activations == nullptr) return Status::Invalid("activations", "is null");
  activations->n_ = 0;
  if (precision > Precision::kInt16) return Status::Invalid("precision", "is not a Precision");
  if (x.k != w.k()) return Status::Invalid("x.k", "differs from K of w");
  LUTRA_RETURN_IF_ERROR(internal::ValidateActivations(x));
  if (transform.norm != nullptr) LUTRA_RETURN_IF_ERROR(internal::ValidateNorm(*transform.norm));
  if (transform.hadamard != nullptr) LUTRA_RETURN_IF_ERROR(internal::ValidateHadamard(*transform.hadamard, x.k));

  const internal::Geometry geometry = GeometryOf(w, kind);
  const std::size_t row_bytes = RowBytes(Describe(kind), geometry, precision);
  const std::size_t row_group = RowGroup(w, kind, x.n);
  Sizes sizes = {};
  if (!SizesOf(geometry, row_bytes, row_group, x.n, &sizes).ok() || !activations->data_.Reserve(sizes.data) ||
      !activations->scales_.Reserve(sizes.scales)) {
    return Status::OutOfMemory("activations");
  }

  if (x.k != 0 && w.target() != nullptr) {
    Work work;
    work.all = ArgsOf(x, transform, w, geometry);
    work.all.prepared = activations->data_.data();
    work.all.block_scales = activations->scales_.as<internal::BlockScale>();
    work.prepare = w.target()->prepare[static_cast<std::size_t>(kind)][static_cast<std::size_t>(precision)];
    work.row_bytes = row_bytes;
    work.row_group = row_group;
    if (transform.hadamard == nullptr) {
      internal::RunTasks<Work>(context.executor, work.pieces(), work,
                               [](Work& w_, std::size_t piece) { w_.PreparePiece(piece, nullptr); });
    } else if (x.n != 0) {
      // Concurrency() may return any number. More threads than pieces would have no work.
      const std::size_t threads = context.executor != nullptr ? context.executor->Concurrency() : 1;
      const std::size_t tasks = std::clamp<std::size_t>(threads, 1, work.pieces());
      if (!activations->rows_.Reserve(tasks * Work::TransformedFloats(work.all) * sizeof(float))) {
        return Status::OutOfMemory("activations");
      }
      work.all.transformed = activations->rows_.as<float>();
      internal::RunTasks<Work>(context.executor, tasks, work,
                               [](Work& w_, std::size_t task) { w_.PrepareTransformed(task); });
    }
    if (!work.finite.load(std::memory_order_relaxed)) return internal::NotFinite(transform, x.k);
  }
  activations->key_ = KeyFor(w, kind, precision);
  activations->key_.choice = choice;
  activations->n_ = x.n;
  activations->row_group_ = row_group;
  return {};
}

namespace {

// The activation kind of N rows of x.
ActivationKind KindFor(const PackedMatrix& w, std::size_t n, Choice choice) {
  return KindOf(SelectPlan({w.format(), w.target(), n, w.group()}, choice).method, w.format());
}

// Prepares x, transformed, as the activation kind that the options choose.
Status PrepareBy(const ActivationView& x, const internal::Transform& transform, const PackedMatrix& w,
                 const PrepareOptions& options, Context& context, Activations* activations) {
  if (options.choice > Choice::kFastest) {
    if (activations != nullptr) *activations = {};
    return Status::Invalid("choice", "is not a Choice");
  }
  return ActivationAccess::Prepare(x, transform, w, options.precision, options.choice, KindFor(w, x.n, options.choice),
                                   context, activations);
}

}  // namespace

Status PreparedSize(const PackedMatrix& w, std::size_t n, const PrepareOptions& options, std::size_t* bytes) {
  if (bytes == nullptr) return Status::Invalid("bytes", "is null");
  if (options.precision > Precision::kInt16) return Status::Invalid("precision", "is not a Precision");
  if (options.choice > Choice::kFastest) return Status::Invalid("choice", "is not a Choice");
  const ActivationKind kind = KindFor(w, n, options.choice);
  const internal::Geometry geometry = GeometryOf(w, kind);
  Sizes sizes = {};
  LUTRA_RETURN_IF_ERROR(SizesOf(geometry, ActivationAccess::RowBytes(Describe(kind), geometry, options.precision),
                                RowGroup(w, kind, n), n, &sizes));
  *bytes = Buffer::BytesFor(sizes.data) + Buffer::BytesFor(sizes.scales);
  return {};
}

Status Prepare(const ActivationView& x, const PackedMatrix& w, const PrepareOptions& options, Context& context,
               Activations* activations) {
  return PrepareBy(x, {}, w, options, context, activations);
}

Status PrepareRmsNorm(const ActivationView& x, const RmsNorm& norm, const PackedMatrix& w,
                      const PrepareOptions& options, Context& context, Activations* activations) {
  return PrepareBy(x, {&norm, nullptr}, w, options, context, activations);
}

Status PrepareHadamard(const ActivationView& x, const Hadamard& hadamard, const PackedMatrix& w,
                       const PrepareOptions& options, Context& context, Activations* activations) {
  return PrepareBy(x, {nullptr, &hadamard}, w, options, context, activations);
}

Status PrepareHadamard(const ActivationView& x, const RmsNorm& norm, const Hadamard& hadamard, const PackedMatrix& w,
                       const PrepareOptions& options, Context& context, Activations* activations) {
  return PrepareBy(x, {&norm, &hadamard}, w, options, context, activations);
}

Status Prepare(const ActivationView& x, const PackedMatrix& w, Precision precision, const Plan& plan, Context& context,
               Activations* activations) {
  if (!HasMethod(w.format(), plan.method)) return Status::Invalid("plan.method", "is not one of the format's");
  return ActivationAccess::Prepare(x, {}, w, precision, Choice::kFastest, KindOf(plan.method, w.format()), context,
                                   activations);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
