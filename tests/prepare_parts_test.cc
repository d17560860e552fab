// PreparePart: parts in any number and order prepare the same activations as Prepare, in the caller's memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "lutra/lutra.h"
#include "support/packed_bytes.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

// Memory for N prepared rows, filled with garbage, before an unmapped page.
class PreparedMemory {
 public:
  PreparedMemory(const PackedMatrix& w, std::size_t n, const PrepareOptions& options) : bytes_(Size(w, n, options)) {
    std::fill_n(bytes_.data(), bytes_.size(), std::uint8_t{0xa5});
  }
  std::uint8_t* data() { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  bool operator==(PreparedMemory& o) {
    return size() == o.size() && (size() == 0 || std::memcmp(data(), o.data(), size()) == 0);
  }

 private:
  static std::size_t Size(const PackedMatrix& w, std::size_t n, const PrepareOptions& options) {
    std::size_t bytes = 0;
    EXPECT_TRUE(Ok(PreparedSize(w, n, options, &bytes)));
    return bytes;
  }
  Bytes bytes_;
};

class PreparingParts : public KernelTest {
 protected:
  static void Check(const Case& c, const PrepareOptions& options) {
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, c.target);
    Context context;
    Activations expected;
    ASSERT_TRUE(Ok(Prepare(problem.x(), w, options, context, &expected)));
    const std::vector<float> y = Multiplied(w, expected, DataType::kF32, 0);
    for (const std::size_t parts : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, std::size_t{64}}) {
      PreparedMemory memory(w, c.n, options);
      for (std::size_t part = parts; part-- > 0;) {
        ASSERT_TRUE(Ok(PreparePart(problem.x(), w, options, part, parts, memory.data(), memory.size())));
      }
      Activations activations;
      ASSERT_TRUE(Ok(ViewActivations(w, c.n, options, memory.data(), memory.size(), &activations)));
      EXPECT_EQ(activations.n(), c.n);
      EXPECT_EQ(activations.k(), c.k);
      EXPECT_EQ(activations.kind(), expected.kind());
      EXPECT_EQ(activations.bytes(), 0u);
      EXPECT_TRUE(activations.Fits(w));
      EXPECT_TRUE(SameBits(Multiplied(w, activations, DataType::kF32, 0), y, std::max<std::size_t>(c.m, 1))) << parts;
    }
    EXPECT_TRUE(problem.Intact());
  }
};

TEST_P(PreparingParts, EqualsPrepare) {
  std::uint64_t seed = 0;
  for (const std::size_t n : {std::size_t{1}, std::size_t{3}, std::size_t{5}, std::size_t{13}}) {
    for (const std::size_t k : {std::size_t{17}, std::size_t{640}, std::size_t{1001}}) {
      Random random(++seed);
      Case c = NewCase({5, n, k}, seed);
      c.group = random.Pick(kGroups);
      c.order = random.Below(3) == 0;
      c.x = kXKinds[seed % std::size(kXKinds)];
      c.gap = seed % 3;
      c.precision = kPrecisions[seed % 2];
      const PrepareOptions options(c.precision, seed % 4 == 3 ? Choice::kFastest : Choice::kInvariant);
      Check(c, options);
    }
  }
}

TEST_P(PreparingParts, NormalizesAsPrepareRmsNorm) {
  for (const std::size_t n : {std::size_t{1}, std::size_t{6}}) {
    const Case c = NewCase({5, n, 700}, n);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, c.target);
    const std::vector<float> weight(c.k, 1.25f);
    const RmsNorm norm{weight.data(), 1e-5f};
    Context context;
    Activations expected, activations;
    ASSERT_TRUE(Ok(PrepareRmsNorm(problem.x(), norm, w, {}, context, &expected)));
    PreparedMemory memory(w, n, {});
    for (std::size_t part = 0; part < 3; ++part) {
      ASSERT_TRUE(Ok(PreparePart(problem.x(), norm, w, {}, part, 3, memory.data(), memory.size())));
    }
    ASSERT_TRUE(Ok(ViewActivations(w, n, {}, memory.data(), memory.size(), &activations)));
    EXPECT_TRUE(
        SameBits(Multiplied(w, activations, DataType::kF32, 0), Multiplied(w, expected, DataType::kF32, 0), c.m));
  }
}

INSTANTIATE_TEST_SUITE_P(Sweep, PreparingParts, ::testing::ValuesIn(Kernels()), KernelName);

// Every part writes its own bytes, whichever thread it runs on.
TEST(PrepareParts, RunOnSeveralThreads) {
  constexpr std::size_t kThreads = 4;
  for (const std::size_t n : {std::size_t{1}, std::size_t{9}}) {
    Case c = SmallCase(64, n, 4096);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, nullptr);
    PreparedMemory together(w, n, {}), apart(w, n, {});
    ASSERT_TRUE(Ok(PreparePart(problem.x(), w, {}, 0, 1, together.data(), together.size())));
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back(
          [&, t] { EXPECT_TRUE(Ok(PreparePart(problem.x(), w, {}, t, kThreads, apart.data(), apart.size()))); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(apart == together);
  }
}

// Only the parts that read a value that is not finite report it.
TEST(PrepareParts, ReportValuesThatAreNotFinite) {
  constexpr std::size_t kN = 8, kK = 1024, kParts = 4;
  const PackedMatrix w = Packed(Problem(SmallCase(64, 1, kK)), nullptr);
  std::vector<float> x(kN * kK, 1.0f);
  for (const std::size_t at : {std::size_t{0}, 3 * kK + 1000, 5 * kK + 300}) {
    const float before = x[at];
    x[at] = std::numeric_limits<float>::quiet_NaN();
    std::size_t errors = 0;
    PreparedMemory memory(w, kN, {});
    for (std::size_t part = 0; part < kParts; ++part) {
      const Status status =
          PreparePart(ActivationView(x.data(), kN, kK), w, {}, part, kParts, memory.data(), memory.size());
      if (status.ok()) continue;
      ++errors;
      EXPECT_TRUE(Refused(status, "x.data"));
    }
    EXPECT_EQ(errors, 1u) << at;
    x[at] = before;
  }
}

TEST(PrepareParts, NameWrongArguments) {
  const Problem problem(SmallCase());
  const PackedMatrix w = Packed(problem, nullptr);
  PreparedMemory memory(w, problem->n, {});
  const std::size_t size = memory.size();
  const auto prepare = [&](std::size_t part, std::size_t parts, void* to, std::size_t bytes) {
    return PreparePart(problem.x(), w, {}, part, parts, to, bytes);
  };
  EXPECT_TRUE(Refused(prepare(2, 2, memory.data(), size), "part"));
  EXPECT_TRUE(Refused(prepare(0, 0, memory.data(), size), "part"));
  EXPECT_TRUE(Refused(prepare(0, std::numeric_limits<std::size_t>::max(), memory.data(), size), "parts"));
  EXPECT_TRUE(Refused(prepare(0, 1, nullptr, size), "memory"));
  EXPECT_TRUE(Refused(prepare(0, 1, memory.data() + 32, size), "memory"));
  EXPECT_TRUE(Refused(prepare(0, 1, memory.data(), size - 1), "size"));
  Activations activations;
  EXPECT_TRUE(Refused(ViewActivations(w, problem->n, {}, memory.data(), size - 1, &activations), "size"));
  EXPECT_TRUE(Refused(ViewActivations(w, problem->n, {}, nullptr, size, &activations), "memory"));
  EXPECT_TRUE(Refused(ViewActivations(w, problem->n, {}, memory.data(), size, nullptr), "activations"));
  EXPECT_EQ(activations.n(), 0u);
  PackedLayout layout;
  ASSERT_TRUE(Ok(LayoutOf(problem.w(), {}, &layout)));
  std::size_t bytes = 0;
  ASSERT_TRUE(Ok(PreparedSize(layout, problem->n, {}, &bytes)));
  EXPECT_EQ(bytes, size);
}

}  // namespace
}  // namespace lutra::test
