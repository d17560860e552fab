// How an engine calls Lutra from threads of its own: one of them prepares x, then each takes pieces of the product.
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "lutra/lutra.h"

namespace {

constexpr std::size_t kWidth = 1024, kTokens = 3, kLayers = 4, kThreads = 4;

// All threads meet before any goes on.
class Barrier {
 public:
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    const std::size_t round = arrived_++ / kThreads;
    if (arrived_ % kThreads == 0) return all_here_.notify_all();
    all_here_.wait(lock, [&] { return arrived_ / kThreads > round; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_here_;
  std::size_t arrived_ = 0;
};

// A stack of layers, x <- W x, and what its threads share.
struct Engine {
  lutra::PackedMatrix layers[kLayers];
  std::vector<float> x, y = std::vector<float>(kTokens * kWidth);
  lutra::Activations tables;
  Barrier barrier;
  std::atomic<std::size_t> next{0};
  std::atomic<bool> ok{true};

  lutra::Status Load() {
    for (std::size_t layer = 0; layer < kLayers; ++layer) {
      std::vector<float> weights(kWidth * kWidth);
      for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i * (layer + 3) % 17) / 8 - 1;
      lutra::QuantizedMatrix quantized;
      lutra::Status status = lutra::Quantize(weights.data(), kWidth, kWidth, kWidth, {}, &quantized);
      if (status.ok()) status = lutra::Pack(quantized.view(), &layers[layer]);
      if (!status.ok()) return status;
    }
    return {};
  }
  lutra::ActivationView XView() const { return {x.data(), kTokens, kWidth}; }
  lutra::OutputView YView() { return {y.data(), kTokens, kWidth}; }

  void Check(const lutra::Status& status) {
    if (status.ok()) return;
    std::fprintf(stderr, "%s\n", status.message().c_str());
    ok = false;
  }

  // What each thread does.
  void Run(std::size_t thread) {
    for (const lutra::PackedMatrix& w : layers) {
      if (thread == 0) {
        lutra::Context serial;
        Check(lutra::Prepare(XView(), w, lutra::Precision::kInt8, serial, &tables));
        next = 0;
      }
      barrier.Wait();
      std::size_t count = 0;
      Check(lutra::MatMulPieces(w, tables, kThreads, &count));
      for (std::size_t i; (i = next.fetch_add(1)) < count;) Check(lutra::MatMulPiece(w, tables, YView(), i, count));
      barrier.Wait();
      if (thread == 0) std::swap(x, y);
    }
  }

  std::vector<float> Infer(const std::vector<float>& input) {
    x = input;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) threads.emplace_back([this, i] { Run(i); });
    for (std::thread& thread : threads) thread.join();
    return x;
  }

  // The same on this thread alone.
  std::vector<float> InferSerially(const std::vector<float>& input) {
    x = input;
    lutra::Context serial;
    for (const lutra::PackedMatrix& w : layers) {
      Check(lutra::Prepare(XView(), w, lutra::Precision::kInt8, serial, &tables));
      Check(lutra::MatMul(w, tables, YView(), serial));
      std::swap(x, y);
    }
    return x;
  }
};

}  // namespace

int main() {
  Engine engine;
  engine.Check(engine.Load());
  std::vector<float> input(kTokens * kWidth);
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = static_cast<float>(i % 13) / 8 - 0.75f;
  const std::vector<float> parallel = engine.Infer(input), serial = engine.InferSerially(input);
  const bool same = std::memcmp(parallel.data(), serial.data(), serial.size() * sizeof(float)) == 0;
  std::printf("%zu layers, %zu threads: %s as on one\n", kLayers, kThreads, same ? "the same bits" : "OTHER BITS");
  return engine.ok && same ? 0 : 1;
}
