// Memory that is short, memory that holds garbage, and the guards of the other tests.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/allocator.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace {

// The calls of operator new so far, and the call from which on it throws.
std::atomic<std::size_t> new_calls{0}, new_refused{lutra::test::Allocator::kNever};

}  // namespace

// (Inlined, g++ would take them for a mismatched pair.)
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (new_calls.fetch_add(1) >= new_refused.load()) throw std::bad_alloc();
  void* const data = std::malloc(size);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}
[[gnu::noinline]] void operator delete(void* data) noexcept { std::free(data); }
[[gnu::noinline]] void operator delete(void* data, std::size_t) noexcept { std::free(data); }

namespace lutra::test {
namespace {

// Calls with no memory from allocation n on. Unless the call takes fewer: fails, with outputs that are as before, and
// succeeds when there is memory again. True if it was refused memory.
template <class Call, class Untouched>
bool Starved(std::size_t n, const Call& call, const Untouched& untouched) {
  Allocator& allocator = TheAllocator();
  allocator.calls = 0;
  allocator.refused = n;
  new_calls = 0;
  const Status status = call();
  const std::size_t calls = allocator.calls, news = new_calls;
  allocator.refused = Allocator::kNever;
  EXPECT_EQ(news, 0u) << "allocates elsewhere";
  if (calls <= n) {
    EXPECT_TRUE(Ok(status));
    return false;
  }
  EXPECT_EQ(status.code(), StatusCode::kOutOfMemory) << status.message();
  EXPECT_STRNE(status.argument(), "");
  EXPECT_TRUE(untouched());
  EXPECT_TRUE(Ok(call()));
  return true;
}

// The allocations of a call. starved(n) is that call; it leaves no memory behind.
template <class Body>
std::size_t Allocations(const Body& starved) {
  const std::size_t live = TheAllocator().live;
  std::size_t n = 0;
  while (starved(n) && !::testing::Test::HasFailure()) {
    EXPECT_EQ(TheAllocator().live, live) << "after allocation " << n;
    ++n;
  }
  EXPECT_EQ(TheAllocator().live, live);
  return n;
}

class Memory : public KernelTest {
 protected:
  Case AnyCase() const {
    Case c = NewCase({70, 3, 300}, 1);
    c.zeros = Zeros::kFloat;
    c.bias = true;
    c.order = true;
    c.gap = 1;
    return c;
  }
};

constexpr auto kNothing = [] { return true; };

TEST_P(Memory, PackAndUnpack) {
  const Problem problem(AnyCase());
  const PackedMatrix packed = Packed(problem, problem->target);
  ThreadPool pool(2);
  for (Executor* executor : {static_cast<Executor*>(nullptr), static_cast<Executor*>(&pool)}) {
    EXPECT_EQ(Allocations([&](std::size_t n) {
                PackedMatrix w = Packed(problem, BestTarget());
                const std::uint8_t* const before = w.data();
                return Starved(
                    n,
                    [&] {
                      return Pack(problem.w(), {problem->target, executor}, &w);
                    },
                    [&] { return w.data() == before && w.target() == BestTarget(); });
              }),
              2u);  // the order is checked, the matrix packed
  }
  EXPECT_EQ(Allocations([&](std::size_t n) {
              QuantizedMatrix w;
              return Starved(
                  n, [&] { return Unpack(packed, &w); }, [&] { return w.view().codes == nullptr; });
            }),
            // Codes, scales, zeros, bias, order; a codebook, and choices of its tables.
            5u + (packed.codebook_tables() != 0 ? 1u : 0u) + (packed.has_table_choices() ? 1u : 0u));
}

TEST_P(Memory, PrepareAndMultiply) {
  const Problem problem(AnyCase());
  const PackedMatrix w = Packed(problem, problem->target);
  const std::vector<float> weight(problem->k, 1.5f);
  const RmsNorm norm{weight.data(), 1e-6f};
  ThreadPool pool(2);
  for (const Precision precision : kPrecisions) {
    Context context{precision == Precision::kInt8 ? nullptr : &pool};
    for (const std::size_t way : {std::size_t{0}, std::size_t{1}, std::size_t{2}}) {
      const auto prepare = [&](Activations* x) {
        return way == 0   ? Prepare(problem.x(), w, precision, context, x)
               : way == 1 ? PrepareRmsNorm(problem.x(), norm, w, precision, context, x)
                          : PrepareHadamard(problem.x(), {nullptr, 2}, w, precision, context, x);
      };
      EXPECT_EQ(Allocations([&](std::size_t n) {
                  Activations x;
                  return Starved(
                      n, [&] { return prepare(&x); }, [&] { return x.n() == 0; });
                }),
                way == 2 ? 2u : 1u);  // tables and scales; transformed rows
      Activations x;
      ASSERT_TRUE(Ok(prepare(&x)));
      EXPECT_EQ(Allocations([&](std::size_t n) {
                  return Starved(
                      n, [&] { return prepare(&x); }, kNothing);
                }),
                0u);
      Output y(x.n(), w.m(), 1, DataType::kF32);
      EXPECT_EQ(Allocations([&](std::size_t n) {
                  return Starved(
                      n, [&] { return MatMul(w, x, y.view(), context); }, kNothing);
                }),
                0u);
      EXPECT_EQ(Allocations([&](std::size_t n) {
                  return Starved(
                      n, [&] { return MatMulRange(w, x, y.view(), 1, w.m()); }, kNothing);
                }),
                0u);
      EXPECT_EQ(Allocations([&](std::size_t n) {
                  return Starved(
                      n, [&] { return MatMulPiece(w, x, y.view(), 0, 3); }, kNothing);
                }),
                0u);
    }
  }
}

// In place, from bytes that are not aligned, and from a file, for every target.
TEST_P(Memory, SaveAndLoad) {
  const Problem problem(AnyCase());
  const PackedMatrix saved = Packed(problem, problem->target), other = Packed(problem, BestTarget());
  const std::string path = ::testing::TempDir() + "lutra_memory_" + std::to_string(getpid());
  EXPECT_EQ(Allocations([&](std::size_t n) {
              return Starved(
                  n, [&] { return SavePacked(saved, path.c_str()); }, [&] { return std::remove(path.c_str()) != 0; });
            }),
            0u);
  Buffer bytes;
  const std::size_t size = PackedFileSize(saved);
  ASSERT_TRUE(bytes.Reserve(size + 1));
  for (const std::size_t offset : {std::size_t{0}, std::size_t{1}}) {
    EXPECT_EQ(Allocations([&](std::size_t n) {
                return Starved(
                    n, [&] { return SavePacked(saved, bytes.data() + offset, size); }, kNothing);
              }),
              0u);
    for (const Target target : RunnableTargets()) {
      for (const bool file : {false, true}) {
        SCOPED_TRACE(::testing::Message() << TargetName(target) << " from " << offset << (file ? " or a file" : ""));
        const Loaded unset = static_cast<Loaded>(77);
        Loaded loaded = unset;
        const std::size_t allocations = Allocations([&](std::size_t n) {
          PackedMatrix w = Packed(problem, BestTarget());
          const std::uint8_t* const before = w.data();
          loaded = unset;
          return Starved(
              n,
              [&] {
                return file ? LoadPacked(path.c_str(), {target}, &w, &loaded)
                            : LoadPacked(bytes.data() + offset, size, {target}, &w, &loaded);
              },
              [&] { return w.data() == before && loaded == unset; });
        });
        // The order is checked; a copy; five arrays, and then what Pack takes.
        EXPECT_EQ(allocations, 1 + (!file && offset != 0 ? 1 : 0) + (loaded == Loaded::kRepacked ? std::size_t{7} : 0));
      }
    }
  }
  std::remove(path.c_str());
}

INSTANTIATE_TEST_SUITE_P(Sweep, Memory, ::testing::ValuesIn(Kernels()), KernelName);

TEST(ShortMemory, QuantizeAndDequantize) {
  for (const FormatInfo& f : kFormats) {
    Case c;
    c.format = f.format;
    c.m = 3;
    c.k = 150;
    c.zeros = Zeros::kFloat;
    c.order = true;
    const Problem problem(c);
    std::vector<float> weights(c.m * c.k, -1.0f);
    const std::vector<float> before = weights;
    EXPECT_EQ(Allocations([&](std::size_t n) {
                std::fill(weights.begin(), weights.end(), -1.0f);
                return Starved(
                    n, [&] { return Dequantize(problem.w(), weights.data(), c.k); }, [&] { return weights == before; });
              }),
              1u);
    QuantizeOptions options;
    options.format = f.format;
    SetZeros(HasZeros(f.format, Zeros::kOffset) ? Zeros::kOffset : Zeros::kNone, &options);
    SetCodebook(&options);
    EXPECT_EQ(Allocations([&](std::size_t n) {
                QuantizedMatrix w;
                return Starved(
                    n, [&] { return Quantize(weights.data(), c.m, c.k, c.k, options, &w); },
                    [&] { return w.view().codes == nullptr && w.view().m == 0; });
              }),
              f.own_values ? 5u : 3u);
    QuantizedView shape = problem.w();
    shape.scale_type = DataType::kInt8;
    SetZeros(f.is_float() ? Zeros::kNone : Zeros::kOffset, &shape);
    EXPECT_EQ(Allocations([&](std::size_t n) {
                QuantizedMatrix w;
                return Starved(
                    n, [&] { return w.Allocate(shape, true); }, [&] { return w.view().codes == nullptr; });
              }),
              (f.is_float() ? 6u : 7u) + (f.own_values ? 1u : 0u) + (HasTableChoices(shape) ? 1u : 0u));
  }
}

TEST(ShortMemory, References) {
  Case c;
  c.m = 3;
  c.n = 2;
  c.k = 150;
  c.order = true;
  const Problem problem(c);
  std::vector<double> sums(c.m * c.n);
  std::vector<float> exact(c.m * c.n), normalized(c.n * c.k);
  const auto count = [](auto& out, const auto& call) {
    return Allocations([&](std::size_t n) {
      std::fill(out.begin(), out.end(), -1.0f);
      return Starved(n, call, [&] { return std::count(out.begin(), out.end(), -1.0f) == std::ptrdiff_t(out.size()); });
    });
  };
  EXPECT_EQ(count(sums, [&] { return ReferenceMatMul(problem.w(), problem.x(), sums.data()); }), 2u);
  EXPECT_EQ(count(exact, [&] { return ReferenceExactMatMul(problem.w(), problem.x(), exact.data()); }), 1u);
  for (const Precision precision : kPrecisions) {
    EXPECT_EQ(count(sums, [&] { return ReferenceErrorBound(problem.w(), problem.x(), precision, sums.data()); }), 1u);
  }
  EXPECT_EQ(count(normalized, [&] { return ReferenceRmsNorm(problem.x(), {nullptr, 1e-6f}, normalized.data()); }), 0u);
  EXPECT_EQ(count(normalized, [&] { return ReferenceHadamard(problem.x(), {nullptr, 2}, normalized.data()); }), 1u);
}

// Starts as many threads as it gets memory for.
TEST(ShortMemory, ThreadPool) {
  constexpr std::size_t kThreads = 4;
  std::size_t concurrency = 0;
  for (std::size_t n = 0; concurrency < kThreads && n < 100; ++n) {
    new_calls = 0;
    new_refused = n;
    ThreadPool pool(kThreads);
    new_refused = Allocator::kNever;
    ASSERT_GE(pool.Concurrency(), std::max<std::size_t>(concurrency, 1));
    concurrency = pool.Concurrency();
    std::atomic<std::size_t> sum{0};
    pool.ParallelFor(
        10, [](void* to, std::size_t i) { *static_cast<std::atomic<std::size_t>*>(to) += i; }, &sum);
    EXPECT_EQ(sum, 45u);
  }
  EXPECT_EQ(concurrency, kThreads);
}

// --- Garbage.

// Fills the stack below with garbage.
[[gnu::noinline]] void SoilStack(std::uint8_t garbage) {
  volatile std::uint8_t soil[std::size_t{256} << 10];
  for (volatile std::uint8_t& byte : soil) byte = garbage;
}

// The packed bytes and y, where new memory and the stack hold this garbage.
struct Result {
  std::vector<std::uint8_t> packed;
  std::vector<float> y;
};
Result MultiplyAmid(std::uint8_t garbage, const Case& c, const Problem& problem, Executor* executor) {
  TheAllocator().garbage = garbage;
  SoilStack(garbage);
  const PackedMatrix w = Packed(problem, c.target, executor);
  SoilStack(garbage);
  const Activations x = Prepared(problem, w, executor);
  SoilStack(garbage);
  std::vector<float> y = Multiplied(w, x, DataType::kF32, 0, executor);
  TheAllocator().garbage = 0xff;
  return {{w.data(), w.data() + w.bytes()}, std::move(y)};
}

class GarbageInMemory : public SweepTest<GroupSize> {};

TEST_P(GarbageInMemory, ChangesNothing) {
  ThreadPool pool(3);
  std::uint64_t seed = std::size(kPrecisions) * part().index;
  for (const Precision precision : kPrecisions) {
    Random random(++seed);
    Case c = NewCase({random.Pick(kSizes) % 200 + 1, random.Pick(kSizes) % 70 + 1, random.Pick(kSizes)}, seed);
    c.group = part().size;
    c.precision = precision;
    c.zeros = random.Pick(kZeros);
    c.x = random.Pick(kXKinds);
    c.order = random.Below(2) == 1;
    SCOPED_TRACE(c);
    const Problem problem(c);
    const Result zeros = MultiplyAmid(0, c, problem, nullptr);
    for (const std::uint8_t garbage : {std::uint8_t{0xff}, std::uint8_t{0x7f}, std::uint8_t{0x80}}) {
      const Result other = MultiplyAmid(garbage, c, problem, garbage == 0x7f ? &pool : nullptr);
      EXPECT_EQ(other.packed, zeros.packed);
      EXPECT_TRUE(SameBits(other.y, zeros.y, c.m));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, GarbageInMemory, ::testing::ValuesIn(Sweep(Kernels(), GroupSizes())), SweepName());

class GarbageOfEarlierCalls : public KernelTest {};

// One Activations serves a random sequence of sizes, formats, precisions and types of x. Whatever an earlier call left
// in it, such as longer rows, does not change y, which is computed in ranges by threads.
TEST_P(GarbageOfEarlierCalls, ChangesNothing) {
  ThreadPool pool(2);
  Activations x;
  Random random(1);
  for (std::uint64_t i = 0; i < 60; ++i) {
    Case c = NewCase({random.Pick(kSizes) % 150 + 1, random.Pick(kSizes) % 40 + 1, random.Pick(kSizes)}, i);
    c.format = random.Pick(kFormats).format;
    c.group = random.Pick(kGroups);
    c.precision = random.Pick(kPrecisions);
    c.x = random.Pick(kXKinds);
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, c.target);
    Context context{i % 2 == 0 ? &pool : nullptr};
    ASSERT_TRUE(Ok(Prepare(problem.x(), w, c.precision, context, &x)));
    Output y(c.n, c.m, 0, DataType::kF32);
    const std::size_t middle = random.Below(c.m + 1);
    ASSERT_TRUE(Ok(MatMulRange(w, x, y.view(), middle, c.m)));
    ASSERT_TRUE(Ok(MatMulRange(w, x, y.view(), 0, middle)));
    ASSERT_TRUE(SameBits(y.Floats(), Multiplied(problem, c.target), c.m));
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, GarbageOfEarlierCalls, ::testing::ValuesIn(Kernels()), KernelName);

// --- The guards.

TEST(GuardsDeathTest, StopAccessBeyondTheEnd) {
  for (const std::size_t size : {std::size_t{64}, std::size_t{4096}, std::size_t{5056}}) {
    Guarded guarded(size);
    EXPECT_DEATH(++*const_cast<volatile std::uint8_t*>(guarded.data() + size), "");
    Buffer buffer;
    ASSERT_TRUE(buffer.Reserve(size));
    EXPECT_EQ(buffer.size(), size);
    EXPECT_DEATH(++*const_cast<volatile std::uint8_t*>(buffer.data() + size), "");
  }
  Guarded odd(13);
  EXPECT_DEATH(++*const_cast<volatile std::uint8_t*>(odd.data() + 13), "");
}

}  // namespace
}  // namespace lutra::test
