// A stopwatch.
#pragma once

#include <algorithm>
#include <chrono>

namespace lutra::examples {

// The shortest time of `run` in ms: at least 3 runs and 0.15 s, unless they take seconds. `before` is not timed.
template <class Before, class Run>
double BestMs(const Before& before, const Run& run) {
  using Ms = std::chrono::duration<double, std::milli>;
  Ms best = Ms::max(), total = Ms::zero();
  for (int runs = 0; (runs < 3 || total < Ms(150)) && total < Ms(1000); ++runs) {
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
