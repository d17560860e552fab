// Weights with blocks of zeros: bytes and time without them, beside the dense product, which has the same bits.
//
//     block_sparse [M K [FORMAT]]
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "best_ms.h"
#include "lutra/lutra.h"

namespace {

constexpr std::size_t kBlockRows = 64, kBlockColumns = 128;

// Gaussian weights, of which a share of the blocks is zero.
std::vector<float> Pruned(std::size_t m, std::size_t k, double zero) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> gaussian;
  std::uniform_real_distribution<double> uniform;
  std::vector<float> weights(m * k);
  for (float& weight : weights) weight = gaussian(random);
  for (std::size_t row = 0; row < m; row += kBlockRows) {
    for (std::size_t column = 0; column < k; column += kBlockColumns) {
      if (uniform(random) >= zero) continue;
      for (std::size_t i = row; i < std::min(row + kBlockRows, m); ++i) {
        std::fill_n(&weights[i * k + column], std::min(kBlockColumns, k - column), 0.0f);
      }
    }
  }
  return weights;
}

// A line of the table for each N; *same: whether both products have the same bits.
lutra::Status Measure(std::size_t m, std::size_t k, lutra::Format format, double zero, bool* same) {
  lutra::QuantizeOptions options;
  options.format = format;
  options.group = kBlockColumns;
  lutra::QuantizedMatrix quantized;
  lutra::PackedMatrix dense;
  lutra::BlockSparseMatrix sparse;
  lutra::Status status = lutra::Quantize(Pruned(m, k, zero).data(), m, k, k, options, &quantized);
  if (status.ok()) status = lutra::Pack(quantized.view(), &dense);
  if (status.ok()) status = lutra::PackBlockSparse(quantized.view(), {}, &sparse);
  for (const std::size_t n : {std::size_t{1}, std::size_t{128}}) {
    std::vector<float> x(n * k, 1.0f), y(n * m), z(n * m);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7 % 31) - 15.0f;
    lutra::Context context;
    lutra::Activations prepared;
    if (status.ok()) status = lutra::Prepare(lutra::ActivationView(x.data(), n, k), dense, {}, context, &prepared);
    if (!status.ok()) return status;
    const lutra::OutputView of_dense(y.data(), n, m), of_sparse(z.data(), n, m);
    const auto run = [&](const auto& w, const lutra::OutputView& view) {
      return lutra::examples::BestMs([] {}, [&] { status = lutra::MatMul(w, prepared, view, context); });
    };
    const double dense_ms = run(dense, of_dense);
    if (!status.ok()) return status;
    const double sparse_ms = run(sparse, of_sparse);
    if (!status.ok()) return status;
    *same = *same && std::memcmp(y.data(), z.data(), y.size() * sizeof(float)) == 0;
    fmt::print("{:>5.1f} {:>4} {:>10.2f} {:>10.2f} {:>7.3f} {:>10.3f} {:>10.3f} {:>7.3f}\n",
               100 * (1 - static_cast<double>(sparse.kept()) / static_cast<double>(sparse.blocks())), n,
               1e-6 * static_cast<double>(dense.bytes()), 1e-6 * static_cast<double>(sparse.bytes()),
               static_cast<double>(sparse.bytes()) / static_cast<double>(dense.bytes()), dense_ms, sparse_ms,
               sparse_ms / dense_ms);
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t m = argc > 2 ? std::strtoul(argv[1], nullptr, 10) : 256;
  const std::size_t k = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1024;
  const std::string_view name = argc == 4 ? argv[3] : "int4";
  const auto* const format = std::find_if(std::begin(lutra::kFormats), std::end(lutra::kFormats),
                                          [&](const lutra::FormatInfo& f) { return f.name == name; });
  if (argc == 2 || argc > 4 || m == 0 || k == 0 || format == std::end(lutra::kFormats)) {
    fmt::print(stderr, "usage: block_sparse [M K [FORMAT]]\n");
    return 2;
  }
  fmt::print("W[{} x {}], {}, one thread\n\n", m, k, name);
  fmt::print("{:>5} {:>4} {:>10} {:>10} {:>7} {:>10} {:>10} {:>7}\n", "zero%", "N", "MB dense", "MB kept", "ratio",
             "ms dense", "ms kept", "ratio");
  bool same = true;
  for (const double zero : {0.0, 0.5, 0.9}) {
    const lutra::Status status = Measure(m, k, format->format, zero, &same);
    if (!status.ok()) {
      fmt::print(stderr, "block_sparse: {}\n", status.message());
      return 1;
    }
  }
  // int2's tables of 8 bits round the sums of zero blocks, which the dense product adds.
  fmt::print("\nThe products {}.\n", same ? "are the same, bit for bit" : "differ");
  return same || format->format == lutra::Format::kInt2 ? 0 : 1;
}
