// Each SIMD helper against its scalar meaning: over all byte values, all halves, on every target this CPU can run.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "gtest/gtest.h"
#include "lutra/reference.h"
#include "lutra/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd_test.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "lutra/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
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

// All bytes below 16 in all tables.
inline void CheckFourTables() {
  const D8 d;
  HWY_ALIGN std::uint8_t tables[64], bytes[64], choices[64], bits[64], found[64];
  for (int i = 0; i < 64; ++i) tables[i] = static_cast<std::uint8_t>(255 - 37 * i);
  const FourTables four(tables);
  for (std::size_t shift = 0; shift < 64; ++shift) {  // each vector has all choices
    for (std::size_t i = 0; i < 64; ++i) choices[i] = static_cast<std::uint8_t>((i + i / 16 + shift / 16) % 4);
    for (std::size_t i = 0; i < 64; ++i) bytes[i] = static_cast<std::uint8_t>((i + shift) % 16);
    for (std::size_t i = 0; i < 64; ++i) {  // with any bits that do not count
      constexpr int kOthers = FourTables::kJoined ? 0 : (1 << FourTables::kChoiceAt) - 1;
      bits[i] =
          static_cast<std::uint8_t>(choices[i] << FourTables::kChoiceAt | (static_cast<int>(29 * i + shift) & kOthers));
    }
    for (std::size_t i = 0; i < 64; i += hn::Lanes(d)) {
      hn::Store(four.LookUp(hn::Load(d, bytes + i), hn::Load(d, bits + i)), d, found + i);
    }
    for (std::size_t i = 0; i < 64; ++i) {
      EXPECT_EQ(found[i], tables[16 * choices[i] + bytes[i]]) << hwy::TargetName(HWY_TARGET) << " byte " << i;
    }
  }
}

// The bytes of tables in block scope, signed without a bias, else unsigned.
constexpr int kBias = HWY_ARCH_ARM_A64 ? 0 : 128;
static_assert(kVectorScope || kBias == kTableBias);
constexpr int TableByte(std::uint8_t byte) { return kBias == 0 ? static_cast<std::int8_t>(byte) : byte; }
constexpr std::int16_t Wrapped(int sum) { return static_cast<std::int16_t>(static_cast<std::uint16_t>(sum)); }

// All unsigned times all signed bytes; those at odd places in another order, so that pairs differ. Signed bytes times
// signs, whose products fit into bytes.
inline void CheckPairAdder() {
  const D8 d8;
  const D16 d16;
  HWY_ALIGN std::uint8_t a[512];
  HWY_ALIGN std::int8_t b[512];
  HWY_ALIGN std::int16_t sums[256];
  for (int shift = 0; shift < 256; ++shift) {
    for (int i = 0; i < 256; ++i) {
      a[2 * i] = static_cast<std::uint8_t>(i);
      b[2 * i] = static_cast<std::int8_t>((i + shift) % 256 - 128);
      a[2 * i + 1] = static_cast<std::uint8_t>(255 - i);
      b[2 * i + 1] = static_cast<std::int8_t>(127 - (i + shift) % 256);  // of the other sign: the sum fits
      if (kBias != 0) continue;
      b[2 * i] = static_cast<std::int8_t>(i == 128 ? 1 : shift % 3 - 1);
      b[2 * i + 1] = static_cast<std::int8_t>(i == 127 ? 1 : shift / 3 % 3 - 1);
    }
    for (std::size_t i = 0; i < 256; i += hn::Lanes(d16)) {
      const auto signed_bytes = hn::Load(DI8(), b + 2 * i);
      hn::Store(AddPairs(hn::Set(d16, -100), hn::Load(d8, a + 2 * i), signed_bytes), d16, sums + i);
    }
    for (int i = 0; i < 256; ++i) {
      const int sum = -100 + TableByte(a[2 * i]) * b[2 * i] + TableByte(a[2 * i + 1]) * b[2 * i + 1];
      EXPECT_EQ(sums[i], Wrapped(sum)) << hwy::TargetName(HWY_TARGET);
    }
  }
}

// All pairs of bytes; sums that wrap, but where they start from 0.
inline void CheckAddPlanes() {
  const D8 d8;
  const D16 d16;
  constexpr int kStart = kBias == 0 ? 0 : 32500;
  HWY_ALIGN std::uint8_t bytes[512];
  HWY_ALIGN std::int16_t sums[256];
  for (int shift = 0; shift < 256; ++shift) {
    for (int i = 0; i < 256; ++i) {
      bytes[2 * i] = static_cast<std::uint8_t>(i);
      bytes[2 * i + 1] = static_cast<std::uint8_t>(i + shift);
    }
    for (std::size_t i = 0; i < 256; i += hn::Lanes(d16)) {
      PlaneSums planes = StartPlanes(hn::Set(d16, kStart));
      AddPlanes(planes, hn::Load(d8, bytes + 2 * i));
      hn::Store(FinishPlanes(planes), d16, sums + i);
    }
    for (int i = 0; i < 256; ++i) {
      const int sum = kStart + TableByte(bytes[2 * i]) + 2 * TableByte(bytes[2 * i + 1]);
      EXPECT_EQ(sums[i], Wrapped(sum)) << hwy::TargetName(HWY_TARGET);
    }
  }
}

// All bytes beside all bytes, as they are and with both signs.
inline void CheckAddBytes() {
  const D8 d8;
  const D16 d16;
  constexpr int kBytes = 16 * kLayout.blocks, kStart = -512;
  HWY_ALIGN std::uint8_t bytes[kBytes];
  HWY_ALIGN std::int8_t signs[kBytes];
  HWY_ALIGN std::int16_t sums[4][kBytes / 2];
  for (int first = 0; first < 65536; ++first) {
    for (int i = 0; i < kBytes; ++i) {
      bytes[i] = static_cast<std::uint8_t>(i % 2 == 0 ? first : first / 256 + i / 2);
      signs[i] = static_cast<std::int8_t>((first + i) % 255 - 127);
      if (signs[i] == 0) signs[i] = 1;
    }
    const V8 v = hn::Load(d8, bytes);
    V16 lower = hn::Set(d16, kStart), upper = lower;
    AddBytes(lower, upper, v);
    FinishBytes(lower, upper);
    hn::Store(lower, d16, sums[0]);
    hn::Store(upper, d16, sums[1]);
    lower = upper = hn::Set(d16, kStart);
    AddSignedBytes(lower, upper, v, hn::Load(DI8(), signs));
    FinishBytes(lower, upper);
    hn::Store(lower, d16, sums[2]);
    hn::Store(upper, d16, sums[3]);
    for (int i = 0; i < kBytes; ++i) {
      const int half = i % 16 / 8, at = i / 16 * 8 + i % 8, sign = signs[i] < 0 ? -1 : 1;
      const int mirrored = (TableByte(bytes[i]) - kBias) * sign + kBias;
      ASSERT_EQ(sums[half][at], kStart + TableByte(bytes[i])) << hwy::TargetName(HWY_TARGET);
      if (kBias != 0 && bytes[i] == 0) continue;  // T is -127 or more
      ASSERT_EQ(sums[2 + half][at], kStart + mirrored) << hwy::TargetName(HWY_TARGET) << int{bytes[i]};
    }
  }
}

// Codes of each value from kLowest to kHighest times each byte of x, in each lane, for each quad; sums that are
// negative; rows of the lowest and of the highest code times the lowest x.
template <class Dot, int kLowest, int kHighest, int kQuad>
inline void CheckDot() {
  const D8 d8;
  const D32 d32;
  HWY_ALIGN std::uint8_t x[16 * hn::MaxLanes(d8)], codes[hn::MaxLanes(d8)];
  HWY_ALIGN std::int32_t sums[hn::MaxLanes(d32)];
  int values[hn::MaxLanes(d8)];
  for (int first = 0; first <= 256; ++first) {
    const bool extreme = first == 256;
    for (int i = 0; i < 16; ++i) x[i] = static_cast<std::uint8_t>(extreme ? 128 : first + 77 * i);
    for (int i = 0; i < static_cast<int>(hn::Lanes(d8)); ++i) {
      values[i] = kLowest + (i + i / 4 + first) % (kHighest - kLowest + 1);
      if (extreme) values[i] = i / 4 % 2 == 0 ? kLowest : kHighest;
      codes[i] = static_cast<std::uint8_t>(values[i]);
    }
    typename Dot::Sum sum = Dot::Zero();
    Dot::template Add<kQuad>(sum, hn::Load(d8, codes), Dot::template Load<kQuad>(x));
    Dot::template Add<kQuad>(sum, hn::Load(d8, codes), Dot::template Load<kQuad>(x));
    hn::Store(Dot::Widen(hn::Set(d32, -1000), sum), d32, sums);
    for (std::size_t lane = 0; lane < hn::Lanes(d32); ++lane) {
      int expected = -1000;
      for (std::size_t i = 0; i < 4; ++i) {
        expected += 2 * values[lane * 4 + i] * static_cast<std::int8_t>(x[kQuad * 4 + i]);
      }
      EXPECT_EQ(sums[lane], expected) << hwy::TargetName(HWY_TARGET);
    }
  }
}
// The Dot, and those after it, over their ranges of codes. (Sums of a BaseDot take two quads here, of four at most.)
template <class Dot>
inline void CheckDots() {
  CheckDot<Dot, Dot::kLowest, Dot::kHighest, 0>();
  CheckDot<Dot, Dot::kLowest, Dot::kHighest, 1>();
  CheckDot<Dot, Dot::kLowest, Dot::kHighest, 2>();
  CheckDot<Dot, Dot::kLowest, Dot::kHighest, 3>();
  if constexpr (Dot::kHighest - Dot::kLowest < 255) CheckDots<typename Dot::Next>();
}

#ifdef LUTRA_MATRIX_PRODUCT
// All bytes times all bytes, at all places; sums that are negative; the lowest bytes alone.
inline void CheckAddProduct() {
  const D8 d8;
  const D32 d32;
  HWY_ALIGN std::int8_t a[16], b[16];
  HWY_ALIGN std::int32_t sums[4];
  for (int first = 0; first <= 65536; ++first) {
    for (int i = 0; i < 16; ++i) {
      a[i] = static_cast<std::int8_t>(first == 65536 ? -128 : first + 77 * i);
      b[i] = static_cast<std::int8_t>(first == 65536 ? -128 : first / 256 + 91 * i);
    }
    V32 sum = hn::Set(d32, -1000);
    AddProduct(sum, hn::BitCast(d8, hn::Load(DI8(), a)), hn::BitCast(d8, hn::Load(DI8(), b)));
    hn::Store(sum, d32, sums);
    for (int lane = 0; lane < 4; ++lane) {
      int expected = -1000;
      for (int i = 0; i < 8; ++i) expected += a[lane / 2 * 8 + i] * b[lane % 2 * 8 + i];
      ASSERT_EQ(sums[lane], expected) << first;
    }
  }
}
// Small integers, whose sums need no rounding.
inline void CheckAddBf16Product() {
  const hn::Rebind<std::uint16_t, D16> d16;
  HWY_ALIGN std::uint16_t a[8], b[8];
  HWY_ALIGN float sums[4];
  const auto at = [](const std::uint16_t* bf16, int row, int i) { return BF16ToF32(bf16[row * 4 + i]); };
  for (int first = 0; first < 4096; ++first) {
    for (int i = 0; i < 8; ++i) {
      a[i] = F32ToBF16(static_cast<float>((first + 77 * i) % 255) - 127.0f);
      b[i] = F32ToBF16(static_cast<float>((first / 16 + 91 * i) % 255) - 127.0f);
    }
    VF sum = hn::Set(DF(), -1000.0f);
    AddBf16Product(sum, hn::BitCast(D16(), hn::Load(d16, a)), hn::BitCast(D16(), hn::Load(d16, b)));
    hn::Store(sum, DF(), sums);
    for (int lane = 0; lane < 4; ++lane) {
      float expected = -1000.0f;
      for (int i = 0; i < 4; ++i) expected += at(a, lane / 2, i) * at(b, lane % 2, i);
      ASSERT_EQ(sums[lane], expected) << first;
    }
  }
}
#endif

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

// The 256 halves from `first` up, and floats beside them (exact, halfway to the next, and just off halfway) down.
template <DataType kType>
inline void CheckHalves(std::uint32_t first) {
  constexpr std::size_t kCount = 256;
  const DF d;
  const auto up = kType == DataType::kF16 ? &F16ToF32 : &BF16ToF32;
  const auto down = kType == DataType::kF16 ? &F32ToF16 : &F32ToBF16;
  HWY_ALIGN std::uint16_t halves[kCount], stored[kCount];
  HWY_ALIGN float floats[kCount];
  for (std::size_t i = 0; i < kCount; ++i) halves[i] = static_cast<std::uint16_t>(first + i);
  for (std::size_t i = 0; i < kCount; i += hn::Lanes(d)) hn::Store(LoadFloats(d, halves, kType, i), d, floats + i);
  for (std::size_t i = 0; i < kCount; ++i) {
    if (std::isnan(up(halves[i]))) {
      EXPECT_TRUE(std::isnan(floats[i]));
    } else {
      ASSERT_EQ(BitsOf(floats[i]), BitsOf(up(halves[i]))) << first + i << " " << hwy::TargetName(HWY_TARGET);
    }
  }
  for (const std::uint32_t nudge : {0u, 0x0fffu, 0x1000u, 0x1001u, 0x7fffu, 0x8000u, 0x8001u}) {
    for (std::size_t i = 0; i < kCount; ++i) {
      std::uint32_t bits = BitsOf(up(halves[i])) + nudge;
      if ((bits & 0x7f800000u) == 0x7f800000u) bits = 0;  // what is stored is finite
      std::memcpy(&floats[i], &bits, sizeof(bits));
    }
    for (std::size_t i = 0; i < kCount; i += hn::Lanes(d)) StoreFloats(d, hn::Load(d, floats + i), stored, kType, i);
    for (std::size_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(stored[i], down(floats[i])) << floats[i] << " " << hwy::TargetName(HWY_TARGET);
    }
  }
}

inline void CheckAll() {
  CheckNibbles();
  CheckFourTables();
  CheckPairAdder();
  CheckAddPlanes();
  CheckAddBytes();
  CheckDots<BaseDot>();
#ifdef LUTRA_DOT_EXTENSION
  if (FindTarget(LUTRA_DOT_EXTENSION) != nullptr) CheckDots<ExtensionDot>();
#endif
#ifdef LUTRA_MATRIX_PRODUCT
  if (FindTarget(LUTRA_MATRIX_PRODUCT) != nullptr) {
    CheckAddProduct();
    CheckAddBf16Product();
  }
#endif
  CheckFma();
  for (std::uint32_t first = 0; first < 65536; first += 256) {
    CheckHalves<DataType::kF16>(first);
    CheckHalves<DataType::kBF16>(first);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
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
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
#endif  // HWY_ONCE
