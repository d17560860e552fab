// The feed-forward block of a Llama, y = down(silu(gate(x)) * up(x)), in low bits and in f32: tokens per second, error.
//
//     mlp_block [OPTIONS]                          random weights
//     mlp_block [OPTIONS] FILE GATE UP DOWN        tensors of a GGUF file
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "best_ms.h"
#include "codebooks.h"
#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "lutra/sampled_error.h"
#include "model_file.h"
#include "plain_f32.h"

namespace lutra::examples {
namespace {

enum ExitCode { kOk = 0, kFailed = 1, kBadUsage = 2 };

// Ten times what Gaussian weights and activations give.
constexpr double kMaxError = 0.2;

int Fail(ExitCode code, const std::string& message) {
  fmt::print(stderr, "mlp_block: {}\n", message);
  return code;
}

// --- Options.

struct Options {
  std::size_t width = 4096, hidden = 11008, prompt = 128, threads = 1;  // Llama-2-7B
  Format format = Format::kInt4;
  std::vector<std::string> model;  // FILE GATE UP DOWN, or none
};

std::string Usage() {
  std::string formats;
  for (const FormatInfo& f : kFormats) formats += fmt::format("{}{}", formats.empty() ? "" : ", ", f.name);
  return fmt::format(
      "usage: mlp_block [OPTIONS] [FILE GATE UP DOWN]\n"
      "  --width K     width of the model, 1 to 65536 (4096), if there is no FILE\n"
      "  --hidden M    width of the hidden layer, 1 to 65536 (11008), if there is no FILE\n"
      "  --format F    one of {} ({}), if there is no FILE\n"
      "  --prompt N    tokens at a time in prefill, 1 to 4096 (128)\n"
      "  --threads T   1 to 1024 (1)\n",
      formats, Name(Options().format));
}

bool ParseNumber(std::string_view text, std::size_t max, std::size_t* number) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && rest == end && *number >= 1 && *number <= max;
}

bool ParseFormat(std::string_view name, Format* format) {
  for (const FormatInfo& f : kFormats) {
    if (name != f.name) continue;
    *format = f.format;
    return true;
  }
  return false;
}

bool ParseOption(std::string_view name, std::string_view value, Options* options) {
  if (name == "--width") return ParseNumber(value, 65536, &options->width);
  if (name == "--hidden") return ParseNumber(value, 65536, &options->hidden);
  if (name == "--prompt") return ParseNumber(value, 4096, &options->prompt);
  if (name == "--threads") return ParseNumber(value, 1024, &options->threads);
  return name == "--format" && ParseFormat(value, &options->format);
}

bool Parse(int argc, const char* const* argv, Options* options) {
  int i = 1;
  for (; i < argc && std::string_view(argv[i]).substr(0, 2) == "--"; i += 2) {
    if (i + 1 == argc || !ParseOption(argv[i], argv[i + 1], options)) return false;
  }
  options->model.assign(argv + i, argv + argc);
  return options->model.empty() || options->model.size() == 4;
}

// --- The weights.

struct Layer {
  PackedMatrix packed;
  std::vector<float> plain;  // the same values in f32

  std::size_t m() const { return packed.m(); }
  std::size_t k() const { return packed.k(); }
  Status Load(const QuantizedMatrix& q, Executor& executor) {
    const QuantizedView& w = q.view();
    plain.resize(w.m * w.k);
    const Status status = Dequantize(w, plain.data(), w.k);
    return status.ok() ? Pack(w, {nullptr, &executor}, &packed) : status;
  }
};

struct Weights {
  Layer gate, up, down;
};

Status LoadRandom(const Options& options, std::size_t m, std::size_t k, Executor& executor, Layer* layer) {
  std::mt19937_64 random(m + k);
  std::normal_distribution<float> gaussian(0.0f, 1.0f / std::sqrt(static_cast<float>(k)));
  std::vector<float> weights(m * k);
  std::generate(weights.begin(), weights.end(), [&] { return gaussian(random); });
  QuantizedMatrix q;
  const Status status = Quantize(weights.data(), m, k, k, OptionsFor(options.format, 128), &q);
  return status.ok() ? layer->Load(q, executor) : status;
}

// Returns what is wrong; empty if nothing is.
std::string LoadModel(const std::vector<std::string>& model, Executor& executor, Weights* weights) {
  ModelFile file;
  std::string error = file.Open(model[0]);
  Layer* const layers[] = {&weights->gate, &weights->up, &weights->down};
  for (std::size_t i = 0; error.empty() && i < 3; ++i) {
    QuantizedMatrix q;
    error = file.Import(model[1 + i], &q);
    if (!error.empty()) break;
    if (const Status status = layers[i]->Load(q, executor); !status.ok()) error = status.message();
  }
  if (!error.empty()) return error;
  const Layer &gate = weights->gate, &up = weights->up, &down = weights->down;
  if (gate.m() == up.m() && gate.k() == up.k() && down.m() == gate.k() && down.k() == gate.m()) return "";
  return fmt::format("gate[{} x {}], up[{} x {}] and down[{} x {}] are no block", gate.m(), gate.k(), up.m(), up.k(),
                     down.m(), down.k());
}

// --- The block, twice.

void SiluTimes(const std::vector<float>& up, std::vector<float>* gate) {
  for (std::size_t i = 0; i < up.size(); ++i) (*gate)[i] = (*gate)[i] / (1.0f + std::exp(-(*gate)[i])) * up[i];
}

// For n tokens at a time; y is n x width.
class Block {
 public:
  Block(const Weights& weights, std::size_t n, Executor& executor)
      : weights_(weights),
        n_(n),
        executor_(executor),
        context_{&executor},
        gate_(n * weights.gate.m()),
        up_(gate_.size()),
        y_(n * weights.down.m()) {}

  Status Run(const std::vector<float>& x) {
    const Layer &gate = weights_.gate, &up = weights_.up, &down = weights_.down;
    Status status = Prepare(View(x, gate.k()), gate.packed, Precision::kInt8, context_, &x_);
    if (status.ok()) status = MatMul(gate.packed, x_, View(&gate_, gate.m()), context_);
    // What gate has prepared serves up, unless a file has them in types that do not fit each other.
    if (status.ok() && !x_.Fits(up.packed)) {
      status = Prepare(View(x, up.k()), up.packed, Precision::kInt8, context_, &x_);
    }
    if (status.ok()) status = MatMul(up.packed, x_, View(&up_, up.m()), context_);
    SiluTimes(up_, &gate_);
    if (status.ok()) status = Prepare(View(gate_, down.k()), down.packed, Precision::kInt8, context_, &hidden_);
    if (status.ok()) status = MatMul(down.packed, hidden_, View(&y_, down.m()), context_);
    return status;
  }

  void RunPlain(const std::vector<float>& x) {
    const Layer &gate = weights_.gate, &up = weights_.up, &down = weights_.down;
    PlainMatMul(gate.plain.data(), gate.m(), gate.k(), x.data(), n_, gate_.data(), executor_);
    PlainMatMul(up.plain.data(), up.m(), up.k(), x.data(), n_, up_.data(), executor_);
    SiluTimes(up_, &gate_);
    PlainMatMul(down.plain.data(), down.m(), down.k(), gate_.data(), n_, y_.data(), executor_);
  }

  const std::vector<float>& y() const { return y_; }

 private:
  ActivationView View(const std::vector<float>& x, std::size_t k) const { return {x.data(), n_, k}; }
  OutputView View(std::vector<float>* y, std::size_t m) const { return {y->data(), n_, m}; }

  const Weights& weights_;
  std::size_t n_;
  Executor& executor_;
  Context context_;
  std::vector<float> gate_, up_, y_;
  Activations x_, hidden_;
};

// One line of the table. Sets *error to that of y, relative to f32.
Status Measure(const Weights& weights, std::size_t n, Executor& executor, double* error) {
  std::mt19937_64 random(n);
  std::normal_distribution<float> gaussian;
  std::vector<float> x(n * weights.gate.k());
  std::generate(x.begin(), x.end(), [&] { return gaussian(random); });
  Block block(weights, n, executor);
  Status status;
  const auto nothing = [] {};
  const double ms = BestMs(nothing, [&] {
    if (status.ok()) status = block.Run(x);
  });
  if (!status.ok()) return status;
  const std::vector<float> y = block.y();
  const double plain_ms = BestMs(nothing, [&] { block.RunPlain(x); });
  Nmse nmse;
  for (std::size_t i = 0; i < y.size(); ++i) nmse.Add(y[i], block.y()[i]);
  *error = std::sqrt(nmse.value());
  fmt::print("{:>5}  {:>12.1f}  {:>12.1f}  {:>8.1f}  {:>15.1e}\n", n, 1e3 * static_cast<double>(n) / ms,
             1e3 * static_cast<double>(n) / plain_ms, plain_ms / ms, *error);
  return {};
}

int Run(const Options& options) {
  ThreadPool executor(options.threads);
  Weights weights;
  if (!options.model.empty()) {
    const std::string error = LoadModel(options.model, executor, &weights);
    if (!error.empty()) return Fail(kBadUsage, error);
  } else {
    Status status = LoadRandom(options, options.hidden, options.width, executor, &weights.gate);
    if (status.ok()) status = LoadRandom(options, options.hidden, options.width, executor, &weights.up);
    if (status.ok()) status = LoadRandom(options, options.width, options.hidden, executor, &weights.down);
    if (!status.ok()) return Fail(kFailed, status.message());
  }
  const Layer* const layers[] = {&weights.gate, &weights.up, &weights.down};
  const char* const names[] = {"gate", "up", "down"};
  for (std::size_t i = 0; i < 3; ++i) {
    const PackedMatrix& w = layers[i]->packed;
    fmt::print("{:<4}  W[{} x {}], {}, {:.3f} bits per weight\n", names[i], w.m(), w.k(), Name(w.format()),
               w.bits_per_weight());
  }
  fmt::print("\n{:>5}  {:>12}  {:>12}  {:>8}  {:>15}\n", "N", "tokens/s", "f32", "faster", "relative error");
  for (const std::size_t n : {std::size_t{1}, options.prompt}) {
    double error = 0;
    const Status status = Measure(weights, n, executor, &error);
    if (!status.ok()) return Fail(kFailed, status.message());
    if (!(error <= kMaxError)) return Fail(kFailed, fmt::format("the error is above {}", kMaxError));
  }
  return kOk;
}

}  // namespace
}  // namespace lutra::examples

int main(int argc, char** argv) {
  using namespace lutra::examples;
  Options options;
  if (!Parse(argc, argv, &options)) return Fail(kBadUsage, Usage());
  try {
    return Run(options);
  } catch (const std::bad_alloc&) {
    return Fail(kFailed, "the weights do not fit into memory in f32");
  }
}
