// Lutra at a glance: layers of language models, or a matrix of your own, in every format, checked and timed.
#include <fmt/format.h>

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "demo_measure.h"
#include "demo_options.h"
#include "demo_report.h"
#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"

namespace lutra::examples {
namespace {

enum ExitCode { kOk = 0, kFailed = 1, kBadUsage = 2 };

// A sound kernel stays far below.
constexpr double kMaxNmse = 1e-3;

int Fail(ExitCode code, const std::string& message) {
  fmt::print(stderr, "demo: {}\n", message);
  return code;
}

int CheckErrors(const std::vector<Result>& results) {
  int code = kOk;
  for (const Result& r : results) {
    if (!r.nmse || *r.nmse <= kMaxNmse) continue;
    code = Fail(kFailed, fmt::format("{}, W[{} x {}], N = {}: the NMSE of {:.1e} is above {:.0e}", r.format, r.shape.m,
                                     r.shape.k, r.n, *r.nmse, kMaxNmse));
  }
  return code;
}

int Run(const Options& options) {
  Layer layer;
  if (!options.weights.empty()) {
    const std::string error = LoadLayer(options.weights, options.shapes[0], &layer);
    if (!error.empty()) return Fail(kBadUsage, error);
  }
  ThreadPool executor(options.threads);
  Machine machine(executor);
  Status status = machine.Measure();
  if (!status.ok()) return Fail(kFailed, status.message());
  if (!options.json) PrintHeading(options, machine);

  std::vector<Result> results;
  ProgressLine line(options.shapes.size() * (1 + options.formats.size() * options.tokens.size()));
  for (const Shape& shape : options.shapes) {
    if (status.ok() && options.weights.empty()) status = MakeRandomLayer(shape, &layer);
    if (status.ok()) {
      status = MeasureLayer(
          layer, options, machine, [&](const std::string& step) { line.Show(step); }, &results);
    }
  }
  line.Clear();
  if (!status.ok()) return Fail(kFailed, status.message());

  if (options.json) {
    PrintJson(options, machine, results);
  } else {
    PrintTable(options, results);
  }
  return CheckErrors(results);
}

}  // namespace
}  // namespace lutra::examples

int main(int argc, char** argv) {
  using namespace lutra::examples;
  Options options;
  const std::string error = ParseOptions(argc, argv, &options);
  if (!error.empty()) return Fail(kBadUsage, error + "\nTry --help.");
  if (options.help) {
    fmt::print("{}", Usage());
    return kOk;
  }
  if (options.explain) {
    PrintPlans(options);
    return kOk;
  }
  return Run(options);
}
