// fp8, int8 and int4 weights beside GEMMs of float weights by OpenBLAS and oneDNN, one thread each, in one process:
// OMP_NUM_THREADS=1 beside_gemm [M K]
//
// Prints GMAC/s for several N; W is [M x K], 4096 x 4096 by default. x and y are f32. Times include the preparation of
// x (Lutra) and its rounding to bf16 (oneDNN bf16), not the packing or reordering of W.
#include <cblas.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "../../examples/best_ms.h"
#include "lutra/lutra.h"

namespace lutra::bench {
namespace {

constexpr std::size_t kRows[] = {1, 8, 32, 128, 512};

// W[M x K], x[N x K] for the largest N, and y.
struct Problem {
  std::size_t m, k;
  std::vector<float> w, x, y;

  Problem(std::size_t m_, std::size_t k_) : m(m_), k(k_), w(m_ * k_), x(kRows[4] * k_), y(kRows[4] * m_) {
    std::minstd_rand random;
    std::normal_distribution<float> gaussian;
    for (float& value : w) value = 0.02f * gaussian(random);
    for (float& value : x) value = gaussian(random);
  }
  // Prints the rate of `multiply`, which computes n rows of y.
  template <class Multiply>
  void Print(const char* name, Multiply&& multiply) {
    std::printf("%-24s", name);
    for (const std::size_t n : kRows) {
      multiply(n);  // without measuring: allocates
      const double ms = examples::BestMs([] {}, [&] { multiply(n); });
      std::printf(" %9.1f", static_cast<double>(n * m * k) / ms * 1e-6);
      std::fflush(stdout);
    }
    std::printf("\n");
  }
};

void MultiplyByOpenBlas(Problem& p, std::size_t n) {
  const auto rows = static_cast<blasint>(n), m = static_cast<blasint>(p.m), k = static_cast<blasint>(p.k);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, m, k, 1.0f, p.x.data(), k, p.w.data(), k, 0.0f, p.y.data(),
              m);
}

// y = x * W^T with W, and x, of a type.
class DnnlProduct {
 public:
  using Memory = dnnl::memory;

  DnnlProduct(const dnnl::engine& engine, dnnl::stream& stream, Problem& p, std::size_t n, Memory::data_type type)
      : stream_(stream), type_(type) {
    const auto rows = static_cast<Memory::dim>(n), m = static_cast<Memory::dim>(p.m);
    const auto k = static_cast<Memory::dim>(p.k);
    using Tag = Memory::format_tag;
    const Memory::desc f32_x({rows, k}, Memory::data_type::f32, Tag::ab);
    const Memory::desc f32_w({k, m}, Memory::data_type::f32, Tag::ba),
        f32_y({rows, m}, Memory::data_type::f32, Tag::ab);
    const Memory::desc x({rows, k}, type, Tag::ab), w({k, m}, type, Tag::any);
    const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(x, w, f32_y), engine);
    product_ = dnnl::matmul(chosen);
    given_x_ = Memory(f32_x, engine, p.x.data());
    x_ = type == Memory::data_type::f32 ? given_x_ : Memory(x, engine);
    y_ = Memory(f32_y, engine, p.y.data());
    w_ = Memory(chosen.weights_desc(), engine);
    Memory given_w(f32_w, engine, p.w.data());
    dnnl::reorder(given_w, w_).execute(stream, given_w, w_);
    round_ = dnnl::reorder(given_x_, x_);
    stream.wait();
  }
  void Run() {
    if (type_ != Memory::data_type::f32) round_.execute(stream_, given_x_, x_);
    product_.execute(stream_, {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, w_}, {DNNL_ARG_DST, y_}});
    stream_.wait();
  }

 private:
  dnnl::stream& stream_;
  const Memory::data_type type_;
  Memory given_x_, x_, w_, y_;
  dnnl::matmul product_;
  dnnl::reorder round_;
};

void PrintDnnl(Problem& p, const char* name, dnnl::memory::data_type type) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  std::unordered_map<std::size_t, DnnlProduct> products;
  p.Print(name, [&](std::size_t n) { products.try_emplace(n, engine, stream, p, n, type).first->second.Run(); });
}

// Prints the rate of a format, in groups of 128 with f16 scales; false if that fails.
bool PrintLutra(Problem& p, Format format, Choice choice = Choice::kInvariant) {
  QuantizeOptions options;
  options.format = format;
  QuantizedMatrix quantized;
  PackedMatrix w;
  Status status = Quantize(p.w.data(), p.m, p.k, p.k, options, &quantized);
  if (status.ok()) status = Pack(quantized.view(), &w);
  if (!status.ok()) return std::fprintf(stderr, "beside_gemm: %s\n", status.message().c_str()), false;
  Context context;
  const std::string chosen = choice == Choice::kInvariant ? "" : std::string(", ") + Name(choice);
  p.Print(("Lutra " + (Name(format) + chosen)).c_str(), [&](std::size_t n) {
    const ActivationView x(p.x.data(), n, p.k);
    Status done = Prepare(x, w, {Precision::kInt8, choice}, context, &context.scratch);
    if (done.ok()) done = MatMul(w, context.scratch, OutputView(p.y.data(), n, p.m), context);
    if (!done.ok()) status = done;
  });
  return status.ok();
}

int Run(std::size_t m, std::size_t k) {
  openblas_set_num_threads(1);
  Problem p(m, k);
  std::printf("GMAC/s, %zu x %zu; OpenBLAS's kernels: %s; Lutra's: %s\n%-24s", m, k, openblas_get_corename(),
              TargetName(*RunnableTargets().begin()), "N");
  for (const std::size_t n : kRows) std::printf(" %9zu", n);
  std::printf("\n");
  p.Print("OpenBLAS f32", [&](std::size_t n) { MultiplyByOpenBlas(p, n); });
  PrintDnnl(p, "oneDNN f32", dnnl::memory::data_type::f32);
  PrintDnnl(p, "oneDNN bf16", dnnl::memory::data_type::bf16);
  if (!PrintLutra(p, Format::kFp8E4M3, Choice::kFastest)) return 1;
  for (const Format format : {Format::kFp8E4M3, Format::kInt8, Format::kInt4}) {
    if (!PrintLutra(p, format)) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace lutra::bench

int main(int argc, char** argv) {
  const char* const threads = std::getenv("OMP_NUM_THREADS");  // oneDNN reads it when it is loaded
  const auto size = [&](int i) { return argc == 3 ? std::strtoul(argv[i], nullptr, 10) : 4096ul; };
  if (threads == nullptr || std::string(threads) != "1" || (argc != 1 && argc != 3) || size(1) == 0 || size(2) == 0) {
    std::fprintf(stderr, "usage: OMP_NUM_THREADS=1 beside_gemm [M K]\n");
    return 2;
  }
  try {
    return lutra::bench::Run(size(1), size(2));
  } catch (const std::exception& error) {  // memory is short, or oneDNN lacks a type on this CPU
    std::fprintf(stderr, "beside_gemm: %s\n", error.what());
    return 1;
  }
}
