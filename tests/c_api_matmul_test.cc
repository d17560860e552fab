// The C API computes the same bits as the C++ one, on every target.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "lutra/lutra_c.h"
#include "support/c_api.h"
#include "support/c_views.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class LutraC : public KernelTest {
 protected:
  Case NewCase(std::size_t seed) const {
    Case c = KernelTest::NewCase({131, 5, 300}, seed);
    Random random(seed);
    c.group = random.Pick(kGroups);
    c.zeros = random.Pick(kZeros);
    c.scale_type = random.Pick(kFloatTypes);
    c.bias = random.Below(2) == 1;
    c.precision = random.Pick(kPrecisions);
    c.x = random.Pick(kXKinds);
    c.y_type = random.Pick(kFloatTypes);
    c.gap = random.Below(2) * random.Below(20);
    return c;
  }
};

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

TEST_P(LutraC, PreparesHadamard) {
  Case c = NewCase(4);
  c.k = 192;
  const Problem problem(c);
  std::vector<float> signs(c.k, 1.0f);
  for (std::size_t k = 0; k < c.k; k += 3) signs[k] = -1.0f;
  const PackedMatrix w = Packed(problem, c.target);
  Context context;
  Activations x;
  ASSERT_TRUE(Ok(PrepareHadamard(problem.x(), {signs.data(), 64}, w, c.precision, context, &x)));

  const lutra_quantized_view w_view = CView(problem.w());
  const lutra_activation_view x_view = CView(problem.x());
  CPacked packed;
  CActivations c_x;
  ASSERT_TRUE(COk(lutra_pack(&w_view, TargetName(c.target), nullptr, &packed)));
  ASSERT_TRUE(COk(lutra_activations_create(&c_x)));
  ASSERT_TRUE(COk(lutra_prepare_hadamard(&x_view, signs.data(), 64, packed, static_cast<lutra_precision>(c.precision),
                                         nullptr, c_x)));
  ExpectProducts(packed, c_x, problem, nullptr, Multiplied(w, x, c.y_type, 0));
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
    CPacked file, unmapped, memory, best;
    ASSERT_TRUE(COk(lutra_load(path.c_str(), TargetName(target), nullptr, &file, &from_file)));
    lutra_loaded read = -1;
    ASSERT_TRUE(COk(lutra_load_unmapped(path.c_str(), TargetName(target), nullptr, &unmapped, &read)));
    EXPECT_EQ(read, expected_loaded == Loaded::kRepacked ? LUTRA_LOADED_REPACKED : LUTRA_LOADED_COPIED);
    ExpectInfo(unmapped, expected);
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
    ExpectProducts(unmapped, x, problem, nullptr, y);
    ExpectProducts(memory, x, problem, nullptr, y);
  }
  EXPECT_EQ(std::remove(path.c_str()), 0);
}

INSTANTIATE_TEST_SUITE_P(Sweep, LutraC, ::testing::ValuesIn(Kernels()), KernelName);

}  // namespace
}  // namespace lutra::test
