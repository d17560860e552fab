// Multiplies a matrix over MPI: each process loads a shard of rows and a shard of columns, from a file each.
//
//     mpirun -n 2 mpi_shards FOLDER [M K N]        FOLDER is one that all processes see
//
// Shards of rows: process 0 gathers parts of y, which have the bits of one process's product. Shards of columns: it
// gathers products and adds them up in the order of the processes, so that the sum has the same bits every time.
// (MPI_Reduce does not promise an order.)
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "lutra/lutra.h"

namespace {

int process, processes;

// Ends all processes if something is wrong.
void Check(const lutra::Status& status, const char* what) {
  if (status.ok()) return;
  std::fprintf(stderr, "mpi_shards: process %d, %s: %s\n", process, what, status.message().c_str());
  MPI_Abort(MPI_COMM_WORLD, 1);
}

std::string PathOf(const std::string& folder, const char* kind, int i) {
  return folder + "/" + kind + "-" + std::to_string(i) + ".lutra";
}

std::vector<float> Gaussian(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> gaussian;
  std::vector<float> values(count);
  for (float& value : values) value = gaussian(random);
  return values;
}

lutra::ShardRange RangeOf(std::size_t size, std::size_t unit, int i) {
  return lutra::ShardOf(size, unit, static_cast<std::size_t>(i), static_cast<std::size_t>(processes));
}

// Process 0: packs the matrix and writes the files of all processes.
lutra::PackedMatrix WriteShards(const std::string& folder, std::size_t m, std::size_t k) {
  lutra::QuantizedMatrix quantized;
  lutra::PackedMatrix w, rows, columns;
  Check(lutra::Quantize(Gaussian(m * k, 1).data(), m, k, k, {}, &quantized), "Quantize");
  Check(lutra::Pack(quantized.view(), &w), "Pack");
  for (int i = 0; i < processes; ++i) {
    const lutra::ShardRange of_m = RangeOf(m, lutra::RowUnit(w), i);
    Check(lutra::ViewRows(w, of_m.begin, of_m.end, &rows), "ViewRows");
    Check(lutra::SavePacked(rows, PathOf(folder, "rows", i).c_str()), "SavePacked");

    const lutra::ShardRange of_k = RangeOf(k, lutra::ColumnUnit(quantized.view()), i);
    lutra::QuantizedMatrix part;
    Check(lutra::CopyColumns(quantized.view(), of_k.begin, of_k.end, &part), "CopyColumns");
    Check(lutra::Pack(part.view(), &columns), "Pack");
    Check(lutra::SavePacked(columns, PathOf(folder, "columns", i).c_str()), "SavePacked");
  }
  return w;
}

// What every process has.
struct Shard {
  std::size_t m, k, n;  // of the whole product
  lutra::PackedMatrix rows, columns;
  std::vector<int> rows_of, columns_of;  // of each process: the rows and the columns of its shards
  std::vector<float> x;                  // [N x K]
  lutra::Context context;

  Shard(const std::string& folder, std::size_t m_, std::size_t k_, std::size_t n_) : m(m_), k(k_), n(n_) {
    Check(lutra::LoadPacked(PathOf(folder, "rows", process).c_str(), {}, &rows), "LoadPacked");
    Check(lutra::LoadPacked(PathOf(folder, "columns", process).c_str(), {}, &columns), "LoadPacked");
    rows_of = Share(rows.m());
    columns_of = Share(columns.k());
    x.resize(n * k);
  }
  static std::vector<int> Share(std::size_t mine) {
    std::vector<int> all(static_cast<std::size_t>(processes));
    const auto value = static_cast<int>(mine);
    MPI_Allgather(&value, 1, MPI_INT, all.data(), 1, MPI_INT, MPI_COMM_WORLD);
    return all;
  }

  // Sends x of process 0 to all.
  void Broadcast() { MPI_Bcast(x.data(), static_cast<int>(x.size()), MPI_FLOAT, 0, MPI_COMM_WORLD); }

  // Process 0 gets y[N x M] from shards of rows.
  std::vector<float> MultiplyRows() {
    Broadcast();
    std::vector<float> part(n * rows.m());
    const lutra::OutputView view(part.data(), n, rows.m());
    Check(lutra::MatMul(rows, lutra::ActivationView(x.data(), n, k), view, context), "MatMul");
    std::vector<int> counts(rows_of), offsets(rows_of);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      counts[i] *= static_cast<int>(n);
      offsets[i] = i == 0 ? 0 : offsets[i - 1] + counts[i - 1];
    }
    std::vector<float> parts(process == 0 ? n * m : 0), y(parts.size());
    MPI_Gatherv(part.data(), static_cast<int>(part.size()), MPI_FLOAT, parts.data(), counts.data(), offsets.data(),
                MPI_FLOAT, 0, MPI_COMM_WORLD);
    const float* from = parts.data();
    for (std::size_t i = 0, column = 0; i < counts.size() && process == 0; ++i) {
      const auto width = static_cast<std::size_t>(rows_of[i]);
      for (std::size_t row = 0; row < n; ++row, from += width) std::copy_n(from, width, &y[row * m] + column);
      column += width;
    }
    return y;
  }

  // Process 0 gets y[N x M] as a sum over shards of columns. Every process prepares its columns of x alone.
  std::vector<float> MultiplyColumns() {
    Broadcast();
    std::size_t begin = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(process); ++i)
      begin += static_cast<std::size_t>(columns_of[i]);
    const std::vector<float> part = Product(columns, begin);
    std::vector<float> parts(process == 0 ? part.size() * columns_of.size() : 0), y(process == 0 ? part.size() : 0);
    MPI_Gather(part.data(), static_cast<int>(part.size()), MPI_FLOAT, parts.data(), static_cast<int>(part.size()),
               MPI_FLOAT, 0, MPI_COMM_WORLD);
    for (std::size_t i = 0; i < parts.size(); ++i) y[i % y.size()] += parts[i];
    return y;
  }

  // x from column `begin` on, times a shard of columns.
  std::vector<float> Product(const lutra::PackedMatrix& shard, std::size_t begin) {
    std::vector<float> y(n * m);
    const lutra::ActivationView view(x.data() + begin, n, shard.k(), k);
    Check(lutra::MatMul(shard, view, lutra::OutputView(y.data(), n, m), context), "MatMul");
    return y;
  }
};

// The shortest of 20 times of run(), in ms. All processes begin together.
template <class Run>
double BestMs(const Run& run) {
  double best = 1e9;
  for (int i = 0; i < 20; ++i) {
    MPI_Barrier(MPI_COMM_WORLD);
    const double begin = MPI_Wtime();
    run();
    best = std::min(best, 1e3 * (MPI_Wtime() - begin));
  }
  return best;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

int Run(const std::string& folder, std::size_t m, std::size_t k, std::size_t n) {
  lutra::PackedMatrix w;
  if (process == 0) w = WriteShards(folder, m, k);
  MPI_Barrier(MPI_COMM_WORLD);
  Shard shard(folder, m, k, n);
  if (process == 0) shard.x = Gaussian(n * k, 2);
  const std::vector<float> of_rows = shard.MultiplyRows(), of_columns = shard.MultiplyColumns();
  const double rows_ms = BestMs([&] { shard.MultiplyRows(); }), columns_ms = BestMs([&] { shard.MultiplyColumns(); });

  std::vector<float> y(n * m), sum(n * m);
  const auto alone = [&] {
    if (process != 0) return;
    const lutra::ActivationView x(shard.x.data(), n, k);
    Check(lutra::MatMul(w, x, lutra::OutputView(y.data(), n, m), shard.context), "MatMul");
  };
  const double alone_ms = BestMs(alone);
  if (process != 0) return 0;
  for (int i = 0, begin = 0; i < processes; ++i) {
    lutra::PackedMatrix columns;
    Check(lutra::LoadPacked(PathOf(folder, "columns", i).c_str(), {}, &columns), "LoadPacked");
    const std::vector<float> part = shard.Product(columns, static_cast<std::size_t>(begin));
    for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += part[j];
    begin += shard.columns_of[static_cast<std::size_t>(i)];
  }
  float largest = 0, difference = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    largest = std::max(largest, std::abs(y[i]));
    difference = std::max(difference, std::abs(y[i] - of_columns[i]));
  }
  std::printf("W[%zu x %zu], N = %zu, %d processes of a thread: one process %.3f ms, rows %.3f ms, columns %.3f ms\n",
              m, k, n, processes, alone_ms, rows_ms, columns_ms);
  const bool rows_same = SameBits(of_rows, y), columns_same = SameBits(of_columns, sum);
  std::printf(
      "rows %s one process, bit for bit; columns %s their sum in one process, and are off by at most %.1e of\n"
      "the largest element from the whole product\n",
      rows_same ? "equal" : "DIFFER FROM", columns_same ? "equal" : "DIFFER FROM",
      static_cast<double>(difference / largest));
  return rows_same && columns_same && difference <= 1e-5f * largest ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &process);
  MPI_Comm_size(MPI_COMM_WORLD, &processes);
  std::size_t sizes[3] = {1000, 2048, 4};
  for (int i = 0; i < 3 && argc == 5; ++i) sizes[i] = std::strtoul(argv[i + 2], nullptr, 10);
  const bool valid = (argc == 2 || argc == 5) && sizes[0] != 0 && sizes[1] != 0 && sizes[2] != 0;
  if (!valid && process == 0) std::fprintf(stderr, "usage: mpirun -n 2 mpi_shards FOLDER [M K N]\n");
  const int result = valid ? Run(argv[1], sizes[0], sizes[1], sizes[2]) : 2;
  MPI_Finalize();
  return result;
}
