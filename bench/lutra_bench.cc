// Benchmarks of the multiplication and of its preparation; each time includes what every call must do.
//
//   gemv/<format>/M:4096/K:4096/weights:<dram|cache>/threads:1/target:<name>     one token
//   gemm/<format>/M:4096/K:4096/N:<n>/threads:1/target:<name>                    n tokens, weights from DRAM
//   scalar/<format>/M:4096/K:4096/N:<1|128>                                      plain loops without Lutra (scalar.h)
//   prepare/<int1|int4|ternary>/K:4096/N:<n>/target:<name>                       tables, or integers, alone
//   prepare_shared/<int2|int4|ternary>/M:4096/K:4096/weights:<dram|cache>/target:<name>
//                                       one token times Q, K and V: x prepared once for all three, or for each
//   prepare_rmsnorm/<int1|int4|ternary>/K:4096/N:<n>/target:<name>
//                                       x normalized by PrepareRmsNorm, or by a plain loop before Prepare
//   dispatch/<thread_pool|openmp|tbb>/threads:2                                  what an executor adds to 8 tasks
//
// Some have /threads:2; and before /threads: /group:32, /group:64, /precision:int16, /method:dot (codes unpacked to
// bytes times integers, for formats that are looked up by default), /like:<type of GGUF whose scales and offsets the
// weights have>. If not said otherwise, groups of 128 weights share an f16 scale, and precision is int8. x and y are
// f32. The counters gmac_s and weight_gb_s are 1e9 multiply-adds and bytes of packed weights per second; of_stream and
// of_dot_peak relate them to what this machine can read (with as many threads) and multiply (with one), see
// machine_limits.h; nmse is the error against the double reference. Where two ways are compared, seconds and
// apart_seconds are those of the first and of the second, and saved is the share of the second that the first does
// without. The label says which plan served the case (plan.h).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "lutra/executors/openmp.h"
#include "lutra/executors/tbb.h"
#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "lutra/sampled_error.h"
#include "machine_limits.h"
#include "scalar.h"
#include "weights.h"

namespace lutra::bench {
namespace {

constexpr std::size_t kM = 4096, kK = 4096;
constexpr std::size_t kTokens[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512};

struct Case {
  Format format;
  Target target;
  std::size_t n;
  Residence residence;
  std::size_t threads = 1;
  Params params = {};
  Precision precision = Precision::kInt8;
  const char* like = nullptr;
  const Plan* plan = nullptr;  // forced; null: the one that the table selects
};

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
    y = {y_data.data(), c.n, kM};
  }

  Status PrepareFor(const PackedMatrix& w) {
    return plan == nullptr ? Prepare(x, w, precision, context, &tables)
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
  const Plan* plan;
  std::vector<float> x_data, y_data;
  ActivationView x;
  OutputView y;
  ThreadPool executor;
  Context context;
  Activations tables;
};

// Seconds per iteration, by the clock on the wall, of the best 20 ms: the machine is shared, and what neighbours take
// comes and goes. (The library's own rates would go by processor time.)
class BestTime {
 public:
  using Clock = std::chrono::steady_clock;

  // An iteration that began at `start` ends. Returns when.
  Clock::time_point Add(Clock::time_point start) {
    const Clock::time_point end = Clock::now();
    sum_ += std::chrono::duration<double>(end - start).count();
    ++count_;
    if (sum_ < 0.02) return end;
    best_ = std::min(best_, sum_ / count_);
    sum_ = count_ = 0;
    return end;
  }
  double seconds() const { return best_ < kNone ? best_ : sum_ / count_; }  // if all was shorter

 private:
  static constexpr double kNone = std::numeric_limits<double>::infinity();
  double best_ = kNone, sum_ = 0, count_ = 0;
};

// Runs the benchmark's loop; returns seconds per iteration.
template <class Body>
double SecondsPerIteration(benchmark::State& state, Body body) {
  BestTime best;
  BestTime::Clock::time_point last = BestTime::Clock::now();
  for (auto _ : state) {
    const Status status = body();
    if (!status.ok()) state.SkipWithError(status.message().c_str());
    last = best.Add(last);
  }
  return best.seconds();
}

// The same for two ways to do something, which alternate, so that both meet the same neighbours. Sets the counters.
template <class Together, class Apart>
void Compare(benchmark::State& state, Together together, Apart apart) {
  BestTime best, best_apart;
  BestTime::Clock::time_point last = BestTime::Clock::now();
  for (auto _ : state) {
    Status status = together();
    last = best.Add(last);
    if (status.ok()) status = apart();
    last = best_apart.Add(last);
    if (!status.ok()) state.SkipWithError(status.message().c_str());
  }
  state.counters["seconds"] = best.seconds();
  state.counters["apart_seconds"] = best_apart.seconds();
  state.counters["saved"] = 1 - best.seconds() / best_apart.seconds();
}

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
  state.counters["bits_per_weight"] = w.bits_per_weight();
  state.counters["nmse"] = nmse;
  const PlanCase what{c.format, c.target, c.n, c.params.group};
  const Plan& plan = c.plan == nullptr ? SelectPlan(what) : *c.plan;
  const MicroTile tile = TileOf(plan, what);
  state.SetLabel(std::string(Name(plan)) + ", tile " + std::to_string(64 * tile.panels) + "x" +
                 std::to_string(tile.rows) + ", " + std::to_string(64 * plan.panels) + "x" +
                 std::to_string(plan.token_block) + " a sweep; bound by " + plan.bound);
}

// As small as can be: for Prepare only its K and its format matter.
Status PackOneRow(const Case& c, PackedMatrix* w) {
  QuantizedMatrix codes;
  const Status status = RandomWeights(c.format, 1, kK, c.params, &codes);
  return status.ok() ? Pack(codes.view(), {c.target, nullptr}, w) : status;
}

void BenchmarkPrepare(benchmark::State& state, const Case& c) {
  PackedMatrix w;
  if (const Status status = PackOneRow(c, &w); !status.ok()) return state.SkipWithError(status.message().c_str());

  Operands operands(c);
  const double seconds = SecondsPerIteration(
      state, [&] { return Prepare(operands.x, w, c.precision, operands.context, &operands.tables); });
  state.counters["gx_s"] = 1e-9 * static_cast<double>(kK * c.n) / seconds;  // 1e9 elements of x per second
}

// Three multiplications of one x, by matrices of one kind.
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

// The counter: seconds beyond those of the tasks, evenly spread.
template <class Pool>
void BenchmarkDispatch(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  constexpr std::size_t kThreads = 2, kTasks = 8;
  static constexpr std::chrono::microseconds kTask(5);
  Pool pool(kThreads);
  const double seconds = SecondsPerIteration(state, [&] {
    pool.ParallelFor(
        kTasks,
        [](void*, std::size_t) {
          for (const Clock::time_point end = Clock::now() + kTask; Clock::now() < end;) {
          }
        },
        nullptr);
    return Status();
  });
  state.counters["overhead"] = seconds - std::chrono::duration<double>(kTask).count() * kTasks / kThreads;
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

void RegisterScalar() {
  for (const FormatInfo& f : kFormats) {
    for (const std::size_t n : {std::size_t{1}, std::size_t{128}}) {
      const std::string name = std::string("scalar/") + f.name + "/M:" + std::to_string(kM) +
                               "/K:" + std::to_string(kK) + "/N:" + std::to_string(n);
      benchmark::RegisterBenchmark(name.c_str(), BenchmarkScalar, f.format, n);
    }
  }
}

void Register(const Case& c, const std::string& kind, const std::string& what) {
  std::string name = kind + "/" + Name(c.format) + "/M:" + std::to_string(kM) + "/K:" + std::to_string(kK) + what;
  if (c.like != nullptr) {
    name += std::string("/like:") + c.like;
  } else if (c.params.group != 128) {
    name += "/group:" + std::to_string(c.params.group);
  }
  if (c.plan != nullptr) name += std::string("/method:") + Name(c.plan->method);
  if (c.precision != Precision::kInt8) name += std::string("/precision:") + Name(c.precision);
  name += "/threads:" + std::to_string(c.threads) + "/target:" + TargetName(c.target);
  benchmark::RegisterBenchmark(name.c_str(), BenchmarkMatMul, c);
}
void RegisterGemv(const Case& c) {
  Register(c, "gemv", c.residence == Residence::kDram ? "/weights:dram" : "/weights:cache");
}
void RegisterGemm(const Case& c) { Register(c, "gemm", "/N:" + std::to_string(c.n)); }

void RegisterPrepare(Target target) {
  const std::string at_target = std::string("/target:") + TargetName(target);
  for (const Format format : {Format::kInt1, Format::kInt4, Format::kTernary}) {
    for (const std::size_t n : {std::size_t{1}, std::size_t{128}}) {
      const std::string what =
          std::string(Name(format)) + "/K:" + std::to_string(kK) + "/N:" + std::to_string(n) + at_target;
      const Case c{format, target, n, Residence::kCache};
      benchmark::RegisterBenchmark(("prepare/" + what).c_str(), BenchmarkPrepare, c);
      benchmark::RegisterBenchmark(("prepare_rmsnorm/" + what).c_str(), BenchmarkRmsNorm, c);
    }
  }
  for (const Format format : {Format::kInt2, Format::kInt4, Format::kTernary}) {
    for (const Residence residence : {Residence::kDram, Residence::kCache}) {
      const std::string name = std::string("prepare_shared/") + Name(format) + "/M:" + std::to_string(kM) +
                               "/K:" + std::to_string(kK) +
                               (residence == Residence::kDram ? "/weights:dram" : "/weights:cache") + at_target;
      benchmark::RegisterBenchmark(name.c_str(), BenchmarkSharing, Case{format, target, 1, residence});
    }
  }
}

void RegisterTarget(Target target) {
  for (const FormatInfo& f : kFormats) {
    const auto of = [&](std::size_t n, Residence residence) { return Case{f.format, target, n, residence}; };
    RegisterGemv(of(1, Residence::kDram));
    RegisterGemv(of(1, Residence::kCache));
    for (const std::size_t n : kTokens) RegisterGemm(of(n, Residence::kDram));

    Case two = of(1, Residence::kDram), exact = of(1, Residence::kCache);
    two.threads = 2;
    RegisterGemv(two);
    exact.precision = Precision::kInt16;
    RegisterGemv(exact);
    two.n = exact.n = 128;
    exact.residence = Residence::kDram;
    RegisterGemm(two);
    RegisterGemm(exact);
    const Plan& dot = *(Plans().end() - 1);  // serves all formats
    for (const std::size_t n : {1u, 16u, 32u, 128u, 512u}) {
      if (!HasMethod(f.format, Method::kLookup)) break;
      Case forced = of(n, Residence::kDram);
      forced.plan = &dot;
      RegisterGemm(forced);
    }
    for (const std::size_t group : {std::size_t{32}, std::size_t{64}}) {
      Case grouped = of(1, Residence::kDram);
      grouped.params.group = group;
      RegisterGemv(grouped);
      grouped.n = 128;
      RegisterGemm(grouped);
    }
  }
  for (const GgufType& type : GgufTypes()) {
    if (type.refusal != nullptr) continue;
    for (const std::size_t n : {std::size_t{1}, std::size_t{8}, std::size_t{128}}) {
      Case c{type.format, target, n, Residence::kDram};
      c.params = {type.group, type.scale_type, type.zero_kind};
      c.like = type.name;
      n == 1 ? RegisterGemv(c) : RegisterGemm(c);
    }
  }
  RegisterPrepare(target);
}

void RegisterDispatch() {
  benchmark::RegisterBenchmark("dispatch/thread_pool/threads:2", BenchmarkDispatch<ThreadPool>);
  benchmark::RegisterBenchmark("dispatch/openmp/threads:2", BenchmarkDispatch<OpenMpExecutor>);
  benchmark::RegisterBenchmark("dispatch/tbb/threads:2", BenchmarkDispatch<TbbExecutor>);
}

void AddLimitsToContext() {
  benchmark::AddCustomContext("stream_gb_s", std::to_string(StreamGBs()));
  benchmark::AddCustomContext("stream_2_threads_gb_s", std::to_string(StreamGBs(2)));
  benchmark::AddCustomContext("dot_peak_gmac_s", std::to_string(DotPeakGMacS("")));
  if (FindTarget("AVX2") != nullptr) {
    benchmark::AddCustomContext("dot_peak_avx2_gmac_s", std::to_string(DotPeakGMacS("AVX2")));
  }
}

}  // namespace
}  // namespace lutra::bench

int main(int argc, char** argv) {
  // Set here rather than per benchmark, which would add it to the name; the user's own comes later and wins.
  std::string min_time = "--benchmark_min_time=0.3";
  std::vector<char*> arguments(argv, argv + argc);
  arguments.insert(arguments.begin() + 1, min_time.data());
  const bool lists = std::any_of(argv, argv + argc, [](std::string_view argument) {
    return argument.substr(0, argument.find('=')) == "--benchmark_list_tests";
  });
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;

  for (const lutra::Target target : lutra::RunnableTargets()) lutra::bench::RegisterTarget(target);
  lutra::bench::RegisterDispatch();
  lutra::bench::RegisterScalar();
  if (!lists) lutra::bench::AddLimitsToContext();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
