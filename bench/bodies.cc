// See bodies.h.
#include "bodies.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "lutra/sampled_error.h"
#include "machine_limits.h"
#include "micro_bound.h"
#include "scalar.h"
#include "timing.h"

namespace lutra::bench {
namespace {

// Keeps the weights from one case to the next of the same format, target and params; they take long to pack.
Status GetWeights(const Case& c, Weights** weights) {
  static std::unique_ptr<Weights> kept;
  if (kept == nullptr || !kept->IsOf(c.format, c.target, c.params)) {
    kept.reset();  // first, so that two do not need memory at a time
    kept = std::make_unique<Weights>(c.format, c.target, kM, kK, c.params);
  }
  *weights = kept.get();
  return kept->Reserve(c.residence);
}

std::vector<float> GaussianX(std::size_t n) {
  std::mt19937_64 random(2);
  std::normal_distribution<float> gaussian;
  std::vector<float> x(n * kK);
  std::generate(x.begin(), x.end(), [&] { return gaussian(random); });
  return x;
}

// What one multiplication reads and writes.
struct Operands {
  explicit Operands(const Case& c)
      : precision(c.precision),
        plan(c.plan),
        x_data(GaussianX(c.n)),
        y_data(c.n * kM),
        executor(c.threads),
        context{&executor} {
    x = {x_data.data(), c.n, kK};
    if (c.bits) {  // the bits of the floats
      choice = Choice::kBits;
      scales.assign(c.n, 1.0f);
      x = ActivationView::Bits(reinterpret_cast<const std::uint8_t*>(x_data.data()), scales.data(), c.n, kK);
    }
    y = {y_data.data(), c.n, kM};
  }

  Status PrepareFor(const PackedMatrix& w) {
    return plan == nullptr ? Prepare(x, w, {precision, choice}, context, &tables)
                           : Prepare(x, w, precision, *plan, context, &tables);
  }
  Status Multiply(const PackedMatrix& w) {
    if (const Status status = PrepareFor(w); !status.ok()) return status;
    return plan == nullptr ? MatMul(w, tables, y, context) : MatMul(w, tables, y, *plan, context);
  }

  // The error on a sample of rows and tokens, without the time of a whole multiplication.
  Status SampleError(const PackedMatrix& w, const QuantizedView& codes, double* error) {
    if (const Status status = PrepareFor(w); !status.ok()) return status;
    for (const RowRange& rows : SampleRows(kM)) {
      if (const Status status = MatMulRange(w, tables, y, rows.begin, rows.end); !status.ok()) return status;
    }
    ActivationView tokens = x;
    tokens.n = std::min<std::size_t>(x.n, 4);
    Nmse nmse;
    const Status status = CompareWithReference(codes, tokens, y_data.data(), &nmse);
    *error = nmse.value();
    return status;
  }

  Precision precision;
  Choice choice = Choice::kInvariant;
  const Plan* plan;
  std::vector<float> x_data, y_data, scales;
  ActivationView x;
  OutputView y;
  ThreadPool executor;
  Context context;
  Activations tables;
};

// As small as can be: for Prepare only its K and its format matter.
Status PackOneRow(const Case& c, PackedMatrix* w) {
  QuantizedMatrix codes;
  const Status status = RandomWeights(c.format, 1, kK, c.params, &codes);
  return status.ok() ? Pack(codes.view(), {c.target, nullptr}, w) : status;
}

}  // namespace

void BenchmarkMatMul(benchmark::State& state, const Case& c) {
  Weights* weights;
  Operands operands(c);
  double nmse = 0;
  Status status = GetWeights(c, &weights);
  if (status.ok()) status = operands.SampleError(weights->first(), weights->codes(), &nmse);
  if (!status.ok()) return state.SkipWithError(status.message().c_str());

  const double seconds = SecondsPerIteration(state, [&] { return operands.Multiply(weights->Next(c.residence)); });
  const PackedMatrix& w = weights->first();
  const double gmac_s = 1e-9 * static_cast<double>(kM * kK * c.n) / seconds;
  const double weight_gb_s = 1e-9 * static_cast<double>(w.bytes()) / seconds;
  state.counters["gmac_s"] = gmac_s;
  state.counters["weight_gb_s"] = weight_gb_s;
  state.counters["of_stream"] = weight_gb_s / StreamGBs(c.threads);
  state.counters["of_dot_peak"] = gmac_s / DotPeakGMacS(TargetName(c.target));
  if (const double peak = MatrixPeakGMacS(TargetName(c.target)); peak != 0) {
    state.counters["of_amx_peak"] = gmac_s / peak;
  }
  const PlanCase what = CaseOf(w, c.n, c.precision);
  const Plan& plan = c.plan == nullptr ? SelectPlan(what, operands.choice) : *c.plan;
  if (const double bound = MicroBoundGMacS(w, c.n, c.precision, plan); bound != 0) {
    state.counters["of_bound"] = gmac_s / bound;
  }
  state.counters["bits_per_weight"] = w.bits_per_weight();
  state.counters["nmse"] = nmse;
  const MicroTile tile = TileOf(plan, what);
  state.SetLabel(std::string(Name(plan)) + ", tile " + std::to_string(64 * tile.panels) + "x" +
                 std::to_string(tile.rows) + ", " + std::to_string(64 * plan.panels) + "x" +
                 std::to_string(plan.token_block) + " a sweep; bound by " + plan.bound);
}

void BenchmarkPrepare(benchmark::State& state, const Case& c) {
  PackedMatrix w;
  if (const Status status = PackOneRow(c, &w); !status.ok()) return state.SkipWithError(status.message().c_str());

  Operands operands(c);
  const double seconds = SecondsPerIteration(
      state, [&] { return Prepare(operands.x, w, c.precision, operands.context, &operands.tables); });
  state.counters["gx_s"] = 1e-9 * static_cast<double>(kK * c.n) / seconds;  // 1e9 elements of x per second
}

void BenchmarkSharing(benchmark::State& state, const Case& c) {
  Weights* weights;
  Status status = GetWeights(c, &weights);
  if (!status.ok()) return state.SkipWithError(status.message().c_str());
  Operands operands(c);
  const auto multiply = [&](bool share) {
    Status last;
    for (int i = 0; i < 3 && last.ok(); ++i) {
      const PackedMatrix& w = weights->Next(c.residence);
      if (i == 0 || !share) last = Prepare(operands.x, w, c.precision, operands.context, &operands.tables);
      if (last.ok()) last = MatMul(w, operands.tables, operands.y, operands.context);
    }
    return last;
  };
  Compare(
      state, [&] { return multiply(true); }, [&] { return multiply(false); });
}

void BenchmarkRmsNorm(benchmark::State& state, const Case& c) {
  PackedMatrix w;
  if (const Status status = PackOneRow(c, &w); !status.ok()) return state.SkipWithError(status.message().c_str());
  Operands operands(c);
  const std::vector<float> weight(kK, 1.25f);
  const RmsNorm norm = {weight.data(), 1e-6f};
  std::vector<float> normalized(c.n * kK);
  const ActivationView apart(normalized.data(), c.n, kK);
  Compare(
      state, [&] { return PrepareRmsNorm(operands.x, norm, w, c.precision, operands.context, &operands.tables); },
      [&] {
        ScalarRmsNorm(operands.x_data.data(), norm, c.n, kK, normalized.data());
        return Prepare(apart, w, c.precision, operands.context, &operands.tables);
      });
}

void BenchmarkHadamard(benchmark::State& state, const Case& c) {
  PackedMatrix w;
  if (const Status status = PackOneRow(c, &w); !status.ok()) return state.SkipWithError(status.message().c_str());
  Operands operands(c);
  std::vector<float> signs(kK, 1.0f), transformed(c.n * kK);
  for (std::size_t k = 0; k < kK; k += 3) signs[k] = -1.0f;
  const Hadamard hadamard = {signs.data(), 1024};
  const ActivationView apart(transformed.data(), c.n, kK);
  Compare(
      state, [&] { return PrepareHadamard(operands.x, hadamard, w, c.precision, operands.context, &operands.tables); },
      [&] {
        ScalarHadamard(operands.x_data.data(), hadamard, c.n, kK, transformed.data());
        return Prepare(apart, w, c.precision, operands.context, &operands.tables);
      });
}

void BenchmarkScalar(benchmark::State& state, Format format, std::size_t n) {
  QuantizedMatrix w;
  if (const Status status = RandomWeights(format, kM, kK, {}, &w); !status.ok()) {
    return state.SkipWithError(status.message().c_str());
  }
  const std::vector<float> x = GaussianX(n);
  std::vector<float> y(n * kM);
  const double seconds = SecondsPerIteration(state, [&] {
    ScalarMatMul(w.view(), x.data(), n, y.data());
    benchmark::DoNotOptimize(y.data());
    return Status();
  });
  state.counters["gmac_s"] = 1e-9 * static_cast<double>(kM * kK * n) / seconds;
}

}  // namespace lutra::bench
