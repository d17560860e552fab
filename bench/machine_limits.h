// The machine's limits, measured in this process: the yardsticks of the benchmarks' counters.
#pragma once

#include <cstddef>
#include <string_view>

namespace lutra::bench {

// The best rate of plain reading from DRAM, in GB/s: 512 MB by some threads, each with 1, 2, 4 or 8 address streams.
double StreamGBs(std::size_t threads = 1);

// The best rate of int8 multiply-adds from registers, in 1e9 per second, of one thread. Targets are measured against
// the best instruction this CPU has; AVX2 against vpmaddubsw + vpaddw and AVX2_VNNI against vpdpbusd of 32 bytes, since
// they stand for the CPUs that have no better one.
double DotPeakGMacS(std::string_view target);

// The same for the matrix unit of a target; 0 if it has none.
double MatrixPeakGMacS(std::string_view target);

}  // namespace lutra::bench
