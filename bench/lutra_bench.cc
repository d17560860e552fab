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
//   prepare_hadamard/<int1|int4|ternary>/K:4096/N:<n>/target:<name>
//                                       x transformed by PrepareHadamard in blocks of 1024, or by plain loops before
//                                       Prepare
//   grouped/<int4|ternary>/experts:<top>_of_<experts>/M:<m>/K:<k>/N:<n>[/gated|/sums]/threads:2/target:<name>
//                                       n tokens times the experts of each, or one dense product (grouped.h)
//   pack/<type of GGUF>/M:4096/K:4096/target:<name>                              PackPanels from blocks, one thread
//   rows/<type of GGUF>/M:4096/K:4096/target:<name>                              DequantizeRows, 64 random rows
//   dispatch/<thread_pool|openmp|tbb>/threads:2                                  what an executor adds to 8 tasks
//
// Some have /threads:2; and before /threads: /group:32, /group:64, /precision:int16, /method:dot (unpacked codes times
// integers, for formats that are looked up by default), /method:bf16 (fp8 and fp6_e3m2 times x in bf16),
// /like:<type of GGUF whose scales and offsets the weights have>, /tables:4 (each group has one of four tables of
// values), /x:bits (int1 times x of bits). If not said otherwise, groups of 128 weights share an f16 scale, and
// precision is int8. x and y are f32. The counters gmac_s and weight_gb_s are 1e9 multiply-adds and bytes of packed
// weights per second; of_stream, of_dot_peak and of_amx_peak relate them to what this machine can read (with as many
// threads) and multiply (with one), see machine_limits.h; of_bound relates gmac_s to the method's micro-kernel alone on
// operands in L1 (with one thread), where there is one, see micro_bound.h; block_gb_s and gweights_s are 1e9 bytes of
// blocks and weights packed per second; nmse is the error against the double reference. Where two ways are compared,
// `seconds` is the time of the first way, `apart_seconds` the time of the second way, and `saved` is 1 - seconds /
// apart_seconds. The label says which plan served the case (plan.h).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "bodies.h"
#include "grouped.h"
#include "lutra/executors/openmp.h"
#include "lutra/executors/tbb.h"
#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "machine_limits.h"
#include "timing.h"

namespace lutra::bench {
namespace {

constexpr std::size_t kTokens[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512};
constexpr std::size_t kForcedTokens[] = {1, 2, 3, 4, 8, 16, 32, 64, 128, 512};  // with another method than the format's

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
  if (c.params.tables != 1) name += "/tables:" + std::to_string(c.params.tables);
  if (c.plan != nullptr) name += std::string("/method:") + Name(c.plan->method);
  if (c.bits) name += "/x:bits";
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
      benchmark::RegisterBenchmark(("prepare_hadamard/" + what).c_str(), BenchmarkHadamard, c);
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

void RegisterGrouped(Target target) {
  struct Layer {
    std::size_t experts, top, m, k;
  };
  struct Kind {
    GroupedKind kind;
    const char* name;
  };
  for (const Format format : {Format::kInt4, Format::kTernary}) {
    for (const Layer& layer : {Layer{128, 8, 768, 2048}, Layer{8, 2, 14336, 4096}}) {
      for (const std::size_t tokens : {std::size_t{1}, std::size_t{4}, std::size_t{32}, std::size_t{512}}) {
        for (const Kind& kind :
             {Kind{GroupedKind::kPlain, ""}, Kind{GroupedKind::kGated, "/gated"}, Kind{GroupedKind::kSums, "/sums"}}) {
          GroupedCase c{format, target, layer.experts, layer.top, layer.m, layer.k, tokens, 2, kind.kind};
          if (kind.kind == GroupedKind::kSums) std::swap(c.m, c.k);
          const std::string name = std::string("grouped/") + Name(format) + "/experts:" + std::to_string(c.top) +
                                   "_of_" + std::to_string(c.experts) + "/M:" + std::to_string(c.m) +
                                   "/K:" + std::to_string(c.k) + "/N:" + std::to_string(tokens) + kind.name +
                                   "/threads:2/target:" + TargetName(target);
          benchmark::RegisterBenchmark(name.c_str(), BenchmarkGrouped, c);
        }
      }
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
    // The method that kFastest may choose instead of the format's own, by its last row, which serves every N.
    for (const Plan& plan : Plans()) {
      const bool other = (plan.method == Method::kDot && HasMethod(f.format, Method::kLookup)) ||
                         (plan.method == Method::kBf16 && HasMethod(f.format, Method::kBf16));
      if (!other || !Serves(plan, {f.format, target, 1}) || !plan.unpack) continue;
      for (const std::size_t n : kForcedTokens) {
        Case forced = of(n, Residence::kDram);
        forced.plan = &plan;
        RegisterGemm(forced);
      }
    }
    for (const std::size_t n : kTokens) {
      if (!HasBits(f.format)) break;
      Case bits = of(n, Residence::kDram);
      bits.bits = true;
      n == 1 ? RegisterGemv(bits) : RegisterGemm(bits);
    }
    for (const std::size_t n : {std::size_t{1}, std::size_t{2}, std::size_t{8}, std::size_t{128}}) {
      if (!f.own_values) break;
      Case choosing = of(n, Residence::kDram);
      choosing.params.tables = kMaxTables;
      n == 1 ? RegisterGemv(choosing) : RegisterGemm(choosing);
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
    Case c{type.format, target, 1, Residence::kDram};
    c.params = {type.group, type.scale_type, type.zero_kind};
    c.like = type.name;
    for (c.threads = 1; c.threads <= 2; ++c.threads) {
      c.n = 1;
      RegisterGemv(c);
      for (const std::size_t n : kTokens) {
        c.n = n;
        RegisterGemm(c);
      }
    }
    const std::string what = std::string(type.name) + "/M:" + std::to_string(kM) + "/K:" + std::to_string(kK) +
                             "/target:" + TargetName(target);
    benchmark::RegisterBenchmark(("pack/" + what).c_str(), BenchmarkPack, target, type.id);
    benchmark::RegisterBenchmark(("rows/" + what).c_str(), BenchmarkRows, target, type.id);
  }
  for (const CheckpointScheme scheme :
       {CheckpointScheme::kGptq, CheckpointScheme::kAwq, CheckpointScheme::kPackQuantized,
        CheckpointScheme::kIntQuantized, CheckpointScheme::kFp8}) {
    for (int bits = 2; bits <= 8; ++bits) {
      if (!Describe(scheme).has_width(bits)) continue;
      const std::string what = std::string("pack/") + Name(scheme) + "/bits:" + std::to_string(bits);
      benchmark::RegisterBenchmark((what + "/target:" + TargetName(target)).c_str(), BenchmarkCheckpoint, target,
                                   scheme, bits);
    }
  }
  RegisterPrepare(target);
  RegisterGrouped(target);
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
  if (FindTarget("AVX3_SPR_AMX") != nullptr) {
    benchmark::AddCustomContext("amx_peak_gmac_s", std::to_string(MatrixPeakGMacS("AVX3_SPR_AMX")));
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
