// LearnCodebook: k-means for tables of values, in turns with the qparams of groups.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#include "float_mode.h"
#include "lutra/buffer.h"
#include "lutra/quantize.h"
#include "quantize/checks.h"
#include "quantize/fit_group.h"
#include "quantize/in_order.h"
#include "quantize/k_means.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::kMostLevels;

constexpr int kRounds = 6;

// Learns the tables of one matrix. Large: on the heap.
class Learner {
 public:
  Status Run(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride, const QuantizeOptions& options,
             std::int8_t* codebook) {
    if (!from_.Take(weights, m, k, row_stride, options)) return Status::OutOfMemory("codebook");
    const bool given = options_.codebook != nullptr;
    size_ = options_.codebook_tables * Levels();
    if (given) {
      std::memcpy(tables_, options_.codebook, size_);
    } else {
      StartTables();
    }
    if (!errors_.Reserve(m * sizeof(double) + 1)) return Status::OutOfMemory("codebook");
    const auto* const data = static_cast<const float*>(from_.weights.data());
    double least = std::numeric_limits<double>::infinity();
    for (int round = 0; round < kRounds; ++round) {
      options_.codebook = tables_;
      LUTRA_RETURN_IF_ERROR(functions::Quantize(data, m, k, from_.row_stride, options_, &w_));
      const double error = Error();
      if (error < least) {
        least = error;
        std::memcpy(best_, tables_, size_);
      } else if (round > 1) {
        break;
      }
      Improve();
    }
    std::memcpy(codebook, best_, size_);
    return {};
  }

 private:
  std::size_t Levels() const { return static_cast<std::size_t>(Describe(options_.format).levels); }

  // Even values; in tables after the first they are denser around 0, or less dense.
  void StartTables() {
    for (std::size_t table = 0; table < options_.codebook_tables; ++table) {
      for (std::size_t i = 0; i < Levels(); ++i) {
        const double even = 2.0 * static_cast<double>(i) / static_cast<double>(Levels() - 1) - 1;
        const double bent[kMaxTables] = {even, even * std::fabs(even), even * std::sqrt(std::fabs(even)),
                                         even * (std::fabs(even) + 1) / 2};
        tables_[table * Levels() + i] = static_cast<std::int8_t>(std::nearbyint(127 * bent[table]));
      }
    }
  }

  template <class Function>
  void ForEachGroup(std::size_t row, Function&& function) {
    const QuantizedView& v = w_.view();
    const bool whole = v.group == kPerMatrix;
    const internal::Group all{from_.weights.From(row * from_.row_stride), whole ? v.m : 1, from_.row_stride, v.k,
                              options_.importance};
    const std::size_t size = HasRowScales(v.group) ? v.k : v.group;
    std::size_t at = row * GroupsPerRow(v.k, v.group);
    for (std::size_t begin = 0; begin < v.k; begin += size, ++at) function(all.Part(begin, size), at);
  }
  std::size_t Rows() const {
    return w_.view().m == 0 || w_.view().k == 0 ? 0 : w_.view().group == kPerMatrix ? 1 : w_.view().m;
  }

  double Error() {
    internal::RunTasks<Learner>(options_.executor, Rows(), *this, [](Learner& self, std::size_t row) {
      double& error = self.errors_.as<double>()[row];
      error = 0;
      self.ForEachGroup(row, [&](const internal::Group& group, std::size_t at) {
        error += internal::StoredError(group, at, internal::ArraysOf(self.w_));
      });
    });
    double error = 0;
    for (std::size_t row = 0; row < Rows(); ++row) error += errors_.as<double>()[row];
    return error;
  }

  // The best tables for the qparams and the choices of groups.
  void Improve() {
    const internal::FloatMode mode;
    for (std::size_t table = 0; table < options_.codebook_tables; ++table) {
      histogram_.Clear();
      for (std::size_t row = 0; row < Rows(); ++row) {
        ForEachGroup(row, [&](const internal::Group& group, std::size_t at) { Count(group, at, table); });
      }
      double means[kMostLevels];
      if (!histogram_.Means(Levels(), means)) continue;  // no group has chosen the table
      double largest = 0;
      for (std::size_t i = 0; i < Levels(); ++i) largest = std::max(largest, std::fabs(means[i]));
      for (std::size_t i = 0; i < Levels() && largest > 0; ++i) {  // scales adapt to the factor
        tables_[table * Levels() + i] = static_cast<std::int8_t>(std::nearbyint(means[i] * 127 / largest));
      }
    }
  }
  // Adds the weights of a group to the histogram, if it has chosen the table.
  void Count(const internal::Group& group, std::size_t at, std::size_t table) {
    const internal::GroupArrays arrays = internal::ArraysOf(w_);
    const internal::Qparams q = internal::Stored(at, arrays);
    if (q.scale == 0.0f || (HasTableChoices(w_.view()) && arrays.table_choices[at] != table)) return;
    const double scale = q.scale, zero = q.zero;
    group.ForEach([&](float weight, std::size_t, std::size_t i) {
      histogram_.Add(weight / scale + zero, scale * scale * (group.importance == nullptr ? 1.0 : group.importance[i]));
    });
  }

  internal::WeightsInOrder from_;
  QuantizeOptions& options_ = from_.options;
  std::size_t size_ = 0;
  std::int8_t tables_[kMaxTables * kMostLevels], best_[kMaxTables * kMostLevels];
  QuantizedMatrix w_;
  Buffer errors_;
  internal::Histogram histogram_;
};

}  // namespace

Status functions::LearnCodebook(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                                const QuantizeOptions& options, std::int8_t* codebook) {
  if (codebook == nullptr) return Status::Invalid("codebook", "is null");
  if (!IsFormat(options.format) || !Describe(options.format).own_values) {
    return Status::Invalid("options.format", "has no values of the matrix's own");
  }
  constexpr std::int8_t kAny[kMaxTables * kMostLevels] = {};
  QuantizeOptions checked = options;
  if (options.codebook == nullptr) checked.codebook = kAny;
  LUTRA_RETURN_IF_ERROR(internal::ValidateQuantizing(weights, m, k, row_stride, checked));
  const std::unique_ptr<Learner> learner(new (std::nothrow) Learner());
  return learner == nullptr ? Status::OutOfMemory("codebook")
                            : learner->Run(weights, m, k, row_stride, options, codebook);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
