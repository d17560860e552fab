// Prints how exactly each format holds matrices of floats, by round to nearest and by a search: weight_error FILE...
#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "codebooks.h"
#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "matrix_file.h"

namespace {

using lutra::DataType;
using lutra::Format;
using lutra::ZeroKind;

struct Scheme {
  Format format;
  std::size_t group;
  DataType scale_type = DataType::kF16;
  ZeroKind zero_kind = ZeroKind::kNone;
  DataType zero_type = DataType::kF16;
  std::size_t learned_tables = 0;  // of a codebook; 0: NF3 or NF4
};

constexpr Scheme kSchemes[] = {
    {Format::kInt1, 128},
    {Format::kTernary, 128},
    {Format::kInt2, 32},
    {Format::kInt2, 64, DataType::kF16, ZeroKind::kPoint, DataType::kUInt4},
    {Format::kInt2Codes, 16, DataType::kUInt4, ZeroKind::kOffset, DataType::kUInt4},
    {Format::kInt3, 32},
    {Format::kInt3, 64, DataType::kF16, ZeroKind::kPoint, DataType::kUInt4},
    {Format::kInt3, 16, DataType::kUInt4, ZeroKind::kOffset, DataType::kUInt4},
    {Format::kCodebook3, 64},
    {Format::kCodebook3, 64, DataType::kF16, ZeroKind::kNone, DataType::kF16, 1},
    {Format::kCodebook3, 64, DataType::kF16, ZeroKind::kNone, DataType::kF16, 4},
    {Format::kInt4, 32},
    {Format::kInt4, 128},
    {Format::kInt4, 64, DataType::kF16, ZeroKind::kPoint, DataType::kUInt4},
    {Format::kInt4, 32, DataType::kUInt4, ZeroKind::kOffset, DataType::kUInt4},
    {Format::kInt4, 32, DataType::kInt8, ZeroKind::kOffset, DataType::kInt8},
    {Format::kFp4, 32},
    {Format::kIq4nl, 32},
    {Format::kCodebook4, 64},
    {Format::kCodebook4, 64, DataType::kF16, ZeroKind::kNone, DataType::kF16, 1},
    {Format::kCodebook4, 64, DataType::kF16, ZeroKind::kNone, DataType::kF16, 4},
    {Format::kInt5, 32},
    {Format::kInt5, 32, DataType::kInt8, ZeroKind::kOffset, DataType::kInt8},
    {Format::kInt6, 32},
    {Format::kInt6, 16, DataType::kInt8},
    {Format::kInt8, 32},
};

double BitsOf(DataType type) { return type == DataType::kUInt4 ? 4.0 : 8.0 * static_cast<double>(lutra::SizeOf(type)); }

// Bits per weight of codes and qparams; a matrix's codebook does not count.
double BitsPerWeight(const Scheme& s) {
  const double per_group = BitsOf(s.scale_type) + (s.zero_kind == ZeroKind::kNone ? 0 : BitsOf(s.zero_type)) +
                           (s.learned_tables > 1 ? 8 : 0);
  const double per_super = !lutra::HasTwoLevels(s.scale_type) ? 0 : s.zero_kind == ZeroKind::kNone ? 16 : 32;
  return lutra::Describe(s.format).stored().bits_per_weight() + per_group / static_cast<double>(s.group) +
         per_super / static_cast<double>(lutra::kSuperGroup);
}

std::string TextOf(const Scheme& s) {
  std::string text = fmt::format("{} per {}, {}", lutra::Name(s.format), s.group, lutra::Name(s.scale_type));
  if (s.zero_kind != ZeroKind::kNone)
    text += fmt::format(", {} {}", lutra::Name(s.zero_kind), lutra::Name(s.zero_type));
  if (s.learned_tables != 0) text += fmt::format(", {} learned", s.learned_tables);
  return text;
}

// NMSE of the weights.
lutra::Status ErrorOf(const Scheme& s, lutra::Fit fit, const std::vector<float>& weights, lutra::Executor& threads,
                      double* nmse) {
  const std::size_t m = weights.size() / lutra::examples::kCut, k = lutra::examples::kCut;
  lutra::QuantizeOptions options = lutra::examples::OptionsFor(s.format, s.group);
  options.scale_type = s.scale_type;
  options.zero_kind = s.zero_kind;
  options.zero_type = s.zero_type;
  options.fit = fit;
  options.executor = &threads;
  std::int8_t codebook[lutra::kMaxTables * 16];
  if (s.learned_tables != 0) {
    options.codebook = nullptr;
    options.codebook_tables = s.learned_tables;
    const lutra::Status status = lutra::LearnCodebook(weights.data(), m, k, k, options, codebook);
    if (!status.ok()) return status;
    options.codebook = codebook;
  }
  lutra::QuantizedMatrix w;
  std::vector<float> out(m * k);
  lutra::Status status = lutra::Quantize(weights.data(), m, k, k, options, &w);
  if (status.ok()) status = lutra::Dequantize(w.view(), out.data(), k);
  *nmse = lutra::examples::NmseOf(out, weights);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: weight_error FILE...\nFiles of little-endian floats; they are cut into rows of 256.\n");
    return 2;
  }
  std::vector<std::vector<float>> matrices;
  fmt::print("{:<38} {:>5}", "NMSE: nearest, search", "bits");
  for (int i = 1; i < argc; ++i) {
    matrices.push_back(lutra::examples::ReadCutMatrix(argv[i]));
    if (matrices.back().empty()) {
      fmt::print(stderr, "weight_error: {} cannot be read, or has less than 256 floats\n", argv[i]);
      return 2;
    }
    fmt::print(" {:>28}", lutra::examples::MatrixName(argv[i]));
  }
  fmt::print("\n");
  lutra::ThreadPool threads(0);
  for (const Scheme& scheme : kSchemes) {
    fmt::print("{:<38} {:>5.2f}", TextOf(scheme), BitsPerWeight(scheme));
    for (const std::vector<float>& weights : matrices) {
      double errors[2];
      for (const lutra::Fit fit : {lutra::Fit::kRange, lutra::Fit::kLeastError}) {
        const lutra::Status status = ErrorOf(scheme, fit, weights, threads, &errors[static_cast<int>(fit)]);
        if (!status.ok()) {
          fmt::print(stderr, "\nweight_error: {}\n", status.message());
          return 1;
        }
      }
      fmt::print(" {:>14.2e}{:>14.2e}", errors[0], errors[1]);
    }
    fmt::print("\n");
  }
  return 0;
}
