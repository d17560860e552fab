// Measures each format on the layers of a network and prints a format for each, within a budget:
// plan_formats (mb|ms) BUDGET LAYER... [--svg FILE]
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "best_ms.h"
#include "codebooks.h"
#include "format_plan.h"
#include "lutra/lutra.h"

namespace {

using lutra::Format;
using lutra::examples::FormatCost;

constexpr const char* kUsage =
    "usage: plan_formats (mb|ms) BUDGET LAYER... [--svg FILE]\n"
    "LAYER is a file NAME_MxK.f32 of little-endian floats, or MxK for random weights; then maybe :SENSITIVITY, by "
    "which\n"
    "the layer's error counts (1). The error of a layer is the NMSE of its weights by a search, its time that of one\n"
    "token on one thread, its size that of packed weights. FILE gets a picture: error against the budget.\n";

struct Layer {
  std::string name;
  std::size_t m = 0, k = 0;
  double sensitivity = 1;
  std::vector<float> weights;
};
struct Candidate {
  Format format;
  std::size_t group;
};
constexpr Candidate kCandidates[] = {
    {Format::kTernary, 128}, {Format::kInt2, 64},  {Format::kInt2, 32}, {Format::kInt3, 64}, {Format::kInt3, 32},
    {Format::kInt4, 128},    {Format::kIq4nl, 32}, {Format::kInt5, 64}, {Format::kInt6, 64}, {Format::kInt8, 128}};
constexpr std::size_t kCount = sizeof(kCandidates) / sizeof(kCandidates[0]);

std::string NameOf(const Candidate& c) { return fmt::format("{} per {}", lutra::Name(c.format), c.group); }

// "path/name_MxK.f32:2" or "MxK:2". Returns what is wrong; empty if nothing is.
std::string ReadLayer(std::string text, Layer* layer) {
  if (const std::size_t colon = text.find_last_of(':'); colon != std::string::npos) {
    layer->sensitivity = std::strtod(text.c_str() + colon + 1, nullptr);
    text.resize(colon);
  }
  layer->name = text.substr(text.find_last_of('/') + 1);
  const std::size_t shape = layer->name.find_last_of('_');
  const std::string sizes = layer->name.substr(shape == std::string::npos ? 0 : shape + 1);
  if (std::sscanf(sizes.c_str(), "%zux%zu", &layer->m, &layer->k) != 2 || layer->m == 0 || layer->k == 0 ||
      layer->m > 1 << 20 || layer->k > 1 << 20 || !(layer->sensitivity >= 0)) {
    return text + " has no shape MxK, or a faulty sensitivity";
  }
  layer->weights.resize(layer->m * layer->k);
  if (text.size() > 4 && text.compare(text.size() - 4, 4, ".f32") == 0) {
    std::FILE* const file = std::fopen(text.c_str(), "rb");
    if (file == nullptr) return text + " cannot be opened";
    const std::size_t count = std::fread(layer->weights.data(), sizeof(float), layer->weights.size(), file);
    std::fclose(file);
    return count == layer->weights.size() ? "" : text + " is too short";
  }
  std::mt19937 random(1);
  std::normal_distribution<float> gaussian;
  std::generate(layer->weights.begin(), layer->weights.end(), [&] { return gaussian(random); });
  return "";
}

// --- Measuring.

struct Measured {
  double mb = 0, ms = 0, error = 0;
};

lutra::Status Measure(const Layer& layer, const Candidate& candidate, Measured* measured) {
  lutra::QuantizeOptions options = lutra::examples::OptionsFor(candidate.format, candidate.group);
  options.fit = lutra::Fit::kLeastError;
  lutra::QuantizedMatrix q;
  lutra::PackedMatrix w;
  std::vector<float> out(layer.weights.size()), y(layer.m);
  lutra::Status status = lutra::Quantize(layer.weights.data(), layer.m, layer.k, layer.k, options, &q);
  if (status.ok()) status = lutra::Dequantize(q.view(), out.data(), layer.k);
  if (status.ok()) status = lutra::Pack(q.view(), &w);
  if (!status.ok()) return status;
  double error = 0, square = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double difference = double{out[i]} - layer.weights[i];
    error += difference * difference;
    square += double{layer.weights[i]} * layer.weights[i];
  }
  measured->error = square > 0 ? layer.sensitivity * error / square : 0;
  measured->mb = static_cast<double>(w.bytes()) * 1e-6;
  lutra::Context context;
  const lutra::ActivationView x(layer.weights.data(), 1, layer.k);
  measured->ms = lutra::examples::BestMs([] {},
                                         [&] {
                                           if (status.ok())
                                             status =
                                                 lutra::MatMul(w, x, lutra::OutputView(y.data(), 1, layer.m), context);
                                         });
  return status;
}

// --- The picture.

struct Point {
  FormatCost sum;
  std::string name;  // of a uniform format; empty: a plan
};

// Error against cost, both logarithmic.
bool WriteSvg(const char* path, const std::vector<Point>& points, const char* unit) {
  double low[2] = {1e300, 1e300}, high[2] = {0, 0};
  const auto values = [](const Point& p, int axis) { return std::max(axis == 0 ? p.sum.cost : p.sum.error, 1e-12); };
  for (const Point& p : points) {
    for (const int axis : {0, 1}) {
      low[axis] = std::min(low[axis], values(p, axis));
      high[axis] = std::max(high[axis], values(p, axis));
    }
  }
  const auto place = [&](const Point& p, int axis) {
    const double range = std::log(std::max(high[axis] / low[axis], 1.001));
    const double share = std::log(values(p, axis) / low[axis]) / range;
    return axis == 0 ? 60 + 480 * share : 340 - 300 * share;
  };
  std::FILE* const file = std::fopen(path, "w");
  if (file == nullptr) return false;
  fmt::print(file, "<svg xmlns='http://www.w3.org/2000/svg' width='640' height='400' font-family='sans-serif'>\n");
  fmt::print(file,
             "<rect width='640' height='400' fill='white'/><path d='M60 30V340H600' stroke='black' fill='none'/>\n");
  fmt::print(file, "<text x='300' y='385' font-size='13'>{} (log.): {:.3g} to {:.3g}</text>\n", unit, low[0], high[0]);
  fmt::print(file, "<text x='20' y='20' font-size='13'>error (log.): {:.3g} to {:.3g}</text>\n", low[1], high[1]);
  std::string line;
  for (const Point& p : points) {
    const double x = place(p, 0), y = place(p, 1);
    if (p.name.empty()) {
      line += fmt::format("{}{:.1f} {:.1f}", line.empty() ? "M" : "L", x, y);
    } else {
      fmt::print(file, "<circle cx='{:.1f}' cy='{:.1f}' r='3'/><text x='{:.1f}' y='{:.1f}' font-size='11'>{}</text>\n",
                 x, y, x + 5, y - 4, p.name);
    }
  }
  fmt::print(file, "<path d='{}' stroke='crimson' fill='none'/>\n</svg>\n", line);
  return std::fclose(file) == 0;
}

// The uniform formats, and plans for 40 budgets between the cheapest and the most costly of them.
std::vector<Point> PointsOf(const std::vector<std::vector<FormatCost>>& costs) {
  std::vector<Point> points;
  double low = 1e300, high = 0;
  for (std::size_t format = 0; format < kCount; ++format) {
    const FormatCost sum = SumOf(costs, std::vector<std::size_t>(costs.size(), format));
    points.push_back({sum, NameOf(kCandidates[format])});
    low = std::min(low, sum.cost);
    high = std::max(high, sum.cost);
  }
  for (int i = 0; i <= 40; ++i) {
    const std::vector<std::size_t> plan = ChooseFormats(costs, low + (high - low) * i / 40);
    if (!plan.empty()) points.push_back({SumOf(costs, plan), ""});
  }
  return points;
}

int Fail(const std::string& message) {
  fmt::print(stderr, "plan_formats: {}\n{}", message, kUsage);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  const char* svg = nullptr;
  if (argc > 3 && std::strcmp(argv[argc - 2], "--svg") == 0) svg = argv[argc - 1], argc -= 2;
  if (argc < 4) return Fail("too few arguments");
  const std::string unit = argv[1];
  const double budget = std::strtod(argv[2], nullptr);
  if (unit != "mb" && unit != "ms") return Fail(unit + " is neither mb nor ms");
  if (!(budget > 0)) return Fail(std::string(argv[2]) + " is no budget");

  std::vector<Layer> layers;
  std::vector<std::vector<FormatCost>> costs;
  for (int i = 3; i < argc; ++i) {
    const std::string wrong = ReadLayer(argv[i], &layers.emplace_back());
    if (!wrong.empty()) return Fail(wrong);
    costs.emplace_back();
    for (const Candidate& candidate : kCandidates) {
      Measured measured;
      const lutra::Status status = Measure(layers.back(), candidate, &measured);
      if (!status.ok()) return Fail(layers.back().name + ": " + status.message());
      costs.back().push_back({unit == "mb" ? measured.mb : measured.ms, measured.error});
    }
  }

  const std::vector<std::size_t> plan = ChooseFormats(costs, budget);
  if (plan.empty()) {
    fmt::print("no format is within {} {}\n", budget, unit);
    return 1;
  }
  fmt::print("{:<32} {:<16} {:>10} {:>10}\n", "layer", "format", unit, "error");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const FormatCost& c = costs[i][plan[i]];
    fmt::print("{:<32} {:<16} {:>10.4f} {:>10.2e}\n", layers[i].name, NameOf(kCandidates[plan[i]]), c.cost, c.error);
  }
  const FormatCost sum = SumOf(costs, plan);
  fmt::print("{:<32} {:<16} {:>10.4f} {:>10.2e}\n", "all, as planned", "", sum.cost, sum.error);
  for (std::size_t format = 0; format < kCount; ++format) {
    const FormatCost uniform = SumOf(costs, std::vector<std::size_t>(costs.size(), format));
    fmt::print("{:<32} {:<16} {:>10.4f} {:>10.2e}{}\n", "all", NameOf(kCandidates[format]), uniform.cost, uniform.error,
               uniform.cost <= budget ? "" : "  above the budget");
  }
  if (svg != nullptr && !WriteSvg(svg, PointsOf(costs), unit.c_str()))
    return Fail(std::string(svg) + " cannot be written");
  return 0;
}
