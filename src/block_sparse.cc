// MatMul of weights without zero blocks: the driver of matmul.cc, panel by panel, each with a geometry of its own.
#include "lutra/block_sparse.h"

#include <algorithm>
#include <limits>

#include "block_sparse_access.h"
#include "lutra/plan.h"
#include "split.h"
#include "store.h"
#include "sweep.h"
#include "targets/targets.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::kPanelRows;

Status ValidateOutput(const BlockSparseMatrix& w, std::size_t n, const OutputView& y) {
  if (y.n != n) return Status::Invalid("y.n", "differs from the rows of x");
  if (y.m != w.m()) return Status::Invalid("y.m", "differs from the rows of w");
  return internal::ValidateOutput(y);
}

Status Validate(const BlockSparseMatrix& w, const Activations& x, const OutputView& y) {
  LUTRA_RETURN_IF_ERROR(ValidateOutput(w, x.n(), y));
  if (x.n() == 0 || w.m() == 0 || x.Fits(w.shape())) return {};
  return Status::Invalid("x", "was prepared for matrices of another K, format, group size, order or target");
}

// The values that stay the same during a call.
struct Problem {
  const BlockSparseMatrix& w;
  const Activations& x;
  const OutputView& y;
  internal::Operands operands;
  internal::Blocking blocking;

  Problem(const BlockSparseMatrix& w_, const Activations& x_, const OutputView& y_)
      : w(w_),
        x(x_),
        y(y_),
        operands(w.shape(), x),
        blocking(w.shape(), operands, internal::SelectPlanFor(CaseOf(w.shape(), x.n(), x.precision()), x.kind()), y.n) {
  }
};

// The geometry of the blocks that a panel keeps. Panels that keep as many columns share it.
class KeptGeometry {
 public:
  explicit KeptGeometry(const Problem& p)
      : p_(p), fields_(PackedAccess::Fields(p.w.shape())), geometry_(p.operands.geometry) {}
  const internal::Geometry& Of(std::size_t columns) {
    if (columns != fields_.k) {
      fields_.k = columns;
      geometry_ = internal::GeometryOf(fields_, p_.x.kind(), p_.x.precision());
    }
    return geometry_;
  }

 private:
  const Problem& p_;
  internal::PackedFields fields_;
  internal::Geometry geometry_;
};

// Whether row n of x has a K-block that is not finite: its scale is NaN. Zero blocks would not show it.
bool IsNan(const Problem& p, std::size_t n) {
  const internal::PreparedView& x = p.operands.x;
  const std::size_t first = n / x.row_group * x.row_group, stored = std::min(x.row_group, p.x.n() - first);
  const std::size_t units = p.operands.geometry.scale_units();
  const internal::BlockScale* scale = x.scales + first * x.row_scales + (n - first) * units;
  for (std::size_t block = 0; block < p.operands.geometry.x_blocks; ++block, scale += stored * units) {
    if (!internal::IsFinite(scale->scale)) return true;
  }
  return false;
}

// Computes the columns [m_begin, m_end) of y for the token block that begins at row n.
void MultiplyTokenBlock(const Problem& p, std::size_t n, std::size_t m_begin, std::size_t m_end) {
  alignas(64) float tile[internal::kTileFloats];
  const internal::BlockSparseFields& w = BlockSparseAccess::Fields(p.w);
  const std::size_t rows = std::min(p.blocking.token_block, p.y.n - n);
  const internal::Destination to = {p.y, n, nullptr, m_begin, m_end};
  internal::Sweep sweep(p.w.shape(), p.operands, p.blocking, internal::RowsFrom(p.operands, n, rows));
  KeptGeometry geometry(p);
  bool nan[kMaxTileRows];
  for (std::size_t row = 0; row < rows; ++row) nan[row] = IsNan(p, n + row);
  for (std::size_t panel = m_begin / kPanelRows; panel < internal::PanelsIn(m_end); ++panel) {
    internal::Prefetch(to, rows, panel, 1);
    const internal::KeptBlocks& kept = w.panels[panel];
    sweep.MultiplyAlone(w.data + kept.offset, geometry.Of(kept.columns), w.list + kept.list, tile);
    for (std::size_t row = 0; row < rows; ++row) {
      if (nan[row]) std::fill_n(tile + row * kPanelRows, kPanelRows, std::numeric_limits<float>::quiet_NaN());
    }
    Store(p.w.target(), tile, w.bias, rows, panel, to);
  }
}

// Splits a call into token blocks times ranges of panels.
struct Split {
  const Problem& p;
  std::size_t blocks;  // token blocks
  internal::ColumnRanges ranges;

  Split(const Problem& problem, std::size_t threads)
      : p(problem),
        blocks(internal::DivideUp(p.y.n, p.blocking.token_block)),
        ranges(p.y.m, 1, blocks, internal::PiecesFor(threads), threads) {}

  std::size_t count() const { return blocks * ranges.count(); }
  void MultiplyPiece(std::size_t i) const {
    const std::size_t n = i / ranges.count() * p.blocking.token_block, range = i % ranges.count();
    MultiplyTokenBlock(p, n, ranges.BeginOf(range), ranges.BeginOf(range + 1));
  }
};

}  // namespace

Status functions::MatMul(const BlockSparseMatrix& w, const Activations& x, const OutputView& y, Context& context) {
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y));
  if (y.n == 0 || y.m == 0) return {};
  const Problem problem(w, x, y);
  const std::size_t threads = context.executor != nullptr ? context.executor->Concurrency() : 1;
  const Split split(problem, internal::UsefulThreads(threads, y.m, y.n));
  internal::RunTasks<const Split>(context.executor, split.count(), split,
                                  [](const Split& s, std::size_t i) { s.MultiplyPiece(i); });
  return {};
}

Status functions::MatMul(const BlockSparseMatrix& w, const ActivationView& x, const OutputView& y, Context& context) {
  LUTRA_RETURN_IF_ERROR(ValidateOutput(w, x.n, y));
  LUTRA_RETURN_IF_ERROR(Prepare(x, w.shape(), {}, context, &context.scratch));
  return MatMul(w, context.scratch, y, context);
}

Status functions::MatMulRange(const BlockSparseMatrix& w, const Activations& x, const OutputView& y,
                              std::size_t m_begin, std::size_t m_end) {
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y));
  if (m_end > w.m()) return Status::Invalid("m_end", "is beyond the rows of w");
  if (m_begin > m_end) return Status::Invalid("m_begin", "is beyond m_end");
  if (m_begin == m_end || y.n == 0) return {};
  const Problem problem(w, x, y);
  const internal::FloatMode mode;
  for (std::size_t n = 0; n < y.n; n += problem.blocking.token_block) MultiplyTokenBlock(problem, n, m_begin, m_end);
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
