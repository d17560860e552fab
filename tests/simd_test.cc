// Each SIMD helper against its scalar meaning: over all byte values, all halves, on every target this CPU can run.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "lutra/reference.h"

// The targets Lutra does not compile for; see src/kernels.cc.
#define HWY_DISABLED_TARGETS (HWY_SSE2 | HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd_test.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "lutra/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

inline void CheckNibbles() {
  const D8 d;
  HWY_ALIGN std::uint8_t bytes[256], low[256], high[256];
  for (int i = 0; i < 256; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  for (std::size_t i = 0; i < 256; i += hn::Lanes(d)) {
    hn::Store(LowNibbles(hn::Load(d, bytes + i)), d, low + i);
    hn::Store(HighNibbles(hn::Load(d, bytes + i)), d, high + i);
  }
  for (int i = 0; i < 256; ++i) {
    EXPECT_EQ(low[i], i % 16) << hwy::TargetName(HWY_TARGET);
    EXPECT_EQ(high[i], i / 16) << hwy::TargetName(HWY_TARGET);
  }
}

// Products whose rounding shows whether there is one rounding or two.
inline void CheckFma() {
  const DF d;
  HWY_ALIGN float a[1024], c[1024], result[1024];
  for (int i = 0; i < 1024; ++i) {
    a[i] = 1.0f + static_cast<float>(i) * 0x1p-12f;
    c[i] = -a[i] * a[i];
  }
  for (std::size_t i = 0; i < 1024; i += hn::Lanes(d)) {
    const VF va = hn::Load(d, a + i);
    hn::Store(Fma(va, va, hn::Load(d, c + i)), d, result + i);
  }
  for (int i = 0; i < 1024; ++i) EXPECT_EQ(result[i], std::fma(a[i], a[i], c[i])) << hwy::TargetName(HWY_TARGET);
}

inline std::uint32_t BitsOf(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// All 65536 halves up, and floats beside every half (exact, halfway to the next, and just off halfway) down.
inline void CheckHalves(DataType type) {
  const DF d;
  const auto up = type == DataType::kF16 ? &F16ToF32 : &BF16ToF32;
  const auto down = type == DataType::kF16 ? &F32ToF16 : &F32ToBF16;
  std::vector<std::uint16_t> halves(65536), stored(65536);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  std::vector<float> floats(halves.size());
  for (std::size_t i = 0; i < halves.size(); i += hn::Lanes(d)) {
    hn::StoreU(LoadFloats(d, halves.data(), type, i), d, floats.data() + i);
  }
  for (std::size_t i = 0; i < halves.size(); ++i) {
    if (std::isnan(up(halves[i]))) {
      EXPECT_TRUE(std::isnan(floats[i]));
    } else {
      ASSERT_EQ(BitsOf(floats[i]), BitsOf(up(halves[i]))) << i << " " << hwy::TargetName(HWY_TARGET);
    }
  }
  for (const std::int32_t nudge : {0, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001}) {
    for (std::size_t i = 0; i < halves.size(); ++i) {
      std::uint32_t bits = BitsOf(up(halves[i])) + static_cast<std::uint32_t>(nudge);
      if ((bits & 0x7f800000u) == 0x7f800000u) bits = 0;  // results are finite
      std::memcpy(&floats[i], &bits, sizeof(bits));
    }
    for (std::size_t i = 0; i < halves.size(); i += hn::Lanes(d)) {
      StoreFloats(d, hn::LoadU(d, floats.data() + i), stored.data(), type, i);
    }
    for (std::size_t i = 0; i < halves.size(); ++i) {
      ASSERT_EQ(stored[i], down(floats[i])) << floats[i] << " " << hwy::TargetName(HWY_TARGET);
    }
  }
}

inline void CheckAll() {
  CheckNibbles();
  CheckFma();
  CheckHalves(DataType::kF16);
  CheckHalves(DataType::kBF16);
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lutra {
namespace internal {
HWY_EXPORT(CheckAll);

TEST(Simd, EveryTarget) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    HWY_DYNAMIC_DISPATCH(CheckAll)();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace internal
}  // namespace lutra
#endif  // HWY_ONCE
