// How the demo shows its progress and its results.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "demo_measure.h"
#include "demo_options.h"

namespace lutra::examples {

// One line on stderr that is replaced by the next if that is a terminal, else one line per step.
class ProgressLine {
 public:
  explicit ProgressLine(std::size_t steps);
  ~ProgressLine() { Clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(const std::string& step);
  void Clear();

 private:
  bool terminal_;
  std::size_t step_ = 0, steps_;
};

// Which rows of the table of plans serve these formats and numbers of tokens.
void PrintPlans(const Options& options);
// Target and machine in a line, what is multiplied in the next.
void PrintHeading(const Options& options, const Machine& machine);
void PrintTable(const Options& options, const std::vector<Result>& results);
void PrintJson(const Options& options, const Machine& machine, const std::vector<Result>& results);

}  // namespace lutra::examples
