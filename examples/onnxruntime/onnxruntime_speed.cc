// Measures Lutra's MatMulNBits and ONNX Runtime's own: onnxruntime_speed [M K BITS BLOCK THREADS [f16]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "lutra/sampled_error.h"
#include "random_product.h"

namespace {

// The best of several runs of y = x * W^T, in milliseconds.
double BestMs(random_product::Call call) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9;
  const Clock::time_point end = Clock::now() + std::chrono::seconds(1);
  for (int run = 0; run < 5 || Clock::now() < end; ++run) {
    const Clock::time_point begin = Clock::now();
    call.Run();
    best = std::min(best, std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 1 && argc != 6 && (argc != 7 || std::string(argv[6]) != "f16")) {
    std::fprintf(stderr, "usage: onnxruntime_speed [M K BITS BLOCK THREADS [f16]]\n");
    return 2;
  }
  const auto number = [&](int i, std::size_t otherwise) {
    return argc > i ? static_cast<std::size_t>(std::strtoull(argv[i], nullptr, 10)) : otherwise;
  };
  random_product::Shape shape;
  shape.m = number(1, 4096);
  shape.k = number(2, 4096);
  shape.bits = number(3, 4);
  shape.block = number(4, 32);
  const int threads = static_cast<int>(number(5, 2));
  shape.half = argc == 7;
  const bool power_of_two = (shape.block & (shape.block - 1)) == 0;
  if (shape.m == 0 || shape.k == 0 || shape.bits < 2 || shape.bits > 8 || shape.block < 16 || shape.block > 256 ||
      !power_of_two) {
    std::fprintf(stderr, "onnxruntime_speed: M or K is 0, BITS is not 2 to 8, or BLOCK not 16, 32, 64, 128 or 256\n");
    return 2;
  }
  std::printf("W[%zu x %zu], %zu bits, blocks of %zu, %s, %d threads\n", shape.m, shape.k, shape.bits, shape.block,
              shape.half ? "f16" : "f32", threads);
  std::printf("%-15s %14s %12s %10s %10s %10s\n", "domain", "accuracy_level", "session, ms", "N", "ms", "NMSE");
  try {
    for (const std::int64_t level : {0, 4}) {
      for (const char* const domain : {"com.microsoft", "lutra"}) {
        shape.accuracy_level = level;
        const random_product::Weights weights(shape);
        const onnx_model::Model model = weights.ModelOf({domain});
        const auto begin = std::chrono::steady_clock::now();
        Ort::Session session = random_product::SessionOf(model, threads);
        const double start =
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
        for (const std::size_t n : {std::size_t{1}, std::size_t{128}}) {
          const std::vector<float> x = random_product::RandomRows(n, shape.k);
          const std::vector<float> y = random_product::Outputs(session, model, x, n)[0];
          lutra::Nmse nmse;
          const lutra::Status status =
              lutra::CompareWithReference(weights.view(), lutra::ActivationView(x.data(), n, shape.k), y.data(), &nmse);
          if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
          std::printf("%-15s %14d %12.0f %10zu %10.3f %10.1e\n", domain, static_cast<int>(level), start, n,
                      BestMs({session, model, x, n}), nmse.value());
        }
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
