// How benchmarks measure time.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "lutra/status.h"

namespace lutra::bench {

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

}  // namespace lutra::bench
