// A stopwatch.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace lutra::examples {

// The least time for which runs are repeated, in ms: the environment variable LUTRA_MEASURE_MS (tests set 0), or else
// 150.
inline double LeastMs() {
  const char* const ms = std::getenv("LUTRA_MEASURE_MS");
  return ms == nullptr ? 150.0 : std::atof(ms);
}

// The shortest time of `run` in ms: at least 3 runs and LeastMs(), unless they take seconds. `before` is not timed.
template <class Before, class Run>
double BestMs(const Before& before, const Run& run) {
  using Ms = std::chrono::duration<double, std::milli>;
  const Ms least(LeastMs());
  Ms best = Ms::max(), total = Ms::zero();
  for (int runs = 0; (runs < 3 || total < least) && total < Ms(1000); ++runs) {
    const auto start = std::chrono::steady_clock::now();
    before();
    const auto begin = std::chrono::steady_clock::now();
    run();
    const auto end = std::chrono::steady_clock::now();
    best = std::min<Ms>(best, end - begin);
    total += end - start;
  }
  return best.count();
}

}  // namespace lutra::examples
