// The benchmark of grouped products: tokens times the experts that a router chose for them, against one dense product.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>

#include "lutra/lutra.h"

namespace lutra::bench {

// What is multiplied: W of an expert; gate and up, which a SwiGLU combines; or W of the way back, whose products are
// added up by router weights.
enum class GroupedKind { kPlain, kGated, kSums };

struct GroupedCase {
  Format format;
  Target target;
  std::size_t experts, top;  // experts, and how many of them a token goes to
  std::size_t m, k, tokens, threads;
  GroupedKind kind = GroupedKind::kPlain;

  // From so many tokens on, the dense product has the same work, before the same bytes.
  bool same_work() const { return tokens >= 128; }
  bool operator==(const GroupedCase& o) const {
    return format == o.format && target == o.target && experts == o.experts && top == o.top && m == o.m && k == o.k &&
           tokens == o.tokens && threads == o.threads && kind == o.kind;
  }
};

// Alternates a grouped and a dense product, Prepare and the sorting of tokens included. The dense matrix has the rows
// of all experts that are read and each token's mean number of rows of x; or, for many tokens, the rows of the experts
// of one token and as many rows of x as tokens.
void BenchmarkGrouped(benchmark::State& state, const GroupedCase& c);

}  // namespace lutra::bench
