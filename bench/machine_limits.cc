// Measures the machine's limits. SIMD part: loops that do nothing but read, or nothing but multiply and add.
#include "machine_limits.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "dot_extension.h"
#include "lutra/buffer.h"
#include "lutra/executors/thread_pool.h"
#include "lutra/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "machine_limits.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef LUTRA_BENCH_LIMITS_ONCE
#define LUTRA_BENCH_LIMITS_ONCE
namespace lutra::bench {
namespace {

constexpr std::size_t kStreamBytes = std::size_t{512} << 20;
constexpr std::size_t kDotSteps = std::size_t{1} << 14;
// Covers a latency of 6 at 2 per cycle, and leaves 4 of 16 registers for operands.
constexpr std::size_t kAccumulators = 12;
constexpr std::size_t kMaxVectorBytes = 64;

// Inputs of a loop, and where its result goes, so that the compiler must compute it.
struct alignas(kMaxVectorBytes) Scratch {
  std::uint8_t bytes[kAccumulators * kMaxVectorBytes];
};

using DotLoop = void (*)(Scratch* scratch);
using ReadLoop = void (*)(const std::uint8_t* data, std::size_t bytes, Scratch* scratch);

// What one target offers.
struct Loops {
  std::size_t vector_bytes;
  DotLoop pair;      // products summed by two into int16 (vpmaddubsw + vpaddw)
  DotLoop quad;      // by four into int32 (vpdpbusd)
  ReadLoop read[4];  // 1, 2, 4, 8 address streams
};

}  // namespace
}  // namespace lutra::bench
#endif  // LUTRA_BENCH_LIMITS_ONCE

HWY_BEFORE_NAMESPACE();
namespace lutra::bench {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using DU8 = hn::CappedTag<std::uint8_t, kMaxVectorBytes>;
using DI8 = hn::RebindToSigned<DU8>;
using DI16 = hn::Repartition<std::int16_t, DU8>;
using DI32 = hn::Repartition<std::int32_t, DU8>;
using Bytes = hn::Vec<DU8>;

// Each multiplies the sum itself, so that nothing can be hoisted out of the loop.
struct Pair {
  static HWY_INLINE Bytes Step(Bytes sum, Bytes w) {
#if HWY_TARGET & HWY_ALL_NEON
    const int8x16_t signed_w = vreinterpretq_s8_u8(w.raw), signed_sum = vreinterpretq_s8_u8(sum.raw);
    const int16x8_t low = vmull_s8(vget_low_s8(signed_sum), vget_low_s8(signed_w));
    return Bytes(
        vreinterpretq_u8_s32(vpadalq_s16(vreinterpretq_s32_u8(sum.raw), vmlal_high_s8(low, signed_sum, signed_w))));
#else
    const auto products = hn::SatWidenMulPairwiseAdd(DI16(), sum, hn::BitCast(DI8(), w));
    sum = hn::BitCast(DU8(), hn::Add(hn::BitCast(DI16(), sum), products));
#if HWY_TARGET == HWY_AVX2
    asm("" : "+x"(sum.raw));  // keeps g++ 12 from holding each sum twice, as int16 and as bytes, and spilling
#endif
    return sum;
#endif
  }
};

struct Quad {
  static HWY_INLINE Bytes Step(Bytes sum, Bytes w) {
    return hn::BitCast(DU8(), hn::SumOfMulQuadAccumulate(DI32(), sum, hn::BitCast(DI8(), w), hn::BitCast(DI32(), sum)));
  }
};

template <class Instruction, std::size_t... kIndex>
void Dot(Scratch* scratch, std::index_sequence<kIndex...>) {
  const std::size_t lanes = hn::Lanes(DU8());
  Bytes sums[] = {hn::Load(DU8(), scratch->bytes + kIndex * lanes)...};
  const Bytes w = sums[0];
  for (std::size_t i = 0; i < kDotSteps; ++i) ((sums[kIndex] = Instruction::Step(sums[kIndex], w)), ...);
  Bytes total = w;
  ((total = hn::Xor(total, sums[kIndex])), ...);
  hn::Store(total, DU8(), scratch->bytes);
}
template <class Instruction>
void Dot(Scratch* scratch) {
  Dot<Instruction>(scratch, std::make_index_sequence<kAccumulators>());
}

template <std::size_t... kIndex>
void Read(const std::uint8_t* data, std::size_t bytes, Scratch* scratch, std::index_sequence<kIndex...>) {
  const std::size_t lanes = hn::Lanes(DU8()), part = bytes / sizeof...(kIndex);
  Bytes sums[] = {hn::Load(DU8(), scratch->bytes + kIndex * lanes)...};
  for (std::size_t i = 0; i < part; i += lanes) {
    ((sums[kIndex] = hn::Xor(sums[kIndex], hn::Load(DU8(), data + kIndex * part + i))), ...);
  }
  (hn::Store(sums[kIndex], DU8(), scratch->bytes + kIndex * lanes), ...);
}
template <std::size_t kStreams>
void Read(const std::uint8_t* data, std::size_t bytes, Scratch* scratch) {
  Read(data, bytes, scratch, std::make_index_sequence<kStreams>());
}

}  // namespace

Loops GetLoops() { return {hn::Lanes(DU8()), Dot<Pair>, Dot<Quad>, {Read<1>, Read<2>, Read<4>, Read<8>}}; }

}  // namespace HWY_NAMESPACE
}  // namespace lutra::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lutra::bench {
namespace {

HWY_EXPORT(GetLoops);

// Changes what this file alone dispatches to.
Loops LoopsOf(std::int64_t target) {
  hwy::GetChosenTarget().Update(target);
  return HWY_DYNAMIC_DISPATCH(GetLoops)();
}

// The shortest time of `run` in seconds, over at least `times` runs and 20 ms.
template <class Run>
double BestSeconds(int times, const Run& run) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  double best = 1e30;
  for (Clock::time_point end = start; times > 0 || end - start < std::chrono::milliseconds(20); --times) {
    const Clock::time_point begin = Clock::now();
    run();
    end = Clock::now();
    best = std::min(best, std::chrono::duration<double>(end - begin).count());
  }
  return best;
}

double DotGMacS(const Loops& loops, DotLoop loop) {
  Scratch scratch;
  for (std::size_t i = 0; i < sizeof(scratch.bytes); ++i) scratch.bytes[i] = static_cast<std::uint8_t>(i % 127);
  const auto macs = static_cast<double>(kDotSteps * kAccumulators * loops.vector_bytes);
  return 1e-9 * macs / BestSeconds(3, [&] {
           loop(&scratch);
           benchmark::DoNotOptimize(scratch);
         });
}

// 0 without the instruction.
double DotExtensionGMacS() {
  if (FindTarget("AVX2_VNNI") == nullptr && FindTarget("NEON_DOT") == nullptr) return 0;
  double macs = 0;
  const double seconds = BestSeconds(3, [&] { macs = RunDotExtension(kDotSteps); });
  return 1e-9 * macs / seconds;
}

double MeasureDotPeak() {
  double best = 0;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    const Loops loops = LoopsOf(target);
    best = std::max({best, DotGMacS(loops, loops.pair), DotGMacS(loops, loops.quad)});
  }
  return std::max(best, DotExtensionGMacS());
}

double MeasureStream(std::size_t threads) {
  Buffer buffer;
  if (!buffer.Reserve(kStreamBytes)) return 0;
  std::memset(buffer.data(), 1, kStreamBytes);
  ThreadPool executor(threads);
  double best = 1e30;
  for (const ReadLoop read : LoopsOf(hwy::SupportedTargets()).read) {
    struct Part {
      ReadLoop read;
      const std::uint8_t* data;
      std::size_t bytes;
    } part = {read, buffer.data(), kStreamBytes / threads / (8 * kMaxVectorBytes) * (8 * kMaxVectorBytes)};
    best = std::min(best, BestSeconds(4, [&] {
                      executor.ParallelFor(
                          threads,
                          [](void* context, std::size_t i) {
                            const Part& p = *static_cast<const Part*>(context);
                            Scratch scratch = {};
                            p.read(p.data + i * p.bytes, p.bytes, &scratch);
                            benchmark::DoNotOptimize(scratch);
                          },
                          &part);
                    }));
  }
  return 1e-9 * static_cast<double>(kStreamBytes) / best;
}

}  // namespace

double StreamGBs(std::size_t threads) {
  static std::map<std::size_t, double> rates;
  const auto [rate, is_new] = rates.emplace(threads, 0.0);
  if (is_new) rate->second = MeasureStream(threads);
  return rate->second;
}

double DotPeakGMacS(std::string_view target) {
#if HWY_TARGETS & HWY_AVX2
  if (target == hwy::TargetName(HWY_AVX2)) {
    static const Loops avx2 = LoopsOf(HWY_AVX2);
    static const double rate = DotGMacS(avx2, avx2.pair);
    return rate;
  }
#endif
  if (target == "AVX2_VNNI") {
    static const double rate = DotExtensionGMacS();
    return rate;
  }
  static const double rate = MeasureDotPeak();
  return rate;
}

double MatrixPeakGMacS(std::string_view target) {
  if (target != "AVX3_SPR_AMX") return 0;
  static const double rate = [] {
    double macs = 0;
    const double seconds = BestSeconds(3, [&] { macs = RunAmx(kDotSteps); });
    return 1e-9 * macs / seconds;
  }();
  return rate;
}

}  // namespace lutra::bench
#endif  // HWY_ONCE
