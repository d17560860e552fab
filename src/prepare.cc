// Prepare: validates x, makes room, builds the tables row by row.
#include <algorithm>
#include <atomic>

#include "activation_access.h"
#include "validate.h"

namespace lutra {

using internal::kGroupRows;

Status Prepare(const ActivationView& x, const PackedMatrix& w, Precision precision, Context& context,
               Activations* activations) {
  if (activations == nullptr) return Status::Invalid("activations", "is null");
  if (precision > Precision::kInt16) return Status::Invalid("precision", "is not a Precision");
  if (x.k != w.k()) return Status::Invalid("x.k", "differs from K of w");
  LUTRA_RETURN_IF_ERROR(internal::ValidateActivations(x));

  const internal::Geometry geometry = GeometryOf(w);
  const std::size_t row_bytes = ActivationAccess::RowBytes(Describe(w.format()), geometry, precision);
  activations->n_ = 0;
  if (!activations->tables_.Reserve(x.n * row_bytes) ||
      !activations->scales_.Reserve(x.n * geometry.blocks * sizeof(internal::BlockScale))) {
    return Status::OutOfMemory("activations");
  }

  struct Work {
    const ActivationView& x;
    internal::TableArgs row0;
    internal::TableFunction build;
    std::size_t row_bytes, chunk_bytes;
    std::atomic<bool> finite;
  };
  const std::size_t scale_group = x.scale_group == kPerRow ? std::max<std::size_t>(x.k, 1) : x.scale_group;
  Work work{x,
            {x.data, x.type, x.scales, scale_group, &geometry, activations->tables_.data(),
             activations->scales_.as<internal::BlockScale>(), 0},
            nullptr,
            row_bytes,
            internal::TableBytes(Describe(w.format())),
            {true}};
  if (w.target() != nullptr) work.build = w.target()->table(Describe(w.format()).prepared, precision).function;
  Executor& executor = context.executor != nullptr ? *context.executor : SerialExecutor();
  if (x.k != 0) {
    executor.ParallelFor(
        (x.n + kGroupRows - 1) / kGroupRows,
        [](void* context_, std::size_t group) {
          Work& job = *static_cast<Work*>(context_);
          const std::size_t begin = group * kGroupRows, end = std::min(begin + kGroupRows, job.x.n);
          for (std::size_t n = begin; n < end; ++n) {
            internal::TableArgs row = job.row0;
            row.x = static_cast<const std::uint8_t*>(row.x) + n * job.x.row_stride * SizeOf(row.type);
            if (row.scales != nullptr) row.scales += n * GroupsPerRow(job.x.k, row.scale_group);
            row.tables += begin * job.row_bytes + (n - begin) * job.chunk_bytes;
            row.block_scales += begin * row.geometry->blocks + (n - begin);
            row.group_rows = end - begin;
            if (!job.build(row)) job.finite.store(false, std::memory_order_relaxed);
          }
        },
        &work);
  }
  if (!work.finite.load(std::memory_order_relaxed)) {
    return Status::Invalid("x.data", "holds a value that is not finite");
  }
  activations->key_ = ActivationAccess::KeyFor(w, precision);
  activations->n_ = x.n;
  return {};
}

}  // namespace lutra
