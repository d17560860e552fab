// A fixture with one handle of each kind of the C API and the arguments of its functions.
#pragma once

#include <gtest/gtest.h>

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "support/c_api.h"
#include "support/c_views.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {

class CApiTest : public ::testing::Test {
 protected:
  CApiTest() {
    const float weight = 1;
    EXPECT_TRUE(COk(lutra_context_create(1, &context_)));
    EXPECT_TRUE(COk(lutra_quantize(&weight, 1, 1, 1, &options_, &quantized_)));
    EXPECT_TRUE(COk(lutra_pack(&w_view_, nullptr, context_, &packed_)));
    EXPECT_TRUE(COk(lutra_activations_create(&x_)));
    EXPECT_TRUE(COk(lutra_prepare(&x_view_, packed_, LUTRA_PRECISION_INT8, context_, x_)));
  }

  const lutra_quantize_options options_ = {
      LUTRA_FORMAT_INT4, 128, LUTRA_TYPE_F16, LUTRA_ZERO_NONE, LUTRA_TYPE_F16, nullptr, 0, nullptr, 0};
  const Problem problem_{SmallCase()};
  Output y_{problem_->n, problem_->m, 2, DataType::kF32};
  const lutra_quantized_view w_view_ = CView(problem_.w());
  const lutra_activation_view x_view_ = CView(problem_.x());
  const lutra_output_view y_view_ = CView(y_.view());
  CContext context_;
  CQuantized quantized_;
  CPacked packed_;
  CActivations x_;
};

}  // namespace lutra::test
