// Prepare and PrepareRmsNorm: validate x, make room, build the tables row by row.
#include <algorithm>
#include <atomic>

#include "activation_access.h"
#include "validate.h"

namespace lutra {

using internal::kGroupRows;

Status ActivationAccess::Prepare(const ActivationView& x, const RmsNorm* norm, const PackedMatrix& w,
                                 Precision precision, Context& context, Activations* activations) {
  if (activations == nullptr) return Status::Invalid("activations", "is null");
  activations->n_ = 0;
  if (precision > Precision::kInt16) return Status::Invalid("precision", "is not a Precision");
  if (x.k != w.k()) return Status::Invalid("x.k", "differs from K of w");
  LUTRA_RETURN_IF_ERROR(internal::ValidateActivations(x));
  if (norm != nullptr) LUTRA_RETURN_IF_ERROR(internal::ValidateNorm(*norm));

  const internal::Geometry geometry = GeometryOf(w);
  const std::size_t row_bytes = RowBytes(Describe(w.format()), geometry, precision);
  if (!activations->tables_.Reserve(x.n * row_bytes) ||
      !activations->scales_.Reserve(x.n * geometry.blocks * sizeof(internal::BlockScale))) {
    return Status::OutOfMemory("activations");
  }

  struct Work {
    internal::TableArgs all;
    internal::TableFunction build;
    std::size_t row_bytes;
    std::atomic<bool> finite;
  };
  const std::size_t scale_group = x.scale_group == kPerRow ? std::max<std::size_t>(x.k, 1) : x.scale_group;
  Work work{{x.data, x.row_stride * SizeOf(x.type), x.n, x.type, x.scales, GroupsPerRow(x.k, scale_group), scale_group,
             w.order(), norm, &geometry, activations->tables_.data(), activations->scales_.as<internal::BlockScale>()},
            nullptr,
            row_bytes,
            {true}};
  if (w.target() != nullptr) work.build = w.target()->table(Describe(w.format()).prepared, precision).function;
  Executor& executor = context.executor != nullptr ? *context.executor : SerialExecutor();
  if (x.k != 0) {
    executor.ParallelFor((x.n + kGroupRows - 1) / kGroupRows,
                         [](void* context_, std::size_t group) {
                           Work& job = *static_cast<Work*>(context_);
                           const std::size_t begin = group * kGroupRows;
                           internal::TableArgs rows = job.all;
                           rows.x = static_cast<const std::uint8_t*>(rows.x) + begin * rows.x_stride;
                           rows.rows = std::min(kGroupRows, rows.rows - begin);
                           if (rows.scales != nullptr) rows.scales += begin * rows.scale_stride;
                           rows.tables += begin * job.row_bytes;
                           rows.block_scales += begin * rows.geometry->blocks;
                           if (!job.build(rows)) job.finite.store(false, std::memory_order_relaxed);
                         },
                         &work);
  }
  if (!work.finite.load(std::memory_order_relaxed)) {
    if (norm != nullptr) return internal::NotNormalized(*norm, x.k);
    return Status::Invalid("x.data", "holds a value that is not finite");
  }
  activations->key_ = KeyFor(w, precision);
  activations->n_ = x.n;
  return {};
}

Status Prepare(const ActivationView& x, const PackedMatrix& w, Precision precision, Context& context,
               Activations* activations) {
  return ActivationAccess::Prepare(x, nullptr, w, precision, context, activations);
}

Status PrepareRmsNorm(const ActivationView& x, const RmsNorm& norm, const PackedMatrix& w, Precision precision,
                      Context& context, Activations* activations) {
  return ActivationAccess::Prepare(x, &norm, w, precision, context, activations);
}

}  // namespace lutra
