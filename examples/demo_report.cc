// A table for people, JSON for programs.
#include "demo_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "lutra/sampled_error.h"

namespace lutra::examples {
namespace {

std::string GroupName(std::size_t group) {
  return group == kPerRow ? "row" : group == kPerMatrix ? "matrix" : std::to_string(group);
}

// Three significant digits, without an exponent.
std::string Short(double value) {
  return fmt::format("{:.{}f}", value,
                     value < 0.0995  ? 4
                     : value < 0.995 ? 3
                     : value < 9.95  ? 2
                     : value < 99.5  ? 1
                                     : 0);
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      quoted += c == '"' || c == '\\' ? fmt::format("\\{}", c) : std::string(1, c);
    }
  }
  return quoted + '"';
}

}  // namespace

ProgressLine::ProgressLine(std::size_t steps) : terminal_(isatty(STDERR_FILENO) == 1), steps_(steps) {}

void ProgressLine::Show(const std::string& step) {
  ++step_;
  if (terminal_) {
    fmt::print(stderr, "\r\x1b[K[{}/{}] {}", step_, steps_, step);
  } else {
    fmt::print(stderr, "[{}/{}] {}\n", step_, steps_, step);
  }
  std::fflush(stderr);
}

void ProgressLine::Clear() {
  if (terminal_) fmt::print(stderr, "\r\x1b[K");
}

void PrintPlans(const Options& options) {
  fmt::print("Kernels of {}, by format and number of tokens N (rows of x):\n\n", TargetName(options.target));
  fmt::print("  {:<9} {:>5}  {:<15} {:>11} {:>13} {:>10}  {}\n", "format", "N", "method", "tile M x N", "a sweep M x N",
             "prefetch", "bound by");
  for (const Format format : options.formats) {
    for (const std::size_t n : options.tokens) {
      const PlanCase what{format, options.target, n, options.group};
      const Plan& plan = SelectPlan(what);
      const MicroTile tile = TileOf(plan, what);
      fmt::print("  {:<9} {:>5}  {:<15} {:>11} {:>13} {:>10}  {}\n", Name(format), n, Name(plan),
                 fmt::format("{} x {}", 64 * tile.panels, tile.rows),
                 fmt::format("{} x {}", 64 * plan.panels, plan.token_block),
                 plan.prefetch == 0 ? "none" : fmt::format("{} bytes", plan.prefetch), plan.bound);
    }
  }
}

void PrintHeading(const Options& options, const Machine& machine) {
  fmt::print(
      "Lutra on {}, {} thread{}; this machine reads {} GB/s and multiplies {} GMAC/s in plain f32.\n"
      "y[N x M] = x[N x K] * W[M x K]^T by table lookup: W of few bits, an f16 scale per {}{}; x, y f32; {} "
      "tables.\n\n",
      TargetName(options.target), options.threads, options.threads == 1 ? "" : "s", Short(machine.read_gb_s()),
      Short(machine.f32_gmac_s()), GroupName(options.group), HasRowScales(options.group) ? "" : " weights",
      Name(options.precision));
  std::fflush(stdout);
}

void PrintTable(const Options& options, const std::vector<Result>& results) {
  const bool own = !options.weights.empty();
  fmt::print("{:<11} {:>11} {:>9} {:>8} {:>13} {:>8} {:>9}", "format", "bits/weight", "ms", "GMAC/s", "weights GB/s",
             "vs f32", "NMSE");
  fmt::print("{}\n", own ? "  NMSE to float W" : "");
  std::size_t fewest_rows = kSampledRows;
  const Result* last = nullptr;
  for (const Result& r : results) {
    if (last == nullptr || last->n != r.n || last->shape.m != r.shape.m || last->shape.k != r.shape.k) {
      fmt::print("\nW[{} x {}], N = {}{}{}\n", r.shape.m, r.shape.k, r.n, r.shape.name.empty() ? "" : "   ",
                 r.shape.name);
    }
    last = &r;
    fewest_rows = std::min(fewest_rows, r.shape.m);
    fmt::print("  {:<9} {:>11.3f} {:>9} {:>8} {:>13} {:>7}x", r.format, r.bits_per_weight, Short(r.ms),
               Short(r.GMacS()), Short(r.WeightGBs()), Short(r.speedup));
    if (r.nmse) fmt::print(" {:>9.1e}", *r.nmse);
    if (r.weights_nmse) fmt::print("  {:>15.1e}", *r.weights_nmse);
    fmt::print("\n");
  }
  fmt::print(
      "\nbits/weight: with scales. ms: the best of several runs, preparing x included, weights read from memory. vs "
      "f32:\n"
      "how many times faster than plain vectorised code with float weights. NMSE: squared error over squared result,\n"
      "against the quantized weights in double, checked on {} rows of W and all tokens.\n",
      fewest_rows);
  if (own) fmt::print("NMSE to float W: the same against the weights as they were before they were quantized.\n");
}

void PrintJson(const Options& options, const Machine& machine, const std::vector<Result>& results) {
  fmt::print(
      "{{\"target\": {}, \"threads\": {}, \"group\": {}, \"precision\": {}, \"read_gb_s\": {:.6g}, "
      "\"f32_gmac_s\": {:.6g},\n \"results\": [",
      Quoted(TargetName(options.target)), options.threads, Quoted(GroupName(options.group)),
      Quoted(Name(options.precision)), machine.read_gb_s(), machine.f32_gmac_s());
  const char* separator = "\n";
  for (const Result& r : results) {
    fmt::print(
        "{}  {{\"name\": {}, \"m\": {}, \"k\": {}, \"n\": {}, \"format\": {}, \"bits_per_weight\": {:.6g}, \"ms\": "
        "{:.6g}, "
        "\"gmac_s\": {:.6g}, \"weight_gb_s\": {:.6g}, \"vs_f32\": {:.6g}",
        separator, Quoted(r.shape.name), r.shape.m, r.shape.k, r.n, Quoted(r.format), r.bits_per_weight, r.ms,
        r.GMacS(), r.WeightGBs(), r.speedup);
    if (r.nmse) fmt::print(", \"nmse\": {:.6g}", *r.nmse);
    if (r.weights_nmse) fmt::print(", \"nmse_to_float_weights\": {:.6g}", *r.weights_nmse);
    fmt::print("}}");
    separator = ",\n";
  }
  fmt::print("\n]}}\n");
}

}  // namespace lutra::examples
