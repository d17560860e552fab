// Grouped products: bit for bit what a loop of single products gives, for every format and target, row list, executor
// and split; what they refuse.
#include "lutra/grouped.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lutra/executors/thread_pool.h"
#include "lutra/lutra.h"
#include "support/allocator.h"
#include "support/experts.h"
#include "support/faults.h"
#include "support/problem.h"
#include "support/sweep.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
const GatedUnit kUnits[] = {kSwiGlu, kGeGlu, kClampedSwiGlu, {0.5f, -0.01f, 2.0f, -1.0f}};

// A router's choice: expert 3 gets no token, the token 4 no expert, and some slots have none.
std::vector<std::int32_t> RandomIds(std::size_t tokens, std::size_t slots, std::size_t experts, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::int32_t> ids(tokens * slots);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<std::int32_t>(random.Below(experts));
    if (ids[i] == 3 || random.Below(10) == 0) ids[i] = -1 - static_cast<std::int32_t>(random.Below(2));
    if (i / slots == 4) ids[i] = -1;
  }
  return ids;
}

class GroupedKernels : public KernelTest {
 protected:
  Case CaseOf(const Shape& shape, Precision precision, std::uint64_t seed) const {
    Case c = NewCase(shape, seed);
    c.precision = precision;
    c.zeros = seed % 2 == 0 ? Zeros::kNone : Zeros::kFloat;
    c.bias = seed % 3 != 0;
    c.y_type = kFloatTypes[seed % 3];
    c.group = kGroups[seed % 7];
    return c;
  }
};

// From tokens, and back: with one matrix per expert, with a gate, and added up.
TEST_P(GroupedKernels, EqualTheLoop) {
  constexpr std::size_t kExperts = 6, kSlots = 3;
  std::uint64_t seed = GetParam().phase;
  for (const Precision precision : kPrecisions) {
    for (const std::size_t tokens : {std::size_t{1}, std::size_t{5}, std::size_t{31}}) {
      const Case c = CaseOf({tokens == 5 ? std::size_t{333} : 70, 1, 217}, precision, ++seed);
      SCOPED_TRACE(c);
      const std::vector<std::int32_t> ids = RandomIds(tokens, kSlots, kExperts, seed);
      Routing routing;
      ASSERT_TRUE(Ok(routing.Assign(ids.data(), tokens, kSlots, kSlots, kExperts)));
      Case other = c;
      other.seed += 100;
      other.tables = 1 + c.seed % kMaxTables;
      const Experts w(c, kExperts, tokens), gate(other, kExperts, tokens);
      GroupedProduct p;
      p.w = w.list();
      p.x = &w.x;
      p.rows = routing.FromTokens();
      p.y = {nullptr, c.y_type, tokens * kSlots, c.m, c.m};
      const std::vector<float> before(tokens * kSlots * c.m);
      EXPECT_TRUE(SameBits(Grouped(p, p.y.n, nullptr, 3), Loop(p, before), c.m));
      p.gate = gate.list();
      p.unit = kUnits[seed % 4];
      EXPECT_TRUE(SameBits(Grouped(p, p.y.n, nullptr, 3), Loop(p, before), c.m));

      const Experts back(c, kExperts, tokens * kSlots);
      std::vector<float> weights(tokens * kSlots);
      Random random(seed);
      for (float& weight : weights) weight = random.Gaussian();
      GroupedProduct sum;
      sum.w = back.list();
      sum.x = &back.x;
      sum.rows = routing.ToTokens();
      sum.weights = weights.data();
      sum.y = {nullptr, DataType::kF32, tokens, c.m, c.m};
      EXPECT_TRUE(SameBits(Grouped(sum, tokens, nullptr, 3), Loop(sum, std::vector<float>(tokens * c.m)), c.m));
    }
  }
}

// Lists of all kinds, for one matrix: rows where they stand, parts of row groups, copies; more than one block.
TEST_P(GroupedKernels, TakeAnyRowList) {
  const Case c = CaseOf({130, 1, 150}, kPrecisions[GetParam().phase % 2], GetParam().phase);
  SCOPED_TRACE(c);
  constexpr std::size_t kRows = 23;
  const Experts one(c, 1, kRows);
  std::vector<std::int32_t> many(300);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<std::int32_t>(i * 7 % kRows);
  const std::vector<std::int32_t> lists[] = {{0},
                                             {5},
                                             {22},
                                             {5, 6},
                                             {4, 5, 6, 7},
                                             {20, 21, 22},
                                             {21, 22},
                                             {7, 8},
                                             {3, 2, 1, 0},
                                             {4, 5, 6, 7, 8, 9, 10, 11},
                                             {4, 5, 6, 7, 8},
                                             {0, 5, 10, 15, 20},
                                             {9, 9, 9, 9, 9},
                                             {8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22},
                                             many};
  for (const std::vector<std::int32_t>& list : lists) {
    const std::int32_t offsets[] = {0, static_cast<std::int32_t>(list.size())};
    GroupedProduct p;
    p.w = one.list();
    p.x = &one.x;
    p.rows = {offsets, list.size(), list.data(), nullptr};
    p.y = {nullptr, DataType::kF32, list.size(), c.m, c.m};
    EXPECT_TRUE(SameBits(Grouped(p, list.size()), Loop(p, std::vector<float>(list.size() * c.m)), c.m)) << list.size();
  }
  // All rows of x, to some rows of y; the other rows of y are as before.
  std::vector<std::int32_t> to(kRows);
  for (std::size_t i = 0; i < kRows; ++i) to[i] = static_cast<std::int32_t>(2 * (kRows - i));
  const std::int32_t offsets[] = {0, kRows};
  GroupedProduct p;
  p.w = one.list();
  p.x = &one.x;
  p.rows = {offsets, kRows, nullptr, to.data()};
  p.y.type = c.y_type;
  Output y(2 * kRows + 1, c.m, 0, c.y_type);
  p.y = y.view();
  const std::vector<float> before = y.Floats();
  Context context;
  ASSERT_TRUE(Ok(MatMulGrouped(p, context)));
  EXPECT_TRUE(SameBits(Canonical(y.Floats()), Canonical(Loop(p, before)), c.m));
}

INSTANTIATE_TEST_SUITE_P(Sweep, GroupedKernels, ::testing::ValuesIn(Kernels()), KernelName);

// What the engine's threads and executors make of it.
class GroupedThreads : public ::testing::TestWithParam<FormatInfo> {
 protected:
  // Checks all splits of a product.
  static void Check(GroupedProduct p, std::size_t n) {
    p.y = {nullptr, DataType::kF32, n, p.w[0].m(), p.w[0].m()};
    const std::vector<float> expected = Loop(p, std::vector<float>(n * p.y.m));
    ThreadPool pool(3);
    BackwardExecutor none(0), seven(7), most(kMax);
    for (Executor* executor : std::initializer_list<Executor*>{nullptr, &pool, &none, &seven, &most}) {
      EXPECT_TRUE(SameBits(Grouped(p, n, executor), expected, p.y.m));
    }
    for (const std::size_t count : {0u, 1u, 2u, 7u, 500u}) {
      EXPECT_TRUE(SameBits(GroupedInPieces(p, n, count), expected, p.y.m)) << count << " pieces";
    }
  }
};

TEST_P(GroupedThreads, AnySplitEqualsTheLoop) {
  constexpr std::size_t kExperts = 5;
  for (const std::size_t tokens : {std::size_t{2}, std::size_t{300}}) {
    Case c;
    c.format = GetParam().format;
    c.target = BestTarget();
    c.m = 500;
    c.k = 64;
    c.bias = true;
    SCOPED_TRACE(c);
    const std::vector<std::int32_t> ids = RandomIds(tokens, 2, kExperts, tokens);
    Routing routing;
    ASSERT_TRUE(Ok(routing.Assign(ids.data(), tokens, 2, 2, kExperts)));
    const Experts w(c, kExperts, tokens), back(c, kExperts, 2 * tokens);
    GroupedProduct p;
    p.w = p.gate = w.list();
    p.x = &w.x;
    p.rows = routing.FromTokens();
    Check(p, 2 * tokens);

    const std::vector<float> weights(2 * tokens, 0.25f);
    GroupedProduct sum;
    sum.w = back.list();
    sum.x = &back.x;
    sum.rows = routing.ToTokens();
    sum.weights = weights.data();
    Check(sum, tokens);
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, GroupedThreads, ::testing::ValuesIn(kFormats), FormatName);

// A row of x that is not finite spoils the rows of y that read it, and no others.
TEST(GroupedProducts, PropagateNaN) {
  Case c = SmallCase(70, 6, 200);
  Experts w(c, 3, 6);
  std::vector<float> data(6 * 200, 0.5f);
  data[2 * 200 + 7] = kNaN;
  Context context;
  const PrepareOptions options(Precision::kInt8, Choice::kInvariant, NonFinite::kPropagate);
  ASSERT_TRUE(Ok(Prepare(ActivationView(data.data(), 6, 200), w.matrices[0], options, context, &w.x)));
  const std::int32_t ids[] = {0, 1, 1, 2, 0, 2, 2, 1, 0, 1, -1, 0};
  Routing routing;
  ASSERT_TRUE(Ok(routing.Assign(ids, 6, 2, 2, 3)));
  GroupedProduct p;
  p.w = p.gate = w.list();
  p.x = &w.x;
  p.rows = routing.FromTokens();
  p.y = {nullptr, DataType::kF32, 12, c.m, c.m};
  const std::vector<float> y = Grouped(p, 12);
  EXPECT_TRUE(SameBits(y, Loop(p, std::vector<float>(12 * c.m)), c.m));
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / c.m / 2 == 2) << i;
}

TEST(GroupedProducts, Refusals) {
  const Case c = SmallCase(70, 4, 200);
  Case wider = c, other = c;
  wider.k = 201;
  other.group = kPerRow;
  const Experts w(c, 3, 4), wide(wider, 1, 4), rows(other, 1, 4);
  const std::int32_t offsets[] = {0, 2, 2, 4}, descending[] = {0, 2, 1, 4}, negative[] = {-1, 2, 2, 4},
                     list[] = {3, 2, 1, 0}, beyond[] = {3, 2, 1, 4}, below[] = {3, -1, 1, 0};
  const PackedMatrix* const mixed[] = {&w.matrices[0], &rows.matrices[0], &w.matrices[1]};
  Output y(4, c.m, 1, DataType::kF32), of_pieces(4, c.m, 1, DataType::kF32);
  const float weights[4] = {};
  GroupedProduct good;
  good.w = w.list();
  good.x = &w.x;
  good.rows = {offsets, 4, list, list};
  good.y = y.view();
  const Fault<GroupedProduct> kFaults[] = {
      {"w", [](GroupedProduct& p) { p.w = {}; }},
      {"w",
       [&](GroupedProduct& p) {
         p.w = {mixed, 3};
       }},
      {"gate",
       [&](GroupedProduct& p) {
         p.gate = {w.matrices.data(), 2};
       }},
      {"gate",
       [&](GroupedProduct& p) {
         p.gate = {mixed, 3};
       }},
      {"x", [](GroupedProduct& p) { p.x = nullptr; }},
      {"x", [&](GroupedProduct& p) { p.x = &wide.x; }},
      {"y.data", [](GroupedProduct& p) { p.y.data = nullptr; }},
      {"y.m", [](GroupedProduct& p) { --p.y.m; }},
      {"y.row_stride", [](GroupedProduct& p) { p.y.row_stride = 1; }},
      {"y.type", [](GroupedProduct& p) { p.y.type = DataType::kInt8; }},
      {"y.type", [&](GroupedProduct& p) { p.y.type = DataType::kF16, p.weights = weights; }},
      {"rows.offsets", [](GroupedProduct& p) { p.rows.offsets = nullptr; }},
      {"rows.offsets", [&](GroupedProduct& p) { p.rows.offsets = descending; }},
      {"rows.offsets", [&](GroupedProduct& p) { p.rows.offsets = negative; }},
      {"rows.offsets", [](GroupedProduct& p) { p.rows.size = 3; }},
      {"rows.x_rows", [&](GroupedProduct& p) { p.rows.x_rows = beyond; }},
      {"rows.x_rows", [&](GroupedProduct& p) { p.rows.x_rows = below; }},
      {"rows.y_rows", [&](GroupedProduct& p) { p.rows.y_rows = beyond; }},
      {"rows.y_rows", [&](GroupedProduct& p) { p.rows.y_rows = nullptr, p.y.n = 3; }},
  };
  std::size_t bytes = 0, count = 0;
  ASSERT_TRUE(Ok(GroupedScratchSize(w.matrices[0], w.x, &bytes)));
  Buffer scratch;
  ASSERT_TRUE(scratch.Reserve(bytes));
  Context context;
  for (const Fault<GroupedProduct>& fault : kFaults) {
    SCOPED_TRACE(::testing::Message() << "fault " << &fault - kFaults << " " << fault.argument);
    GroupedProduct p = good;
    fault.spoil(p);
    EXPECT_TRUE(Refused(MatMulGrouped(p, context), fault.argument));
    const bool reads_it = p.w.size() != 3 || (p.w[1].group() == c.group && p.gate.size() != 3);  // 1 has no entries
    if (p.y.data != nullptr) p.y.data = of_pieces.view().data;
    const Status piece = MatMulGroupedPiece(p, 0, 1, scratch.data(), bytes);
    EXPECT_TRUE(reads_it ? Refused(piece, fault.argument) : Ok(piece));
  }
  EXPECT_TRUE(y.Untouched());
  EXPECT_TRUE(Refused(MatMulGroupedPieces(good, 1, nullptr), "count"));
  EXPECT_TRUE(Refused(MatMulGroupedPiece(good, 1, 1, scratch.data(), bytes), "i"));
  EXPECT_TRUE(Refused(MatMulGroupedPiece(good, 0, 1, nullptr, bytes), "scratch"));
  EXPECT_TRUE(Refused(MatMulGroupedPiece(good, 0, 1, scratch.data() + 4, bytes), "scratch"));
  EXPECT_TRUE(Refused(MatMulGroupedPiece(good, 0, 1, scratch.data(), bytes - 1), "scratch"));
  EXPECT_TRUE(Refused(GroupedScratchSize(wide.matrices[0], w.x, &bytes), "x"));
  EXPECT_TRUE(Refused(GroupedScratchSize(w.matrices[0], w.x, nullptr), "bytes"));
  EXPECT_TRUE(y.Untouched());
  ASSERT_TRUE(Ok(MatMulGroupedPieces(good, 1, &count)));
  EXPECT_TRUE(SameBits(Grouped(good, 4), Loop(good, std::vector<float>(4 * c.m)), c.m));
}

// Nothing to read, or nothing to write.
TEST(GroupedProducts, OfNothing) {
  const Case c = SmallCase(70, 3, 200);
  const Experts w(c, 2, 3);
  const std::int32_t none[] = {0, 0, 0}, to[] = {2};
  GroupedProduct p;
  p.w = w.list();
  p.x = &w.x;
  p.rows = {none, 0, nullptr, nullptr};
  Output y(3, c.m, 2, DataType::kF32);
  p.y = y.view();
  Context context;
  std::size_t count = 9;
  EXPECT_TRUE(Ok(MatMulGrouped(p, context)));
  EXPECT_TRUE(Ok(MatMulGroupedPieces(p, 4, &count)));
  EXPECT_EQ(count, 0u);
  EXPECT_TRUE(y.Untouched());
  const Activations empty;  // no row of x, but a row of y that becomes zeros
  p.x = &empty;
  p.rows = {none, 1, nullptr, to};
  EXPECT_TRUE(Ok(MatMulGrouped(p, context)));
  const std::vector<float> rows = y.Floats();
  EXPECT_TRUE(std::all_of(rows.end() - 70, rows.end(), [](float value) { return value == 0.0f; }));
  EXPECT_TRUE(std::isnan(rows[70]));
  p.y.n = 0;
  p.rows.size = 0;
  EXPECT_TRUE(Ok(MatMulGrouped(p, context)));
}

// The second call of the same size allocates nothing; a call that gets no memory changes nothing.
TEST(GroupedProducts, AllocateOnce) {
  const Case c = SmallCase(70, 3, 200);
  const Experts w(c, 2, 3);
  const std::int32_t offsets[] = {0, 2, 3};
  GroupedProduct p;
  p.w = p.gate = w.list();
  p.x = &w.x;
  p.rows = {offsets, 3, nullptr, nullptr};
  Output y(3, c.m, 2, DataType::kF32);
  p.y = y.view();
  Context context;
  Allocator& allocator = TheAllocator();
  if (allocator.calls == 0) return;  // a shared library has its own allocator
  allocator.refused = 0;
  allocator.calls = 0;
  EXPECT_EQ(MatMulGrouped(p, context).code(), StatusCode::kOutOfMemory);
  allocator.refused = Allocator::kNever;
  EXPECT_TRUE(y.Untouched());
  EXPECT_TRUE(Ok(MatMulGrouped(p, context)));
  allocator.calls = 0;
  EXPECT_TRUE(Ok(MatMulGrouped(p, context)));
  EXPECT_EQ(allocator.calls, 0u);
  EXPECT_TRUE(SameBits(y.Floats(), Loop(p, std::vector<float>(3 * c.m)), c.m));
}

TEST(RoutingOfPairs, SortsByExpert) {
  const std::int32_t ids[] = {2, 0, 99, -1, 2, 99, 0, 0, 99};
  Routing routing;
  ASSERT_TRUE(Ok(routing.Assign(ids, 3, 2, 3, 4)));
  const RowLists from = routing.FromTokens(), back = routing.ToTokens();
  EXPECT_EQ(from.size, 6u);
  EXPECT_EQ(std::vector<std::int32_t>(from.offsets, from.offsets + 5), (std::vector<std::int32_t>{0, 3, 3, 5, 5}));
  EXPECT_EQ(std::vector<std::int32_t>(from.y_rows, from.y_rows + 6), (std::vector<std::int32_t>{1, 4, 5, 0, 3, 2}));
  EXPECT_EQ(std::vector<std::int32_t>(from.x_rows, from.x_rows + 6), (std::vector<std::int32_t>{0, 2, 2, 0, 1, 1}));
  EXPECT_EQ(back.x_rows, from.y_rows);
  EXPECT_EQ(back.y_rows, from.x_rows);
  EXPECT_EQ(routing.tokens(), 3u);
  EXPECT_EQ(routing.slots(), 2u);
  EXPECT_EQ(routing.experts(), 4u);
  EXPECT_TRUE(Refused(routing.Assign(ids, 3, 2, 3, 2), "ids"));
  EXPECT_TRUE(Refused(routing.Assign(nullptr, 3, 2, 3, 4), "ids"));
  EXPECT_TRUE(Refused(routing.Assign(ids, 3, 2, 1, 4), "stride"));
  EXPECT_TRUE(Refused(routing.Assign(ids, kMax, 2, 2, 4), "tokens"));
  EXPECT_TRUE(Refused(routing.Assign(ids, std::size_t{1} << 30, 2, 2, 4), "tokens"));
  EXPECT_TRUE(Refused(routing.Assign(ids, 1, 2, 2, kMax), "experts"));
  EXPECT_TRUE(Refused(routing.Assign(ids, 2, 2, kMax, 4), "stride"));
  EXPECT_EQ(routing.FromTokens().size, 6u);
  ASSERT_TRUE(Ok(routing.Assign(nullptr, 0, 2, 2, 4)));
  EXPECT_EQ(routing.FromTokens().size, 0u);
}

}  // namespace
}  // namespace lutra::test
