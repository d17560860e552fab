// Every function of the C API refuses null, zeros and handles of another kind.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "support/c_api.h"
#include "support/c_api_fixture.h"
#include "support/c_views.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class LutraCHandles : public CApiTest {
 protected:
  // The function takes the good handle and refuses null, zeros, and handles of another kind.
  template <class H, class Call>
  void ExpectOnly(H* good, const char* argument, const Call& call) {
    EXPECT_TRUE(COk(call(good)));
    EXPECT_TRUE(CRefused(call(nullptr), argument));
    static const std::uint64_t zeros[64] = {};
    void* const others[] = {context_.As<void>(), quantized_.As<void>(), packed_.As<void>(), x_.As<void>(),
                            const_cast<std::uint64_t*>(zeros)};
    for (void* const other : others) {
      if (other == good) continue;
      EXPECT_TRUE(CRefused(call(static_cast<H*>(other)), argument));
    }
  }

  // The function takes a context or null and refuses a handle of another kind.
  template <class Call>
  void ExpectContext(const Call& call) {
    EXPECT_TRUE(COk(call(context_)));
    EXPECT_TRUE(COk(call(nullptr)));
    EXPECT_TRUE(CRefused(call(packed_.As<lutra_context>()), "context"));
  }
};

TEST_F(LutraCHandles, OfPackedMatrices) {
  lutra_packed_info info;
  ExpectOnly<lutra_packed>(packed_, "w", [&](lutra_packed* w) { return lutra_packed_get(w, &info); });
  std::vector<std::uint8_t> bytes(info.file_size);
  const std::string path = ::testing::TempDir() + "lutra_c_handles_" + std::to_string(getpid());
  ExpectOnly<lutra_packed>(packed_, "w", [&](lutra_packed* w) { return lutra_save(w, path.c_str()); });
  EXPECT_EQ(std::remove(path.c_str()), 0);
  ExpectOnly<lutra_packed>(packed_, "w",
                           [&](lutra_packed* w) { return lutra_save_bytes(w, bytes.data(), bytes.size()); });
  ExpectOnly<lutra_packed>(packed_, "packed", [&](lutra_packed* w) {
    CQuantized unpacked;
    return lutra_unpack(w, &unpacked);
  });
  ExpectOnly<lutra_packed>(
      packed_, "w", [&](lutra_packed* w) { return lutra_prepare(&x_view_, w, LUTRA_PRECISION_INT8, nullptr, x_); });
  ExpectOnly<lutra_packed>(packed_, "w", [&](lutra_packed* w) {
    return lutra_prepare_rms_norm(&x_view_, nullptr, 1.0f, w, LUTRA_PRECISION_INT8, nullptr, x_);
  });
  ExpectOnly<lutra_packed>(packed_, "w", [&](lutra_packed* w) {
    return lutra_prepare_hadamard(&x_view_, nullptr, 2, w, LUTRA_PRECISION_INT8, nullptr, x_);
  });
  ExpectOnly<lutra_packed>(packed_, "w", [&](lutra_packed* w) { return lutra_matmul(w, x_, &y_view_, nullptr); });
  ExpectOnly<lutra_packed>(packed_, "w", [&](lutra_packed* w) { return lutra_matmul_range(w, x_, &y_view_, 0, 1); });
}

TEST_F(LutraCHandles, OfQuantizedMatrices) {
  lutra_quantized_view view;
  ExpectOnly<lutra_quantized>(quantized_, "w", [&](lutra_quantized* w) { return lutra_quantized_get(w, &view); });
}

TEST_F(LutraCHandles, OfActivations) {
  lutra_activations_info info;
  ExpectOnly<lutra_activations>(x_, "x", [&](lutra_activations* x) { return lutra_activations_get(x, &info); });
  ExpectOnly<lutra_activations>(x_, "activations", [&](lutra_activations* x) {
    return lutra_prepare(&x_view_, packed_, LUTRA_PRECISION_INT8, nullptr, x);
  });
  ExpectOnly<lutra_activations>(x_, "activations", [&](lutra_activations* x) {
    return lutra_prepare_rms_norm(&x_view_, nullptr, 1.0f, packed_, LUTRA_PRECISION_INT8, nullptr, x);
  });
  ExpectOnly<lutra_activations>(x_, "activations", [&](lutra_activations* x) {
    return lutra_prepare_hadamard(&x_view_, nullptr, 2, packed_, LUTRA_PRECISION_INT8, nullptr, x);
  });
  ExpectOnly<lutra_activations>(x_, "x",
                                [&](lutra_activations* x) { return lutra_matmul(packed_, x, &y_view_, nullptr); });
  ExpectOnly<lutra_activations>(x_, "x",
                                [&](lutra_activations* x) { return lutra_matmul_range(packed_, x, &y_view_, 0, 1); });
}

TEST_F(LutraCHandles, OfOtherKindsDoNotFit) {
  EXPECT_TRUE(lutra_activations_fit(x_, packed_));
  EXPECT_FALSE(lutra_activations_fit(nullptr, packed_));
  EXPECT_FALSE(lutra_activations_fit(x_, nullptr));
  EXPECT_FALSE(lutra_activations_fit(packed_.As<lutra_activations>(), packed_));
  EXPECT_FALSE(lutra_activations_fit(x_, x_.As<lutra_packed>()));
}

TEST_F(LutraCHandles, OfOtherKindsHaveNoConcurrency) {
  EXPECT_EQ(lutra_context_concurrency(context_), 1u);
  EXPECT_EQ(lutra_context_concurrency(nullptr), 1u);
  EXPECT_EQ(lutra_context_concurrency(packed_.As<lutra_context>()), 0u);
}

TEST_F(LutraCHandles, OfContexts) {
  lutra_packed_info info;
  ASSERT_TRUE(COk(lutra_packed_get(packed_, &info)));
  Buffer bytes;
  ASSERT_TRUE(bytes.Reserve(info.file_size));
  ASSERT_TRUE(COk(lutra_save_bytes(packed_, bytes.data(), info.file_size)));
  const std::string path = ::testing::TempDir() + "lutra_c_contexts_" + std::to_string(getpid());
  ASSERT_TRUE(COk(lutra_save(packed_, path.c_str())));
  ExpectContext([&](lutra_context* context) {
    CPacked w;
    return lutra_pack(&w_view_, nullptr, context, &w);
  });
  ExpectContext([&](lutra_context* context) {
    CPacked w;
    return lutra_load(path.c_str(), nullptr, context, &w, nullptr);
  });
  ExpectContext([&](lutra_context* context) {
    CPacked w;
    return lutra_load_unmapped(path.c_str(), nullptr, context, &w, nullptr);
  });
  ExpectContext([&](lutra_context* context) {
    CPacked w;
    return lutra_load_bytes(bytes.data(), info.file_size, nullptr, context, &w, nullptr);
  });
  ExpectContext(
      [&](lutra_context* context) { return lutra_prepare(&x_view_, packed_, LUTRA_PRECISION_INT8, context, x_); });
  ExpectContext([&](lutra_context* context) {
    return lutra_prepare_rms_norm(&x_view_, nullptr, 1.0f, packed_, LUTRA_PRECISION_INT8, context, x_);
  });
  ExpectContext([&](lutra_context* context) {
    return lutra_prepare_hadamard(&x_view_, nullptr, 2, packed_, LUTRA_PRECISION_INT8, context, x_);
  });
  ExpectContext([&](lutra_context* context) { return lutra_matmul(packed_, x_, &y_view_, context); });
  EXPECT_EQ(std::remove(path.c_str()), 0);
}

// Null is destroyed without effect, a handle of another kind is refused, and a handle is destroyed once.
template <class H, class Other>
void ExpectDestroyedOnce(lutra_status (*destroy)(H**), H* handle, const Other& other, const char* argument) {
  EXPECT_TRUE(COk(destroy(nullptr)));
  H* wrong = other.template As<H>();
  EXPECT_TRUE(CRefused(destroy(&wrong), argument));
  EXPECT_EQ(wrong, other.template As<H>());
  EXPECT_TRUE(COk(destroy(&handle)));
  EXPECT_EQ(handle, nullptr);
  EXPECT_TRUE(COk(destroy(&handle)));
  EXPECT_EQ(handle, nullptr);
}

TEST_F(LutraCHandles, AreDestroyedOnce) {
  lutra_context* context = nullptr;
  lutra_quantized* quantized = nullptr;
  lutra_packed* packed = nullptr;
  lutra_activations* x = nullptr;
  const float weight = 1;
  ASSERT_TRUE(COk(lutra_context_create(2, &context)));
  ASSERT_TRUE(COk(lutra_quantize(&weight, 1, 1, 1, &options_, &quantized)));
  ASSERT_TRUE(COk(lutra_pack(&w_view_, nullptr, nullptr, &packed)));
  ASSERT_TRUE(COk(lutra_activations_create(&x)));
  ExpectDestroyedOnce(lutra_context_destroy, context, packed_, "context");
  ExpectDestroyedOnce(lutra_quantized_destroy, quantized, x_, "w");
  ExpectDestroyedOnce(lutra_packed_destroy, packed, quantized_, "w");
  ExpectDestroyedOnce(lutra_activations_destroy, x, context_, "activations");
}

}  // namespace
}  // namespace lutra::test
