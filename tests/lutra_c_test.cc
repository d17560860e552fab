// The C API: the bits of the C++ one, its refusals under the same names, and handles that are none.
#include "lutra/lutra_c.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "c_views.h"
#include "faults.h"
#include "lutra/lutra.h"
#include "problem.h"
#include "testing.h"

namespace lutra::test {
namespace {

// --- The C API as tests like it.

std::string Message(const lutra_status& status) {
  std::string message(lutra_status_message(status, nullptr, 0), ' ');
  lutra_status_message(status, message.data(), message.size() + 1);
  return message;
}

::testing::AssertionResult COk(const lutra_status& status) {
  const bool ok = status.code == LUTRA_OK && *status.argument == 0 && *status.reason == 0;
  return (ok ? ::testing::AssertionSuccess() : ::testing::AssertionFailure()) << Message(status);
}

::testing::AssertionResult CRefused(const lutra_status& status, const std::string& argument,
                                    lutra_status_code code = LUTRA_INVALID_ARGUMENT) {
  const bool right = argument == status.argument && *status.reason != 0 && status.code == code;
  return (right ? ::testing::AssertionSuccess() : ::testing::AssertionFailure())
         << "expected a refusal of \"" << argument << "\", got " << status.code << ", " << Message(status);
}

// The same refusal, or success, as the C++ function's.
::testing::AssertionResult Same(const lutra_status& status, const Status& expected) {
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
using CQuantized = Owner<lutra_quantized, lutra_quantized_destroy>;
using CPacked = Owner<lutra_packed, lutra_packed_destroy>;
using CActivations = Owner<lutra_activations, lutra_activations_destroy>;

Case SmallCase() {
  Case c;
  c.m = 70;
  c.n = 3;
  c.k = 200;
  c.bias = true;
  c.zero_kind = ZeroKind::kFloat;
  return c;
}

// --- Results.

class LutraC : public KernelTest {
 protected:
  Case NewCase(std::size_t seed) const {
    Case c = KernelTest::NewCase({131, 5, 300}, seed);
    Random random(seed);
    c.group = random.Pick(kGroups);
    c.zero_kind = random.Pick(kZeroKinds);
    c.scale_type = random.Pick(kFloatTypes);
    c.bias = random.Below(2) == 1;
    c.precision = random.Pick(kPrecisions);
    c.x = random.Pick(kXKinds);
    c.y_type = random.Pick(kFloatTypes);
    c.gap = random.Below(2) * random.Below(20);
    return c;
  }
};

void ExpectInfo(const lutra_packed* w, const PackedMatrix& expected) {
  lutra_packed_info info;
  ASSERT_TRUE(COk(lutra_packed_get(w, &info)));
  EXPECT_EQ(info.format, static_cast<lutra_format>(expected.format()));
  EXPECT_EQ(info.m, expected.m());
  EXPECT_EQ(info.k, expected.k());
  EXPECT_EQ(info.group, expected.group());
  EXPECT_EQ(info.scale_type, static_cast<lutra_data_type>(expected.scale_type()));
  EXPECT_EQ(info.zero_kind, static_cast<lutra_zero_kind>(expected.zero_kind()));
  EXPECT_EQ(info.has_bias, expected.has_bias());
  EXPECT_STREQ(info.target, TargetName(expected.target()));
  EXPECT_EQ(info.bytes, expected.bytes());
  EXPECT_EQ(info.bits_per_weight, expected.bits_per_weight());
  EXPECT_EQ(info.file_size, PackedFileSize(expected));
}

// y by both functions.
void ExpectProducts(const lutra_packed* w, const lutra_activations* x, const Problem& problem, lutra_context* context,
                    const std::vector<float>& expected) {
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

TEST_P(LutraC, ComputesTheSameBits) {
  CContext threads;
  ASSERT_TRUE(COk(lutra_context_create(3, &threads)));
  for (std::size_t seed = 0; seed < 12; ++seed) {
    const Case c = NewCase(seed);
    SCOPED_TRACE(c);
    const Problem problem(c);
    const PackedMatrix w = Packed(problem, c.target);
    const std::vector<float> expected = Multiplied(w, Prepared(problem, w), c.y_type, 0);
    for (lutra_context* const context : {static_cast<lutra_context*>(nullptr), static_cast<lutra_context*>(threads)}) {
      const lutra_quantized_view w_view = CView(problem.w());
      const lutra_activation_view x_view = CView(problem.x());
      CPacked packed;
      CActivations x;
      ASSERT_TRUE(COk(lutra_pack(&w_view, TargetName(c.target), context, &packed)));
      ExpectInfo(packed, w);
      ASSERT_TRUE(COk(lutra_activations_create(&x)));
      ASSERT_TRUE(COk(lutra_prepare(&x_view, packed, static_cast<lutra_precision>(c.precision), context, x)));
      EXPECT_TRUE(lutra_activations_fit(x, packed));
      lutra_activations_info info;
      ASSERT_TRUE(COk(lutra_activations_get(x, &info)));
      EXPECT_EQ(info.n, c.n);
      EXPECT_EQ(info.k, c.k);
      EXPECT_EQ(info.precision, static_cast<lutra_precision>(c.precision));
      ExpectProducts(packed, x, problem, context, expected);
    }
    EXPECT_TRUE(problem.Intact());
  }
}

// From floats, and back from what was packed.
TEST_P(LutraC, QuantizesAndUnpacksTheSame) {
  Random random(7);
  const std::size_t m = 67, k = 150, stride = 153;
  std::vector<float> weights(m * stride);
  for (float& weight : weights) weight = random.Gaussian();
  for (const ZeroKind zero_kind : kZeroKinds) {
    QuantizeOptions options;
    options.format = GetParam().format;
    options.group = 64;
    options.zero_kind = zero_kind;
    QuantizedMatrix expected;
    ASSERT_TRUE(Ok(Quantize(weights.data(), m, k, stride, options, &expected)));
    const lutra_quantize_options c_options = {static_cast<lutra_format>(options.format), 64, LUTRA_TYPE_F16,
                                              static_cast<lutra_zero_kind>(zero_kind)};
    CQuantized quantized, unpacked;
    CPacked packed;
    lutra_quantized_view view;
    ASSERT_TRUE(COk(lutra_quantize(weights.data(), m, k, stride, &c_options, &quantized)));
    ASSERT_TRUE(COk(lutra_quantized_get(quantized, &view)));
    EXPECT_EQ(std::memcmp(view.codes, expected.codes(), m * k), 0);
    EXPECT_EQ(std::memcmp(view.scales, expected.scales(), ScaleCount(expected.view()) * 2), 0);
    std::vector<float> floats(m * k), c_floats(m * k, -1.0f);
    ASSERT_TRUE(Ok(Dequantize(expected.view(), floats.data(), k)));
    ASSERT_TRUE(COk(lutra_dequantize(&view, c_floats.data(), k)));
    EXPECT_TRUE(SameBits(c_floats, floats, k));

    ASSERT_TRUE(COk(lutra_pack(&view, TargetName(GetParam().target), nullptr, &packed)));
    ASSERT_TRUE(COk(lutra_unpack(packed, &unpacked)));
    ASSERT_TRUE(COk(lutra_quantized_get(unpacked, &view)));
    EXPECT_EQ(view.m, m);
    EXPECT_EQ(view.group, 64u);
    EXPECT_EQ(view.zero_kind, c_options.zero_kind);
    ASSERT_TRUE(COk(lutra_dequantize(&view, c_floats.data(), k)));
    EXPECT_TRUE(SameBits(c_floats, floats, k));
  }
}

// What the C++ Quantize does not make: scales of two levels.
TEST(LutraCViews, ShowScalesOfTwoLevels) {
  QuantizedView shape;
  shape.m = 5;
  shape.k = 600;
  shape.group = 32;
  shape.scale_type = DataType::kInt8;
  shape.zero_kind = ZeroKind::kOffset;
  QuantizedMatrix w;
  ASSERT_TRUE(Ok(w.Allocate(shape)));
  Random random(3);
  for (std::size_t i = 0; i < shape.m * shape.k; ++i) w.codes()[i] = static_cast<std::uint8_t>(random.Below(16));
  for (std::size_t i = 0; i < ScaleCount(shape); ++i) {
    static_cast<std::int8_t*>(w.scales())[i] = static_cast<std::int8_t>(random.Bits());
    static_cast<std::int8_t*>(w.zeros())[i] = static_cast<std::int8_t>(random.Bits());
  }
  for (std::size_t i = 0; i < SuperScaleCount(shape); ++i) {
    w.super_scales()[i] = F32ToF16(random.Uniform(0.5f, 1.0f));
    w.super_offsets()[i] = F32ToF16(random.Uniform(2.0f, 3.0f));
  }
  std::vector<float> expected(shape.m * shape.k), out(expected.size());
  ASSERT_TRUE(Ok(Dequantize(w.view(), expected.data(), shape.k)));
  const lutra_quantized_view view = CView(w.view());
  ASSERT_TRUE(COk(lutra_dequantize(&view, out.data(), shape.k)));
  EXPECT_TRUE(SameBits(out, expected, shape.k));
}

TEST_P(LutraC, PreparesRmsNorm) {
  const Case c = NewCase(3);
  const Problem problem(c);
  Random random(5);
  std::vector<float> weight(c.k);
  for (float& value : weight) value = random.Uniform(0.5f, 1.5f);
  const PackedMatrix w = Packed(problem, c.target);
  Context context;
  Activations x;
  ASSERT_TRUE(Ok(PrepareRmsNorm(problem.x(), {weight.data(), 1e-5f}, w, c.precision, context, &x)));

  const lutra_quantized_view w_view = CView(problem.w());
  const lutra_activation_view x_view = CView(problem.x());
  CPacked packed;
  CActivations c_x;
  ASSERT_TRUE(COk(lutra_pack(&w_view, TargetName(c.target), nullptr, &packed)));
  ASSERT_TRUE(COk(lutra_activations_create(&c_x)));
  ASSERT_TRUE(COk(lutra_prepare_rms_norm(&x_view, weight.data(), 1e-5f, packed,
                                         static_cast<lutra_precision>(c.precision), nullptr, c_x)));
  ExpectProducts(packed, c_x, problem, nullptr, Multiplied(w, x, c.y_type, 0));
}

// The bits of the C++ function's matrix, from the same data.
void ExpectImported(const lutra_quantized* w, const QuantizedMatrix& expected) {
  const QuantizedView& e = expected.view();
  lutra_quantized_view view;
  ASSERT_TRUE(COk(lutra_quantized_get(w, &view)));
  ASSERT_EQ(view.m, e.m);
  ASSERT_EQ(view.k, e.k);
  EXPECT_EQ(view.order == nullptr, e.order == nullptr);
  std::vector<float> floats(e.m * e.k, -1.0f), c_floats(e.m * e.k, 1.0f);
  ASSERT_TRUE(Ok(Dequantize(e, floats.data(), e.k)));
  ASSERT_TRUE(COk(lutra_dequantize(&view, c_floats.data(), e.k)));
  EXPECT_TRUE(SameBits(c_floats, floats, e.k));
}

TEST(LutraCImport, IsTheSame) {
  constexpr std::size_t kM = 32, kK = 96, kGroup = 32, kGroups3 = kK / kGroup;
  Random random(2);
  std::vector<std::uint32_t> words(kM * kK / 8), zeros(kGroups3 * kM / 8);
  std::vector<std::uint16_t> scales(kGroups3 * kM);
  std::vector<std::int32_t> g_idx(kK);
  for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(random.Bits());
  for (std::uint32_t& word : zeros) word = static_cast<std::uint32_t>(random.Bits());
  for (std::uint16_t& scale : scales) scale = F32ToF16(random.Uniform(0.5f, 1.0f));
  for (std::size_t k = 0; k < kK; ++k) g_idx[k] = static_cast<std::int32_t>(k % kGroups3);

  for (const GptqZeros kind : {GptqZeros::kMinusOne, GptqZeros::kAsStored}) {
    GptqView view;
    view.m = kM;
    view.k = kK;
    view.group_size = kGroup;
    view.qweight = {words.data(), words.size()};
    view.qzeros = {zeros.data(), zeros.size()};
    view.scales = {scales.data(), scales.size()};
    view.g_idx = {g_idx.data(), g_idx.size()};
    view.zeros = kind;
    const lutra_gptq_view c_view = {4,
                                    kM,
                                    kK,
                                    kGroup,
                                    words.data(),
                                    words.size(),
                                    zeros.data(),
                                    zeros.size(),
                                    scales.data(),
                                    scales.size(),
                                    g_idx.data(),
                                    g_idx.size(),
                                    static_cast<lutra_gptq_zeros>(kind)};
    QuantizedMatrix expected;
    CQuantized w;
    ASSERT_TRUE(Ok(ImportGptq(view, &expected)));
    ASSERT_TRUE(COk(lutra_import_gptq(&c_view, &w)));
    ExpectImported(w, expected);
  }

  AwqView view;
  view.m = kM;
  view.k = kK;
  view.group_size = kGroup;
  view.qweight = {words.data(), words.size()};
  view.qzeros = {zeros.data(), zeros.size()};
  view.scales = {scales.data(), scales.size()};
  const lutra_awq_view c_view = {kM,           kK,           kGroup,        words.data(), words.size(),
                                 zeros.data(), zeros.size(), scales.data(), scales.size()};
  QuantizedMatrix expected;
  CQuantized w;
  ASSERT_TRUE(Ok(ImportAwq(view, &expected)));
  ASSERT_TRUE(COk(lutra_import_awq(&c_view, &w)));
  ExpectImported(w, expected);

  const std::uint8_t block[] = {0, 0x3c, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};  // q4_0, scale 1
  CQuantized from_gguf;
  ASSERT_TRUE(Ok(ImportGguf(2, block, sizeof(block), 1, 32, &expected)));
  ASSERT_TRUE(COk(lutra_import_gguf(2, block, sizeof(block), 1, 32, &from_gguf)));
  ExpectImported(from_gguf, expected);
}

// To a file and to memory; from there to every target.
TEST_P(LutraC, SavesAndLoads) {
  const std::string path = ::testing::TempDir() + "lutra_c_" + std::to_string(getpid());
  const Case c = NewCase(1);
  const Problem problem(c);
  const lutra_quantized_view w_view = CView(problem.w());
  CPacked packed;
  ASSERT_TRUE(COk(lutra_pack(&w_view, TargetName(c.target), nullptr, &packed)));
  ASSERT_TRUE(COk(lutra_save(packed, path.c_str())));
  lutra_packed_info info;
  ASSERT_TRUE(COk(lutra_packed_get(packed, &info)));
  Buffer bytes;
  ASSERT_TRUE(bytes.Reserve(info.file_size));
  ASSERT_TRUE(COk(lutra_save_bytes(packed, bytes.data(), info.file_size)));
  for (const Target target : RunnableTargets()) {
    Loaded expected_loaded;
    PackedMatrix expected;
    ASSERT_TRUE(Ok(LoadPacked(bytes.data(), info.file_size, {target, nullptr}, &expected, &expected_loaded)));
    lutra_loaded from_file = -1, from_bytes = -1;
    CPacked file, memory, best;
    ASSERT_TRUE(COk(lutra_load(path.c_str(), TargetName(target), nullptr, &file, &from_file)));
    ASSERT_TRUE(COk(lutra_load_bytes(bytes.data(), info.file_size, TargetName(target), nullptr, &memory, &from_bytes)));
    ASSERT_TRUE(COk(lutra_load(path.c_str(), nullptr, nullptr, &best, nullptr)));
    EXPECT_EQ(from_file, static_cast<lutra_loaded>(expected_loaded));
    EXPECT_EQ(from_bytes, static_cast<lutra_loaded>(expected_loaded));
    ExpectInfo(file, expected);
    ExpectInfo(memory, expected);

    CActivations x;
    const lutra_activation_view x_view = CView(problem.x());
    ASSERT_TRUE(COk(lutra_activations_create(&x)));
    ASSERT_TRUE(COk(lutra_prepare(&x_view, file, static_cast<lutra_precision>(c.precision), nullptr, x)));
    const std::vector<float> y = Multiplied(expected, Prepared(problem, expected), c.y_type, 0);
    ExpectProducts(file, x, problem, nullptr, y);
    ExpectProducts(memory, x, problem, nullptr, y);
  }
  EXPECT_EQ(std::remove(path.c_str()), 0);
}

INSTANTIATE_TEST_SUITE_P(Sweep, LutraC, ::testing::ValuesIn(Kernels()), KernelName);

// --- Refusals.

// One of each kind of handle, and what the functions take besides.
class LutraCStatus : public ::testing::Test {
 protected:
  LutraCStatus() {
    const float weight = 1;
    EXPECT_TRUE(COk(lutra_context_create(1, &context_)));
    EXPECT_TRUE(COk(lutra_quantize(&weight, 1, 1, 1, &options_, &quantized_)));
    EXPECT_TRUE(COk(lutra_pack(&w_view_, nullptr, context_, &packed_)));
    EXPECT_TRUE(COk(lutra_activations_create(&x_)));
    EXPECT_TRUE(COk(lutra_prepare(&x_view_, packed_, LUTRA_PRECISION_INT8, context_, x_)));
  }

  // What a function that takes a handle first says of those that are none, or of another kind.
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

  // The same for a context, which may be null.
  template <class Call>
  void ExpectContext(const Call& call) {
    EXPECT_TRUE(COk(call(context_)));
    EXPECT_TRUE(COk(call(nullptr)));
    EXPECT_TRUE(CRefused(call(packed_.As<lutra_context>()), "context"));
  }

  const lutra_quantize_options options_ = {LUTRA_FORMAT_INT4, 128, LUTRA_TYPE_F16, LUTRA_ZERO_NONE};
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

TEST_F(LutraCStatus, HandlesOfPackedMatrices) {
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
  ExpectOnly<lutra_packed>(packed_, "w", [&](lutra_packed* w) { return lutra_matmul(w, x_, &y_view_, nullptr); });
  ExpectOnly<lutra_packed>(packed_, "w", [&](lutra_packed* w) { return lutra_matmul_range(w, x_, &y_view_, 0, 1); });
}

TEST_F(LutraCStatus, HandlesOfOthers) {
  lutra_quantized_view view;
  ExpectOnly<lutra_quantized>(quantized_, "w", [&](lutra_quantized* w) { return lutra_quantized_get(w, &view); });

  lutra_activations_info info;
  ExpectOnly<lutra_activations>(x_, "x", [&](lutra_activations* x) { return lutra_activations_get(x, &info); });
  ExpectOnly<lutra_activations>(x_, "activations", [&](lutra_activations* x) {
    return lutra_prepare(&x_view_, packed_, LUTRA_PRECISION_INT8, nullptr, x);
  });
  ExpectOnly<lutra_activations>(x_, "activations", [&](lutra_activations* x) {
    return lutra_prepare_rms_norm(&x_view_, nullptr, 1.0f, packed_, LUTRA_PRECISION_INT8, nullptr, x);
  });
  ExpectOnly<lutra_activations>(x_, "x",
                                [&](lutra_activations* x) { return lutra_matmul(packed_, x, &y_view_, nullptr); });
  ExpectOnly<lutra_activations>(x_, "x",
                                [&](lutra_activations* x) { return lutra_matmul_range(packed_, x, &y_view_, 0, 1); });
  EXPECT_TRUE(lutra_activations_fit(x_, packed_));
  EXPECT_FALSE(lutra_activations_fit(nullptr, packed_));
  EXPECT_FALSE(lutra_activations_fit(x_, nullptr));
  EXPECT_FALSE(lutra_activations_fit(packed_.As<lutra_activations>(), packed_));
  EXPECT_FALSE(lutra_activations_fit(x_, x_.As<lutra_packed>()));

  EXPECT_EQ(lutra_context_concurrency(context_), 1u);
  EXPECT_EQ(lutra_context_concurrency(nullptr), 1u);
  EXPECT_EQ(lutra_context_concurrency(packed_.As<lutra_context>()), 0u);
}

TEST_F(LutraCStatus, Contexts) {
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
    return lutra_load_bytes(bytes.data(), info.file_size, nullptr, context, &w, nullptr);
  });
  ExpectContext(
      [&](lutra_context* context) { return lutra_prepare(&x_view_, packed_, LUTRA_PRECISION_INT8, context, x_); });
  ExpectContext([&](lutra_context* context) {
    return lutra_prepare_rms_norm(&x_view_, nullptr, 1.0f, packed_, LUTRA_PRECISION_INT8, context, x_);
  });
  ExpectContext([&](lutra_context* context) { return lutra_matmul(packed_, x_, &y_view_, context); });
  EXPECT_EQ(std::remove(path.c_str()), 0);
}

// Nothing happens to what is no handle, or one of another kind, and a handle is destroyed once.
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

TEST_F(LutraCStatus, Destroying) {
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
  EXPECT_TRUE(CRefused(lutra_load_bytes(nullptr, 0, nullptr, nullptr, &packed_, nullptr), "bytes"));
  EXPECT_TRUE(CRefused(lutra_load_bytes("", 0, nullptr, nullptr, nullptr, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_activations_create(nullptr), "activations"));
  EXPECT_TRUE(CRefused(lutra_activations_get(x_, nullptr), "info"));
  EXPECT_TRUE(CRefused(lutra_prepare(nullptr, packed_, LUTRA_PRECISION_INT8, nullptr, x_), "x"));
  EXPECT_TRUE(
      CRefused(lutra_prepare_rms_norm(nullptr, nullptr, 1.0f, packed_, LUTRA_PRECISION_INT8, nullptr, x_), "x"));
  EXPECT_TRUE(CRefused(lutra_prepare_rms_norm(&x_view_, nullptr, -1.0f, packed_, LUTRA_PRECISION_INT8, nullptr, x_),
                       "norm.epsilon"));
  EXPECT_TRUE(CRefused(lutra_import_gguf(2, nullptr, 18, 1, 32, &quantized_), "data"));
  EXPECT_TRUE(CRefused(lutra_import_gguf(2, nullptr, 18, 1, 32, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_import_gguf(8, &weight, 4, 1, 32, &quantized_), "type", LUTRA_UNSUPPORTED));
  EXPECT_TRUE(CRefused(lutra_import_gptq(nullptr, &quantized_), "gptq"));
  EXPECT_TRUE(CRefused(lutra_import_awq(nullptr, &quantized_), "awq"));
  lutra_gptq_view gptq = {};
  lutra_awq_view awq = {};
  EXPECT_TRUE(CRefused(lutra_import_gptq(&gptq, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_import_awq(&awq, nullptr), "w"));
  EXPECT_TRUE(CRefused(lutra_import_gptq(&gptq, &quantized_), "gptq.bits"));
  EXPECT_TRUE(CRefused(lutra_matmul(packed_, x_, nullptr, nullptr), "y"));
  EXPECT_TRUE(CRefused(lutra_matmul_range(packed_, x_, nullptr, 0, 0), "y"));
  EXPECT_TRUE(CRefused(lutra_context_create(1, nullptr), "context"));
  EXPECT_TRUE(CRefused(lutra_context_create_over(nullptr, &context_), "executor"));
}

// What the C++ functions refuse, C refuses in the same words; outputs stay what they are.
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

// Numbers that are no constants, among them those that would be if they were cut to a byte.
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

// --- The rest.

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

TEST(LutraCVersion, IsTheHeaders) {
  const std::string version = std::to_string(LUTRA_VERSION_MAJOR) + "." + std::to_string(LUTRA_VERSION_MINOR) + "." +
                              std::to_string(LUTRA_VERSION_PATCH);
  EXPECT_EQ(lutra_version(), version);
}

TEST(LutraCTargets, AreTheRunnableOnes) {
  const TargetList targets = RunnableTargets();
  ASSERT_EQ(lutra_target_count(), targets.size);
  for (std::size_t i = 0; i < targets.size; ++i) {
    EXPECT_STREQ(lutra_target_name(i), TargetName(targets.data[i]));
    EXPECT_TRUE(lutra_target_exists(lutra_target_name(i)));
  }
  EXPECT_EQ(lutra_target_name(targets.size), nullptr);
  EXPECT_EQ(lutra_target_name(kMax), nullptr);
  EXPECT_FALSE(lutra_target_exists(nullptr));
}

TEST(LutraCThreads, AreAsManyAsAskedFor) {
  for (const std::size_t threads : {1u, 2u, 5u}) {
    CContext context;
    ASSERT_TRUE(COk(lutra_context_create(threads, &context)));
    EXPECT_EQ(lutra_context_concurrency(context), threads);
  }
  CContext all;
  ASSERT_TRUE(COk(lutra_context_create(0, &all)));
  EXPECT_EQ(lutra_context_concurrency(all), std::max(std::thread::hardware_concurrency(), 1u));
  lutra_context* none = nullptr;
  EXPECT_TRUE(CRefused(lutra_context_create(LUTRA_MAX_THREADS + 1, &none), "threads"));
  EXPECT_TRUE(CRefused(lutra_context_create(kMax, &none), "threads"));
  EXPECT_EQ(none, nullptr);
}

// A caller's pool: counts what it is given, and runs it from the end.
struct Pool {
  std::atomic<int> calls{0};
  static void ParallelFor(void* state, std::size_t count, lutra_task task, void* context) {
    ++static_cast<Pool*>(state)->calls;
    for (std::size_t i = count; i-- > 0;) task(context, i);
  }
};

TEST(LutraCThreads, MayBeTheCallers) {
  Pool pool;
  lutra_executor executor = {Pool::ParallelFor, &pool, 3};
  CContext context;
  ASSERT_TRUE(COk(lutra_context_create_over(&executor, &context)));
  executor = {};  // was copied
  EXPECT_EQ(lutra_context_concurrency(context), 3u);

  const Problem problem(SmallCase());
  const PackedMatrix expected = Packed(problem, nullptr);
  const lutra_quantized_view w_view = CView(problem.w());
  const lutra_activation_view x_view = CView(problem.x());
  CPacked w;
  CActivations x;
  ASSERT_TRUE(COk(lutra_pack(&w_view, nullptr, context, &w)));
  EXPECT_EQ(pool.calls, 1);
  ASSERT_TRUE(COk(lutra_activations_create(&x)));
  ASSERT_TRUE(COk(lutra_prepare(&x_view, w, LUTRA_PRECISION_INT8, context, x)));
  EXPECT_EQ(pool.calls, 2);
  ExpectProducts(w, x, problem, context, Multiplied(expected, Prepared(problem, expected), DataType::kF32, 0));
  EXPECT_EQ(pool.calls, 3);

  lutra_context* none = nullptr;
  const lutra_executor no_function = {nullptr, &pool, 3}, no_threads = {Pool::ParallelFor, &pool, 0};
  EXPECT_TRUE(CRefused(lutra_context_create_over(&no_function, &none), "executor.parallel_for"));
  EXPECT_TRUE(CRefused(lutra_context_create_over(&no_threads, &none), "executor.concurrency"));
  EXPECT_EQ(none, nullptr);
}

// One matrix and one context, several callers.
TEST(LutraCThreads, ShareAContext) {
  Case c = SmallCase();
  c.m = 700;
  const Problem problem(c);
  const PackedMatrix expected = Packed(problem, nullptr);
  const std::vector<float> y = Multiplied(expected, Prepared(problem, expected), DataType::kF32, 0);
  const lutra_quantized_view w_view = CView(problem.w());
  const lutra_activation_view x_view = CView(problem.x());
  CContext context;
  CPacked w;
  ASSERT_TRUE(COk(lutra_context_create(2, &context)));
  ASSERT_TRUE(COk(lutra_pack(&w_view, nullptr, context, &w)));
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      CActivations x;
      ASSERT_TRUE(COk(lutra_activations_create(&x)));
      for (int round = 0; round < 5; ++round) {
        ASSERT_TRUE(COk(lutra_prepare(&x_view, w, LUTRA_PRECISION_INT8, context, x)));
        ExpectProducts(w, x, problem, context, y);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace lutra::test
