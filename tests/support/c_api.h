// The C API as tests call it: statuses as assertions, handles with an owner, the results that all its tests check.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "lutra/lutra_c_engine.h"
#include "support/c_views.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {

inline std::string Message(const lutra_status& status) {
  std::string message(lutra_status_message(status, nullptr, 0), ' ');
  lutra_status_message(status, message.data(), message.size() + 1);
  return message;
}

inline ::testing::AssertionResult COk(const lutra_status& status) {
  const bool ok = status.code == LUTRA_OK && *status.argument == 0 && *status.reason == 0;
  return (ok ? ::testing::AssertionSuccess() : ::testing::AssertionFailure()) << Message(status);
}

inline ::testing::AssertionResult CRefused(const lutra_status& status, const std::string& argument,
                                           lutra_status_code code = LUTRA_INVALID_ARGUMENT) {
  const bool right = argument == status.argument && *status.reason != 0 && status.code == code;
  return (right ? ::testing::AssertionSuccess() : ::testing::AssertionFailure())
         << "expected a refusal of \"" << argument << "\", got " << status.code << ", " << Message(status);
}

// The same refusal, or success, as the C++ function's.
inline ::testing::AssertionResult Same(const lutra_status& status, const Status& expected) {
  const bool same =
      status.code == static_cast<lutra_status_code>(expected.code()) && Message(status) == expected.message();
  return (same ? ::testing::AssertionSuccess() : ::testing::AssertionFailure())
         << Message(status) << " instead of " << expected.message();
}

// A handle, destroyed at the end.
template <class H, lutra_status (*kDestroy)(H**)>
class Owner {
 public:
  Owner() = default;
  Owner(const Owner&) = delete;
  ~Owner() { EXPECT_TRUE(COk(kDestroy(&handle_))); }
  operator H*() const { return handle_; }
  H** operator&() { return &handle_; }
  // As a binding without types may pass it.
  template <class Other>
  Other* As() const {
    return static_cast<Other*>(static_cast<void*>(handle_));
  }

 private:
  H* handle_ = nullptr;
};
using CContext = Owner<lutra_context, lutra_context_destroy>;
using CLayout = Owner<lutra_layout, lutra_layout_destroy>;
using CQuantized = Owner<lutra_quantized, lutra_quantized_destroy>;
using CPacked = Owner<lutra_packed, lutra_packed_destroy>;
using CActivations = Owner<lutra_activations, lutra_activations_destroy>;

inline void ExpectInfo(const lutra_packed* w, const PackedMatrix& expected) {
  lutra_packed_info info;
  ASSERT_TRUE(COk(lutra_packed_get(w, &info)));
  EXPECT_EQ(info.format, static_cast<lutra_format>(expected.format()));
  EXPECT_EQ(info.m, expected.m());
  EXPECT_EQ(info.k, expected.k());
  EXPECT_EQ(info.group, expected.group());
  EXPECT_EQ(info.scale_type, static_cast<lutra_data_type>(expected.scale_type()));
  EXPECT_EQ(info.zero_type, static_cast<lutra_data_type>(expected.zero_type()));
  EXPECT_EQ(info.matrix_scale, expected.matrix_scale());
  EXPECT_EQ(info.zero_kind, static_cast<lutra_zero_kind>(expected.zero_kind()));
  EXPECT_EQ(info.has_bias, expected.has_bias());
  EXPECT_STREQ(info.target, TargetName(expected.target()));
  EXPECT_EQ(info.bytes, expected.bytes());
  EXPECT_EQ(info.bits_per_weight, expected.bits_per_weight());
  EXPECT_EQ(info.file_size, PackedFileSize(expected));
}

// lutra_matmul and lutra_matmul_range both compute the expected y.
inline void ExpectProducts(const lutra_packed* w, const lutra_activations* x, const Problem& problem,
                           lutra_context* context, const std::vector<float>& expected) {
  Output whole(problem->n, problem->m, problem->gap, problem->y_type);
  Output parts(problem->n, problem->m, problem->gap, problem->y_type);
  const lutra_output_view whole_view = CView(whole.view()), parts_view = CView(parts.view());
  ASSERT_TRUE(COk(lutra_matmul(w, x, &whole_view, context)));
  ASSERT_TRUE(COk(lutra_matmul_range(w, x, &parts_view, 0, 67)));
  EXPECT_TRUE(parts.Filled(67, problem->m));
  ASSERT_TRUE(COk(lutra_matmul_range(w, x, &parts_view, 67, problem->m)));
  EXPECT_TRUE(SameBits(whole.Floats(), expected, problem->m));
  EXPECT_TRUE(SameBits(parts.Floats(), expected, problem->m));
  EXPECT_TRUE(whole.SurroundingsIntact());
  EXPECT_TRUE(parts.SurroundingsIntact());
}

}  // namespace lutra::test
