// The driver: reads like the pseudo-code in the README.
#include "lutra/matmul.h"

#include <algorithm>

#include "activation_access.h"
#include "lutra/kernels/prefetch.h"
#include "lutra/selection.h"
#include "validate.h"

namespace lutra {
namespace {

using internal::kGroupRows;
using internal::kPanelRows;

Status Validate(const PackedMatrix& w, const Activations& x, const OutputView& y) {
  if (y.n != x.n()) return Status::Invalid("y.n", "differs from the rows of x");
  if (y.m != w.m()) return Status::Invalid("y.m", "differs from the rows of w");
  if (!IsFloat(y.type)) return Status::Invalid("y.type", "is not kF32, kF16 or kBF16");
  if (y.n == 0 || y.m == 0) return {};
  if (y.data == nullptr) return Status::Invalid("y.data", "is null");
  if (y.n > 1 && y.row_stride < y.m) return Status::Invalid("y.row_stride", "is smaller than M");
  if (internal::Overflows(y.n, y.row_stride, SizeOf(y.type))) {
    return Status::Invalid("y.row_stride", "is too large: N * stride overflows");
  }
  if (!x.Fits(w)) {
    return Status::Invalid("x", "was prepared for matrices of another K, format, group size, order or target");
  }
  return {};
}

// Rows of x per pass over the weights: the plan's, but no more than keep their tables in half of an L2 of 1 MB, as long
// as those are 8; evenly, in whole groups.
std::size_t RowsPerPass(const Plan& plan, std::size_t table_bytes_per_row, std::size_t n) {
  const std::size_t fit = (std::size_t{512} << 10) / std::max<std::size_t>(table_bytes_per_row, 1);
  const std::size_t most = std::min(plan.rows, std::max<std::size_t>(fit / kGroupRows * kGroupRows, 8));
  const std::size_t passes = (n + most - 1) / most;
  return internal::RoundUp((n + passes - 1) / passes, kGroupRows);
}

// Everything that stays the same over a call.
struct Problem {
  const PackedMatrix& w;
  const OutputView& y;
  const Plan& plan;
  internal::Geometry geometry;
  internal::TableView x;
  const internal::TileKernel& kernel;
  std::size_t set, rows_per_pass;
  bool unpack;

  Problem(const PackedMatrix& w_, const Activations& activations, const OutputView& y_, const Plan& plan_)
      : w(w_),
        y(y_),
        plan(plan_),
        geometry(GeometryOf(w_)),
        x(ActivationAccess::View(activations, Describe(w_.format()), geometry)),
        kernel(w_.target()->tile(w_.format(), activations.precision())),
        set(internal::SetPanels(w_.target()->layout, Describe(w_.format()))),
        rows_per_pass(RowsPerPass(plan_, x.row_bytes, y_.n)),
        unpack(Unpacks(plan_.family)) {}
};

std::uint8_t* At(const OutputView& y, std::size_t n, std::size_t m) {
  return static_cast<std::uint8_t*>(y.data) + (n * y.row_stride + m) * SizeOf(y.type);
}

// Asks for the lines of y that a tile will be stored to, so that they are in L2 when it is. Few rows are there anyway.
// (N = 32 to 512 on Zen 4: 1.01 to 1.03 times as fast.)
void Prefetch(const OutputView& y, std::size_t n, std::size_t rows, std::size_t m_begin, std::size_t m_end) {
  if (rows <= kGroupRows) return;
  const std::size_t row_bytes = (m_end - m_begin) * SizeOf(y.type);
  for (const std::size_t end = n + rows; n < end; ++n) {
    for (std::size_t at = 0; at < row_bytes; at += 64) internal::PrefetchToL2(At(y, n, m_begin) + at);
  }
}

// Writes the part of a tile that lies in columns [m_begin, m_end) of y, with the bias.
void Store(const Problem& p, const float* tile, std::size_t panel, std::size_t n, std::size_t rows, std::size_t m_begin,
           std::size_t m_end) {
  const std::size_t first = panel * kPanelRows;
  const std::size_t begin = std::max(first, m_begin), end = std::min(first + kPanelRows, m_end);
  const float* bias = p.w.bias() == nullptr ? nullptr : p.w.bias() + begin;
  for (std::size_t row = 0; row < rows; ++row) {
    p.w.target()->store(tile + row * kPanelRows + (begin - first), bias, end - begin, p.y.type,
                        At(p.y, n + row, begin));
  }
}

// The columns [m_begin, m_end) of the rows of y that a pass from row n on makes: those whose tables stay in L2.
void MultiplyPass(const Problem& p, std::size_t n, std::size_t m_begin, std::size_t m_end) {
  alignas(64) float tile[kMaxTileRows * kPanelRows];
  const std::size_t panels = internal::PanelsIn(p.w.m()), panel_end = internal::PanelsIn(m_end);
  const std::size_t rows = std::min(p.rows_per_pass, p.y.n - n);
  const internal::TableView x = {p.x.tables + n * p.x.row_bytes, p.x.row_bytes, p.x.scales + n * p.geometry.blocks};
  std::size_t panel = m_begin / kPanelRows;
  while (panel < panel_end) {  // panels of a set, side by side
    const internal::Place place(p.set, panel, panels);
    const std::size_t count = std::min({p.plan.panels, place.set_panels - place.in_set, panel_end - panel});
    Prefetch(p.y, n, rows, std::max(panel * kPanelRows, m_begin), std::min((panel + count) * kPanelRows, m_end));
    // For each block of K: tile += scale * (sums looked up) + (center - zero) * (sum of x).
    p.kernel.function({&p.geometry, p.w.data() + place.set_begin * p.geometry.panel_bytes, place.set_panels,
                       place.in_set, count, x, rows, p.unpack, p.plan.ahead, tile});
    for (std::size_t i = 0; i < count; ++i, ++panel) {
      Store(p, tile + i * rows * kPanelRows, panel, n, rows, m_begin, m_end);
    }
  }
}

// A call cut into pieces for an executor: four per thread, which even out what neighbours cost; two for one row of x,
// where long address streams count for more. Passes are parted first, so that each thread keeps its tables in its L2;
// then the panels of W, in whole sets of those side by side as long as each thread has one.
class Split {
 public:
  Split(const Problem& p, std::size_t threads) : p_(p), passes_((p.y.n + p.rows_per_pass - 1) / p.rows_per_pass) {
    const std::size_t pieces = threads == 1 ? 1 : (p.y.n == 1 ? 2 : 4) * threads;
    const std::size_t ranges = (pieces + passes_ - 1) / passes_;
    const std::size_t set_rows = kPanelRows * std::max(p.set, p.plan.panels), sets = (p.y.m + set_rows - 1) / set_rows;
    columns_ = internal::RoundUp((p.y.m + ranges - 1) / ranges, passes_ * sets >= threads ? set_rows : kPanelRows);
    ranges_ = (p.y.m + columns_ - 1) / columns_;
  }

  std::size_t count() const { return passes_ * ranges_; }

  void MultiplyPiece(std::size_t i) const {
    const std::size_t n = i / ranges_ * p_.rows_per_pass, m = i % ranges_ * columns_;
    MultiplyPass(p_, n, m, std::min(m + columns_, p_.y.m));
  }

 private:
  const Problem& p_;
  std::size_t passes_, ranges_, columns_;  // of y in a range
};

}  // namespace

bool Activations::Fits(const PackedMatrix& w) const { return key_ == ActivationAccess::KeyFor(w, key_.precision); }

Status MatMulRange(const PackedMatrix& w, const Activations& x, const OutputView& y, std::size_t m_begin,
                   std::size_t m_end) {
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y));
  if (m_end > w.m()) return Status::Invalid("m_end", "is beyond the rows of w");
  if (m_begin > m_end) return Status::Invalid("m_begin", "is beyond m_end");
  if (m_begin == m_end || y.n == 0) return {};
  const Problem problem(w, x, y, SelectPlan(w.format(), w.target(), y.n, w.group()));
  for (std::size_t n = 0; n < y.n; n += problem.rows_per_pass) MultiplyPass(problem, n, m_begin, m_end);
  return {};
}

Status MatMul(const PackedMatrix& w, const Activations& x, const OutputView& y, Context& context) {
  return MatMul(w, x, y, SelectPlan(w.format(), w.target(), y.n, w.group()), context);
}

Status MatMul(const PackedMatrix& w, const Activations& x, const OutputView& y, const Plan& plan, Context& context) {
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y));
  if (y.n == 0 || y.m == 0) return {};
  if (!Serves(plan, w.format(), w.target())) return Status::Invalid("plan", "is not for the format or target of w");
  if (!HasFamily(w.format(), plan.family)) return Status::Invalid("plan.family", "is not one of the format's");
  if (plan.rows == 0 || plan.rows % kGroupRows != 0) return Status::Invalid("plan.rows", "is not a multiple of 4");
  if (plan.panels == 0) return Status::Invalid("plan.panels", "is 0");
  if (plan.rows > kMaxTileRows || plan.panels > kMaxTileRows / plan.rows) {
    return Status::Invalid("plan.panels", "is too large: rows * panels is above kMaxTileRows");
  }
  Executor& executor = context.executor != nullptr ? *context.executor : SerialExecutor();
  const Problem problem(w, x, y, plan);

  // What an executor says of itself may be anything. More threads than there are tiles are of no use.
  const std::size_t tiles = internal::PanelsIn(y.m) * ((y.n + kGroupRows - 1) / kGroupRows);
  Split split(problem, std::clamp<std::size_t>(executor.Concurrency(), 1, tiles));
  executor.ParallelFor(
      split.count(), [](void* context_, std::size_t i) { static_cast<const Split*>(context_)->MultiplyPiece(i); },
      &split);
  return {};
}

}  // namespace lutra
