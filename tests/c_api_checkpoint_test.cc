// The C API of checkpoints imports and packs what the C++ functions do, in every scheme.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "lutra/lutra_c_checkpoint.h"
#include "support/c_api.h"
#include "support/c_checkpoint_views.h"
#include "support/checkpoint_tensors.h"
#include "support/panels.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class LutraCCheckpoint : public ::testing::TestWithParam<CheckpointInfo> {};

TEST_P(LutraCCheckpoint, IsTheSame) {
  EXPECT_STREQ(lutra_checkpoint_name(static_cast<lutra_checkpoint_scheme>(GetParam().scheme)), GetParam().name);
  for (const CheckpointCase& c : CasesOf(GetParam())) {
    if (c.group_size == 16 || c.group_size > 64) continue;
    SCOPED_TRACE(c);
    const CheckpointTensors tensors(c);
    const lutra_checkpoint_view view = CView(tensors.view());
    CQuantized w;
    CLayout layout;
    if (GetParam().refusal != nullptr) {
      EXPECT_TRUE(CRefused(lutra_import_checkpoint(&view, &w), "checkpoint.scheme", LUTRA_UNSUPPORTED));
      continue;
    }
    QuantizedMatrix imported;
    ASSERT_TRUE(Ok(ImportCheckpoint(tensors.view(), &imported)));
    ASSERT_TRUE(COk(lutra_import_checkpoint(&view, &w)));
    lutra_quantized_view quantized;
    ASSERT_TRUE(COk(lutra_quantized_get(w, &quantized)));
    std::vector<float> weights(c.m * c.k), expected(c.m * c.k);
    ASSERT_TRUE(COk(lutra_dequantize(&quantized, weights.data(), c.k)));
    ASSERT_TRUE(Ok(Dequantize(imported.view(), expected.data(), c.k)));
    EXPECT_TRUE(SameBits(weights, expected, c.k));

    ASSERT_TRUE(COk(lutra_layout_create_checkpoint(&view, nullptr, &layout)));
    PackedLayout same;
    ASSERT_TRUE(Ok(LayoutOf(tensors.view(), {}, &same)));
    LayoutMemory memory(same);
    lutra_layout_info info;
    ASSERT_TRUE(COk(lutra_layout_get(layout, &info)));
    ASSERT_EQ(info.bytes, memory.size());
    ASSERT_TRUE(COk(lutra_pack_panels_checkpoint(layout, &view, 0, info.panels, memory.data(), memory.size())));
    PackedMatrix packed, matrix;
    ASSERT_TRUE(Ok(View(same, memory.data(), memory.size(), 0, &packed)));
    ASSERT_TRUE(Ok(Pack(imported.view(), &matrix)));
    ExpectSameMatrix(packed, matrix);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes, LutraCCheckpoint, ::testing::ValuesIn(kCheckpointSchemes), SchemeName);

}  // namespace
}  // namespace lutra::test
