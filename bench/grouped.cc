// See grouped.h.
#include "grouped.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "timing.h"
#include "weights.h"

namespace lutra::bench {
namespace {

constexpr std::size_t kRoutings = 8;

// Copies of a matrix, one after the other in one piece of memory, as experts are stored.
struct Copies {
  Buffer memory;
  std::vector<PackedMatrix> matrices;

  MatrixList list() const { return {matrices.data(), matrices.size()}; }

  Status Pack(Format format, Target target, std::size_t m, std::size_t k, std::size_t count) {
    QuantizedMatrix codes;
    PackedMatrix packed;
    Status status = RandomWeights(format, m, k, {}, &codes);
    if (status.ok()) status = lutra::Pack(codes.view(), {target, nullptr}, &packed);
    if (!status.ok()) return status;
    const std::size_t size = PackedFileSize(packed), stride = (size + 63) / 64 * 64;
    if (!memory.Reserve(count * stride)) return Status::OutOfMemory("copies");
    matrices.resize(count);
    for (std::size_t i = 0; i < count && status.ok(); ++i) {
      std::uint8_t* const at = memory.data() + i * stride;
      status = SavePacked(packed, at, size);
      if (status.ok()) status = LoadPacked(at, size, {target, nullptr}, &matrices[i]);
    }
    return status;
  }
};

// Each token's experts, all different.
std::vector<std::int32_t> RandomIds(const GroupedCase& c, std::mt19937_64& random) {
  std::vector<std::int32_t> experts(c.experts), ids;
  for (std::size_t i = 0; i < c.experts; ++i) experts[i] = static_cast<std::int32_t>(i);
  for (std::size_t token = 0; token < c.tokens; ++token) {
    std::shuffle(experts.begin(), experts.end(), random);
    ids.insert(ids.end(), experts.begin(), experts.begin() + static_cast<std::ptrdiff_t>(c.top));
  }
  return ids;
}

struct Grouped {
  explicit Grouped(const GroupedCase& c_) : c(c_), executor(c_.threads), context{&executor} {
    std::mt19937_64 random(3);
    for (std::size_t i = 0; i < kRoutings; ++i) {
      ids.push_back(RandomIds(c, random));
      std::vector<std::int32_t> used = ids.back();
      std::sort(used.begin(), used.end());
      experts_read += static_cast<std::size_t>(std::unique(used.begin(), used.end()) - used.begin());
    }
    experts_read /= kRoutings;
    const std::size_t times = c.kind == GroupedKind::kGated ? 2 : 1;
    dense_m = times * c.m * (c.same_work() ? c.top : experts_read);
    dense_n = c.same_work() ? c.tokens : std::max<std::size_t>(1, pairs() / experts_read);
    x_rows = c.kind == GroupedKind::kSums ? pairs() : c.tokens;
    std::normal_distribution<float> gaussian;
    x.resize(std::max(x_rows, dense_n) * c.k);
    std::generate(x.begin(), x.end(), [&] { return gaussian(random); });
    y.resize(std::max(pairs() * c.m, dense_n * dense_m));
    weights.assign(pairs(), 0.125f);
  }

  std::size_t pairs() const { return c.tokens * c.top; }

  Status Pack() {
    Status status = up.Pack(c.format, c.target, c.m, c.k, c.experts);
    if (status.ok() && c.kind == GroupedKind::kGated) status = gate.Pack(c.format, c.target, c.m, c.k, c.experts);
    const std::size_t copies = std::max<std::size_t>(1, c.experts / std::max(experts_read, c.top));
    if (status.ok()) status = dense.Pack(c.format, c.target, dense_m, c.k, copies);
    return status;
  }

  Status MultiplyGrouped() {
    turn = (turn + 1) % kRoutings;
    Status status = routing.Assign(ids[turn].data(), c.tokens, c.top, c.top, c.experts);
    if (status.ok()) status = Prepare({x.data(), x_rows, c.k}, up.matrices[0], {}, context, &prepared);
    if (!status.ok()) return status;
    GroupedProduct p;
    p.w = up.list();
    p.gate = gate.list();
    p.x = &prepared;
    const bool sums = c.kind == GroupedKind::kSums;
    p.rows = sums ? routing.ToTokens() : routing.FromTokens();
    if (sums) p.weights = weights.data();
    p.y = {y.data(), sums ? c.tokens : pairs(), c.m};
    return MatMulGrouped(p, context);
  }

  Status MultiplyDense() {
    dense_turn = (dense_turn + 1) % dense.matrices.size();
    const PackedMatrix& w = dense.matrices[dense_turn];
    const Status status = Prepare({x.data(), dense_n, c.k}, w, {}, context, &prepared);
    return status.ok() ? MatMul(w, prepared, {y.data(), dense_n, dense_m}, context) : status;
  }

  const GroupedCase c;
  std::vector<std::vector<std::int32_t>> ids;
  std::size_t experts_read = 0, dense_m, dense_n, x_rows, turn = 0, dense_turn = 0;
  std::vector<float> x, y, weights;
  Copies up, gate, dense;
  ThreadPool executor;
  Context context;
  Routing routing;
  Activations prepared;
};

}  // namespace

void BenchmarkGrouped(benchmark::State& state, const GroupedCase& c) {
  static std::unique_ptr<Grouped> kept;  // for the next run of the same case: matrices take long to pack
  if (kept == nullptr || !(kept->c == c)) {
    kept.reset();
    kept = std::make_unique<Grouped>(c);
    if (const Status status = kept->Pack(); !status.ok()) return state.SkipWithError(status.message().c_str());
  }
  Grouped& grouped = *kept;
  Compare(
      state, [&] { return grouped.MultiplyGrouped(); }, [&] { return grouped.MultiplyDense(); });
  const double seconds = state.counters["seconds"], dense = state.counters["apart_seconds"];
  const std::size_t times = c.kind == GroupedKind::kGated ? 2 : 1;
  state.counters["gmac_s"] = 1e-9 * static_cast<double>(grouped.pairs() * times * c.m * c.k) / seconds;
  state.counters["weight_gb_s"] =
      1e-9 * static_cast<double>(grouped.experts_read * times * grouped.up.matrices[0].bytes()) / seconds;
  state.counters["of_dense"] = dense / seconds;
}

}  // namespace lutra::bench
