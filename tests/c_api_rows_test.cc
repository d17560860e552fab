// The C API of row ranges and shards: the same products and refusals as the C++ functions.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "lutra/lutra_c_rows.h"
#include "support/c_api.h"
#include "support/c_api_fixture.h"

namespace lutra::test {
namespace {

class LutraCRows : public CApiTest {};

TEST_F(LutraCRows, MultiplyAsTheRows) {
  const std::string path = ::testing::TempDir() + "lutra_c_rows_" + std::to_string(getpid());
  ASSERT_TRUE(COk(lutra_save(packed_, path.c_str())));
  CPacked w, rows;
  lutra_loaded loaded = -1;
  ASSERT_TRUE(COk(lutra_load_unchecked(path.c_str(), nullptr, nullptr, &w, &loaded)));
  EXPECT_EQ(loaded, LUTRA_LOADED_IN_PLACE);
  EXPECT_EQ(lutra_row_unit(w), 64u);
  EXPECT_TRUE(COk(lutra_release_rows(w, 0, problem_->m)));
  EXPECT_TRUE(COk(lutra_prefetch_rows(w, 64, problem_->m)));
  ASSERT_TRUE(COk(lutra_view_rows(w, 64, problem_->m, &rows)));
  EXPECT_EQ(lutra_row_bytes(w, 64, problem_->m), lutra_row_bytes(rows, 0, problem_->m - 64));

  std::vector<float> y(problem_->m - 64);
  ASSERT_TRUE(COk(lutra_matmul(packed_, x_, &y_view_, context_)));
  lutra_output_view view = y_view_;
  std::vector<float> part(problem_->n * y.size());
  view.data = part.data(), view.m = y.size(), view.row_stride = y.size();
  ASSERT_TRUE(COk(lutra_matmul(rows, x_, &view, context_)));
  const std::vector<float> all = y_.Floats();
  for (std::size_t n = 0; n < problem_->n; ++n) {
    EXPECT_EQ(std::memcmp(&part[n * y.size()], &all[n * problem_->m + 64], y.size() * sizeof(float)), 0);
  }
  std::remove(path.c_str());
}

TEST_F(LutraCRows, RefuseAsTheRows) {
  CPacked rows;
  EXPECT_TRUE(CRefused(lutra_view_rows(packed_, 1, 64, &rows), "begin"));
  EXPECT_TRUE(CRefused(lutra_view_rows(packed_, 0, 1000, &rows), "end"));
  EXPECT_TRUE(CRefused(lutra_view_rows(nullptr, 0, 64, &rows), "w"));
  EXPECT_TRUE(CRefused(lutra_view_rows(packed_, 0, 64, nullptr), "rows"));
  EXPECT_TRUE(CRefused(lutra_prefetch_rows(packed_, 2, 1), "begin"));
  EXPECT_TRUE(CRefused(lutra_release_rows(nullptr, 0, 1), "w"));
  EXPECT_TRUE(CRefused(lutra_load_unchecked(nullptr, nullptr, nullptr, &rows, nullptr), "path"));
  EXPECT_TRUE(CRefused(lutra_load_unchecked("no-such-file", nullptr, nullptr, nullptr, nullptr), "w"));
  EXPECT_EQ(lutra_row_unit(nullptr), 0u);
  EXPECT_EQ(lutra_row_bytes(nullptr, 0, 0), 0u);
}

TEST_F(LutraCRows, CopyColumns) {
  CQuantized columns;
  const std::size_t unit = lutra_column_unit(&w_view_);
  EXPECT_EQ(unit, 128u);
  ASSERT_TRUE(COk(lutra_copy_columns(&w_view_, unit, problem_->k, &columns)));
  lutra_quantized_view view;
  ASSERT_TRUE(COk(lutra_quantized_get(columns, &view)));
  EXPECT_EQ(view.k, problem_->k - unit);
  EXPECT_EQ(std::memcmp(view.codes, w_view_.codes + unit, view.k), 0);

  EXPECT_TRUE(CRefused(lutra_copy_columns(&w_view_, 1, problem_->k, &columns), "begin"));
  EXPECT_TRUE(CRefused(lutra_copy_columns(nullptr, 0, 0, &columns), "w"));
  EXPECT_TRUE(CRefused(lutra_copy_columns(&w_view_, 0, unit, nullptr), "columns"));
  view.group = 7;
  EXPECT_EQ(lutra_column_unit(&view), 0u);
  EXPECT_EQ(lutra_column_unit(nullptr), 0u);
}

}  // namespace
}  // namespace lutra::test
