// MatMul of a composite: products of its matrices by MatMul, into float scratch; then the side products and the order.
#include "lutra/matmul.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "activation_access.h"
#include "composite/side_products.h"
#include "lutra/composite.h"
#include "lutra/plan.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::DivideUp;
using internal::RoundUp;

// Columns of W whose outliers are multiplied together: as many rows of x as a few token blocks have.
constexpr std::size_t kColumnsAtOnce = 64;
// Columns of x or of y that a task takes.
constexpr std::size_t kTaskColumns = 256;

// What an x is prepared as for w. Equal keys share prepared x.
internal::ActivationKey KeyOf(const PackedMatrix& w, std::size_t n, const PrepareOptions& options) {
  const Plan& plan = SelectPlan(CaseOf(w, n, options.precision), options.choice);
  return ActivationAccess::KeyFor(PackedAccess::Fields(w), KindOf(plan.method, w.format()), options.precision, n);
}

// Pieces of the scratch memory, one behind the other, each aligned to 64 bytes.
class Pieces {
 public:
  // Returns the place of rows x columns elements of `size` bytes.
  std::size_t Add(std::size_t rows, std::size_t columns, std::size_t size) {
    const std::size_t at = bytes_;
    overflows_ = overflows_ || internal::Overflows(rows, columns, size) ||
                 internal::Overflows(bytes_ + rows * columns * size, 1);
    if (!overflows_) bytes_ += RoundUp(rows * columns * size, Buffer::kAlignment);
    return at;
  }
  bool Reserve(Buffer* buffer) const { return !overflows_ && buffer->Reserve(bytes_); }

 private:
  std::size_t bytes_ = 0;
  bool overflows_ = false;
};

// A call.
class Product {
 public:
  Product(const CompositeMatrix& w, const ActivationView& x, const OutputView& y, const CompositeOptions& options,
          Context& context)
      : parts_(w.parts()),
        sparse_(parts_.sparse),
        x_(x),
        y_(y),
        options_(options),
        context_(context),
        m_(w.m()),
        rank_(parts_.down != nullptr ? parts_.down->m() : 0),
        width_(m_ + rank_),
        has_sparse_(EntryCount(sparse_) != 0),
        splits_(options.outliers <= std::numeric_limits<float>::max()),
        lanes_(internal::LanesFor(x.n)) {}

  Status Run() {
    if (IsDirect()) return Multiply(x_, All(), static_cast<std::uint8_t*>(y_.data), y_.type, y_.row_stride);
    if (!Reserve()) return Status::OutOfMemory("context.composite");
    if (splits_ || has_sparse_) ReadX();
    const ActivationView x = splits_ ? ActivationView(main_x_, x_.n, x_.k) : x_;
    LUTRA_RETURN_IF_ERROR(Multiply(x, All(), Bytes(sums_), DataType::kF32, width_));
    if (splits_) LUTRA_RETURN_IF_ERROR(AddOutliers());
    if (rank_ != 0) LUTRA_RETURN_IF_ERROR(MultiplyUp());
    const std::size_t blocks = DivideUp(x_.n, lanes_), ranges = DivideUp(m_, kTaskColumns);
    internal::RunTasks<const Product>(context_.executor, blocks * ranges, *this, [](const Product& p, std::size_t i) {
      p.Finish(i % DivideUp(p.x_.n, p.lanes_), i / DivideUp(p.x_.n, p.lanes_));
    });
    return {};
  }

 private:
  // Whether the matrices write y themselves: nothing is added, and x is prepared once, so that no error follows.
  bool IsDirect() const {
    bool once = true;
    for (std::size_t i = 1; i < parts_.rows.size(); ++i) once = once && !IsFirstOfKey(i, x_.n, All());
    return once && !splits_ && !has_sparse_ && rank_ == 0 && parts_.order == nullptr;
  }

  bool Reserve() {
    Pieces pieces;
    const std::size_t split_rows = splits_ ? x_.n : 0, together = splits_ ? kColumnsAtOnce : 0;
    const std::size_t sums = pieces.Add(x_.n, width_, sizeof(float));
    const std::size_t added = pieces.Add(rank_ != 0 ? x_.n : 0, m_, sizeof(float));
    const std::size_t lanes = pieces.Add(has_sparse_ ? RoundUp(x_.n, lanes_) : 0, x_.k, sizeof(float));
    const std::size_t main = pieces.Add(split_rows, x_.k, sizeof(float));
    const std::size_t outliers = pieces.Add(split_rows, x_.k, sizeof(float));
    const std::size_t flags = pieces.Add(splits_ ? 1 : 0, x_.k, 1);
    const std::size_t ones = pieces.Add(together, x_.k, sizeof(float));
    const std::size_t columns = pieces.Add(together, width_, sizeof(float));
    if (!pieces.Reserve(&context_.composite)) return false;
    std::uint8_t* const memory = context_.composite.data();
    const auto floats = [memory](std::size_t at) { return reinterpret_cast<float*>(memory + at); };
    sums_ = floats(sums);
    added_ = floats(added);
    lane_x_ = floats(lanes);
    main_x_ = floats(main);
    outliers_ = floats(outliers);
    flags_ = memory + flags;
    ones_ = floats(ones);
    columns_ = floats(columns);
    return true;
  }

  static std::uint8_t* Bytes(float* floats) { return reinterpret_cast<std::uint8_t*>(floats); }

  // --- Matrices

  // The matrices that multiply x: rows, then down.
  std::size_t Count() const { return parts_.rows.size() + (rank_ != 0 ? 1 : 0); }
  const PackedMatrix& At(std::size_t i) const { return internal::MatrixAt(parts_, i); }

  // The columns [begin, begin + count) of W, which multiply as many elements of x.
  struct Range {
    std::size_t begin, count;
    bool bias;
  };
  Range All() const { return {0, x_.k, true}; }

  // Whether columns [256 i, 256 (i + 1)) of a matrix are a matrix: its panels are as far apart as before, and its
  // qparams stand in front of its codes.
  static bool HasRanges(const PackedMatrix& w) {
    const bool alone = internal::InterleavedPanels(w.target()->info.layout, Describe(w.format()).stored()) == 1;
    return alone && !HasRowScales(w.group()) && w.order() == nullptr;
  }
  bool HasRanges() const {
    bool all = true;
    for (std::size_t i = 0; i < Count(); ++i) all = all && HasRanges(At(i));
    return all;
  }
  // A range of columns of matrix i.
  PackedMatrix At(std::size_t i, const Range& range) const {
    internal::PackedFields fields = PackedAccess::Fields(At(i));
    if (!range.bias) fields.bias = nullptr;
    if (range.begin != 0) {
      const internal::Geometry g = internal::GeometryOf(fields);
      fields.data += g.part_offset(range.begin / g.cut * g.blocks_per_cut);
    }
    fields.k = range.count;
    return PackedAccess::Make(fields);
  }

  bool SameKey(std::size_t i, std::size_t j, std::size_t n, const Range& range) const {
    return KeyOf(At(i, range), n, options_.prepare) == KeyOf(At(j, range), n, options_.prepare);
  }
  bool IsFirstOfKey(std::size_t i, std::size_t n, const Range& range) const {
    for (std::size_t j = 0; j < i; ++j) {
      if (SameKey(i, j, n, range)) return false;
    }
    return true;
  }

  // Multiplies x by all of them: to[N x width], the rows of one matrix after the other.
  Status Multiply(const ActivationView& x, const Range& range, std::uint8_t* to, DataType type,
                  std::size_t stride) const {
    for (std::size_t i = 0; i < Count(); ++i) {
      if (!IsFirstOfKey(i, x.n, range)) continue;
      LUTRA_RETURN_IF_ERROR(Prepare(x, At(i, range), options_.prepare, context_, &context_.scratch));
      std::size_t m = 0;
      for (std::size_t j = 0; j < Count(); m += At(j++).m()) {
        if (j < i || !SameKey(i, j, x.n, range)) continue;
        const OutputView y(to + m * SizeOf(type), type, x.n, At(j).m(), stride);
        LUTRA_RETURN_IF_ERROR(MatMul(At(j, range), context_.scratch, y, context_));
      }
    }
    return {};
  }

  // added = (the sums of down) * up^T.
  Status MultiplyUp() const {
    const ActivationView hidden(sums_ + m_, x_.n, rank_, width_);
    LUTRA_RETURN_IF_ERROR(Prepare(hidden, *parts_.up, options_.prepare, context_, &context_.scratch));
    return MatMul(*parts_.up, context_.scratch, OutputView(added_, x_.n, m_), context_);
  }

  // --- x

  void ReadX() {
    internal::RunTasks<const Product>(context_.executor, DivideUp(x_.k, kTaskColumns), *this,
                                      [](const Product& p, std::size_t i) {
                                        p.ReadColumns(i * kTaskColumns, std::min((i + 1) * kTaskColumns, p.x_.k));
                                      });
  }

  // Reads columns of all rows of x: into lanes, and divided into outliers and others.
  void ReadColumns(std::size_t begin, std::size_t end) const {
    float row[kTaskColumns], found[kTaskColumns] = {};
    for (std::size_t n = 0; n < (has_sparse_ ? RoundUp(x_.n, lanes_) : x_.n); ++n) {
      if (n < x_.n) {
        internal::LoadRow(x_, n, begin, end, row);
      } else {
        std::fill(row, row + (end - begin), 0.0f);
      }
      if (has_sparse_) {
        float* const to = lane_x_ + n / lanes_ * lanes_ * x_.k + n % lanes_;
        for (std::size_t k = begin; k < end; ++k) to[k * lanes_] = row[k - begin];
      }
      if (splits_ && n < x_.n) {
        const std::size_t at = n * x_.k + begin;
        internal::SplitOutliers(row, end - begin, options_.outliers, main_x_ + at, outliers_ + at, found);
      }
    }
    for (std::size_t k = begin; splits_ && k < end; ++k) flags_[k] = found[k - begin] != 0.0f;
  }

  // --- Outliers

  // Adds outliers of x times their columns of W, some columns at a time.
  Status AddOutliers() {
    chosen_count_ = 0;
    for (std::size_t k = 0; k < x_.k; ++k) {
      if (flags_[k] != 0) chosen_[chosen_count_++] = k;
      if (chosen_count_ == kColumnsAtOnce || (k + 1 == x_.k && chosen_count_ != 0)) {
        LUTRA_RETURN_IF_ERROR(AddChosen());
        chosen_count_ = 0;
      }
    }
    return {};
  }

  Status AddChosen() {
    const std::size_t step = HasRanges() ? kSuperGroup : x_.k;
    for (std::size_t i = 0, end; i < chosen_count_; i = end) {
      const std::size_t begin = chosen_[i] / step * step;
      for (end = i + 1; end < chosen_count_ && chosen_[end] / step * step == begin;) ++end;
      LUTRA_RETURN_IF_ERROR(MakeColumns(i, end, {begin, std::min(step, x_.k - begin), false}));
    }
    internal::RunTasks<const Product>(context_.executor, DivideUp(width_, kTaskColumns), *this,
                                      [](const Product& p, std::size_t i) {
                                        p.AddColumns(i * kTaskColumns, std::min((i + 1) * kTaskColumns, p.width_));
                                      });
    return {};
  }

  // Makes the chosen columns [first, end), which are in a range. The product with a row of x that is 1 in one column is
  // this column.
  Status MakeColumns(std::size_t first, std::size_t end, const Range& range) {
    std::fill(ones_, ones_ + (end - first) * range.count, 0.0f);
    for (std::size_t i = first; i < end; ++i) ones_[(i - first) * range.count + chosen_[i] - range.begin] = 1.0f;
    const ActivationView ones(ones_, end - first, range.count);
    return Multiply(ones, range, Bytes(columns_ + first * width_), DataType::kF32, width_);
  }

  void AddColumns(std::size_t begin, std::size_t end) const {
    for (std::size_t n = 0; n < x_.n; ++n) {
      for (std::size_t i = 0; i < chosen_count_; ++i) {
        const float value = outliers_[n * x_.k + chosen_[i]];
        if (value == 0.0f) continue;  // no outlier of this row
        internal::AddColumn(value, columns_ + i * width_ + begin, end - begin, sums_ + n * width_ + begin);
      }
    }
  }

  // --- y

  std::size_t ColumnOfY(std::size_t row) const { return parts_.order == nullptr ? row : parts_.order[row]; }

  // Writes the columns of y that belong to a range of rows of all matrices, for one block of lanes.
  void Finish(std::size_t block, std::size_t range) const {
    const std::size_t first = block * lanes_, rows = std::min(lanes_, x_.n - first);
    const std::size_t begin = range * kTaskColumns, count = std::min(kTaskColumns, m_ - begin);
    alignas(64) float sparse[kTaskColumns][internal::kMaxLanes];
    for (std::size_t i = 0; has_sparse_ && i < count; ++i) {
      internal::SparseFunctionFor(x_.k, lanes_)(sparse_, ColumnOfY(begin + i), lane_x_ + first * x_.k, sparse[i]);
    }
    alignas(64) float row[kTaskColumns];
    for (std::size_t n = 0; n < rows; ++n) {
      std::memcpy(row, sums_ + (first + n) * width_ + begin, count * sizeof(float));
      for (std::size_t i = 0; has_sparse_ && i < count; ++i) row[i] += sparse[i][n];
      for (std::size_t i = 0; rank_ != 0 && i < count; ++i) row[i] += added_[(first + n) * m_ + ColumnOfY(begin + i)];
      for (std::size_t i = 0; i < count; ++i) {
        if (std::isnan(row[i])) row[i] = std::numeric_limits<float>::quiet_NaN();  // one NaN, as MatMul gives
      }
      Store(row, first + n, begin, count);
    }
  }

  void Store(const float* row, std::size_t n, std::size_t begin, std::size_t count) const {
    const internal::StoreFunction store = At(0).target()->store;
    const std::size_t size = SizeOf(y_.type);
    std::uint8_t* const to = static_cast<std::uint8_t*>(y_.data) + n * y_.row_stride * size;
    if (parts_.order == nullptr) return store(row, nullptr, count, y_.type, to + begin * size);
    alignas(64) std::uint8_t stored[kTaskColumns * sizeof(float)];
    store(row, nullptr, count, y_.type, stored);
    for (std::size_t i = 0; i < count; ++i) std::memcpy(to + ColumnOfY(begin + i) * size, stored + i * size, size);
  }

  const CompositeParts& parts_;
  const SparseView& sparse_;
  const ActivationView& x_;
  const OutputView& y_;
  const CompositeOptions& options_;
  Context& context_;
  const std::size_t m_, rank_, width_;  // width: rows of all matrices, and of down
  const bool has_sparse_, splits_;      // splits: there may be outliers
  const std::size_t lanes_;
  // Scratch memory.
  float* sums_ = nullptr;    // [N x width]
  float* added_ = nullptr;   // [N x M], in the order of y
  float* lane_x_ = nullptr;  // x in blocks of [K][lanes]
  float* main_x_ = nullptr;  // x without outliers, and outliers, each with zeros for the others
  float* outliers_ = nullptr;
  std::uint8_t* flags_ = nullptr;  // [K]: whether a column has outliers
  float* ones_ = nullptr;          // [kColumnsAtOnce x K]
  float* columns_ = nullptr;       // [kColumnsAtOnce x width]
  std::size_t chosen_[kColumnsAtOnce] = {}, chosen_count_ = 0;
};

Status Validate(const CompositeMatrix& w, const ActivationView& x, const OutputView& y,
                const CompositeOptions& options) {
  if (x.k != w.k()) return Status::Invalid("x.k", "differs from K of w");
  if (y.n != x.n) return Status::Invalid("y.n", "differs from the rows of x");
  if (y.m != w.m()) return Status::Invalid("y.m", "differs from the rows of w");
  if (!(options.outliers >= 0)) return Status::Invalid("options.outliers", "is negative or NaN");
  if (options.prepare.precision > Precision::kInt16) return Status::Invalid("precision", "is not a Precision");
  if (options.prepare.choice > Choice::kFastest) {
    return Status::Invalid("choice", "is not kInvariant or kFastest");
  }
  if (options.prepare.non_finite > NonFinite::kPropagate) return Status::Invalid("non_finite", "is not a NonFinite");
  LUTRA_RETURN_IF_ERROR(internal::ValidateActivations(x, options.prepare.non_finite));
  return internal::ValidateOutput(y);
}

}  // namespace

Status functions::MatMul(const CompositeMatrix& w, const ActivationView& x, const OutputView& y,
                         const CompositeOptions& options, Context& context) {
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y, options));
  if (y.n == 0 || y.m == 0) return {};
  return Product(w, x, y, options, context).Run();
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
