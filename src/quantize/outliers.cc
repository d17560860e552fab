// QuantizeWithOutliers: takes the weights out of each group without which its other weights are quantized best.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "composite/composite_access.h"
#include "float_mode.h"
#include "lutra/float16.h"
#include "lutra/sparse.h"
#include "memory/elements.h"
#include "quantize/checks.h"
#include "quantize/fit_group.h"
#include "scales.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

// The numbers of weights that may be taken out of a group: 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, ...
constexpr std::size_t NextCount(std::size_t count) {
  if (count < 4) return count + 1;
  std::size_t power = 4;
  while (2 * power <= count) power *= 2;
  return count == power ? power + power / 2 : 2 * power;
}

// How much the squared error of a group falls per weight if, beside those before, `more` weights are taken out.
struct Step {
  double gain;  // per weight
  std::uint32_t group, more;
};

// Buffers for one group, and what depends on it alone.
class GroupTrial {
 public:
  Status Allocate(const QuantizedView& shape) {
    QuantizedView one = shape;
    one.m = 1;
    one.k = HasRowScales(shape.group) ? shape.k : std::min(shape.group, shape.k);
    LUTRA_RETURN_IF_ERROR(quantized_.Allocate(one));
    std::copy_n(shape.codebook, CodebookSize(shape), quantized_.codebook());
    const bool reserved = order_.Reserve(one.k * sizeof(std::uint32_t)) && rest_.Reserve(one.k * sizeof(float)) &&
                          values_.Reserve(one.k * sizeof(float));
    return reserved ? Status() : Status::OutOfMemory("w");
  }

  // Begins a group of one row: orders its weights by their distance from the mean.
  void Begin(const internal::Group& group) {
    weights_ = group.weights;
    count_ = group.count;
    importance_ = group.importance;
    double sum = 0;
    for (std::size_t i = 0; i < count_; ++i) sum += weights_[i];
    const double mean = sum / static_cast<double>(count_);
    auto* const order = order_.as<std::uint32_t>();
    for (std::size_t i = 0; i < count_; ++i) order[i] = static_cast<std::uint32_t>(i);
    std::sort(order, order + count_, [&](std::uint32_t a, std::uint32_t b) {
      const double of_a = std::fabs(weights_[a] - mean), of_b = std::fabs(weights_[b] - mean);
      return of_a != of_b ? of_a > of_b : a < b;
    });
  }

  // The first `out` of the order, in ascending order; until the next Begin.
  const std::uint32_t* Ascending(std::size_t out) {
    std::sort(order_.as<std::uint32_t>(), order_.as<std::uint32_t>() + out);
    return order_.as<std::uint32_t>();
  }

  // The group with the mean of the rest in the place of the first `out` weights of the order.
  const float* Without(std::size_t out) {
    const auto* const order = order_.as<std::uint32_t>();
    auto* const rest = rest_.as<float>();
    double sum = 0;
    for (std::size_t i = 0; i < count_; ++i) rest[i] = weights_[i];
    for (std::size_t i = out; i < count_; ++i) sum += weights_[order[i]];
    const auto mean = static_cast<float>(out == count_ ? 0.0 : sum / static_cast<double>(count_ - out));
    for (std::size_t i = 0; i < out; ++i) rest[order[i]] = mean;
    return rest;
  }

  // The sum of squared errors of the weights that are not taken out, each times the importance of its column.
  double ErrorWithout(std::size_t out) {
    const internal::Group group{internal::Elements<float>(Without(out)), 1, count_, count_, importance_};
    const internal::GroupArrays arrays = internal::ArraysOf(quantized_);
    internal::FitGroups(group, 0, arrays);
    internal::EncodeGroups(group, 0, arrays, quantized_.codes(), count_);
    QuantizedView view = quantized_.view();
    view.k = count_;
    view.code_stride = count_;
    auto* const values = values_.as<float>();
    internal::DequantizeRow(view, 0, values);
    const auto* const order = order_.as<std::uint32_t>();
    double error = 0;
    for (std::size_t i = out; i < count_; ++i) {
      const double difference = static_cast<double>(weights_[order[i]]) - values[order[i]];
      error += difference * difference * (importance_ == nullptr ? 1.0 : importance_[order[i]]);
    }
    return error;
  }

 private:
  QuantizedMatrix quantized_;
  internal::Elements<float> weights_{nullptr};
  std::size_t count_ = 0;
  const float* importance_ = nullptr;
  Buffer order_, rest_, values_;
};

// A matrix, cut into groups.
struct Groups {
  const internal::Elements<float> weights;
  const std::size_t row_stride, k, size, per_row, count;
  const float* const importance;

  Groups(const float* data, std::size_t m, std::size_t k_, std::size_t row_stride_, const QuantizeOptions& options)
      : weights(data),
        row_stride(row_stride_),
        k(k_),
        size(HasRowScales(options.group) ? k_ : options.group),
        per_row(GroupsPerRow(k_, options.group)),
        count(m * per_row),
        importance(options.importance) {}
  std::size_t begin(std::size_t g) const { return g % per_row * size; }
  std::size_t size_of(std::size_t g) const { return std::min(size, k - begin(g)); }
  internal::Group At(std::size_t g) const {
    const internal::Group row{weights.From(g / per_row * row_stride), 1, row_stride, k, importance};
    return row.Part(begin(g), size);
  }
};

// Appends the steps of a group: each gains less than the one before, because steps that do not are joined.
void AddSteps(GroupTrial& trial, std::size_t g, std::size_t count, std::size_t most, Step* steps, std::size_t* size) {
  const std::size_t first = *size;
  double before = trial.ErrorWithout(0);
  for (std::size_t out = 0, next; out < most && before > 0; out = next) {
    next = std::min(NextCount(out), most);
    const double after = next == count ? 0.0 : trial.ErrorWithout(next);
    Step step{(before - after) / static_cast<double>(next - out), static_cast<std::uint32_t>(g),
              static_cast<std::uint32_t>(next - out)};
    before = after;
    while (*size != first && steps[*size - 1].gain <= step.gain) {
      const Step& last = steps[--*size];
      const double gain = last.gain * last.more + step.gain * step.more;
      step.more += last.more;
      step.gain = gain / step.more;
    }
    steps[(*size)++] = step;
  }
}

// The number of values that NextCount takes up to `most`.
std::size_t StepsTo(std::size_t most) {
  std::size_t steps = 0;
  for (std::size_t out = 0; out < most; out = std::min(NextCount(out), most)) ++steps;
  return steps;
}

// The weights that a group may give: 16 times its share. (Of 128 weights and a share of 1 %, that is 20.)
std::size_t MostOf(std::size_t group, double share) {
  const internal::FloatMode mode;
  return std::min(group, static_cast<std::size_t>(std::ceil(16 * share * static_cast<double>(group))));
}

// Sets out[g] to the weights that are taken out of group g, a share of all weights at most.
void Choose(Step* steps, std::size_t size, double share, std::size_t weights, std::uint32_t* out) {
  const internal::FloatMode mode;
  auto budget = static_cast<std::size_t>(share * static_cast<double>(weights));
  // Steps of a group stay in their order, as the gains descend.
  std::stable_sort(steps, steps + size, [](const Step& a, const Step& b) { return a.gain > b.gain; });
  for (std::size_t i = 0; i < size && steps[i].gain > 0; ++i) {
    if (steps[i].more > budget) break;
    budget -= steps[i].more;
    out[steps[i].group] += steps[i].more;
  }
}

// The weights that are taken out of each group, and the rest.
struct Chosen {
  Buffer out;   // std::uint32_t for each group
  Buffer rest;  // [M x K] floats
  std::size_t entries = 0;
};

// The trials of all groups, as tasks of an executor, each of a range of groups.
class Trials {
 public:
  Trials(const Groups& groups, std::size_t most, Chosen* choice) : groups_(groups), most_(most), choice_(choice) {}

  // Allocates for `tasks` tasks.
  Status Allocate(const QuantizedView& shape, std::size_t tasks) {
    tasks_ = std::min(tasks, groups_.count);
    trials_.reset(new (std::nothrow) GroupTrial[tasks_]);
    const std::size_t bytes = StepsTo(most_) * sizeof(Step);
    if (trials_ == nullptr || internal::Overflows(groups_.count, bytes) || !steps_.Reserve(groups_.count * bytes) ||
        !sizes_.Reserve(groups_.count * sizeof(std::size_t))) {
      return Status::OutOfMemory("w");
    }
    for (std::size_t t = 0; t < tasks_; ++t) LUTRA_RETURN_IF_ERROR(trials_[t].Allocate(shape));
    return {};
  }

  // Finds the steps of all groups.
  void Try(Executor* executor) {
    internal::RunTasks<Trials>(executor, tasks_, *this, [](Trials& all, std::size_t t) {
      for (std::size_t g = all.FirstOf(t); g < all.FirstOf(t + 1); ++g) {
        const std::size_t count = all.groups_.size_of(g);
        all.trials_[t].Begin(all.groups_.At(g));
        all.sizes()[g] = 0;
        AddSteps(all.trials_[t], g, count, std::min(all.most_, count), all.StepsOf(g), all.sizes() + g);
      }
    });
  }

  // Moves the steps of all groups together, and returns their number.
  std::size_t Join() {
    std::size_t size = 0;
    for (std::size_t g = 0; g < groups_.count; ++g) {
      std::copy_n(StepsOf(g), sizes()[g], steps() + size);
      size += sizes()[g];
    }
    return size;
  }
  Step* steps() { return steps_.as<Step>(); }

  // Writes the rest of all groups.
  void TakeOut(Executor* executor) {
    internal::RunTasks<Trials>(executor, tasks_, *this, [](Trials& all, std::size_t t) {
      const Groups& groups = all.groups_;
      for (std::size_t g = all.FirstOf(t); g < all.FirstOf(t + 1); ++g) {
        all.trials_[t].Begin(groups.At(g));
        std::memcpy(all.choice_->rest.as<float>() + g / groups.per_row * groups.k + groups.begin(g),
                    all.trials_[t].Without(all.choice_->out.as<std::uint32_t>()[g]), groups.size_of(g) * sizeof(float));
      }
    });
  }

 private:
  std::size_t FirstOf(std::size_t task) const {
    return groups_.count / tasks_ * task + std::min(task, groups_.count % tasks_);
  }
  Step* StepsOf(std::size_t g) { return steps() + g * StepsTo(most_); }
  std::size_t* sizes() { return sizes_.as<std::size_t>(); }

  const Groups& groups_;
  const std::size_t most_;
  Chosen* const choice_;
  std::size_t tasks_ = 0;
  std::unique_ptr<GroupTrial[]> trials_;
  Buffer steps_, sizes_;  // [groups x StepsTo(most)], [groups]
};

Status ChooseOutliers(const Groups& groups, double share, const QuantizedView& shape, Executor* executor,
                      Chosen* choice) {
  const std::size_t weights = groups.count / groups.per_row * groups.k;
  const std::size_t most = MostOf(groups.size, share);
  if (!choice->out.Reserve(groups.count * sizeof(std::uint32_t)) || !choice->rest.Reserve(weights * sizeof(float))) {
    return Status::OutOfMemory("w");
  }
  Trials trials(groups, most, choice);
  LUTRA_RETURN_IF_ERROR(trials.Allocate(shape, executor != nullptr ? 4 * executor->Concurrency() : 1));
  trials.Try(executor);
  const std::size_t size = trials.Join();
  auto* const out = choice->out.as<std::uint32_t>();
  std::fill(out, out + groups.count, 0u);
  Choose(trials.steps(), size, share, weights, out);
  for (std::size_t g = 0; g < groups.count; ++g) choice->entries += out[g];
  trials.TakeOut(executor);
  return {};
}

// Writes what the quantized rest lacks of the weights that were taken out.
Status WriteEntries(const Groups& groups, const QuantizedView& w, const Chosen& choice, GroupTrial& trial,
                    SparseMatrix* outliers) {
  LUTRA_RETURN_IF_ERROR(outliers->Allocate(w.m, w.k, choice.entries));
  Buffer row;
  if (!row.Reserve(w.k * sizeof(float) + 1)) return Status::OutOfMemory("outliers");
  const auto* const out = choice.out.as<std::uint32_t>();
  std::uint32_t* const offsets = outliers->offsets();
  std::size_t at = 0;
  for (std::size_t m = 0; m < w.m; ++m) {
    offsets[m] = static_cast<std::uint32_t>(at);
    internal::DequantizeRow(w, m, row.as<float>());
    for (std::size_t g = m * groups.per_row; w.k != 0 && g < (m + 1) * groups.per_row; ++g) {
      trial.Begin(groups.At(g));
      const std::uint32_t* const taken = trial.Ascending(out[g]);
      for (std::size_t i = 0; i < out[g]; ++i, ++at) {
        const std::size_t column = groups.begin(g) + taken[i];
        internal::SetColumn(w.k, outliers->columns(), at, column);
        outliers->values()[at] = F32ToF16(groups.At(g).weights[taken[i]] - row.as<float>()[column]);
      }
    }
  }
  offsets[w.m] = static_cast<std::uint32_t>(at);
  const bool finite = internal::AllFinite(outliers->values(), DataType::kF16, at);
  return finite ? Status() : Status::Invalid("weights", "holds an outlier that f16 does not hold");
}

}  // namespace

Status functions::QuantizeWithOutliers(const float* weights, std::size_t m, std::size_t k, std::size_t row_stride,
                                       const QuantizeOptions& options, double share, QuantizedMatrix* w,
                                       SparseMatrix* outliers) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  if (outliers == nullptr) return Status::Invalid("outliers", "is null");
  if (!(share >= 0 && share <= 1)) return Status::Invalid("share", "is not in [0, 1]");
  if (options.group == kPerMatrix) return Status::Invalid("options.group", "is kPerMatrix");
  if (options.order != nullptr) return Status::Invalid("options.order", "is not null");
  QuantizedMatrix result;
  LUTRA_RETURN_IF_ERROR(Quantize(weights, m, k, row_stride, options, &result));  // checks all arguments, too
  const Groups groups(weights, m, k, row_stride, options);
  if (groups.count > 0xffffffffu || k > 0xffffffffu) return Status::Invalid("m", "is too large: there are 2^32 groups");
  GroupTrial trial;
  LUTRA_RETURN_IF_ERROR(trial.Allocate(result.view()));
  Chosen choice;
  SparseMatrix entries;
  if (m != 0 && k != 0) {
    LUTRA_RETURN_IF_ERROR(ChooseOutliers(groups, share, result.view(), options.executor, &choice));
  }
  if (choice.entries != 0) LUTRA_RETURN_IF_ERROR(Quantize(choice.rest.as<float>(), m, k, k, options, &result));
  const internal::FloatMode mode;
  LUTRA_RETURN_IF_ERROR(WriteEntries(groups, result.view(), choice, trial, &entries));
  *w = std::move(result);
  *outliers = std::move(entries);
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
