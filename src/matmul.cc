// The driver of MatMul, parallel to the pseudo-code in src/README.md.
#include "lutra/matmul.h"

#include <algorithm>

#include "activation_access.h"
#include "lutra/kernels/prefetch.h"
#include "lutra/plan.h"
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
  if (!IsFloat(y.type)) return Status::Invalid("y.type", "is not kF32, kF16 or kBF16");
  if (y.n == 0 || y.m == 0) return {};
  if (y.data == nullptr) return Status::Invalid("y.data", "is null");
  if (y.n > 1 && y.row_stride < y.m) return Status::Invalid("y.row_stride", "is smaller than M");
  if (internal::Overflows(y.n, y.row_stride, SizeOf(y.type))) {
    return Status::Invalid("y.row_stride", "is too large: N * stride overflows");
  }
  return {};
}

Status Validate(const PackedMatrix& w, const Activations& x, const OutputView& y) {
  LUTRA_RETURN_IF_ERROR(ValidateOutput(w, x.n(), y));
  if (y.n == 0 || y.m == 0 || x.Fits(w)) return {};
  return Status::Invalid("x", "was prepared for matrices of another K, format, group size, order or target");
}

// Token blocks have at least this many rows, whatever the size of L2: two row groups share each sweep over the weights.
constexpr std::size_t kMinTokenBlock = 8;

// The rows of a token block: the plan's, but only as many as fit half of L2 when they are prepared (at least
// kMinTokenBlock). The N rows are divided evenly, in whole row groups.
std::size_t TokenBlock(const Plan& plan, std::size_t l2_bytes, std::size_t row_bytes, std::size_t n) {
  const std::size_t fit = l2_bytes / 2 / std::max<std::size_t>(row_bytes, 1);
  const std::size_t most = std::min(plan.token_block, std::max(fit / kNR * kNR, kMinTokenBlock));
  return internal::RoundUp(internal::DivideUp(n, internal::DivideUp(n, most)), kNR);
}

internal::OwnValues OwnValuesOf(const PackedMatrix& w, std::int32_t bias) {
  internal::OwnValues values = {};
  const auto levels = static_cast<std::size_t>(Describe(w.format()).levels);
  for (std::size_t i = 0; i < w.codebook_tables() * levels; ++i) {
    values.bytes[i / levels][i % levels] = static_cast<std::uint8_t>(w.codebook()[i] + bias);
  }
  return values;
}

// The values that stay the same during a call.
struct Problem {
  const PackedMatrix& w;
  const OutputView& y;
  const Plan& plan;
  internal::Geometry geometry;
  internal::PreparedView x;
  const internal::MethodKernel& kernel;
  std::size_t interleaved, panels, token_block;  // panels that alternate in memory; that a tile takes side by side
  bool unpack;                                   // the plan's, or because there is no kernel on packed codes
  internal::OwnValues own_values;

  Problem(const PackedMatrix& w_, const Activations& activations, const OutputView& y_, const Plan& plan_)
      : w(w_),
        y(y_),
        plan(plan_),
        geometry(GeometryOf(w_, activations.kind())),
        x(ActivationAccess::View(activations, geometry)),
        kernel(w_.target()->method(w_.format(), activations.kind(), activations.precision(), w_.has_table_choices())),
        interleaved(internal::InterleavedPanels(w_.target()->info.layout, Describe(w_.format()).stored())),
        panels(std::min(plan_.panels, kernel.panels)),
        token_block(TokenBlock(plan_, internal::L2Bytes(w_.target()->info), x.row_bytes, y_.n)),
        unpack(plan_.unpack || (w_.has_table_choices() && !kernel.packed.exists())),
        own_values(OwnValuesOf(w_, kernel.bias)) {}
};

std::uint8_t* At(const OutputView& y, std::size_t n, std::size_t m) {
  return static_cast<std::uint8_t*>(y.data) + (n * y.row_stride + m) * SizeOf(y.type);
}

// Prefetches a tile of y into L2 before it is computed. For up to NR rows this does not pay. (N = 32 to 512 on Zen 4:
// 1.01 to 1.03 times as fast.)
void Prefetch(const OutputView& y, std::size_t n, std::size_t rows, std::size_t m_begin, std::size_t m_end) {
  if (rows <= kNR) return;
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

// Computes the columns [m_begin, m_end) of y for the token block that begins at row n. Its activations stay in L2.
void MultiplyTokenBlock(const Problem& p, std::size_t n, std::size_t m_begin, std::size_t m_end) {
  alignas(64) float tile[kMaxTileRows * kPanelRows];
  const std::size_t panels = internal::PanelsIn(p.w.m()), panel_end = internal::PanelsIn(m_end);
  const std::size_t rows = std::min(p.token_block, p.y.n - n);
  internal::TileArgs args = {};
  args.kernel = &p.kernel;
  args.geometry = &p.geometry;
  args.x = p.x;
  args.x.data += n * p.x.row_bytes;
  args.x.scales += n * p.geometry.blocks;
  args.rows = rows;
  args.unpack = p.unpack;
  args.prefetch = p.plan.prefetch;
  args.matrix_scale = p.w.matrix_scale();
  if (p.w.codebook_tables() != 0) args.own_values = &p.own_values.bytes[0][0];
  args.tile = tile;
  std::size_t panel = m_begin / kPanelRows;
  while (panel < panel_end) {  // panels that alternate in memory, side by side
    const internal::Place place(p.interleaved, panel, panels);
    const std::size_t count = std::min({p.panels, place.count - place.at, panel_end - panel});
    Prefetch(p.y, n, rows, std::max(panel * kPanelRows, m_begin), std::min((panel + count) * kPanelRows, m_end));
    // For each K-block: tile += scale * (sums looked up) + (center - zero) * (sum of x).
    args.panels = p.w.data() + place.first * p.geometry.panel_bytes;
    args.interleaved = place.count;
    args.first = place.at;
    args.panel_count = count;
    p.w.target()->tile(args);
    for (std::size_t i = 0; i < count; ++i, ++panel) {
      Store(p, tile + i * rows * kPanelRows, panel, n, rows, m_begin, m_end);
    }
  }
}

// Pieces of work per thread. Four even out threads that run at different speeds. For one row of x, two: long address
// streams matter more there.
constexpr std::size_t kPiecesPerThread = 4, kPiecesPerThreadForOneRow = 2;

// Splits a call into pieces for an executor. It splits N into token blocks first, so that each thread keeps the
// activations of one block in its L2; then it splits M into ranges of panels. Ranges keep interleaved panels together,
// unless some threads would get no work.
class Split {
 public:
  Split(const Problem& p, std::size_t threads) : p_(p), blocks_(internal::DivideUp(p.y.n, p.token_block)) {
    const std::size_t pieces = threads == 1 ? 1 : (p.y.n == 1 ? kPiecesPerThreadForOneRow : kPiecesPerThread) * threads;
    const std::size_t ranges = internal::DivideUp(pieces, blocks_);
    const std::size_t unit = kPanelRows * std::max(p.interleaved, p.plan.panels),
                      units = internal::DivideUp(p.y.m, unit);
    columns_ = internal::RoundUp(internal::DivideUp(p.y.m, ranges), blocks_ * units >= threads ? unit : kPanelRows);
    ranges_ = internal::DivideUp(p.y.m, columns_);
  }

  std::size_t count() const { return blocks_ * ranges_; }

  void MultiplyPiece(std::size_t i) const {
    const std::size_t n = i / ranges_ * p_.token_block, m = i % ranges_ * columns_;
    MultiplyTokenBlock(p_, n, m, std::min(m + columns_, p_.y.m));
  }

 private:
  const Problem& p_;
  std::size_t blocks_, ranges_, columns_;  // token blocks; ranges of columns of y, and columns in one
};

// The plan for the activation kind of x.
const Plan& PlanFor(const PackedMatrix& w, const Activations& x) {
  return internal::SelectPlanFor({w.format(), w.target(), x.n(), w.group()}, x.kind());
}

}  // namespace

bool Activations::Fits(const PackedMatrix& w) const {
  const bool integers = kind() == ActivationKind::kIntegers && key_.choice == Choice::kFastest;
  return (integers || kind() == MethodOf(w.format()).kind) &&
         key_ == ActivationAccess::KeyFor(w, key_.kind, key_.precision);
}

Status MatMulRange(const PackedMatrix& w, const Activations& x, const OutputView& y, std::size_t m_begin,
                   std::size_t m_end) {
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y));
  if (m_end > w.m()) return Status::Invalid("m_end", "is beyond the rows of w");
  if (m_begin > m_end) return Status::Invalid("m_begin", "is beyond m_end");
  if (m_begin == m_end || y.n == 0) return {};
  const Problem problem(w, x, y, PlanFor(w, x));
  const internal::FloatMode mode;
  for (std::size_t n = 0; n < y.n; n += problem.token_block) MultiplyTokenBlock(problem, n, m_begin, m_end);
  return {};
}

Status MatMul(const PackedMatrix& w, const ActivationView& x, const OutputView& y, Context& context) {
  LUTRA_RETURN_IF_ERROR(ValidateOutput(w, x.n, y));
  LUTRA_RETURN_IF_ERROR(Prepare(x, w, {}, context, &context.scratch));
  return MatMul(w, context.scratch, y, context);
}

Status MatMul(const PackedMatrix& w, const Activations& x, const OutputView& y, Context& context) {
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y));
  if (y.n == 0 || y.m == 0) return {};  // x may have any kind: there may be no plan for it
  return MatMul(w, x, y, PlanFor(w, x), context);
}

Status MatMul(const PackedMatrix& w, const Activations& x, const OutputView& y, const Plan& plan, Context& context) {
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
  if (!(problem.unpack ? problem.kernel.unpacked : problem.kernel.packed).exists()) {
    return Status::Invalid("plan.unpack", "is false, but the method has no kernel on packed codes");
  }

  // Concurrency() may return any number. More threads than tiles would have no work.
  const std::size_t tiles = internal::PanelsIn(y.m) * internal::DivideUp(y.n, kNR);
  const std::size_t threads = context.executor != nullptr ? context.executor->Concurrency() : 1;
  const Split split(problem, std::clamp<std::size_t>(threads, 1, tiles));
  internal::RunTasks<const Split>(context.executor, split.count(), split,
                                  [](const Split& s, std::size_t i) { s.MultiplyPiece(i); });
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
