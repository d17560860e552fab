// Composites: what rows of several formats, sparse weights, a path of low rank and outliers of x cost beside a plain
// product.
//
//     composite_matrix [ROWS [COLUMNS [THREADS]]]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "best_ms.h"
#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"

namespace lutra::examples {
namespace {

constexpr std::size_t kRank = 16;

std::vector<float> Gaussian(std::size_t count, float deviation, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> gaussian(0.0f, deviation);
  std::vector<float> values(count);
  std::generate(values.begin(), values.end(), [&] { return gaussian(random); });
  return values;
}

Status QuantizeAndPack(const std::vector<float>& weights, std::size_t m, std::size_t k, Format format,
                       PackedMatrix* w) {
  QuantizeOptions options;
  options.format = format;
  QuantizedMatrix q;
  const Status status = Quantize(weights.data(), m, k, k, options, &q);
  return status.ok() ? Pack(q.view(), w) : status;
}

struct Weights {
  PackedMatrix int4, int3, rest;  // rest: int3 without outliers
  PackedMatrix mixed[3];          // an eighth of the rows in int8, three eighths in int4, half in int2
  PackedMatrix down, up;
  SparseMatrix outliers;
};

Status Make(std::size_t m, std::size_t k, Weights* w) {
  std::vector<float> weights = Gaussian(m * k, 1.0f / std::sqrt(static_cast<float>(k)), 1);
  for (std::size_t i = 50; i < weights.size(); i += 100) weights[i] *= 10;  // 1 % of outliers
  Status status = QuantizeAndPack(weights, m, k, Format::kInt4, &w->int4);
  if (status.ok()) status = QuantizeAndPack(weights, m, k, Format::kInt3, &w->int3);
  QuantizeOptions options;
  options.format = Format::kInt3;
  QuantizedMatrix q;
  if (status.ok()) status = QuantizeWithOutliers(weights.data(), m, k, k, options, 0.01, &q, &w->outliers);
  if (status.ok()) status = Pack(q.view(), &w->rest);
  const Format formats[] = {Format::kInt8, Format::kInt4, Format::kInt2};
  const std::size_t ends[] = {0, m / 8, m / 2, m};
  for (std::size_t i = 0; i < 3 && status.ok(); ++i) {
    const std::vector<float> rows(weights.begin() + static_cast<std::ptrdiff_t>(ends[i] * k),
                                  weights.begin() + static_cast<std::ptrdiff_t>(ends[i + 1] * k));
    status = QuantizeAndPack(rows, ends[i + 1] - ends[i], k, formats[i], &w->mixed[i]);
  }
  if (status.ok()) status = QuantizeAndPack(Gaussian(kRank * k, 0.02f, 2), kRank, k, Format::kInt4, &w->down);
  if (status.ok()) status = QuantizeAndPack(Gaussian(m * kRank, 0.02f, 3), m, kRank, Format::kInt4, &w->up);
  return status;
}

// A row of the table.
struct Variant {
  std::string name;
  CompositeParts parts;
  std::size_t outliers = 0;  // columns of x
  float threshold = std::numeric_limits<float>::infinity();
};

// x with some columns that are 20 times the others.
std::vector<float> MakeX(std::size_t n, std::size_t k, std::size_t outliers) {
  std::vector<float> x = Gaussian(n * k, 1.0f, 4);
  for (float& value : x) value = std::clamp(value, -4.0f, 4.0f);
  for (std::size_t i = 0; i < outliers; ++i) {
    for (std::size_t row = 0; row < n; ++row)
      x[row * k + (2 * i + 1) * k / (2 * outliers)] = row % 2 == 0 ? 20.0f : -20.0f;
  }
  return x;
}

Status Measure(const Variant& variant, std::size_t n, Executor& executor, double* plain_ms) {
  CompositeMatrix w;
  Status status = Compose(variant.parts, &w);
  Context context{&executor};
  const std::vector<float> x = MakeX(n, w.k(), variant.outliers);
  std::vector<float> y(n * w.m());
  CompositeOptions options;
  options.outliers = variant.threshold;
  const double ms = BestMs([] {},
                           [&] {
                             if (status.ok())
                               status = MatMul(w, ActivationView(x.data(), n, w.k()), OutputView(y.data(), n, w.m()),
                                               options, context);
                           });
  if (!status.ok()) return status;
  if (*plain_ms == 0) *plain_ms = ms;
  std::printf("%-44s %6zu %10.3f %9.3f %8.2f\n", variant.name.c_str(), n, w.bits_per_weight(), ms, ms / *plain_ms);
  return {};
}

Status Run(std::size_t m, std::size_t k, std::size_t threads) {
  Weights w;
  Status status = Make(m, k, &w);
  if (!status.ok()) return status;
  ThreadPool executor(threads);
  const PackedMatrix *const int4[] = {&w.int4}, *const int3[] = {&w.int3}, *const rest[] = {&w.rest};
  std::vector<std::uint32_t> order(m);  // row r of the formats is column order[r] of y: here, backwards
  for (std::size_t i = 0; i < m; ++i) order[i] = static_cast<std::uint32_t>(m - 1 - i);
  CompositeParts plain, low, sparse, mixed, adapted;
  plain.rows = {int4, 1};
  low.rows = {int3, 1};
  sparse.rows = {rest, 1};
  sparse.sparse = w.outliers.view();
  mixed.rows = {w.mixed, 3};
  mixed.order = order.data();
  adapted = plain;
  adapted.down = &w.down;
  adapted.up = &w.up;
  const Variant variants[] = {{"int4", plain},
                              {"int3", low},
                              {"int3, 1 % sparse", sparse},
                              {"int8, int4 and int2 rows, in an order", mixed},
                              {"int4, low rank 16", adapted},
                              {"int4, threshold, no column above", plain, 0, 6.0f},
                              {"int4, threshold, 8 columns above", plain, 8, 6.0f},
                              {"int4, threshold, 64 columns above", plain, 64, 6.0f}};
  std::printf("W[%zu x %zu], %zu threads\n%-44s %6s %10s %9s %8s\n", m, k, threads, "", "N", "bits", "ms", "of int4");
  for (const std::size_t n : {std::size_t{1}, std::size_t{128}}) {
    double plain_ms = 0;
    for (const Variant& variant : variants) {
      status = Measure(variant, n, executor, &plain_ms);
      if (!status.ok()) return status;
    }
  }
  return {};
}

}  // namespace
}  // namespace lutra::examples

int main(int argc, char** argv) {
  std::size_t numbers[] = {4096, 4096, 1};
  for (int i = 1; i < argc && i <= 3; ++i)
    numbers[i - 1] = static_cast<std::size_t>(std::strtoul(argv[i], nullptr, 10));
  if (argc > 4 || numbers[0] < 64 || numbers[1] < 128 || numbers[0] > 65536 || numbers[1] > 65536 || numbers[2] < 1) {
    std::fprintf(stderr, "usage: composite_matrix [ROWS [COLUMNS [THREADS]]]\n");
    return 2;
  }
  const lutra::Status status = lutra::examples::Run(numbers[0], numbers[1], numbers[2]);
  if (!status.ok()) std::fprintf(stderr, "composite_matrix: %s\n", status.message().c_str());
  return status.ok() ? 0 : 1;
}
