// Adds layer after layer to partial plans, and keeps each plan that no other plan beats in both cost and error.
#include "format_plan.h"

#include <algorithm>
#include <cstdint>

namespace lutra::examples {
namespace {

// A plan for the first layers: sums, the last layer's format, and the plan before it.
struct Partial {
  FormatCost sum;
  std::uint32_t before, format;
};

// Sorts by cost, and drops what costs more without a smaller error.
void KeepTheBest(std::vector<Partial>* plans) {
  std::sort(plans->begin(), plans->end(), [](const Partial& a, const Partial& b) {
    return a.sum.cost != b.sum.cost ? a.sum.cost < b.sum.cost : a.sum.error < b.sum.error;
  });
  std::size_t kept = 0;
  for (const Partial& plan : *plans) {
    if (kept == 0 || plan.sum.error < (*plans)[kept - 1].sum.error) (*plans)[kept++] = plan;
  }
  plans->resize(kept);
}

// Of more than kMostPlans plans, keeps the first one of each of as many equal ranges of cost.
void ThinOut(std::vector<Partial>* plans) {
  if (plans->size() <= kMostPlans) return;
  const double first = plans->front().sum.cost, width = (plans->back().sum.cost - first) / (kMostPlans - 1);
  std::size_t kept = 0;
  double next = first;
  for (const Partial& plan : *plans) {
    if (plan.sum.cost < next) continue;
    (*plans)[kept++] = plan;
    next = plan.sum.cost + width;
  }
  plans->resize(kept);
}

}  // namespace

FormatCost SumOf(const std::vector<std::vector<FormatCost>>& layers, const std::vector<std::size_t>& plan) {
  FormatCost sum{0, 0};
  for (std::size_t i = 0; i < layers.size(); ++i) {
    sum.cost += layers[i][plan[i]].cost;
    sum.error += layers[i][plan[i]].error;
  }
  return sum;
}

std::vector<std::size_t> ChooseFormats(const std::vector<std::vector<FormatCost>>& layers, double budget) {
  std::vector<std::vector<Partial>> steps = {{{{0, 0}, 0, 0}}};
  for (const std::vector<FormatCost>& layer : layers) {
    std::vector<Partial> plans;
    for (std::uint32_t before = 0; before < steps.back().size(); ++before) {
      const FormatCost sum = steps.back()[before].sum;
      for (std::uint32_t format = 0; format < layer.size(); ++format) {
        const FormatCost with{sum.cost + layer[format].cost, sum.error + layer[format].error};
        if (with.cost <= budget) plans.push_back({with, before, format});
      }
    }
    KeepTheBest(&plans);
    ThinOut(&plans);
    steps.push_back(std::move(plans));
  }

  std::vector<std::size_t> plan;
  if (!steps.back().empty() && !layers.empty()) {
    plan.resize(layers.size());
    std::size_t at = steps.back().size() - 1;  // the most costly one has the least error
    for (std::size_t i = layers.size(); i-- > 0; at = steps[i + 1][at].before) plan[i] = steps[i + 1][at].format;
  }
  for (std::size_t format = 0; !layers.empty() && format < layers[0].size(); ++format) {
    const std::vector<std::size_t> uniform(layers.size(), format);
    const FormatCost sum = SumOf(layers, uniform);
    if (sum.cost <= budget && (plan.empty() || sum.error < SumOf(layers, plan).error)) plan = uniform;
  }
  return plan;
}

}  // namespace lutra::examples
