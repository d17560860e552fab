// The driver of MatMul, parallel to the pseudo-code in src/README.md.
#include "lutra/matmul.h"

#include <algorithm>

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

using internal::kNR;
using internal::kPanelRows;

Status ValidateOutput(const PackedMatrix& w, std::size_t n, const OutputView& y) {
  if (y.n != n) return Status::Invalid("y.n", "differs from the rows of x");
  if (y.m != w.m()) return Status::Invalid("y.m", "differs from the rows of w");
  return internal::ValidateOutput(y);
}

Status ValidateFit(const PackedMatrix& w, const Activations& x) {
  if (x.n() == 0 || w.m() == 0 || x.Fits(w)) return {};
  return Status::Invalid("x", "was prepared for matrices of another K, format, group size, order or target");
}

Status Validate(const PackedMatrix& w, const Activations& x, const OutputView& y) {
  LUTRA_RETURN_IF_ERROR(ValidateOutput(w, x.n(), y));
  return ValidateFit(w, x);
}

// The values that stay the same during a call.
struct Problem {
  const PackedMatrix& w;
  const OutputView& y;
  internal::Operands operands;
  internal::Blocking blocking;
  std::size_t side_by_side;  // panels, by the plan

  Problem(const PackedMatrix& w_, const Activations& x, const OutputView& y_, const Plan& plan)
      : w(w_), y(y_), operands(w, x), blocking(w, operands, plan, y.n), side_by_side(plan.panels) {}
};

// Computes the columns [m_begin, m_end) of y for the token block that begins at row n.
void MultiplyTokenBlock(const Problem& p, std::size_t n, std::size_t m_begin, std::size_t m_end) {
  alignas(64) float tile[internal::kTileFloats];
  const std::size_t rows = std::min(p.blocking.token_block, p.y.n - n);
  const internal::Destination to = {p.y, n, nullptr, m_begin, m_end};
  internal::Sweep sweep(p.w, p.operands, p.blocking, internal::RowsFrom(p.operands, n, rows));
  const std::size_t end = internal::PanelsIn(m_end);
  for (std::size_t panel = m_begin / kPanelRows; panel < end;) {
    const std::size_t count = sweep.PanelsAt(panel, end);
    internal::Prefetch(to, rows, panel, count);
    // For each K-block: tile += scale * (sums looked up) + (center - zero) * (sum of x).
    sweep.Multiply(panel, count, tile);
    for (std::size_t i = 0; i < count; ++i, ++panel) {
      Store(p.w.target(), tile + i * sweep.tile_stride(), p.w.bias(), rows, panel, to);
    }
  }
}

// For one row of x, two pieces per thread: long address streams matter more there.
constexpr std::size_t kPiecesPerThreadForOneRow = 2;

// Splits a call into pieces. It splits N into token blocks first, so that each thread keeps the activations of one
// block in its L2; then it splits M into ranges of panels.
class Split {
 public:
  static Split ForThreads(const Problem& p, std::size_t threads) {
    return {p, internal::PiecesFor(threads, p.y.n == 1 ? kPiecesPerThreadForOneRow : internal::kPiecesPerThread),
            threads};
  }
  static Split Into(const Problem& p, std::size_t count) { return {p, count, count}; }

  std::size_t count() const { return blocks_ * ranges_.count(); }

  void MultiplyPiece(std::size_t i) const {
    const std::size_t n = i / ranges_.count() * p_.blocking.token_block, range = i % ranges_.count();
    MultiplyTokenBlock(p_, n, ranges_.BeginOf(range), ranges_.BeginOf(range + 1));
  }

 private:
  Split(const Problem& p, std::size_t pieces, std::size_t least)
      : p_(p),
        blocks_(internal::DivideUp(p.y.n, p.blocking.token_block)),
        ranges_(p.y.m, std::max(p.operands.interleaved, p.side_by_side), blocks_, pieces, least) {}

  const Problem& p_;
  std::size_t blocks_;  // token blocks
  internal::ColumnRanges ranges_;
};

// The plan for the activation kind of x.
const Plan& PlanFor(const PackedMatrix& w, const Activations& x) {
  return internal::SelectPlanFor(CaseOf(w, x.n(), x.precision()), x.kind());
}

}  // namespace

bool Activations::Fits(const PackedMatrix& w) const {
  const Method method = MethodFor(kind());
  const bool chosen = key_.choice != Choice::kInvariant && HasMethod(w.format(), method);
  return (chosen ? KindOf(method, w.format()) : MethodOf(w.format()).kind) == kind() &&
         key_ == ActivationAccess::KeyFor(PackedAccess::Fields(w), key_.kind, key_.precision, n_);
}

Status functions::MatMulRange(const PackedMatrix& w, const Activations& x, const OutputView& y, std::size_t m_begin,
                              std::size_t m_end) {
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y));
  if (m_end > w.m()) return Status::Invalid("m_end", "is beyond the rows of w");
  if (m_begin > m_end) return Status::Invalid("m_begin", "is beyond m_end");
  if (m_begin == m_end || y.n == 0) return {};
  const Problem problem(w, x, y, PlanFor(w, x));
  const internal::FloatMode mode;
  for (std::size_t n = 0; n < y.n; n += problem.blocking.token_block) MultiplyTokenBlock(problem, n, m_begin, m_end);
  return {};
}

Status functions::MatMulPieces(const PackedMatrix& w, const Activations& x, std::size_t threads, std::size_t* count) {
  if (count == nullptr) return Status::Invalid("count", "is null");
  const OutputView y(static_cast<float*>(nullptr), x.n(), w.m());
  LUTRA_RETURN_IF_ERROR(ValidateFit(w, x));
  *count = 0;
  if (y.n == 0 || y.m == 0) return {};
  *count = Split::ForThreads(Problem(w, x, y, PlanFor(w, x)), internal::UsefulThreads(threads, y.m, y.n)).count();
  return {};
}

Status functions::MatMulPiece(const PackedMatrix& w, const Activations& x, const OutputView& y, std::size_t i,
                              std::size_t count) {
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y));
  if (i >= count) return Status::Invalid("i", "is not below the number of pieces");
  if (y.n == 0 || y.m == 0) return {};
  const Problem problem(w, x, y, PlanFor(w, x));
  const Split split = Split::Into(problem, count);
  const internal::FloatMode mode;
  internal::ForPartsOf(i, count, split.count(), [&](std::size_t part) { split.MultiplyPiece(part); });
  return {};
}

Status functions::MatMul(const PackedMatrix& w, const ActivationView& x, const OutputView& y, Context& context) {
  LUTRA_RETURN_IF_ERROR(ValidateOutput(w, x.n, y));
  LUTRA_RETURN_IF_ERROR(Prepare(x, w, {}, context, &context.scratch));
  return MatMul(w, context.scratch, y, context);
}

Status functions::MatMul(const PackedMatrix& w, const Activations& x, const OutputView& y, Context& context) {
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y));
  if (y.n == 0 || y.m == 0) return {};  // x may have any kind: there may be no plan for it
  return MatMul(w, x, y, PlanFor(w, x), context);
}

Status functions::MatMul(const PackedMatrix& w, const Activations& x, const OutputView& y, const Plan& plan,
                         Context& context) {
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y));
  if (y.n == 0 || y.m == 0) return {};
  if (!HasMethod(w.format(), plan.method)) return Status::Invalid("plan.method", "is not one of the format's");
  if (KindOf(plan.method, w.format()) != x.kind()) {
    return Status::Invalid("plan.method", "is not the one that x was prepared for");
  }
  if (plan.token_block == 0 || plan.token_block % kNR != 0) {
    return Status::Invalid("plan.token_block", "is not a multiple of 4");
  }
  if (plan.panels == 0) return Status::Invalid("plan.panels", "is 0");
  if (plan.token_block > kMaxTileRows || plan.panels > kMaxTileRows / plan.token_block) {
    return Status::Invalid("plan.panels", "is too large: token_block * panels is above kMaxTileRows");
  }
  const Problem problem(w, x, y, plan);
  const internal::MethodKernel& kernel = problem.operands.kernel;
  if (!(problem.blocking.unpack ? kernel.unpacked : kernel.packed).exists()) {
    return Status::Invalid("plan.unpack", "is false, but the method has no kernel on packed codes");
  }
  const std::size_t threads = context.executor != nullptr ? context.executor->Concurrency() : 1;  // any number
  const Split split = Split::ForThreads(problem, internal::UsefulThreads(threads, y.m, y.n));
  internal::RunTasks<const Split>(context.executor, split.count(), split,
                                  [](const Split& s, std::size_t i) { s.MultiplyPiece(i); });
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
