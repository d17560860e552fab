// The C API of composites computes the bits of the C++ one, and refuses what is no handle.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c_composite.h"
#include "support/c_api.h"
#include "support/c_views.h"
#include "support/composites.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

using CSparse = Owner<lutra_sparse, lutra_sparse_destroy>;
using CComposite = Owner<lutra_composite, lutra_composite_destroy>;

class CComposites : public ::testing::Test {
 protected:
  CComposites() {
    const SparseView& s = composite_.parts.sparse;
    parts_.sparse = {s.m, s.k, s.offsets, s.columns, s.values};
    parts_.order = composite_.order.data();
    for (std::size_t i = 0; i < 4; ++i) {
      const lutra_quantized_view view = CView(composite_.problems[i]->w());
      EXPECT_TRUE(COk(lutra_pack(&view, nullptr, nullptr, &packed_[i])));
    }
    rows_[0] = packed_[0], rows_[1] = packed_[1];
    parts_.rows = rows_;
    parts_.row_matrices = 2;
    parts_.down = packed_[2];
    parts_.up = packed_[3];
  }

  // The bits of C++.
  void ExpectProducts(const lutra_composite* w) {
    lutra_composite_options options = {};
    for (const float threshold : {0.0f, 1.5f}) {
      options.outliers = threshold;
      CompositeOptions expected;
      if (threshold != 0) expected.outliers = threshold;
      Output y(composite_.x().n, composite_.rows, 2, DataType::kBF16);
      const lutra_output_view to = CView(y.view());
      ASSERT_TRUE(COk(lutra_composite_matmul(w, &x_, threshold == 0 ? nullptr : &options, &to, nullptr)));
      EXPECT_TRUE(SameBits(y.Floats(), Composite::Multiply(composite_.w, composite_.x(), expected, DataType::kBF16),
                           composite_.rows));
    }
  }

  const Composite composite_{{Format::kInt2, Format::kInt5}, SmallCase(), {true, true, true}};
  const lutra_activation_view x_ = CView(composite_.x());
  CPacked packed_[4];
  const lutra_packed* rows_[2];
  lutra_composite_parts parts_ = {};
};

TEST_F(CComposites, MultiplyAsInCpp) {
  CComposite w, mapped, read;
  ASSERT_TRUE(COk(lutra_compose(&parts_, &w)));
  lutra_composite_info info;
  ASSERT_TRUE(COk(lutra_composite_get(w, &info)));
  EXPECT_EQ(info.m, composite_.w.m());
  EXPECT_EQ(info.k, composite_.w.k());
  EXPECT_EQ(info.bytes, composite_.w.bytes());
  EXPECT_EQ(info.bits_per_weight, composite_.w.bits_per_weight());
  ExpectProducts(w);
  const std::string path = ::testing::TempDir() + "lutra_c_composite_" + std::to_string(getpid());
  ASSERT_TRUE(COk(lutra_composite_save(w, path.c_str())));
  ASSERT_TRUE(COk(lutra_composite_load(path.c_str(), nullptr, nullptr, &mapped)));
  ASSERT_TRUE(COk(lutra_composite_load_unmapped(path.c_str(), nullptr, nullptr, &read)));
  ExpectProducts(mapped);
  ExpectProducts(read);
  std::remove(path.c_str());
  EXPECT_TRUE(CRefused(lutra_composite_load(path.c_str(), nullptr, nullptr, &mapped), "path", LUTRA_IO));
}

TEST_F(CComposites, QuantizersDoAsInCpp) {
  const std::size_t m = 20, k = 130;
  std::vector<float> weights(m * k), magnitudes(k), out(k), expected_out(k);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i * i % 1009) - 504.0f;
  for (std::size_t i = 0; i < k; ++i) magnitudes[i] = static_cast<float>(i * 37 % 101);
  std::vector<std::uint32_t> order(k), expected_order(k);
  ASSERT_TRUE(COk(lutra_order_by_magnitude(magnitudes.data(), k, order.data())));
  ASSERT_TRUE(Ok(OrderByMagnitude(magnitudes.data(), k, expected_order.data())));
  EXPECT_EQ(order, expected_order);

  const lutra_activation_view x = {weights.data(), LUTRA_TYPE_F32, 1, k, k, nullptr, 0};
  Context context;
  ASSERT_TRUE(COk(lutra_round_to_block_float(&x, 5, 16, order.data(), nullptr, out.data())));
  ASSERT_TRUE(Ok(RoundToBlockFloat({weights.data(), 1, k}, {5, 16}, order.data(), context, expected_out.data())));
  EXPECT_EQ(out, expected_out);
  EXPECT_TRUE(CRefused(lutra_round_to_block_float(&x, 1, 16, nullptr, nullptr, out.data()), "form.mantissa_bits"));
  EXPECT_TRUE(CRefused(lutra_round_to_block_float(nullptr, 5, 16, nullptr, nullptr, out.data()), "x"));

  lutra_quantize_options c_options = {};
  c_options.format = LUTRA_FORMAT_INT4;
  c_options.group = 32;
  c_options.scale_type = LUTRA_TYPE_F16;
  QuantizeOptions options;
  options.group = 32;
  CQuantized c_quantized, in_order;
  CSparse c_sparse;
  QuantizedMatrix quantized;
  SparseMatrix sparse;
  ASSERT_TRUE(COk(lutra_quantize_with_outliers(weights.data(), m, k, k, &c_options, 0.05, &c_quantized, &c_sparse)));
  ASSERT_TRUE(Ok(QuantizeWithOutliers(weights.data(), m, k, k, options, 0.05, &quantized, &sparse)));
  lutra_sparse_view view;
  ASSERT_TRUE(COk(lutra_sparse_get(c_sparse, &view)));
  ASSERT_EQ(view.m, m);
  ASSERT_EQ(view.k, k);
  ASSERT_EQ(view.offsets[m], EntryCount(sparse.view()));
  EXPECT_GT(view.offsets[m], 0u);
  EXPECT_EQ(std::memcmp(view.offsets, sparse.view().offsets, (m + 1) * 4), 0);
  EXPECT_EQ(std::memcmp(view.columns, sparse.view().columns, view.offsets[m] * 2), 0);
  EXPECT_EQ(std::memcmp(view.values, sparse.view().values, view.offsets[m] * 2), 0);
  EXPECT_TRUE(
      CRefused(lutra_quantize_with_outliers(weights.data(), m, k, k, &c_options, 2, &c_quantized, &c_sparse), "share"));

  c_options.order = order.data();
  lutra_quantized_view ordered;
  ASSERT_TRUE(COk(lutra_quantize(weights.data(), m, k, k, &c_options, &in_order)));
  ASSERT_TRUE(COk(lutra_quantized_get(in_order, &ordered)));
  EXPECT_EQ(std::memcmp(ordered.order, order.data(), k * 4), 0);
}

TEST_F(CComposites, WhatIsNoHandleIsRefused) {
  CComposite w;
  lutra_composite* none = nullptr;
  EXPECT_TRUE(CRefused(lutra_compose(nullptr, &none), "parts"));
  EXPECT_TRUE(CRefused(lutra_compose(&parts_, nullptr), "w"));
  lutra_composite_parts parts = parts_;
  parts.rows = nullptr;
  EXPECT_TRUE(CRefused(lutra_compose(&parts, &none), "parts.rows"));
  parts.row_matrices = 0;
  EXPECT_TRUE(CRefused(lutra_compose(&parts, &none), "parts.rows"));
  const lutra_packed* const rows[] = {packed_[0], nullptr};
  parts.rows = rows;
  parts.row_matrices = 2;
  EXPECT_TRUE(CRefused(lutra_compose(&parts, &none), "parts.rows"));
  EXPECT_EQ(none, nullptr);
  ASSERT_TRUE(COk(lutra_compose(&parts_, &w)));
  parts = parts_;
  parts.up = w.As<lutra_packed>();
  EXPECT_TRUE(CRefused(lutra_compose(&parts, &none), "parts.up"));
  Output y(composite_.x().n, composite_.rows, 0, DataType::kF32);
  const lutra_output_view to = CView(y.view());
  EXPECT_TRUE(CRefused(lutra_composite_matmul(nullptr, &x_, nullptr, &to, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_composite_matmul(packed_[0].As<lutra_composite>(), &x_, nullptr, &to, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_composite_matmul(w, nullptr, nullptr, &to, nullptr), "x"));
  EXPECT_TRUE(CRefused(lutra_composite_matmul(w, &x_, nullptr, nullptr, nullptr), "y"));
  const lutra_composite_options options = {{}, -1.0f};
  EXPECT_TRUE(CRefused(lutra_composite_matmul(w, &x_, &options, &to, nullptr), "options.outliers"));
  EXPECT_TRUE(y.Untouched());
  EXPECT_TRUE(CRefused(lutra_composite_get(w, nullptr), "info"));
  EXPECT_TRUE(CRefused(lutra_composite_save(nullptr, "x"), "w"));
  EXPECT_TRUE(CRefused(lutra_composite_save(w, nullptr), "path"));
  EXPECT_TRUE(CRefused(lutra_composite_load("x", nullptr, nullptr, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_sparse_get(nullptr, nullptr), "sparse"));
}

}  // namespace
}  // namespace lutra::test
