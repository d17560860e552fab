// Chooses a format for each layer of a network: the least error within a budget.
#pragma once

#include <cstddef>
#include <vector>

namespace lutra::examples {

// What a layer costs in a format (bytes, or ms), and the error that it causes; neither is negative.
struct FormatCost {
  double cost, error;
};

// The most partial plans that are kept; with more, those whose costs are closest are thinned out.
inline constexpr std::size_t kMostPlans = 20000;

// Returns the number of the chosen format for each layer, layers[i][format]; every layer has the same formats. The sum
// of costs is at most the budget, and the sum of errors the least of all plans, unless there are more than kMostPlans
// partial plans none of which is better than another in both cost and error. It is never larger than that of one format
// for all layers. Empty if no plan is within the budget.
std::vector<std::size_t> ChooseFormats(const std::vector<std::vector<FormatCost>>& layers, double budget);

// The sums of a plan, or of one format for all layers.
FormatCost SumOf(const std::vector<std::vector<FormatCost>>& layers, const std::vector<std::size_t>& plan);

}  // namespace lutra::examples
