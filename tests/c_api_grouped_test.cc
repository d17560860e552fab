// The C API of pieces, teams and experts computes the bits of the C++ one, and refuses what is no handle.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c_grouped.h"
#include "support/c_api.h"
#include "support/c_views.h"
#include "support/experts.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

using CTeam = Owner<lutra_team, lutra_team_destroy>;
using CExperts = Owner<lutra_experts, lutra_experts_destroy>;
using CRouting = Owner<lutra_routing, lutra_routing_destroy>;

static_assert(LUTRA_NON_FINITE_PROPAGATE == static_cast<int>(NonFinite::kPropagate));
static_assert(LUTRA_CHOICE_FASTEST == static_cast<int>(Choice::kFastest));
static_assert(LUTRA_CHOICE_BITS == static_cast<int>(Choice::kBits));

bool Equal(const lutra_gated_unit& unit, const GatedUnit& expected) {
  return unit.slope == expected.slope && unit.cubic == expected.cubic && unit.offset == expected.offset &&
         (unit.limit == expected.limit || (unit.limit == 0 && std::isinf(expected.limit)));
}

// Handles of a layer of experts, and what C++ computes of it.
class CGrouped : public ::testing::Test {
 protected:
  static constexpr std::size_t kTokens = 5, kSlots = 2, kExperts = 3;
  static constexpr std::int32_t kIds[] = {0, 1, 2, -1, 2, 0, 2, 1, -1, -1};

  void SetUp() override {
    std::vector<const lutra_packed*> handles;
    for (const std::unique_ptr<Problem>& problem : layer_.problems) {
      const lutra_quantized_view view = CView(problem->w());
      packed_.push_back(std::make_unique<CPacked>());
      ASSERT_TRUE(COk(lutra_pack(&view, nullptr, nullptr, &*packed_.back())));
      handles.push_back(*packed_.back());
    }
    ASSERT_TRUE(COk(lutra_experts_create(handles.data(), handles.size(), &experts_)));
    const lutra_activation_view x = CView(layer_.problems[0]->x());
    const lutra_prepare_options options = {};
    ASSERT_TRUE(COk(lutra_activations_create(&x_)));
    ASSERT_TRUE(COk(lutra_prepare_with(&x, handles[0], &options, nullptr, x_)));
    ASSERT_TRUE(COk(lutra_routing_create(&routing_)));
    ASSERT_TRUE(COk(lutra_routing_assign(routing_, kIds, kTokens, kSlots, kSlots, kExperts)));
    product_.w = experts_;
    product_.x = x_;
    ASSERT_TRUE(COk(lutra_routing_from_tokens(routing_, &product_.rows)));
    product_.y = CView(y_.view());
    ASSERT_TRUE(Ok(cpp_routing_.Assign(kIds, kTokens, kSlots, kSlots, kExperts)));
    expected_.w = layer_.list();
    expected_.x = &layer_.x;
    expected_.rows = cpp_routing_.FromTokens();
    expected_.y.type = DataType::kF32;
    ASSERT_TRUE(COk(lutra_grouped_scratch_size(experts_, x_, &bytes_)));
    ASSERT_TRUE(scratch_.Reserve(3 * bytes_));
  }

  const Experts layer_{SmallCase(130, 1, 200), kExperts, kTokens};
  std::vector<std::unique_ptr<CPacked>> packed_;
  CExperts experts_;
  CActivations x_;
  CRouting routing_;
  Routing cpp_routing_;
  Output y_{kTokens * kSlots, 130, 1, DataType::kF32};
  lutra_grouped_product product_ = {};
  GroupedProduct expected_;
  std::size_t bytes_ = 0;
  Buffer scratch_;
};

TEST_F(CGrouped, ComputesTheSameBits) {
  const lutra_gated_unit units[] = {LUTRA_SWIGLU, LUTRA_GEGLU, LUTRA_CLAMPED_SWIGLU, {}};
  const GatedUnit expected_units[] = {kSwiGlu, kGeGlu, kClampedSwiGlu, kSwiGlu};
  CContext threads;
  ASSERT_TRUE(COk(lutra_context_create(3, &threads)));
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(i == 3 || Equal(units[i], expected_units[i]));
    product_.gate = experts_;
    product_.unit = units[i];
    expected_.gate = layer_.list();
    expected_.unit = expected_units[i];
    const std::vector<float> expected = Grouped(expected_, kTokens * kSlots);
    lutra_context* const context = i % 2 == 0 ? nullptr : static_cast<lutra_context*>(threads);
    ASSERT_TRUE(COk(lutra_matmul_grouped(&product_, scratch_.data(), 3 * bytes_, context)));
    EXPECT_TRUE(SameBits(y_.Floats(), expected, 130));
    std::memset(product_.y.data, 0xff, 4);
    std::size_t count = 0;
    ASSERT_TRUE(COk(lutra_matmul_grouped_pieces(&product_, 2, &count)));
    for (std::size_t piece = 0; piece < count; ++piece) {
      ASSERT_TRUE(COk(lutra_matmul_grouped_piece(&product_, piece, count, scratch_.data(), bytes_)));
    }
    EXPECT_TRUE(SameBits(y_.Floats(), expected, 130));
    EXPECT_TRUE(y_.SurroundingsIntact());
  }
}

TEST_F(CGrouped, AddsUp) {
  const std::vector<float> weights(kTokens, 0.5f);
  lutra_row_lists rows;
  ASSERT_TRUE(COk(lutra_routing_to_tokens(routing_, &rows)));
  const RowLists to = cpp_routing_.ToTokens();
  EXPECT_EQ(std::memcmp(rows.y_rows, to.y_rows, rows.size * sizeof(std::int32_t)), 0);
  product_.rows.y_rows = nullptr;  // each entry a row of its own, from the rows that FromTokens names
  product_.weights = weights.data();
  expected_.rows.y_rows = nullptr;
  expected_.weights = weights.data();
  ASSERT_TRUE(COk(lutra_matmul_grouped(&product_, scratch_.data(), bytes_, nullptr)));
  EXPECT_TRUE(SameBits(y_.Floats(), Grouped(expected_, kTokens * kSlots), 130));
}

TEST_F(CGrouped, OneProductInPieces) {
  Output y(kTokens, 130, 1, DataType::kF32);
  const lutra_output_view view = CView(y.view());
  std::size_t count = 0;
  ASSERT_TRUE(COk(lutra_matmul_pieces(*packed_[1], x_, 2, &count)));
  for (std::size_t i = 0; i < count; ++i) ASSERT_TRUE(COk(lutra_matmul_piece(*packed_[1], x_, &view, i, count)));
  EXPECT_TRUE(SameBits(y.Floats(), Multiplied(layer_.matrices[1], layer_.x, DataType::kF32, 0), 130));
  EXPECT_TRUE(CRefused(lutra_matmul_piece(*packed_[1], x_, &view, count, count), "i"));
  EXPECT_TRUE(CRefused(lutra_matmul_piece(*packed_[1], x_, nullptr, 0, 1), "y"));
  EXPECT_TRUE(CRefused(lutra_matmul_pieces(nullptr, x_, 1, &count), "w"));
}

TEST_F(CGrouped, PropagatesNaN) {
  std::vector<float> data(2 * 200, 1.0f);
  data[3] = std::nanf("");
  const lutra_activation_view x = {data.data(), LUTRA_TYPE_F32, 2, 200, 200, nullptr, 0};
  lutra_prepare_options options = {};
  EXPECT_TRUE(CRefused(lutra_prepare_with(&x, *packed_[0], &options, nullptr, x_), "x.data"));
  options.non_finite = 2;
  EXPECT_TRUE(CRefused(lutra_prepare_with(&x, *packed_[0], &options, nullptr, x_), "non_finite"));
  options.non_finite = LUTRA_NON_FINITE_PROPAGATE;
  ASSERT_TRUE(COk(lutra_prepare_with(&x, *packed_[0], &options, nullptr, x_)));
  Output y(2, 130, 0, DataType::kF32);
  const lutra_output_view view = CView(y.view());
  ASSERT_TRUE(COk(lutra_matmul(*packed_[0], x_, &view, nullptr)));
  EXPECT_TRUE(std::isnan(y.Floats()[0]) && !std::isnan(y.Floats()[130]));
}

// Two threads that meet at a barrier which spins.
struct Spinning {
  std::atomic<std::size_t> arrived{0};
  static void Wait(void* state) {
    auto& arrived = static_cast<Spinning*>(state)->arrived;
    const std::size_t end = arrived.fetch_add(1) / 2 * 2 + 2;
    while (arrived.load() < end) std::this_thread::yield();
  }
};

TEST_F(CGrouped, ATeamServes) {
  Spinning barrier;
  CTeam team;
  ASSERT_TRUE(COk(lutra_team_create(2, Spinning::Wait, &barrier, &team)));
  lutra_executor executor;
  ASSERT_TRUE(COk(lutra_team_executor(team, &executor)));
  EXPECT_EQ(executor.concurrency, 2u);
  CContext context;
  ASSERT_TRUE(COk(lutra_context_create_over(&executor, &context)));
  struct Call {
    const lutra_grouped_product& product;
    void* scratch;
    std::size_t bytes;
    lutra_context* context;
    static void Run(void* argument) {
      const Call& call = *static_cast<Call*>(argument);
      EXPECT_TRUE(COk(lutra_matmul_grouped(&call.product, call.scratch, call.bytes, call.context)));
    }
  } call{product_, scratch_.data(), 3 * bytes_, context};
  std::thread other([&] { EXPECT_TRUE(COk(lutra_team_serve(team, 1, Call::Run, &call))); });
  EXPECT_TRUE(COk(lutra_team_serve(team, 0, Call::Run, &call)));
  other.join();
  EXPECT_TRUE(SameBits(y_.Floats(), Grouped(expected_, kTokens * kSlots), 130));
}

TEST_F(CGrouped, Refusals) {
  std::size_t count = 0;
  EXPECT_TRUE(CRefused(lutra_matmul_grouped(nullptr, scratch_.data(), bytes_, nullptr), "product"));
  EXPECT_TRUE(CRefused(lutra_matmul_grouped(&product_, nullptr, bytes_, nullptr), "scratch"));
  EXPECT_TRUE(CRefused(lutra_matmul_grouped(&product_, scratch_.data(), bytes_ - 1, nullptr), "scratch"));
  EXPECT_TRUE(CRefused(lutra_matmul_grouped_pieces(&product_, 1, nullptr), "count"));
  EXPECT_TRUE(CRefused(lutra_matmul_grouped_piece(&product_, 1, 1, scratch_.data(), bytes_), "i"));
  EXPECT_TRUE(CRefused(lutra_grouped_scratch_size(experts_, nullptr, &count), "x"));
  EXPECT_TRUE(CRefused(lutra_grouped_scratch_size(routing_.As<lutra_experts>(), x_, &count), "w"));
  lutra_grouped_product p = product_;
  p.w = routing_.As<lutra_experts>();
  EXPECT_TRUE(CRefused(lutra_matmul_grouped_pieces(&p, 1, &count), "w"));
  p = product_;
  p.gate = routing_.As<lutra_experts>();
  EXPECT_TRUE(CRefused(lutra_matmul_grouped_pieces(&p, 1, &count), "gate"));
  p = product_;
  p.x = nullptr;
  EXPECT_TRUE(CRefused(lutra_matmul_grouped_pieces(&p, 1, &count), "x"));
  const lutra_packed* const handles[] = {*packed_[0], nullptr};
  lutra_experts* experts = nullptr;
  EXPECT_TRUE(CRefused(lutra_experts_create(handles, 2, &experts), "w"));
  EXPECT_TRUE(CRefused(lutra_experts_create(nullptr, 2, &experts), "w"));
  EXPECT_TRUE(CRefused(lutra_experts_create(handles, 1, nullptr), "experts"));
  EXPECT_TRUE(CRefused(lutra_routing_assign(routing_, kIds, kTokens, kSlots, kSlots, 2), "ids"));
  EXPECT_TRUE(CRefused(lutra_routing_assign(nullptr, kIds, 1, 1, 1, 3), "routing"));
  EXPECT_TRUE(CRefused(lutra_routing_from_tokens(routing_, nullptr), "rows"));
  EXPECT_TRUE(CRefused(lutra_routing_create(nullptr), "routing"));
  lutra_team* team = nullptr;
  EXPECT_TRUE(CRefused(lutra_team_create(0, Spinning::Wait, nullptr, &team), "threads"));
  EXPECT_TRUE(CRefused(lutra_team_create(1, nullptr, nullptr, &team), "barrier"));
  EXPECT_TRUE(CRefused(lutra_team_executor(nullptr, nullptr), "team"));
  EXPECT_TRUE(CRefused(lutra_team_serve(nullptr, 0, Spinning::Wait, nullptr), "team"));
  EXPECT_TRUE(y_.Untouched());
}

}  // namespace
}  // namespace lutra::test
