// The C API of weights without their zero blocks: the same products and refusals as the C++ functions.
#include <gtest/gtest.h>

#include <vector>

#include "lutra/lutra_c_sparse.h"
#include "support/c_api.h"
#include "support/c_api_fixture.h"

namespace lutra::test {
namespace {

using CBlockSparse = Owner<lutra_block_sparse, lutra_block_sparse_destroy>;

class LutraCSparse : public CApiTest {};

TEST_F(LutraCSparse, MultipliesAsDense) {
  CBlockSparse w;
  CPacked shape;
  CActivations x;
  ASSERT_TRUE(COk(lutra_pack_block_sparse(&w_view_, nullptr, context_, &w)));
  lutra_block_sparse_info info;
  ASSERT_TRUE(COk(lutra_block_sparse_get(w, &info)));
  EXPECT_EQ(info.m, problem_->m);
  EXPECT_EQ(info.k, problem_->k);
  EXPECT_EQ(info.block_columns, 128u);
  EXPECT_EQ(info.blocks, 4u);
  EXPECT_EQ(info.kept, 4u);
  EXPECT_NE(info.bytes, 0u);
  ASSERT_TRUE(COk(lutra_block_sparse_shape(w, &shape)));
  ASSERT_TRUE(COk(lutra_activations_create(&x)));
  ASSERT_TRUE(COk(lutra_prepare(&x_view_, shape, LUTRA_PRECISION_INT8, context_, x)));
  EXPECT_TRUE(lutra_activations_fit(x, packed_));

  ASSERT_TRUE(COk(lutra_matmul(packed_, x, &y_view_, context_)));
  const std::vector<float> expected = y_.Floats();
  std::vector<float> y(expected.size());
  lutra_output_view view = y_view_;
  view.data = y.data(), view.row_stride = problem_->m;
  ASSERT_TRUE(COk(lutra_matmul_block_sparse(w, x, &view, context_)));
  EXPECT_TRUE(SameBits(y, expected, problem_->m));
  std::fill(y.begin(), y.end(), 0.0f);
  ASSERT_TRUE(COk(lutra_matmul_block_sparse_range(w, x, &view, 0, 65)));
  ASSERT_TRUE(COk(lutra_matmul_block_sparse_range(w, x, &view, 65, problem_->m)));
  EXPECT_TRUE(SameBits(y, expected, problem_->m));
}

TEST_F(LutraCSparse, Refusals) {
  CBlockSparse w;
  EXPECT_TRUE(CRefused(lutra_pack_block_sparse(nullptr, nullptr, nullptr, &w), "w"));
  EXPECT_TRUE(CRefused(lutra_pack_block_sparse(&w_view_, nullptr, nullptr, nullptr), "packed"));
  ASSERT_TRUE(COk(lutra_pack_block_sparse(&w_view_, nullptr, nullptr, &w)));
  lutra_block_sparse_info info;
  EXPECT_TRUE(CRefused(lutra_block_sparse_get(nullptr, &info), "w"));
  EXPECT_TRUE(CRefused(lutra_block_sparse_get(w, nullptr), "info"));
  EXPECT_TRUE(CRefused(lutra_block_sparse_shape(w, nullptr), "shape"));
  EXPECT_TRUE(CRefused(lutra_matmul_block_sparse(w, nullptr, &y_view_, nullptr), "x"));
  EXPECT_TRUE(CRefused(lutra_matmul_block_sparse(w, x_, nullptr, nullptr), "y"));
  EXPECT_TRUE(CRefused(lutra_matmul_block_sparse(nullptr, x_, &y_view_, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_matmul_block_sparse_range(w, x_, &y_view_, 0, problem_->m + 1), "m_end"));
  EXPECT_TRUE(COk(lutra_block_sparse_destroy(nullptr)));
}

}  // namespace
}  // namespace lutra::test
