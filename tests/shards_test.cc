// Shards of rows and of columns: side by side, or added up, they are the whole.
#include "lutra/shards.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "support/packed_bytes.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

TEST(ShardOf, CoversAllOnce) {
  for (const std::size_t size : {0u, 1u, 63u, 64u, 65u, 640u, 1000u}) {
    for (const std::size_t unit : {1u, 64u, 256u}) {
      for (const std::size_t count : {1u, 2u, 3u, 7u}) {
        std::size_t end = 0, longest = 0, shortest = size;
        for (std::size_t i = 0; i < count; ++i) {
          const ShardRange shard = ShardOf(size, unit, i, count);
          EXPECT_EQ(shard.begin, end);
          EXPECT_TRUE(shard.begin % unit == 0 || shard.begin == size);
          end = shard.end;
          longest = std::max(longest, shard.size());
          shortest = std::min(shortest, shard.size());
        }
        EXPECT_EQ(end, size);
        EXPECT_LE(longest - shortest, 2 * unit);
      }
    }
  }
  static_assert(ShardOf(~std::size_t{0}, 64, 6, 7).end == ~std::size_t{0});
}

// Every format, group and qparam scheme, on the best target: which one does not matter to shards.
class ColumnShards : public SweepTest<GroupedScheme> {
 protected:
  Case ShardCase(std::size_t k) const {
    Case c = SmallCase(70, 3, k);
    c.format = format();
    c.target = target();
    c.group = part().group;
    c.zeros = part().kind.zeros;
    c.scale_type = part().kind.scale_type;
    c.gap = part().index % 3;
    c.seed = part().index;
    return c;
  }
};

// x of a problem, from column `begin` on.
ActivationView ColumnsOf(const ActivationView& x, std::size_t begin, std::size_t end) {
  return {static_cast<const float*>(x.data) + begin, x.n, end - begin, x.row_stride};
}

TEST_P(ColumnShards, AddUpToTheWhole) {
  const Problem problem(ShardCase(900));
  SCOPED_TRACE(*problem);
  const QuantizedView& w = problem.w();
  const std::size_t size = problem->n * w.m, unit = ColumnUnit(w);
  std::vector<double> exact(size), whole(size), bound(size);
  ASSERT_TRUE(Ok(ReferenceMatMul(w, problem.x(), whole.data())));
  std::vector<float> y(size);
  std::vector<double> magnitude(size);
  std::size_t covered = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const ShardRange range = ShardOf(w.k, unit, i, 3);
    QuantizedMatrix shard;
    ASSERT_TRUE(Ok(CopyColumns(w, range.begin, range.end, &shard)));
    ASSERT_EQ(shard.view().k, range.size());
    EXPECT_EQ(shard.view().bias != nullptr, range.begin == 0);
    covered += range.size();
    PackedMatrix packed;
    ASSERT_TRUE(Ok(Pack(shard.view(), {target(), nullptr}, &packed)));
    const ActivationView x = ColumnsOf(problem.x(), range.begin, range.end);
    Context context;
    std::vector<float> part(size);
    std::vector<double> part_exact(size), part_bound(size);
    ASSERT_TRUE(Ok(MatMul(packed, x, OutputView(part.data(), x.n, w.m), context)));
    ASSERT_TRUE(Ok(ReferenceMatMul(shard.view(), x, part_exact.data())));
    ASSERT_TRUE(Ok(ReferenceErrorBound(shard.view(), x, Precision::kInt8, part_bound.data())));
    for (std::size_t j = 0; j < size; ++j) {
      y[j] += part[j];
      exact[j] += part_exact[j];
      bound[j] += part_bound[j];
      magnitude[j] += std::fabs(double{part[j]});
    }
  }
  EXPECT_EQ(covered, w.k);
  for (std::size_t j = 0; j < size; ++j) {
    // The references are sums in double of the same products. Each addition of a part rounds a sum that is at most the
    // sum of magnitudes and of roundings before.
    ASSERT_NEAR(exact[j], whole[j], 1e-9 * bound[j]);
    ASSERT_LE(std::fabs(double{y[j]} - exact[j]), bound[j] + 3 * 0x1.01p-24 * magnitude[j]) << "element " << j;
  }
}

// The weights of a shard are the weights of the whole, wherever K is cut; refusals say where it may be.
TEST_P(ColumnShards, HoldTheWeights) {
  Case c = ShardCase(1100);
  c.m = 7;
  const Problem problem(c);
  SCOPED_TRACE(*problem);
  const QuantizedView& w = problem.w();
  const std::size_t unit = ColumnUnit(w);
  std::vector<float> weights(w.m * w.k), part(w.m * w.k);
  ASSERT_TRUE(Ok(Dequantize(w, weights.data(), w.k)));
  for (const std::size_t begin : {std::size_t{0}, unit, 3 * unit, w.k}) {
    for (const std::size_t end : {unit, 2 * unit, w.k}) {
      QuantizedMatrix shard;
      if (begin > end) {
        EXPECT_TRUE(Refused(CopyColumns(w, begin, end, &shard), "begin"));
        continue;
      }
      ASSERT_TRUE(Ok(CopyColumns(w, begin, end, &shard)));
      const std::size_t k = end - begin;
      ASSERT_TRUE(Ok(Dequantize(shard.view(), part.data(), w.k)));
      for (std::size_t m = 0; m < w.m; ++m) {
        ASSERT_EQ(std::memcmp(&part[m * w.k], weights.data() + m * w.k + begin, k * sizeof(float)), 0);
      }
    }
  }
  QuantizedMatrix shard;
  EXPECT_TRUE(Refused(CopyColumns(w, unit / 2, w.k, &shard), "begin"));
  EXPECT_TRUE(Refused(CopyColumns(w, 0, unit + 1, &shard), "end"));
  EXPECT_TRUE(Refused(CopyColumns(w, 0, w.k + 1, &shard), "end"));
  EXPECT_TRUE(Refused(CopyColumns(w, 0, w.k, nullptr), "columns"));
}
INSTANTIATE_TEST_SUITE_P(Sweep, ColumnShards, ::testing::ValuesIn(SharedSweep(Kernels(1), GroupedSchemes(), 2)),
                         SweepName());

TEST(ColumnShardsOf, OddMatrices) {
  QuantizedMatrix shard;
  for (const Case& c : {SmallCase(0, 1, 200), SmallCase(70, 1, 0)}) {
    const Problem problem(c);
    EXPECT_TRUE(Ok(CopyColumns(problem.w(), 0, problem->k, &shard)));
    EXPECT_EQ(shard.view().m, problem->m);
    EXPECT_EQ(shard.view().k, problem->k);
  }
  Case c = SmallCase();
  c.order = true;
  const Problem problem(c);
  EXPECT_TRUE(NotSupported(CopyColumns(problem.w(), 0, 128, &shard), "w.order"));
}

}  // namespace
}  // namespace lutra::test
