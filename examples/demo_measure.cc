// Quantize, pack, prepare and multiply, as a user of the library would, with a clock and a double reference beside.
#include "demo_measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <system_error>

#include "best_ms.h"
#include "codebooks.h"
#include "lutra/sampled_error.h"
#include "plain_f32.h"

namespace lutra::examples {
namespace {

// 256 MB of floats, more than caches hold.
constexpr std::size_t kColdRows = 16384, kColdCols = 4096;

Status Allocate(const char* what, std::size_t floats, Buffer* buffer) {
  return buffer->Reserve(floats * sizeof(float)) ? Status() : Status::OutOfMemory(what);
}

void FillGaussian(std::uint64_t seed, float deviation, std::size_t count, Buffer* buffer) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> gaussian(0.0f, deviation);
  std::generate_n(buffer->as<float>(), count, [&] { return gaussian(random); });
}

// The operands of one layer with n tokens, and what f32 takes for them.
class Bench {
 public:
  Bench(const Layer& layer, std::size_t n, Machine& machine) : layer_(layer), n_(n), machine_(machine) {}

  Status Init() {
    const std::size_t m = layer_.shape.m, k = layer_.shape.k;
    if (const Status status = Allocate("x", n_ * k, &x_); !status.ok()) return status;
    if (const Status status = Allocate("y", n_ * m, &y_); !status.ok()) return status;
    FillGaussian(2, 1.0f, n_ * k, &x_);
    // Many tokens take long in f32; a part of the rows tells as much.
    const std::size_t rows = n_ < 8 ? m : std::min<std::size_t>(m, 1024);
    const double ms = BestMs(Clear(), [&] {
      PlainMatMul(layer_.weights.as<float>(), rows, k, x_.as<float>(), n_, y_.as<float>(), machine_.executor());
    });
    f32_ms_ = ms * static_cast<double>(m) / static_cast<double>(rows);
    return {};
  }

  Result Baseline() const { return {layer_.shape, n_, Name(DataType::kF32), 32, f32_ms_, 1, {}, {}}; }

  // Also fills *result, for weights that were quantized to `q` and packed to `w`.
  Status Run(const QuantizedView& q, const PackedMatrix& w, const Options& options, Result* result) {
    const std::size_t m = layer_.shape.m, k = layer_.shape.k;
    const ActivationView x(x_.as<float>(), n_, k);
    const OutputView y(y_.as<float>(), n_, m);
    Context context{&machine_.executor()};
    Status status;
    const double ms = BestMs(Clear(), [&] {
      if (status.ok()) status = Prepare(x, w, options.precision, context, &tables_);
      if (status.ok()) status = MatMul(w, tables_, y, context);
    });
    Nmse nmse;
    if (status.ok()) status = CompareWithReference(q, x, y_.as<float>(), &nmse);
    *result = {layer_.shape, n_, Name(q.format), w.bits_per_weight(), ms, f32_ms_ / ms, nmse.value(), {}};
    if (!options.weights.empty()) result->weights_nmse = CompareWithFloats();
    return status;
  }

 private:
  std::function<void()> Clear() {
    return [this] { machine_.ClearCaches(); };
  }

  double CompareWithFloats() const {
    const std::size_t m = layer_.shape.m, k = layer_.shape.k;
    Nmse nmse;
    for (const RowRange& rows : SampleRows(m)) {
      for (std::size_t row = rows.begin; row < rows.end; ++row) {
        for (std::size_t n = 0; n < n_; ++n) {
          double sum = 0;
          for (std::size_t i = 0; i < k; ++i) {
            sum += static_cast<double>(layer_.weights.as<float>()[row * k + i]) * x_.as<float>()[n * k + i];
          }
          nmse.Add(y_.as<float>()[n * m + row], sum);
        }
      }
    }
    return nmse.value();
  }

  const Layer& layer_;
  std::size_t n_;
  Machine& machine_;
  Buffer x_, y_;
  Activations tables_;
  double f32_ms_ = 0;
};

}  // namespace

Status MakeRandomLayer(const Shape& shape, Layer* layer) {
  layer->shape = shape;
  if (const Status status = Allocate("weights", shape.m * shape.k, &layer->weights); !status.ok()) return status;
  FillGaussian(1, 1.0f / std::sqrt(static_cast<float>(shape.k)), shape.m * shape.k, &layer->weights);
  return {};
}

std::string LoadLayer(const std::string& file, const Shape& shape, Layer* layer) {
  const std::size_t count = shape.m * shape.k;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (error) return fmt::format("{}: {}", file, error.message());
  if (size != count * sizeof(float)) {
    return fmt::format("{} has {} bytes, but {} x {} float32 weights take {}", file, size, shape.m, shape.k,
                       count * sizeof(float));
  }
  layer->shape = shape;
  if (!Allocate("weights", count, &layer->weights).ok()) return fmt::format("{} does not fit into memory", file);
  auto* const weights = layer->weights.as<float>();
  std::ifstream stream(file, std::ios::binary);
  if (!stream.read(reinterpret_cast<char*>(weights), static_cast<std::streamsize>(size))) {
    return fmt::format("{} cannot be read", file);
  }
  const auto* const bad = std::find_if(weights, weights + count, [](float w) { return !std::isfinite(w); });
  return bad == weights + count ? "" : fmt::format("{}: weight {} is not finite", file, bad - weights);
}

Status Machine::Measure() {
  constexpr std::size_t kTokens = 128;
  if (const Status status = Allocate("weights", kColdRows * kColdCols, &weights_); !status.ok()) return status;
  if (const Status status = Allocate("x", kTokens * kColdCols, &x_); !status.ok()) return status;
  if (const Status status = Allocate("y", kTokens * kColdRows, &y_); !status.ok()) return status;
  std::fill_n(weights_.as<float>(), kColdRows * kColdCols, 1.0f);
  std::fill_n(x_.as<float>(), kTokens * kColdCols, 1.0f);

  const auto nothing = [] {};
  constexpr double kBytes = sizeof(float) * kColdRows * kColdCols;
  read_gb_s_ = 1e-6 * kBytes / BestMs(nothing, [&] { ClearCaches(); });
  constexpr std::size_t kRows = 512;
  const double ms = BestMs(nothing, [&] {
    PlainMatMul(weights_.as<float>(), kRows, kColdCols, x_.as<float>(), kTokens, y_.as<float>(), executor_);
  });
  f32_gmac_s_ = 1e-6 * static_cast<double>(kRows * kColdCols * kTokens) / ms;
  return {};
}

void Machine::ClearCaches() {
  PlainMatMul(weights_.as<float>(), kColdRows, kColdCols, x_.as<float>(), 1, y_.as<float>(), executor_);
}

Status MeasureLayer(const Layer& layer, const Options& options, Machine& machine, const Progress& progress,
                    std::vector<Result>* results) {
  const std::size_t m = layer.shape.m, k = layer.shape.k;
  const std::string title = fmt::format("W[{} x {}]", m, k);
  progress(title + " f32");
  std::vector<Bench> benches;
  std::vector<std::vector<Result>> by_tokens;
  for (const std::size_t n : options.tokens) {
    benches.emplace_back(layer, n, machine);
    if (const Status status = benches.back().Init(); !status.ok()) return status;
    by_tokens.push_back({benches.back().Baseline()});
  }
  for (const Format format : options.formats) {
    QuantizedMatrix q;
    PackedMatrix w;
    Status status = Quantize(layer.weights.as<float>(), m, k, k, OptionsFor(format, options.group), &q);
    if (status.ok()) status = Pack(q.view(), {options.target, &machine.executor()}, &w);
    if (!status.ok()) return status;
    for (std::size_t i = 0; i < benches.size(); ++i) {
      progress(fmt::format("{} {}, N = {}", title, Name(format), options.tokens[i]));
      if (status = benches[i].Run(q.view(), w, options, &by_tokens[i].emplace_back()); !status.ok()) {
        return status;
      }
    }
  }
  for (const std::vector<Result>& part : by_tokens) results->insert(results->end(), part.begin(), part.end());
  return {};
}

}  // namespace lutra::examples
