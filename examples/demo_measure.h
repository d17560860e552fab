// Times and checks one layer of a model in every format.
#pragma once

#include <cstddef>
#include <functional>
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
  double speedup = 1;  // against f32
  // Errors against double references: with the quantized weights, and with the float ones. Float weights have none.
  bool checked = false;
  double nmse = 0, weights_nmse = 0;

  double GMacS() const { return static_cast<double>(shape.m * shape.k * n) / ms * 1e-6; }
  double WeightGBs() const { return static_cast<double>(shape.m * shape.k) * bits_per_weight / 8 / ms * 1e-6; }
};

// The machine's limits as plain float code meets them.
struct Limits {
  double read_gb_s = 0, f32_gmac_s = 0;
};
Status MeasureLimits(Executor& executor, Limits* limits);

// Appends the results of all formats for the first number of tokens, then for the next. Calls progress before each
// step, 1 + formats * tokens times.
using Progress = std::function<void(const std::string& step)>;
Status MeasureLayer(const Layer& layer, const Options& options, Executor& executor, const Progress& progress,
                    std::vector<Result>* results);

}  // namespace lutra::examples
