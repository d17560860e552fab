// The C API refuses faulty arguments under the same names as the C++ one, and leaves its outputs as they are.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "lutra/lutra_c_checkpoint.h"
#include "support/c_api.h"
#include "support/c_api_fixture.h"
#include "support/c_views.h"
#include "support/faults.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class LutraCStatus : public CApiTest {};

TEST_F(LutraCStatus, NullStructuresAndOutputs) {
  const float weight = 1;
  EXPECT_TRUE(CRefused(lutra_quantize(&weight, 1, 1, 1, nullptr, &quantized_), "options"));
  EXPECT_TRUE(CRefused(lutra_quantize(&weight, 1, 1, 1, &options_, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_quantized_get(quantized_, nullptr), "view"));
  EXPECT_TRUE(CRefused(lutra_dequantize(nullptr, nullptr, 0), "w"));
  EXPECT_TRUE(CRefused(lutra_pack(nullptr, nullptr, nullptr, &packed_), "w"));
  EXPECT_TRUE(CRefused(lutra_pack(&w_view_, nullptr, nullptr, nullptr), "packed"));
  EXPECT_TRUE(CRefused(lutra_unpack(packed_, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_packed_get(packed_, nullptr), "info"));
  EXPECT_TRUE(CRefused(lutra_save(packed_, nullptr), "path"));
  EXPECT_TRUE(CRefused(lutra_save_bytes(packed_, nullptr, 0), "bytes"));
  EXPECT_TRUE(CRefused(lutra_load(nullptr, nullptr, nullptr, &packed_, nullptr), "path"));
  EXPECT_TRUE(CRefused(lutra_load("", nullptr, nullptr, nullptr, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_load_unmapped(nullptr, nullptr, nullptr, &packed_, nullptr), "path"));
  EXPECT_TRUE(CRefused(lutra_load_unmapped("", nullptr, nullptr, nullptr, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_load_bytes(nullptr, 0, nullptr, nullptr, &packed_, nullptr), "bytes"));
  EXPECT_TRUE(CRefused(lutra_load_bytes("", 0, nullptr, nullptr, nullptr, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_activations_create(nullptr), "activations"));
  EXPECT_TRUE(CRefused(lutra_activations_get(x_, nullptr), "info"));
  EXPECT_TRUE(CRefused(lutra_prepare(nullptr, packed_, LUTRA_PRECISION_INT8, nullptr, x_), "x"));
  EXPECT_TRUE(
      CRefused(lutra_prepare_rms_norm(nullptr, nullptr, 1.0f, packed_, LUTRA_PRECISION_INT8, nullptr, x_), "x"));
  EXPECT_TRUE(CRefused(lutra_prepare_rms_norm(&x_view_, nullptr, -1.0f, packed_, LUTRA_PRECISION_INT8, nullptr, x_),
                       "norm.epsilon"));
  EXPECT_TRUE(CRefused(lutra_prepare_hadamard(nullptr, nullptr, 2, packed_, LUTRA_PRECISION_INT8, nullptr, x_), "x"));
  EXPECT_TRUE(CRefused(lutra_prepare_hadamard(&x_view_, nullptr, 3, packed_, LUTRA_PRECISION_INT8, nullptr, x_),
                       "hadamard.block"));
  EXPECT_TRUE(CRefused(lutra_import_gguf(2, nullptr, 18, 1, 32, &quantized_), "data"));
  EXPECT_TRUE(CRefused(lutra_import_gguf(2, nullptr, 18, 1, 32, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_import_gguf(9, &weight, 4, 1, 32, &quantized_), "type", LUTRA_UNSUPPORTED));
  EXPECT_TRUE(CRefused(lutra_import_gptq(nullptr, &quantized_), "gptq"));
  EXPECT_TRUE(CRefused(lutra_gptq_plausible_zeros(nullptr, nullptr), "gptq"));
  EXPECT_TRUE(CRefused(lutra_import_awq(nullptr, &quantized_), "awq"));
  lutra_gptq_view gptq = {};
  lutra_awq_view awq = {};
  EXPECT_TRUE(CRefused(lutra_import_gptq(&gptq, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_import_awq(&awq, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_import_gptq(&gptq, &quantized_), "gptq.bits"));
  EXPECT_TRUE(CRefused(lutra_gptq_plausible_zeros(&gptq, nullptr), "readings"));
  lutra_checkpoint_view checkpoint = {};
  EXPECT_TRUE(CRefused(lutra_import_checkpoint(nullptr, &quantized_), "checkpoint"));
  EXPECT_TRUE(CRefused(lutra_import_checkpoint(&checkpoint, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_import_checkpoint(&checkpoint, &quantized_), "checkpoint.bits"));
  checkpoint.scheme = -1;
  EXPECT_TRUE(CRefused(lutra_import_checkpoint(&checkpoint, &quantized_), "checkpoint.scheme"));
  EXPECT_EQ(lutra_checkpoint_name(-1), nullptr);
  EXPECT_TRUE(CRefused(lutra_matmul(packed_, x_, nullptr, nullptr), "y"));
  EXPECT_TRUE(CRefused(lutra_matmul_range(packed_, x_, nullptr, 0, 0), "y"));
  EXPECT_TRUE(CRefused(lutra_context_create(1, nullptr), "context"));
  EXPECT_TRUE(CRefused(lutra_context_create_over(nullptr, &context_), "executor"));
}

// C refuses faulty weights in the same words as C++ and leaves its outputs as they are.
TEST_F(LutraCStatus, FaultyWeights) {
  for (const Fault<QuantizedView>& fault : kWeightFaults) {
    SCOPED_TRACE(::testing::Message() << "fault " << &fault - kWeightFaults << " " << fault.argument);
    QuantizedView w = problem_.w();
    fault.spoil(w);
    const lutra_quantized_view view = CView(w);
    lutra_packed* packed = packed_;
    PackedMatrix expected;
    EXPECT_TRUE(Same(lutra_pack(&view, nullptr, nullptr, &packed), Pack(w, &expected)));
    EXPECT_EQ(packed, packed_);
    std::vector<float> out(problem_->m * problem_->k, -1.0f);
    EXPECT_TRUE(Same(lutra_dequantize(&view, out.data(), w.k), Dequantize(w, out.data(), w.k)));
    EXPECT_EQ(out, std::vector<float>(out.size(), -1.0f));
  }
}

// Numbers that are no constants; cut to a byte, some of them would be.
TEST_F(LutraCStatus, ConstantsOutOfRange) {
  for (const std::int32_t bad : {-1, -256, 77, 200, 255, 256, 259, 65536, INT32_MAX, INT32_MIN}) {
    SCOPED_TRACE(bad);
    lutra_packed* packed = packed_;
    for (const auto& [field, argument] : {std::pair(&lutra_quantized_view::format, "w.format"),
                                          std::pair(&lutra_quantized_view::scale_type, "w.scale_type"),
                                          std::pair(&lutra_quantized_view::zero_kind, "w.zero_kind")}) {
      lutra_quantized_view view = w_view_;
      view.*field = bad;
      EXPECT_TRUE(CRefused(lutra_pack(&view, nullptr, nullptr, &packed), argument));
    }
    lutra_activation_view x_view = x_view_;
    x_view.type = bad;
    CActivations none;
    ASSERT_TRUE(COk(lutra_activations_create(&none)));
    EXPECT_TRUE(CRefused(lutra_prepare(&x_view, packed_, LUTRA_PRECISION_INT8, nullptr, none), "x.type"));
    EXPECT_TRUE(CRefused(lutra_prepare(&x_view_, packed_, bad, nullptr, none), "precision"));
    lutra_output_view y_view = y_view_;
    y_view.type = bad;
    EXPECT_TRUE(CRefused(lutra_matmul(packed_, x_, &y_view, nullptr), "y.type"));
    const float weight = 1;
    for (const auto& [field, argument] : {std::pair(&lutra_quantize_options::format, "options.format"),
                                          std::pair(&lutra_quantize_options::scale_type, "options.scale_type"),
                                          std::pair(&lutra_quantize_options::zero_kind, "options.zero_kind")}) {
      lutra_quantize_options options = options_;
      options.*field = bad;
      lutra_quantized* quantized = quantized_;
      EXPECT_TRUE(CRefused(lutra_quantize(&weight, 1, 1, 1, &options, &quantized), argument));
      EXPECT_EQ(quantized, quantized_);
    }
    EXPECT_EQ(packed, packed_);
  }
  EXPECT_TRUE(y_.Untouched());
}

TEST_F(LutraCStatus, FaultyProducts) {
  const std::pair<const char*, void (*)(OutputView&)> faults[] = {
      {"y.n", [](OutputView& y) { ++y.n; }},
      {"y.m", [](OutputView& y) { --y.m; }},
      {"y.data", [](OutputView& y) { y.data = nullptr; }},
      {"y.type", [](OutputView& y) { y.type = DataType::kInt8; }},
      {"y.row_stride", [](OutputView& y) { y.row_stride = 1; }},
  };
  for (const auto& [argument, spoil] : faults) {
    OutputView y = y_.view();
    spoil(y);
    const lutra_output_view view = CView(y);
    EXPECT_TRUE(CRefused(lutra_matmul(packed_, x_, &view, context_), argument));
    EXPECT_TRUE(CRefused(lutra_matmul_range(packed_, x_, &view, 0, 1), argument));
  }
  EXPECT_TRUE(CRefused(lutra_matmul_range(packed_, x_, &y_view_, 2, 1), "m_begin"));
  EXPECT_TRUE(CRefused(lutra_matmul_range(packed_, x_, &y_view_, 0, problem_->m + 1), "m_end"));

  lutra_activation_view x_view = x_view_;
  --x_view.k;
  CActivations none;
  ASSERT_TRUE(COk(lutra_activations_create(&none)));
  EXPECT_TRUE(CRefused(lutra_prepare(&x_view, packed_, LUTRA_PRECISION_INT8, nullptr, none), "x.k"));
  Problem other_k([] {
    Case c = SmallCase();
    c.k = 64;
    return c;
  }());
  const lutra_quantized_view w_view = CView(other_k.w());
  CPacked w;
  ASSERT_TRUE(COk(lutra_pack(&w_view, nullptr, nullptr, &w)));
  EXPECT_FALSE(lutra_activations_fit(x_, w));
  EXPECT_TRUE(CRefused(lutra_matmul(w, x_, &y_view_, nullptr), "x"));
  EXPECT_TRUE(y_.Untouched());
}

TEST_F(LutraCStatus, FilesAndTargets) {
  lutra_packed* w = packed_;
  lutra_loaded loaded = -1;
  EXPECT_TRUE(CRefused(lutra_load("/no/such/file", nullptr, nullptr, &w, &loaded), "path", LUTRA_IO));
  EXPECT_TRUE(CRefused(lutra_save(packed_, "/no/such/folder/file"), "path", LUTRA_IO));
  EXPECT_TRUE(CRefused(lutra_load_bytes("short", 5, nullptr, nullptr, &w, &loaded), "bytes"));
  std::vector<std::uint8_t> bytes(10);
  EXPECT_TRUE(CRefused(lutra_save_bytes(packed_, bytes.data(), bytes.size()), "size"));
  for (const char* const target : {"", "ABACUS"}) {
    EXPECT_TRUE(CRefused(lutra_pack(&w_view_, target, nullptr, &w), "target", LUTRA_UNSUPPORTED));
    EXPECT_TRUE(CRefused(lutra_load("", target, nullptr, &w, &loaded), "target", LUTRA_UNSUPPORTED));
    EXPECT_TRUE(CRefused(lutra_load_bytes("", 0, target, nullptr, &w, &loaded), "target", LUTRA_UNSUPPORTED));
    EXPECT_FALSE(lutra_target_exists(target));
  }
  EXPECT_EQ(w, packed_);
  EXPECT_EQ(loaded, -1);
}

TEST(LutraCMessage, FitsTheBuffer) {
  const lutra_status status = {LUTRA_INVALID_ARGUMENT, "w.scales", "is null"};
  const std::string whole = "w.scales: is null";
  EXPECT_EQ(Message(status), whole);
  for (std::size_t size = 0; size <= whole.size() + 2; ++size) {
    char buffer[32];
    std::memset(buffer, '#', sizeof(buffer));
    EXPECT_EQ(lutra_status_message(status, buffer, size), whole.size());
    EXPECT_EQ(std::string(buffer, std::min(size, whole.size() + 1)),
              size == 0 ? "" : whole.substr(0, size - 1) + std::string(1, 0));
    for (std::size_t i = size; i < sizeof(buffer); ++i) EXPECT_EQ(buffer[i], '#');
  }
  EXPECT_EQ(lutra_status_message(status, nullptr, 100), whole.size());
  EXPECT_EQ(Message({}), "ok");
  EXPECT_EQ(Message({LUTRA_IO, nullptr, nullptr}), ": ");
}

}  // namespace
}  // namespace lutra::test
