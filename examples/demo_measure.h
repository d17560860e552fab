// Times and checks one layer of a model in every format.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "demo_options.h"
#include "lutra/lutra.h"

namespace lutra::examples {

// W[M x K] in float.
struct Layer {
  Shape shape;
  Buffer weights;
};

Status MakeRandomLayer(const Shape& shape, Layer* layer);

// Returns what is wrong with the file; empty if nothing is.
std::string LoadLayer(const std::string& file, const Shape& shape, Layer* layer);

// One line of the table.
struct Result {
  Shape shape;
  std::size_t n = 0;
  std::string format;
  double bits_per_weight = 32;
  double ms = 0;
  double speedup = 1;                        // against f32
  std::optional<double> nmse, weights_nmse;  // against double references: quantized weights, and a user's own in float

  double GMacS() const { return static_cast<double>(shape.m * shape.k * n) / ms * 1e-6; }
  double WeightGBs() const { return static_cast<double>(shape.m * shape.k) * bits_per_weight / 8 / ms * 1e-6; }
};

// The machine, its limits as plain float code meets them, and its caches.
class Machine {
 public:
  explicit Machine(Executor& executor) : executor_(executor) {}
  Status Measure();

  Executor& executor() const { return executor_; }
  double read_gb_s() const { return read_gb_s_; }
  double f32_gmac_s() const { return f32_gmac_s_; }
  // Reads so much else that weights must come from memory again, as they do when a model's other layers ran in between.
  void ClearCaches();

 private:
  Executor& executor_;
  Buffer weights_, x_, y_;
  double read_gb_s_ = 0, f32_gmac_s_ = 0;
};

// Appends the results of all formats for the first number of tokens, then for the next. Calls progress before each
// step, 1 + formats * tokens times.
using Progress = std::function<void(const std::string& step)>;
Status MeasureLayer(const Layer& layer, const Options& options, Machine& machine, const Progress& progress,
                    std::vector<Result>* results);

}  // namespace lutra::examples
