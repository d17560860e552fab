// Tiles of dot products, compiled for each instruction set that matters; the loops of fixed length become vectors.
#include "plain_f32.h"

#include <algorithm>
#include <cstring>

// A comparison should not lack the instructions that matter; Lutra itself is compiled without them.
#if defined(__clang__)
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast")
#endif

namespace lutra::examples {
namespace {

struct Problem {
  const float* w;
  std::size_t m, k;
  const float* x;
  std::size_t n;
  float* y;
};

constexpr std::size_t kTileRows = 4;
constexpr std::size_t kBlockRows = 64;  // per task
constexpr std::size_t kBlockK = 1024;   // of x: 512 KB for 128 tokens fit L2

// How an instruction set is used: kTileRows * kTileTokens sums of kLanes floats fit its registers.
template <std::size_t kBytes, std::size_t kTokens>
struct Isa {
  static constexpr std::size_t kTileTokens = kTokens;
  static constexpr std::size_t kLanes = kBytes / sizeof(float);
  typedef float Vector __attribute__((vector_size(kBytes)));
};

template <class Isa, std::size_t kRows, std::size_t kTokens>
[[gnu::always_inline]] inline void Tile(const Problem& p, std::size_t m, std::size_t n, std::size_t k,
                                        std::size_t k_end) {
  typename Isa::Vector sums[kRows][kTokens] = {}, w[kRows], x[kTokens];
  for (; k + Isa::kLanes <= k_end; k += Isa::kLanes) {
    for (std::size_t r = 0; r < kRows; ++r) std::memcpy(&w[r], p.w + (m + r) * p.k + k, sizeof(w[r]));
    for (std::size_t t = 0; t < kTokens; ++t) std::memcpy(&x[t], p.x + (n + t) * p.k + k, sizeof(x[t]));
    for (std::size_t r = 0; r < kRows; ++r) {
      for (std::size_t t = 0; t < kTokens; ++t) sums[r][t] += w[r] * x[t];
    }
  }
  float totals[kRows][kTokens] = {};
  for (std::size_t i = 0; i < Isa::kLanes; ++i) {  // outermost, so that no addition waits for another
    for (std::size_t r = 0; r < kRows; ++r) {
      for (std::size_t t = 0; t < kTokens; ++t) totals[r][t] += sums[r][t][i];
    }
  }
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::size_t t = 0; t < kTokens; ++t) {
      for (std::size_t i = k; i < k_end; ++i) totals[r][t] += p.w[(m + r) * p.k + i] * p.x[(n + t) * p.k + i];
      p.y[(n + t) * p.m + m + r] += totals[r][t];
    }
  }
}

template <class Isa, std::size_t kRows>
[[gnu::always_inline]] inline void Rows(const Problem& p, std::size_t m, std::size_t k, std::size_t k_end) {
  std::size_t n = 0;
  for (; n + Isa::kTileTokens <= p.n; n += Isa::kTileTokens) Tile<Isa, kRows, Isa::kTileTokens>(p, m, n, k, k_end);
  for (; n < p.n; ++n) Tile<Isa, kRows, 1>(p, m, n, k, k_end);
}

template <class Isa>
[[gnu::always_inline]] inline void Block(const Problem& p, std::size_t block) {
  const std::size_t m_begin = block * kBlockRows, m_end = std::min(p.m, m_begin + kBlockRows);
  for (std::size_t n = 0; n < p.n; ++n) std::fill(p.y + n * p.m + m_begin, p.y + n * p.m + m_end, 0.0f);
  // One token needs no reuse of x: whole rows are read in sequence.
  const std::size_t step = p.n == 1 ? p.k : kBlockK;
  for (std::size_t k = 0; k < p.k; k += step) {
    const std::size_t k_end = std::min(p.k, k + step);
    std::size_t m = m_begin;
    for (; m + kTileRows <= m_end; m += kTileRows) Rows<Isa, kTileRows>(p, m, k, k_end);
    for (; m < m_end; ++m) Rows<Isa, 1>(p, m, k, k_end);
  }
}

const Problem& From(void* context) { return *static_cast<const Problem*>(context); }

#if defined(__x86_64__)
[[gnu::target("avx512f")]] void BlockAvx512(void* p, std::size_t block) { Block<Isa<64, 4>>(From(p), block); }
[[gnu::target("avx2,fma")]] void BlockAvx2(void* p, std::size_t block) { Block<Isa<32, 2>>(From(p), block); }
void BlockSse(void* p, std::size_t block) { Block<Isa<16, 2>>(From(p), block); }

Executor::Task BestBlock() {
  if (__builtin_cpu_supports("avx512f")) return BlockAvx512;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? BlockAvx2 : BlockSse;
}
#else
void BlockNeon(void* p, std::size_t block) { Block<Isa<16, 4>>(From(p), block); }
Executor::Task BestBlock() { return BlockNeon; }
#endif

}  // namespace

void PlainMatMul(const float* w, std::size_t m, std::size_t k, const float* x, std::size_t n, float* y,
                 Executor& executor) {
  Problem problem{w, m, k, x, n, y};
  executor.ParallelFor((m + kBlockRows - 1) / kBlockRows, BestBlock(), &problem);
}

}  // namespace lutra::examples
