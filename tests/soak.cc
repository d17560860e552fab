// Runs random multiplications as an engine does, for as long as one likes: soak [--seconds 5] [--seed 1]. In each round
// four threads pack, prepare and multiply matrices that they share, compare each result bit for bit, and then free
// everything: the memory in use must not grow from round to round.
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

struct Settings {
  double seconds = 5;
  std::uint64_t seed = 1;
};
Settings settings;

constexpr std::size_t kThreads = 4, kProductsPerThread = 2, kCallsPerThread = 40;

Target AnyTarget(Random& random) {
  const TargetList targets = RunnableTargets();
  return targets.data[random.Below(targets.size)];
}

Case AnyCase(Random& random) {
  Case c;
  c.format = random.Pick(kFormats).format;
  c.target = AnyTarget(random);
  c.m = 1 + random.Below(300);
  c.n = 1 + random.Below(random.Below(4) == 0 ? 40 : 4);
  c.k = 1 + random.Below(1000);
  c.group = random.Pick(kGroups);
  ParamKind kind;
  do {
    kind = random.Pick(kParamKinds);
  } while (!Exists(c.group, kind));
  c.scale_type = kind.scale_type;
  c.zeros = kind.zeros;
  c.bias = random.Below(2) == 1;
  c.order = random.Below(3) == 0;
  c.precision = random.Pick(kPrecisions);
  c.x = random.Pick(kXKinds);
  c.gap = random.Below(2) * random.Below(20);
  c.data = random.Pick(kDataKinds);
  c.seed = random.Bits();
  return c;
}

// A multiplication that all threads may do, and its expected result.
class Product {
 public:
  explicit Product(Random& random) : problem_(AnyCase(random)), transform_(random.Below(5)) {
    SCOPED_TRACE(*problem_);
    for (std::size_t k = 0; k < problem_->k; ++k) weight_.push_back(random.Uniform(-0.5f, 2.0f));
    while (problem_->k % (2 * block_) == 0) block_ *= 2;
    EXPECT_TRUE(Ok(PackFor(problem_->target, nullptr, &w_)));
    EXPECT_TRUE(Ok(PrepareFor(w_, nullptr, &x_)));
    Expect();
  }

  // One of the ways to the result, on `executor` or on this thread alone.
  void Compute(Random& random, Executor* executor, Activations* own) const {
    SCOPED_TRACE(*problem_);
    const DataType type = random.Pick(kFloatTypes);
    const std::size_t gap = random.Below(3), way = random.Below(4);
    SCOPED_TRACE(way);
    if (way == 0) {
      Compare(Multiplied(w_, x_, type, gap, executor), type);
    } else if (way == 1) {
      Compare(InRanges(random, type, gap), type);
    } else if (way == 2) {
      ASSERT_TRUE(Ok(PrepareFor(w_, executor, own)));
      Compare(Multiplied(w_, *own, type, gap, executor), type);
    } else {
      PackedMatrix w;
      ASSERT_TRUE(Ok(PackFor(AnyTarget(random), executor, &w)));
      ASSERT_TRUE(Ok(PrepareFor(w, executor, own)));
      Compare(Multiplied(w, *own, type, gap, executor), type);
    }
  }

  // Not while others compute: looking at the guards opens them.
  bool Intact() const { return problem_.Intact(); }

 private:
  Status PackFor(Target target, Executor* executor, PackedMatrix* w) const {
    return Pack(problem_.w(), {target, executor}, w);
  }

  Status PrepareFor(const PackedMatrix& w, Executor* executor, Activations* x) const {
    Context context{executor};
    if (normalizes()) return PrepareRmsNorm(problem_.x(), {weight_.data(), 1e-6f}, w, problem_->precision, context, x);
    if (rotates()) return PrepareHadamard(problem_.x(), {nullptr, block_}, w, problem_->precision, context, x);
    return Prepare(problem_.x(), w, problem_->precision, context, x);
  }

  bool normalizes() const { return transform_ == 1; }
  bool rotates() const { return transform_ == 2 && block_ > 1; }

  // The result of the reference for kInt16 and of the best target for kInt8, from activations that were transformed
  // before.
  void Expect() {
    ActivationView x = problem_.x();
    std::vector<float> transformed;
    if (normalizes() || rotates()) {
      transformed.resize(x.n * x.k);
      EXPECT_TRUE(Ok(normalizes() ? ReferenceRmsNorm(x, {weight_.data(), 1e-6f}, transformed.data())
                                  : ReferenceHadamard(x, {nullptr, block_}, transformed.data())));
      x = {transformed.data(), DataType::kF32, x.n, x.k, x.k};
    }
    if (problem_->precision == Precision::kInt16) {
      expected_.resize(problem_->n * problem_->m);
      EXPECT_TRUE(Ok(ReferenceExactMatMul(problem_.w(), x, expected_.data())));
      return;
    }
    PackedMatrix w;
    Activations tables;
    Context context;
    EXPECT_TRUE(Ok(PackFor(BestTarget(), nullptr, &w)));
    EXPECT_TRUE(Ok(Prepare(x, w, problem_->precision, context, &tables)));
    expected_ = Multiplied(w, tables, DataType::kF32, 0);
  }

  std::vector<float> InRanges(Random& random, DataType type, std::size_t gap) const {
    Output y(problem_->n, problem_->m, gap, type);
    for (std::size_t begin = 0; begin < problem_->m;) {
      const std::size_t end = std::min(problem_->m, begin + 1 + random.Below(150));
      EXPECT_TRUE(Ok(MatMulRange(w_, x_, y.view(), begin, end)));
      begin = end;
    }
    EXPECT_TRUE(y.SurroundingsIntact());
    return y.Floats();
  }

  void Compare(const std::vector<float>& y, DataType type) const {
    EXPECT_TRUE(SameBits(y, Rounded(expected_, type), problem_->m));
  }

  Problem problem_;
  std::uint64_t transform_;  // of x: see normalizes() and rotates()
  std::size_t block_ = 1;    // the largest power of two that divides K
  std::vector<float> weight_, expected_;
  PackedMatrix w_;
  Activations x_;
};

// body(thread, a random source of its own) on each of the threads.
template <class Body>
void OnThreads(std::uint64_t seed, const Body& body) {
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&body, seed, i] {
      Random random(seed * kThreads + i);
      body(i, random);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void Round(std::uint64_t seed) {
  std::vector<std::unique_ptr<Product>> products(kThreads * kProductsPerThread);
  OnThreads(2 * seed, [&](std::size_t thread, Random& random) {
    for (std::size_t i = thread; i < products.size(); i += kThreads) products[i] = std::make_unique<Product>(random);
  });
  ThreadPool pool(3);
  OnThreads(2 * seed + 1, [&](std::size_t, Random& random) {
    Activations own;
    for (std::size_t i = 0; i < kCallsPerThread && !::testing::Test::HasFailure(); ++i) {
      const Product& product = *products[random.Below(products.size())];
      product.Compute(random, random.Below(2) == 0 ? nullptr : &pool, &own);
    }
  });
  for (const auto& product : products) EXPECT_TRUE(product->Intact());
}

struct Memory {
  std::size_t in_use = 0;    // bytes that malloc has given and not got back
  std::size_t resident = 0;  // bytes of this process in memory
};
Memory LargerOf(const Memory& a, const Memory& b) {
  return {std::max(a.in_use, b.in_use), std::max(a.resident, b.resident)};
}

Memory MemoryNow() {
  malloc_trim(0);
  const struct mallinfo2 info = mallinfo2();
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  return {info.uordblks + info.hblkhd, pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE))};
}

// Memory that malloc's caches may still take after the first quarter of the time. The resident margin also holds the
// tests' own pool of guarded pages and the code that an emulator translates.
constexpr std::size_t kInUseMargin = std::size_t{256} << 10, kResidentMargin = std::size_t{64} << 20;

TEST(Soak, SameBitsAndNoMoreMemory) {
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  Memory warm, later;
  std::uint64_t round = 0;
  do {
    SCOPED_TRACE(::testing::Message() << "seed " << settings.seed << ", round " << round);
    const bool warming = round == 0 || elapsed() < settings.seconds / 4;
    Round((settings.seed << 32) + round++);
    Memory& memory = warming ? warm : later;
    memory = LargerOf(memory, MemoryNow());
  } while (!HasFailure() && (elapsed() < settings.seconds || later.resident == 0));
  std::printf("%llu rounds in %.0f s; KB in use %zu, then at most %zu; resident %zu, then at most %zu\n",
              static_cast<unsigned long long>(round), elapsed(), warm.in_use >> 10, later.in_use >> 10,
              warm.resident >> 10, later.resident >> 10);
  EXPECT_LE(later.in_use, warm.in_use + kInUseMargin);
  // A sanitizer's malloc has no statistics, and keeps freed memory for a while.
  if (warm.in_use != 0) {
    EXPECT_LE(later.resident, warm.resident + kResidentMargin);
  }
}

bool Parse(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    char* end = nullptr;
    if (std::strcmp(argv[i], "--seconds") == 0) {
      settings.seconds = std::strtod(argv[i + 1], &end);
    } else if (std::strcmp(argv[i], "--seed") == 0) {
      settings.seed = std::strtoull(argv[i + 1], &end, 10);
    }
    if (end == nullptr || *end != 0) return false;
  }
  return argc % 2 == 1;
}

}  // namespace
}  // namespace lutra::test

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (!lutra::test::Parse(argc, argv)) {
    std::fprintf(stderr, "usage: soak [--seconds N] [--seed N]\n");
    return 2;
  }
  return RUN_ALL_TESTS();
}
