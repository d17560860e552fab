// Multiplies a matrix that is larger than a limit of memory: a mapped file is read in windows of rows, and windows that
// were multiplied leave memory. Then only some rows, as a predictor of active rows chooses them.
//
//     larger_than_memory make FILE MEGABYTES
//     larger_than_memory multiply FILE LIMIT_IN_MEGABYTES
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kColumns = 4096, kMegabyte = 1000000;

// The number behind `name` in a file of the system's, such as "VmHWM:  1234 kB"; 0 if there is none.
std::size_t SystemNumber(const char* path, std::string_view name) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    std::size_t number = 0;
    if (word == name && file >> number) return number;
  }
  return 0;
}
// The largest memory that the program had at a time, pages of the mapped file among it; what its disk delivered.
std::size_t PeakBytes() { return 1024 * SystemNumber("/proc/self/status", "VmHWM:"); }
std::size_t BytesFromDisk() { return SystemNumber("/proc/self/io", "read_bytes:"); }

// The system forgets the pages of a file that no program maps.
void DropFromCache(const char* path) {
  const int file = open(path, O_RDONLY);
  if (file < 0) return;
  fsync(file);  // pages that are not on the disk stay
#if defined(POSIX_FADV_DONTNEED)
  posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
#endif
  close(file);
}

// Makes an int4 matrix of random codes. This takes memory for all of it.
lutra::Status Make(const char* path, std::size_t bytes) {
  std::mt19937_64 random(1);
  lutra::QuantizedView w;
  w.k = kColumns;
  w.m = std::max<std::size_t>(1, bytes / kColumns * 32 / 17);  // 4 bits, and an f16 per 64 weights
  w.group = 64;
  std::vector<std::uint8_t> codes(w.m * w.k);
  for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random() >> 60);
  const std::vector<std::uint16_t> scales(lutra::ScaleCount(w), lutra::F32ToF16(0.01f));
  w.codes = codes.data();
  w.code_stride = w.k;
  w.scales = scales.data();
  lutra::PackedMatrix packed;
  lutra::ThreadPool pool;
  const lutra::Status status = lutra::Pack(w, {nullptr, &pool}, &packed);
  return status.ok() ? lutra::SavePacked(packed, path) : status;
}

// Rows [begin, end).
struct Rows {
  std::size_t begin, end;
};

struct Product {
  const char* path;
  const lutra::PackedMatrix& w;
  const lutra::Activations& x;
  lutra::Context& context;
  std::vector<float> y;

  Product(const char* path_, const lutra::PackedMatrix& w_, const lutra::Activations& x_, lutra::Context& context_)
      : path(path_), w(w_), x(x_), context(context_), y(w_.m()) {}

  // Multiplies ranges of rows, one after the other; while it does, the system reads the next one.
  lutra::Status Multiply(const std::vector<Rows>& ranges, bool release) {
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const Rows range = ranges[i], next = ranges[std::min(i + 1, ranges.size() - 1)];
      lutra::PackedMatrix rows;
      lutra::Status status = lutra::PrefetchRows(w, next.begin, next.end);
      if (status.ok()) status = lutra::ViewRows(w, range.begin, range.end, &rows);
      if (status.ok()) {
        status = lutra::MatMul(rows, x, lutra::OutputView(&y[range.begin], 1, rows.m(), w.m()), context);
      }
      if (status.ok() && release) status = lutra::ReleaseRows(w, range.begin, range.end);
      if (!status.ok()) return status;
    }
    return {};
  }
};

// Multiplies, and prints a line of the table. The file is not in memory before.
lutra::Status Measure(const char* name, const std::vector<Rows>& ranges, bool release, Product& product) {
  lutra::Status status = lutra::ReleaseRows(product.w, 0, product.w.m());
  DropFromCache(product.path);
  std::size_t needed = 0;
  for (const Rows range : ranges) needed += lutra::RowBytes(product.w, range.begin, range.end);
  const std::size_t before = BytesFromDisk();
  const auto start = Clock::now();
  if (status.ok()) status = product.Multiply(ranges, release);
  const std::chrono::duration<double> seconds = Clock::now() - start;
  const auto megabytes = [](std::size_t bytes) { return static_cast<double>(bytes) / kMegabyte; };
  fmt::print("{:<28} {:>10.1f} {:>10.1f} {:>14.1f} {:>8.2f} {:>8.2f}\n", name, megabytes(needed),
             megabytes(BytesFromDisk() - before), megabytes(PeakBytes()), 1e3 * seconds.count(),
             1e-3 * megabytes(needed) / seconds.count());
  return status;
}

std::string Multiply(const char* path, std::size_t limit) {
  lutra::PackOptions options;
  options.check_data = false;  // which would read all of the file
  lutra::PackedMatrix w;
  lutra::Loaded loaded;
  lutra::Status status = lutra::LoadPacked(path, options, &w, &loaded);
  if (!status.ok()) return status.message();
  if (loaded != lutra::Loaded::kInPlace || w.m() == 0) return "the file was not mapped";
  lutra::ThreadPool pool;
  lutra::Context context{&pool};
  lutra::Activations x;
  std::vector<float> floats(w.k());
  std::mt19937_64 random(2);
  for (float& value : floats) value = std::normal_distribution<float>()(random);
  status = lutra::Prepare(lutra::ActivationView(floats.data(), 1, w.k()), w, {}, context, &x);
  if (!status.ok()) return status.message();

  // A window is an eighth of the limit: one is multiplied while the next is read.
  const std::size_t unit = lutra::RowUnit(w), unit_bytes = std::max<std::size_t>(1, lutra::RowBytes(w, 0, 1));
  const std::size_t window = std::max<std::size_t>(1, limit / 8 / unit_bytes) * unit;
  std::vector<Rows> windows, chosen;
  for (std::size_t row = 0; row < w.m(); row += window) windows.push_back({row, std::min(row + window, w.m())});
  for (std::size_t row = 0; row < w.m(); row += unit) {
    if (random() % 10 == 0) chosen.push_back({row, std::min(row + unit, w.m())});
  }
  if (chosen.empty()) chosen.push_back({0, std::min(unit, w.m())});

  fmt::print("W[{} x {}], {} of {:.3f} bits per weight: {} bytes; limit {} bytes\n\n", w.m(), w.k(),
             lutra::Name(w.format()), w.bits_per_weight(), w.bytes(), limit);
  fmt::print("{:<28} {:>10} {:>10} {:>14} {:>8} {:>8}\n", "rows", "MB needed", "MB read", "MB at the peak", "ms",
             "GB/s");
  Product all(path, w, x, context), some(path, w, x, context), free(path, w, x, context);
  status = Measure("all, released", windows, true, all);
  if (status.ok()) status = Measure("a tenth of them, released", chosen, true, some);
  const std::size_t peak = PeakBytes();
  if (status.ok()) status = Measure("all, not released", {{0, w.m()}}, false, free);
  if (!status.ok()) return status.message();

  if (all.y != free.y) return "the windows' product differs";
  for (const Rows range : chosen) {
    const auto begin = static_cast<std::ptrdiff_t>(range.begin), end = static_cast<std::ptrdiff_t>(range.end);
    if (!std::equal(some.y.begin() + begin, some.y.begin() + end, free.y.begin() + begin)) {
      return "the product of some rows differs";
    }
  }
  if (peak > limit) return "the limit was exceeded";
  fmt::print("\nThe products are the same, bit for bit; up to the second line memory stayed below the limit.\n");
  return "";
}

// A positive number of megabytes; 0 if the text is none.
std::size_t Megabytes(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool valid = error == std::errc() && end == text.data() + text.size() && value <= 1000000;
  return valid ? value * kMegabyte : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view verb = argc == 4 ? argv[1] : "";
  const std::size_t bytes = argc == 4 ? Megabytes(argv[3]) : 0;
  if ((verb != "make" && verb != "multiply") || bytes == 0) {
    fmt::print(stderr, "usage: larger_than_memory make FILE MEGABYTES | multiply FILE LIMIT_IN_MEGABYTES\n");
    return 2;
  }
  std::string error;
  if (verb == "multiply") {
    error = Multiply(argv[2], bytes);
  } else if (const lutra::Status status = Make(argv[2], bytes); !status.ok()) {
    error = status.message();
  }
  if (!error.empty()) fmt::print(stderr, "larger_than_memory: {}\n", error);
  return error.empty() ? 0 : 1;
}
