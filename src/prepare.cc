// Prepare and its variants: validate x, reserve memory, and prepare x row group by row group, or in the caller's parts.
#include <algorithm>
#include <atomic>

#include "activation_access.h"
#include "lutra/context.h"
#include "lutra/plan.h"
#include "lutra/prepare_parts.h"
#include "targets/targets.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

// The work of a call: all row groups of x.
struct Work {
  internal::PrepareArgs all;
  internal::PrepareFunction prepare;
  std::size_t row_bytes;
  std::size_t row_group;  // rows of a row group
  std::atomic<bool> finite{true};
  std::atomic<std::size_t> next{0};  // the row group that PrepareTransformed takes next

  std::size_t row_groups() const { return internal::DivideUp(all.rows, row_group); }

  void PrepareRowGroup(std::size_t number, float* transformed) {
    PrepareBlocks(number, 0, all.geometry->x_blocks, transformed);
  }

  // Prepares the K-blocks, or joint K-blocks, [first, end) of row group number `number`.
  void PrepareBlocks(std::size_t number, std::size_t first, std::size_t end, float* transformed) {
    const std::size_t begin = number * row_group;
    internal::PrepareArgs rows = all;
    rows.x = static_cast<const std::uint8_t*>(rows.x) + begin * rows.x_stride;
    rows.rows = std::min(row_group, rows.rows - begin);
    if (rows.scales != nullptr) rows.scales += begin * rows.scale_stride;
    rows.first_block = first;
    rows.end_block = end;
    rows.prepared += begin * row_bytes;
    rows.block_scales += begin * rows.geometry->x_scales;
    if (first != 0 && first < end) {
      const std::size_t chunks = rows.geometry->x_chunks_before(first * rows.geometry->joint);
      rows.prepared += row_bytes / rows.geometry->x_chunks() * chunks * rows.rows;
      rows.block_scales += first * rows.rows * rows.geometry->scale_units();
    }
    rows.transformed = transformed;
    if (!prepare(rows)) finite.store(false, std::memory_order_relaxed);
  }

  // Under a Hadamard transform there are as many tasks as threads, and each has memory for one row group. It takes row
  // groups until none is left.
  void PrepareTransformed(std::size_t task) {
    const std::size_t floats = transformed_floats();
    while (true) {
      const std::size_t number = next.fetch_add(1, std::memory_order_relaxed);
      if (number >= row_groups()) return;
      PrepareRowGroup(number, all.transformed + task * floats);
    }
  }

  // The floats of a transformed row group.
  std::size_t transformed_floats() const {
    return std::min(row_group, all.rows) * internal::HadamardStride(all.geometry->k);
  }
};

internal::PrepareArgs ArgsOf(const ActivationView& x, const internal::Transform& transform, const PackedMatrix& w,
                             const internal::Geometry& geometry, NonFinite non_finite) {
  internal::PrepareArgs args = {};
  args.x = x.data;
  args.x_stride = x.row_stride / PerByte(x.type) * SizeOf(x.type);
  args.rows = x.n;
  args.type = x.type;
  args.scales = x.scales;
  args.scale_group = x.scale_group == kPerRow ? std::max<std::size_t>(x.k, 1) : x.scale_group;
  args.scale_stride = GroupsPerRow(x.k, args.scale_group);
  args.order = w.order();
  args.transform = transform;
  args.propagate = non_finite == NonFinite::kPropagate;
  args.geometry = &geometry;
  return args;
}

// How N rows of x are prepared for a matrix.
struct Form {
  internal::ActivationKey key;
  std::size_t n;
  internal::Geometry geometry;
  std::size_t row_bytes;

  Form(const internal::PackedFields& w, std::size_t n_, ActivationKind kind, const PrepareOptions& options)
      : key(ActivationAccess::KeyFor(w, kind, options.precision, n_)),
        n(n_),
        geometry(internal::GeometryOf(w, kind, options.precision)),
        row_bytes(ActivationAccess::RowBytes(Describe(kind), geometry, key.precision)) {
    key.choice = options.choice;
  }
  // As the activation kind that the options choose.
  Form(const internal::PackedFields& w, std::size_t n_, const PrepareOptions& options)
      : Form(w, n_, KindFor(w, n_, options), options) {}

  // Sets *bytes to the size of the prepared rows. Fails if it overflows.
  Status Size(std::size_t* bytes) const {
    if (internal::Overflows(n, row_bytes) || internal::Overflows(n, geometry.x_scales, sizeof(internal::BlockScale))) {
      return Status::Invalid("n", "is too large: N * K overflows");
    }
    *bytes = ActivationAccess::PreparedBytes(n, row_bytes, geometry, key.row_group);
    return {};
  }

  // Completes the work on the rows at `prepared`.
  void Place(const PackedMatrix& w, std::uint8_t* prepared, Work* work) const {
    work->all.prepared = prepared;
    work->all.block_scales =
        reinterpret_cast<internal::BlockScale*>(prepared + ActivationAccess::ScalesAt(n, row_bytes));
    work->prepare = w.target()->prepare[static_cast<std::size_t>(key.kind)][static_cast<std::size_t>(key.precision)];
    work->row_bytes = row_bytes;
    work->row_group = key.row_group;
  }

  // The activation kind of N rows of x.
  static ActivationKind KindFor(const internal::PackedFields& w, std::size_t n, const PrepareOptions& options) {
    return KindOf(SelectPlan(internal::CaseOf(w, n, options.precision), options.choice).method, w.format);
  }
};

Status CheckOptions(const PrepareOptions& options, Format format) {
  if (options.precision > Precision::kInt16) return Status::Invalid("precision", "is not a Precision");
  if (options.choice > Choice::kBits) return Status::Invalid("choice", "is not a Choice");
  if (options.choice == Choice::kBits && !HasBits(format)) {
    return Status::Invalid("choice", "is kBits, but the format of w is not int1");
  }
  return options.non_finite > NonFinite::kPropagate ? Status::Invalid("non_finite", "is not a NonFinite") : Status();
}

// Checks that x can be prepared as bits for w.
Status CheckBits(const ActivationView& x, const internal::Transform& transform, const PackedMatrix& w) {
  if (x.type != DataType::kBits) return Status::Invalid("x.type", "is not kBits");
  if (transform.norm != nullptr || transform.hadamard != nullptr) {
    return Status::Invalid("choice", "is kBits, but x is transformed");
  }
  const bool one_scale = x.scale_group == kPerRow || x.scale_group >= x.k ||
                         (w.order() == nullptr && x.scale_group % BlockSize(Describe(w.format()), w.group()) == 0);
  return one_scale ? Status() : Status::Invalid("x.scale_group", "gives a K-block several scales");
}

}  // namespace

Status ActivationAccess::Prepare(const ActivationView& x, const internal::Transform& transform, const PackedMatrix& w,
                                 const PrepareOptions& options, ActivationKind kind, Context& context,
                                 Activations* activations) {
  if (activations == nullptr) return Status::Invalid("activations", "is null");
  activations->n_ = 0;
  LUTRA_RETURN_IF_ERROR(CheckOptions(options, w.format()));
  if (x.k != w.k()) return Status::Invalid("x.k", "differs from K of w");
  LUTRA_RETURN_IF_ERROR(internal::ValidateActivations(x, options.non_finite));
  if (kind == ActivationKind::kBits) LUTRA_RETURN_IF_ERROR(CheckBits(x, transform, w));
  if (transform.norm != nullptr) LUTRA_RETURN_IF_ERROR(internal::ValidateNorm(*transform.norm));
  if (transform.hadamard != nullptr) LUTRA_RETURN_IF_ERROR(internal::ValidateHadamard(*transform.hadamard, x.k));

  const Form form(PackedAccess::Fields(w), x.n, kind, options);
  std::size_t bytes = 0;
  if (!form.Size(&bytes).ok() || !activations->memory_.Reserve(bytes)) return Status::OutOfMemory("activations");

  if (x.k != 0 && w.target() != nullptr) {
    Work work;
    work.all = ArgsOf(x, transform, w, form.geometry, options.non_finite);
    form.Place(w, activations->memory_.data(), &work);
    if (transform.hadamard == nullptr) {
      internal::RunTasks<Work>(context.executor, work.row_groups(), work,
                               [](Work& w_, std::size_t number) { w_.PrepareRowGroup(number, nullptr); });
    } else if (x.n != 0) {
      // Concurrency() may return any number. More threads than row groups would have no work.
      const std::size_t threads = context.executor != nullptr ? context.executor->Concurrency() : 1;
      const std::size_t tasks = std::clamp<std::size_t>(threads, 1, work.row_groups());
      if (!activations->rows_.Reserve(tasks * work.transformed_floats() * sizeof(float))) {
        return Status::OutOfMemory("activations");
      }
      work.all.transformed = activations->rows_.as<float>();
      internal::RunTasks<Work>(context.executor, tasks, work,
                               [](Work& w_, std::size_t task) { w_.PrepareTransformed(task); });
    }
    if (!work.finite.load(std::memory_order_relaxed)) return internal::NotFinite(transform, x.k);
  }
  Set(form.key, x.n, activations->memory_.data(), activations);
  return {};
}

namespace {

// Prepares x, transformed, as the activation kind that the options choose.
Status PrepareBy(const ActivationView& x, const internal::Transform& transform, const PackedMatrix& w,
                 const PrepareOptions& options, Context& context, Activations* activations) {
  if (options.choice > Choice::kBits) {
    if (activations != nullptr) *activations = {};
    return Status::Invalid("choice", "is not a Choice");
  }
  return ActivationAccess::Prepare(x, transform, w, options, Form::KindFor(PackedAccess::Fields(w), x.n, options),
                                   context, activations);
}

Status SizeOfPrepared(const internal::PackedFields& w, std::size_t n, const PrepareOptions& options,
                      std::size_t* bytes) {
  if (bytes == nullptr) return Status::Invalid("bytes", "is null");
  LUTRA_RETURN_IF_ERROR(CheckOptions(options, w.format));
  return Form(w, n, options).Size(bytes);
}

}  // namespace

Status functions::PreparedSize(const PackedMatrix& w, std::size_t n, const PrepareOptions& options,
                               std::size_t* bytes) {
  return SizeOfPrepared(PackedAccess::Fields(w), n, options, bytes);
}

Status functions::PreparedSize(const PackedLayout& layout, std::size_t n, const PrepareOptions& options,
                               std::size_t* bytes) {
  return SizeOfPrepared(PackedAccess::Fields(layout), n, options, bytes);
}

Status functions::Prepare(const ActivationView& x, const PackedMatrix& w, const PrepareOptions& options,
                          Context& context, Activations* activations) {
  return PrepareBy(x, {}, w, options, context, activations);
}

Status functions::PrepareRmsNorm(const ActivationView& x, const RmsNorm& norm, const PackedMatrix& w,
                                 const PrepareOptions& options, Context& context, Activations* activations) {
  return PrepareBy(x, {&norm, nullptr}, w, options, context, activations);
}

Status functions::PrepareHadamard(const ActivationView& x, const Hadamard& hadamard, const PackedMatrix& w,
                                  const PrepareOptions& options, Context& context, Activations* activations) {
  return PrepareBy(x, {nullptr, &hadamard}, w, options, context, activations);
}

Status functions::PrepareHadamard(const ActivationView& x, const RmsNorm& norm, const Hadamard& hadamard,
                                  const PackedMatrix& w, const PrepareOptions& options, Context& context,
                                  Activations* activations) {
  return PrepareBy(x, {&norm, &hadamard}, w, options, context, activations);
}

namespace {

// Checks memory for prepared rows.
Status CheckMemory(const Form& form, const void* memory, std::size_t size) {
  std::size_t bytes = 0;
  LUTRA_RETURN_IF_ERROR(form.Size(&bytes));
  if (size < bytes) return Status::Invalid("size", "is below PreparedSize");
  if (bytes != 0 && memory == nullptr) return Status::Invalid("memory", "is null");
  if (reinterpret_cast<std::uintptr_t>(memory) % Buffer::kAlignment != 0) {
    return Status::Invalid("memory", "is not aligned to 64 bytes");
  }
  return {};
}

// The units of work that PreparePart divides among parts: row groups, or ranges of their K-blocks where there are fewer
// row groups than parts.
struct Units {
  std::size_t row_group;                   // rows
  std::size_t row_groups, blocks, ranges;  // ranges: of a row group

  Units(const Form& form, std::size_t parts)
      : row_group(form.key.row_group),
        row_groups(internal::DivideUp(form.n, row_group)),
        blocks(form.geometry.x_blocks),
        ranges(row_groups == 0 || row_groups >= parts ? 1 : std::min(internal::DivideUp(parts, row_groups), blocks)) {}

  // The first unit of a part: units * part / parts, which does not overflow this way.
  std::size_t BeginOf(std::size_t part, std::size_t parts) const {
    const std::size_t units = row_groups * ranges;
    return units / parts * part + units % parts * part / parts;
  }
  // The first row of a unit.
  std::size_t RowOf(std::size_t unit) const { return unit / ranges * row_group; }
};

Status PreparePartBy(const ActivationView& x, const internal::Transform& transform, const PackedMatrix& w,
                     const PrepareOptions& options, std::size_t part, std::size_t parts, void* memory,
                     std::size_t size) {
  LUTRA_RETURN_IF_ERROR(CheckOptions(options, w.format()));
  if (part >= parts) return Status::Invalid("part", "is not below parts");
  if (internal::Overflows(parts, parts)) return Status::Invalid("parts", "is too large");
  if (x.k != w.k()) return Status::Invalid("x.k", "differs from K of w");
  LUTRA_RETURN_IF_ERROR(internal::ValidateActivationShape(x));
  if (transform.norm != nullptr) LUTRA_RETURN_IF_ERROR(internal::ValidateNorm(*transform.norm));
  const Form form(PackedAccess::Fields(w), x.n, options);
  if (form.key.kind == ActivationKind::kBits) LUTRA_RETURN_IF_ERROR(CheckBits(x, transform, w));
  LUTRA_RETURN_IF_ERROR(CheckMemory(form, memory, size));
  if (x.k == 0 || x.n == 0 || w.target() == nullptr) return {};

  const Units units(form, parts);
  const std::size_t begin = units.BeginOf(part, parts), end = units.BeginOf(part + 1, parts);
  if (begin == end) return {};
  if (options.non_finite == NonFinite::kRefuse) {
    const std::size_t end_row = std::min(units.RowOf(end - 1) + units.row_group, x.n);
    LUTRA_RETURN_IF_ERROR(internal::ValidateActivationScales(x, units.RowOf(begin), end_row));
  }
  Work work;
  work.all = ArgsOf(x, transform, w, form.geometry, options.non_finite);
  form.Place(w, static_cast<std::uint8_t*>(memory), &work);
  const internal::FloatMode mode;
  for (std::size_t unit = begin; unit < end; ++unit) {
    const std::size_t range = unit % units.ranges;
    work.PrepareBlocks(unit / units.ranges, range * units.blocks / units.ranges,
                       (range + 1) * units.blocks / units.ranges, nullptr);
  }
  return work.finite.load(std::memory_order_relaxed) ? Status() : internal::NotFinite(transform, x.k);
}

}  // namespace

Status functions::PreparePart(const ActivationView& x, const PackedMatrix& w, const PrepareOptions& options,
                              std::size_t part, std::size_t parts, void* memory, std::size_t size) {
  return PreparePartBy(x, {}, w, options, part, parts, memory, size);
}

Status functions::PreparePart(const ActivationView& x, const RmsNorm& norm, const PackedMatrix& w,
                              const PrepareOptions& options, std::size_t part, std::size_t parts, void* memory,
                              std::size_t size) {
  return PreparePartBy(x, {&norm, nullptr}, w, options, part, parts, memory, size);
}

Status functions::ViewActivations(const PackedMatrix& w, std::size_t n, const PrepareOptions& options,
                                  const void* memory, std::size_t size, Activations* activations) {
  if (activations == nullptr) return Status::Invalid("activations", "is null");
  LUTRA_RETURN_IF_ERROR(CheckOptions(options, w.format()));
  const Form form(PackedAccess::Fields(w), n, options);
  LUTRA_RETURN_IF_ERROR(CheckMemory(form, memory, size));
  ActivationAccess::Set(form.key, n, static_cast<const std::uint8_t*>(memory), activations);
  return {};
}

Status functions::Prepare(const ActivationView& x, const PackedMatrix& w, Precision precision, const Plan& plan,
                          Context& context, Activations* activations) {
  if (!HasMethod(w.format(), plan.method)) return Status::Invalid("plan.method", "is not one of the format's");
  return ActivationAccess::Prepare(x, {}, w, {precision, Choice::kFastest}, KindOf(plan.method, w.format()), context,
                                   activations);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
