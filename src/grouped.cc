// The driver of grouped products: entries of row lists become blocks of rows, each of one matrix, and blocks times
// ranges of columns become pieces.
#include "lutra/grouped.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "gather.h"
#include "split.h"
#include "store.h"
#include "targets/targets.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::kNR;
using internal::kPanelRows;
using internal::kTileFloats;

// --- Blocks of entries

// Consecutive entries of one matrix, at most kMaxTileRows; of none if `matrix` is the number of matrices.
struct Block {
  std::size_t matrix, first, rows;
};

std::size_t Begin(const GroupedProduct& p, std::size_t matrix) {
  return static_cast<std::size_t>(p.rows.offsets[matrix]);
}
std::size_t End(const GroupedProduct& p, std::size_t matrix) {
  return matrix == p.w.size() ? p.rows.size : Begin(p, matrix + 1);
}

// Calls visit(block) for the blocks [begin, end) of all. Returns how many there are before `end`. The entries of a
// matrix are divided evenly, in whole row groups.
template <class Visit>
std::size_t ForBlocks(const GroupedProduct& p, std::size_t begin, std::size_t end, const Visit& visit) {
  std::size_t at = 0;
  for (std::size_t matrix = 0; matrix <= p.w.size() && at < end; ++matrix) {
    const std::size_t first = Begin(p, matrix), entries = End(p, matrix) - first;
    if (entries == 0) continue;
    const std::size_t blocks = internal::DivideUp(entries, kMaxTileRows);
    const std::size_t rows = internal::RoundUp(internal::DivideUp(entries, blocks), kNR);
    for (std::size_t i = at < begin ? begin - at : 0; i < blocks && at + i < end; ++i) {
      visit(Block{matrix, first + i * rows, std::min(rows, entries - i * rows)});
    }
    at += blocks;
  }
  return at;
}
std::size_t CountBlocks(const GroupedProduct& p) {
  return ForBlocks(p, 0, static_cast<std::size_t>(-1), [](const Block&) {});
}

// --- Checks

Status ValidateRows(const std::int32_t* rows, const Block& block, std::size_t n, const char* name) {
  for (std::size_t i = block.first; i < block.first + block.rows; ++i) {
    const bool valid = rows == nullptr ? i < n : rows[i] >= 0 && static_cast<std::size_t>(rows[i]) < n;
    if (!valid) return Status::Invalid(name, "holds a row that there is not");
  }
  return {};
}

// Whether kernels multiply a and b alike. What x was prepared for is the same, too.
bool SameLayout(const PackedMatrix& a, const PackedMatrix& b) {
  return a.format() == b.format() && a.m() == b.m() && a.k() == b.k() && a.group() == b.group() &&
         a.scale_type() == b.scale_type() && a.zero_kind() == b.zero_kind() &&
         (a.zero_kind() == ZeroKind::kNone || a.zero_type() == b.zero_type()) &&
         a.has_table_choices() == b.has_table_choices() && a.target() == b.target() &&
         PackedAccess::Fields(a).order_checksum == PackedAccess::Fields(b).order_checksum;
}

Status ValidateMatrix(const GroupedProduct& p, std::size_t matrix) {
  if (!SameLayout(p.w[matrix], p.w[0])) return Status::Invalid("w", "holds matrices that differ in more than weights");
  if (p.gate.size() == 0 || SameLayout(p.gate[matrix], p.w[0])) return {};
  return Status::Invalid("gate", "holds a matrix that differs from those of w in more than weights");
}

// Checks a block: of no matrix, it has no rows of x.
Status ValidateBlock(const GroupedProduct& p, const Block& block) {
  if (block.matrix < p.w.size()) {
    LUTRA_RETURN_IF_ERROR(ValidateMatrix(p, block.matrix));
    LUTRA_RETURN_IF_ERROR(ValidateRows(p.rows.x_rows, block, p.x->n(), "rows.x_rows"));
  }
  return ValidateRows(p.rows.y_rows, block, p.y.n, "rows.y_rows");
}

// Checks all but matrices and rows.
Status ValidateProduct(const GroupedProduct& p) {
  if (p.w.size() == 0) return Status::Invalid("w", "is empty");
  if (p.gate.size() != 0 && p.gate.size() != p.w.size()) return Status::Invalid("gate", "has not as many as w");
  if (p.x == nullptr) return Status::Invalid("x", "is null");
  if (p.x->n() != 0 && p.w[0].m() != 0 && !p.x->Fits(p.w[0])) {
    return Status::Invalid("x", "was prepared for matrices of another K, format, group size, order or target");
  }
  if (p.y.m != p.w[0].m()) return Status::Invalid("y.m", "differs from the rows of w");
  LUTRA_RETURN_IF_ERROR(internal::ValidateOutput(p.y));
  if (p.weights != nullptr && p.y.type != DataType::kF32) {
    return Status::Invalid("y.type", "is not kF32, but products are added up");
  }
  if (p.rows.offsets == nullptr) return Status::Invalid("rows.offsets", "is null");
  std::int32_t last = 0;
  for (std::size_t i = 0; i <= p.w.size(); ++i) {
    if (p.rows.offsets[i] < last) return Status::Invalid("rows.offsets", "descend, or are negative");
    last = p.rows.offsets[i];
  }
  if (static_cast<std::size_t>(last) > p.rows.size) return Status::Invalid("rows.offsets", "end beyond rows.size");
  return {};
}

Status ValidateAll(const GroupedProduct& p) {
  LUTRA_RETURN_IF_ERROR(ValidateProduct(p));
  for (std::size_t i = 0; i < p.w.size(); ++i) LUTRA_RETURN_IF_ERROR(ValidateMatrix(p, i));
  Status status;
  ForBlocks(p, 0, static_cast<std::size_t>(-1), [&](const Block& block) {
    if (status.ok()) status = ValidateBlock(p, block);
  });
  return status;
}

bool IsEmpty(const GroupedProduct& p) { return p.y.n == 0 || p.y.m == 0; }

// --- A piece

// The scratch memory of a thread: a gate's tile, then gathered rows.
struct Scratch {
  explicit Scratch(void* memory) : gate(static_cast<float*>(memory)), rows(gate + kTileFloats) {}
  float* gate;
  void* rows;
  static std::size_t Bytes(const PackedMatrix& w, const internal::Operands& operands) {
    return kTileFloats * sizeof(float) + GatheredBytes(operands, MostBlockRows(w, operands));
  }
  static Status Validate(const GroupedProduct& p, const internal::Operands& operands, const void* scratch,
                         std::size_t bytes) {
    if (scratch != nullptr && reinterpret_cast<std::uintptr_t>(scratch) % Buffer::kAlignment == 0 &&
        bytes >= Bytes(p.w[0], operands)) {
      return {};
    }
    return Status::Invalid("scratch", "is null, not aligned to 64 bytes, or smaller than GroupedScratchSize");
  }
};

// Multiplies blocks of entries, for the columns [m_begin, m_end) of y.
class Columns {
 public:
  Columns(const GroupedProduct& p, const internal::Operands& operands, std::size_t m_begin, std::size_t m_end,
          void* scratch)
      : p_(p), operands_(operands), m_begin_(m_begin), m_end_(m_end), scratch_(scratch) {}

  void Multiply(const Block& block) const {
    if (block.matrix == p_.w.size()) {
      if (p_.weights == nullptr) SetZero(block);
      return;
    }
    const PackedMatrix& w = p_.w[block.matrix];
    // x that is stored for a matrix unit is multiplied by it, however few the rows are. Exception: joint K-blocks with
    // up to four rows, because folding their codes takes as long as the dot products of four rows.
    PlanCase what = CaseOf(w, block.rows, p_.x->precision());
    if (operands_.x.row_group == 1 && !(what.joint && block.rows <= kNR)) {
      what.n = std::max(block.rows, static_cast<std::size_t>(w.target()->unit.from));
    }
    const Plan& plan = internal::SelectPlanFor(what, p_.x->kind());
    const internal::Blocking blocking(w, operands_, plan, block.rows);
    for (std::size_t row = 0; row < block.rows; row += blocking.token_block) {
      const std::size_t rows = std::min(blocking.token_block, block.rows - row);
      MultiplyRows({block.matrix, block.first + row, rows}, blocking);
    }
  }

  // Rows without entries are 0, too.
  void SetAllZero() const { SetZero(internal::Destination{p_.y, 0, nullptr, m_begin_, m_end_}, p_.y.n); }

 private:
  internal::Destination DestinationOf(const Block& block) const {
    const std::int32_t* const list = p_.rows.y_rows == nullptr ? nullptr : p_.rows.y_rows + block.first;
    return {p_.y, block.first, list, m_begin_, m_end_};
  }
  void SetZero(const Block& block) const { SetZero(DestinationOf(block), block.rows); }
  void SetZero(const internal::Destination& to, std::size_t rows) const {
    for (std::size_t i = 0; i < rows; ++i) {
      std::memset(to.At(i, m_begin_), 0, (m_end_ - m_begin_) * SizeOf(p_.y.type));
    }
  }

  // Multiplies a token block: by some panels of the gate, then by the same panels of w, as many as a tile of the gate
  // holds. So each reads long parts of memory.
  void MultiplyRows(const Block& block, const internal::Blocking& blocking) const {
    alignas(64) float tile[kTileFloats];
    const PackedMatrix& w = p_.w[block.matrix];
    const bool gated = p_.gate.size() != 0;
    const std::int32_t* const list = p_.rows.x_rows == nullptr ? nullptr : p_.rows.x_rows + block.first;
    const internal::BlockRows x = GatherRows(operands_, p_.x->n(), list, block.first, block.rows, scratch_.rows);
    internal::Sweep sweep(w, operands_, blocking, x);
    internal::Sweep gate(gated ? p_.gate[block.matrix] : w, operands_, blocking, x);
    const internal::Destination to = DestinationOf(block);
    const std::size_t end = internal::PanelsIn(m_end_), stride = sweep.tile_stride(), together = operands_.interleaved;
    std::size_t most = kMaxTileRows / block.rows;
    if (most > together) most = most / together * together;
    for (std::size_t first = m_begin_ / kPanelRows, stop; first < end; first = stop) {
      stop = gated ? std::min(first + most, end) : end;
      for (std::size_t panel = first, count; gated && panel < stop; panel += count) {
        count = gate.PanelsAt(panel, stop);
        gate.Multiply(panel, count, scratch_.gate + (panel - first) * stride);
      }
      for (std::size_t panel = first; panel < stop;) {
        const std::size_t count = sweep.PanelsAt(panel, stop);
        Prefetch(to, block.rows, panel, count);
        sweep.Multiply(panel, count, tile);
        for (std::size_t i = 0; i < count; ++i, ++panel) {
          if (gated) Combine(block, panel, scratch_.gate + (panel - first) * stride, tile + i * stride);
          Write(block, panel, tile + i * stride, gated ? nullptr : w.bias(), to);
        }
      }
    }
  }

  // Combines a panel of the gate's tile with the same panel of w's, which takes the result.
  void Combine(const Block& block, std::size_t panel, const float* gate, float* tile) const {
    const internal::Destination to = DestinationOf(block);
    const std::size_t begin = to.begin(panel);
    internal::GatedArgs args = {};
    args.unit = p_.unit;
    args.gate_bias = internal::BiasFrom(p_.gate[block.matrix].bias(), begin);
    args.up_bias = internal::BiasFrom(p_.w[block.matrix].bias(), begin);
    args.count = to.end(panel) - begin;
    for (std::size_t row = 0; row < block.rows; ++row) {
      const std::size_t at = row * kPanelRows + begin % kPanelRows;
      args.gate = gate + at;
      args.up = args.to = tile + at;
      p_.w[0].target()->gated(args);
    }
  }

  // Writes a panel of a tile, or adds it up.
  void Write(const Block& block, std::size_t panel, const float* tile, const float* bias,
             const internal::Destination& to) const {
    const Target target = p_.w[0].target();
    if (p_.weights == nullptr) return Store(target, tile, bias, block.rows, panel, to);
    const std::size_t begin = to.begin(panel), count = to.end(panel) - begin;
    for (std::size_t row = 0; row < block.rows; ++row) {
      const std::size_t entry = block.first + row;
      const float weight =
          p_.weights[p_.rows.x_rows == nullptr ? entry : static_cast<std::size_t>(p_.rows.x_rows[entry])];
      target->add(tile + row * kPanelRows + begin % kPanelRows, internal::BiasFrom(bias, begin), count, weight,
                  reinterpret_cast<float*>(to.At(row, begin)));
    }
  }

  const GroupedProduct& p_;
  const internal::Operands& operands_;
  const std::size_t m_begin_, m_end_;
  const Scratch scratch_;
};

// --- The split

// Where products are added up, a piece gathers the rows of all blocks. (8 of 128 experts, 2048 x 768, on two threads of
// Zen 5: 0.77 times the speed of a dense product with four pieces per thread.)
constexpr std::size_t kPiecesPerThreadOfSums = 2;

// A piece is a range of columns of one block; of all blocks where products are added up, as only one piece may write an
// element of y.
class Split {
 public:
  static Split ForThreads(const GroupedProduct& p, const internal::Operands& operands, std::size_t threads) {
    const std::size_t useful = internal::UsefulThreads(threads, p.y.m, p.rows.size);
    const std::size_t each = p.weights != nullptr ? kPiecesPerThreadOfSums : internal::kPiecesPerThread;
    return {p, operands, internal::PiecesFor(useful, each), useful};
  }
  static Split Into(const GroupedProduct& p, const internal::Operands& operands, std::size_t count) {
    return {p, operands, count, count};
  }

  std::size_t count() const { return blocks_ * ranges_.count(); }

  template <class VisitBlock>
  std::size_t ForBlocksOf(std::size_t piece, const VisitBlock& visit) const {
    const std::size_t block = piece / ranges_.count();
    return sums_ ? ForBlocks(p_, 0, static_cast<std::size_t>(-1), visit) : ForBlocks(p_, block, block + 1, visit);
  }
  void Multiply(std::size_t piece, void* scratch) const {
    const std::size_t range = piece % ranges_.count();
    const Columns columns(p_, operands_, ranges_.BeginOf(range), ranges_.BeginOf(range + 1), scratch);
    if (sums_) columns.SetAllZero();
    ForBlocksOf(piece, [&](const Block& block) { columns.Multiply(block); });
  }

 private:
  Split(const GroupedProduct& p, const internal::Operands& operands, std::size_t pieces, std::size_t least)
      : p_(p),
        operands_(operands),
        sums_(p.weights != nullptr),
        blocks_(sums_ ? 1 : CountBlocks(p)),
        ranges_(p.y.m, operands.interleaved, std::max<std::size_t>(1, blocks_), pieces, least) {}

  const GroupedProduct& p_;
  const internal::Operands& operands_;
  const bool sums_;
  const std::size_t blocks_;
  const internal::ColumnRanges ranges_;
};

// The work of a call: as many tasks as threads, and each has scratch memory. It takes pieces until none is left.
struct Work {
  const Split split;
  std::uint8_t* const scratch;
  const std::size_t bytes;  // of each task: a multiple of 64
  std::atomic<std::size_t> next{0};

  void Run(std::size_t task) {
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < split.count();) {
      split.Multiply(i, scratch + task * bytes);
    }
  }
};

Split SplitFor(const GroupedProduct& p, const internal::Operands& operands, Executor* executor) {
  return Split::ForThreads(p, operands, executor != nullptr ? executor->Concurrency() : 1);  // which may be any number
}

// The threads that have work.
std::size_t TasksFor(const GroupedProduct& p, const internal::Operands& operands, Executor* executor) {
  const std::size_t threads = executor != nullptr ? executor->Concurrency() : 1;
  return std::clamp<std::size_t>(threads, 1, std::max<std::size_t>(1, SplitFor(p, operands, executor).count()));
}

void MultiplyAll(const GroupedProduct& p, const internal::Operands& operands, Executor* executor, std::size_t tasks,
                 void* scratch) {
  Work work{SplitFor(p, operands, executor), static_cast<std::uint8_t*>(scratch), Scratch::Bytes(p.w[0], operands)};
  internal::RunTasks<Work>(executor, tasks, work, [](Work& w, std::size_t task) { w.Run(task); });
}

}  // namespace

Status functions::GroupedScratchSize(const PackedMatrix& w, const Activations& x, std::size_t* bytes) {
  if (bytes == nullptr) return Status::Invalid("bytes", "is null");
  if (!x.Fits(w)) return Status::Invalid("x", "was prepared for matrices of another K, format, order or target");
  *bytes = Scratch::Bytes(w, internal::Operands(w, x));
  return {};
}

Status functions::MatMulGroupedPieces(const GroupedProduct& p, std::size_t threads, std::size_t* count) {
  if (count == nullptr) return Status::Invalid("count", "is null");
  LUTRA_RETURN_IF_ERROR(ValidateProduct(p));
  *count = 0;
  if (!IsEmpty(p)) *count = Split::ForThreads(p, internal::Operands(p.w[0], *p.x), threads).count();
  return {};
}

Status functions::MatMulGroupedPiece(const GroupedProduct& p, std::size_t i, std::size_t count, void* scratch,
                                     std::size_t bytes) {
  LUTRA_RETURN_IF_ERROR(ValidateProduct(p));
  if (i >= count) return Status::Invalid("i", "is not below the number of pieces");
  if (IsEmpty(p)) return {};
  const internal::Operands operands(p.w[0], *p.x);
  LUTRA_RETURN_IF_ERROR(Scratch::Validate(p, operands, scratch, bytes));
  const Split split = Split::Into(p, operands, count);
  Status status;
  internal::ForPartsOf(i, count, split.count(), [&](std::size_t piece) {
    split.ForBlocksOf(piece, [&](const Block& block) {
      if (status.ok()) status = ValidateBlock(p, block);
    });
  });
  if (!status.ok()) return status;
  const internal::FloatMode mode;
  internal::ForPartsOf(i, count, split.count(), [&](std::size_t piece) { split.Multiply(piece, scratch); });
  return {};
}

Status functions::MatMulGrouped(const GroupedProduct& p, Context& context) {
  LUTRA_RETURN_IF_ERROR(ValidateAll(p));
  if (IsEmpty(p)) return {};
  const internal::Operands operands(p.w[0], *p.x);
  const std::size_t bytes = Scratch::Bytes(p.w[0], operands), tasks = TasksFor(p, operands, context.executor);
  if (internal::Overflows(tasks, bytes) || !context.grouped.Reserve(tasks * bytes)) {
    return Status::OutOfMemory("context.grouped");
  }
  MultiplyAll(p, operands, context.executor, tasks, context.grouped.data());
  return {};
}

Status functions::MatMulGrouped(const GroupedProduct& p, Executor* executor, void* scratch, std::size_t bytes) {
  LUTRA_RETURN_IF_ERROR(ValidateAll(p));
  if (IsEmpty(p)) return {};
  const internal::Operands operands(p.w[0], *p.x);
  LUTRA_RETURN_IF_ERROR(Scratch::Validate(p, operands, scratch, bytes));
  const std::size_t tasks = std::min(TasksFor(p, operands, executor), bytes / Scratch::Bytes(p.w[0], operands));
  MultiplyAll(p, operands, executor, tasks, scratch);
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
