// The bodies of the benchmarks that lutra_bench.cc registers: what is measured, and the counters.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>

#include "lutra/lutra.h"
#include "weights.h"

namespace lutra::bench {

inline constexpr std::size_t kM = 4096, kK = 4096;

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
  bool bits = false;           // x is bits, prepared under Choice::kBits
};

void BenchmarkMatMul(benchmark::State& state, const Case& c);
void BenchmarkPrepare(benchmark::State& state, const Case& c);
// Three multiplications of one x, by matrices of one kind.
void BenchmarkSharing(benchmark::State& state, const Case& c);
// Normalizing and preparing x.
void BenchmarkRmsNorm(benchmark::State& state, const Case& c);
void BenchmarkHadamard(benchmark::State& state, const Case& c);
// Packing the blocks of a GGUF type, on one thread.
void BenchmarkPack(benchmark::State& state, Target target, std::uint32_t type);
// Packing the tensors of a checkpoint with codes of `bits` bits, on one thread.
void BenchmarkCheckpoint(benchmark::State& state, Target target, CheckpointScheme scheme, int bits);
// Reading random rows of blocks in float.
void BenchmarkRows(benchmark::State& state, Target target, std::uint32_t type);
// Plain loops without Lutra.
void BenchmarkScalar(benchmark::State& state, Format format, std::size_t n);

}  // namespace lutra::bench
