// The micro-kernels for codes that are small floats: 64 rows of W (a panel) times a few rows of x in f32, over one
// K-block.
//
//     codes    |       row 0       |  ...   |       row 15      |        four codes of each row (a quad), as stored
//              |  k  k+1  k+2  k+3 | ...
//     halves   |    k    |   k+2   |  ...   |    k    |   k+2   |        f16, then the same for k+1 and k+3
//     floats   |  k   k+2  |  k   k+2  |  ...    row 7  |                f32, then rows 8 to 15
//     x        |  k   k+2  |  k   k+2  |  ...                            the same two elements of x for all rows
//
// A lane sums two products of each quad, and a row is the sum of its two lanes: of elements k and k+1 of all quads, and
// of k+2 and k+3. This order, and products and sums that are rounded once (Fma), are the same on all targets and for
// all rows of x, so results do not depend on either. src/reference.cc has the same arithmetic in scalar code.
//
// For few rows of x, PackedFloatKernel unpacks codes in registers. For more rows, FloatUnpacker unpacks half of a
// panel's rows to L1 once for all rows of x, and UnpackedFloatKernel reads them.
#if defined(LUTRA_KERNELS_FLOATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_FLOATS_INL_H_
#undef LUTRA_KERNELS_FLOATS_INL_H_
#else
#define LUTRA_KERNELS_FLOATS_INL_H_
#endif

#include <cstring>

#include "lutra/kernels/dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

inline constexpr std::size_t kLanesOfFloats = 4 * kLayout.blocks;     // of a vector
inline constexpr std::size_t kFloatRows = kLanesOfFloats / 2;         // rows of a vector
inline constexpr std::size_t kHalfPanel = kPanelRows / 2;             // rows that are unpacked at a time
inline constexpr std::size_t kHalfFloats = 2 * kHalfPanel;            // floats of two codes of these rows
inline constexpr std::size_t kFloatChunk = kQuads * 2 * kHalfFloats;  // floats of an unpacked chunk

// The f16 that codes of the format stand for: sign and mantissa of the code, and its exponent with the bias of f16.
// (Subnormal codes become subnormal f16, whose conversion to f32 is exact and takes no longer than that of others.)
template <Format kFormat>
struct HalvesOf {
  static constexpr FloatCode kCode = Describe(kFormat).floats;
  static constexpr int kBits = kCode.bits(), kShift = 5 - kCode.exponent_bits;
  static constexpr int kMask = 0x8000 | ((0x7fff & (0xffff << (16 - kBits))) >> kShift);
  static_assert(kBits <= 8 && kShift >= 0 && kBits + kShift <= 16);

  // Of the codes in the low bytes, and in the high bytes, of pairs.
  static HWY_INLINE V16 Even(V8 codes) {
    if constexpr (kMultipliesPairs && kBits == 8 && kShift != 0) {  // by one instruction, not by two shifts
      const V8 factors = hn::BitCast(D8(), hn::Set(D16(), 1 << (8 - kShift)));
      return Mask(hn::SatWidenMulPairwiseAdd(D16(), factors, hn::BitCast(DI8(), codes)));
    }
    const V16 pairs = hn::ShiftLeft<16 - kBits>(hn::BitCast(D16(), codes));
    return kShift == 0 ? pairs : Place(pairs);
  }
  static HWY_INLINE V16 Odd(V8 codes) {
    const V16 pairs = hn::BitCast(D16(), codes);
    if constexpr (kBits == 8) return Place(pairs);
    return Place(hn::ShiftLeft<8 - kBits>(pairs));
  }

 private:
  // Takes codes in the upper bits.
  static HWY_INLINE V16 Place(V16 codes) {
    if constexpr (kShift != 0) codes = hn::ShiftRight<kShift>(codes);
    return Mask(codes);
  }
  static HWY_INLINE V16 Mask(V16 codes) { return hn::And(codes, hn::Set(D16(), static_cast<std::int16_t>(kMask))); }
};

// The lower, or upper, half of a vector of f16 as floats.
HWY_INLINE VF LowerFloats(V16 halves) {
  const hn::Rebind<hwy::float16_t, DF> d16;
  return hn::PromoteTo(DF(), hn::LowerHalf(d16, hn::BitCast(hn::Repartition<hwy::float16_t, DF>(), halves)));
}
HWY_INLINE VF UpperFloats(V16 halves) {
  const hn::Rebind<hwy::float16_t, DF> d16;
  return hn::PromoteTo(DF(), hn::UpperHalf(d16, hn::BitCast(hn::Repartition<hwy::float16_t, DF>(), halves)));
}

// Two elements of x, in turns in all lanes.
HWY_INLINE VF LoadTwo(const std::uint8_t* x) {
  std::int64_t two;
  std::memcpy(&two, x, sizeof(two));
  return hn::BitCast(DF(), hn::Set(hn::Repartition<std::int64_t, DF>(), two));
}
// kOdd 0: elements 0 and 2 of quad kQuad of a chunk of row `row` of x; 1: elements 1 and 3.
template <int kQuad, int kOdd>
HWY_INLINE VF LoadTwoOf(const std::uint8_t* x, int row) {
  return LoadTwo(x + row * 64 + kQuad * 16 + kOdd * 8);
}

// Adds the sums of a K-block to the tile: tile += scale * sum. `sums` are [vector][row of x]; two vectors hold the two
// sums of kLanesOfFloats consecutive rows of W from row_of(vector / 2) on.
template <int kVectors, int kRows, class RowOf>
LUTRA_INLINE void FlushFloats(const KBlock& b, const VF (&sums)[kVectors * kRows], const RowOf& row_of) {
  const DF df;
  LUTRA_UNROLL
  for (int i = 0; i < kVectors / 2 * kRows; ++i) {
    const int v = i / kRows, n = i % kRows;
    const VF lower = sums[2 * v * kRows + n], upper = sums[(2 * v + 1) * kRows + n];
    const VF sum = hn::Add(hn::ConcatEven(df, upper, lower), hn::ConcatOdd(df, upper, lower));
    float* const to = b.tile + n * static_cast<int>(kPanelRows) + row_of(v);
    hn::Store(Fma(hn::Load(df, b.qparams + row_of(v)), sum, hn::Load(df, to)), df, to);
  }
}

struct FloatSums {
  static constexpr int kLimbs = 1;
};

// The micro-kernel on packed codes.
template <Format kFormat>
struct PackedFloatKernel {
  using Sums = FloatSums;
  using Halves = HalvesOf<kFormat>;
  static constexpr Encoding kEncoding = Describe(kFormat).encoding;
  static constexpr int kPlanes = Describe(kEncoding).planes;
  static constexpr std::size_t kChunkBytes = kPlanes * kPlaneBytes, kPanelBytes = 0;
  // Registers hold 8 sums of each row of x, two floats of x, codes and halves.
  static constexpr int kMaxRows = kRegisters / 16, kMaxPanels = 1, kTile = kMaxRows;
  static constexpr int kVectors = 8;

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1);
    LUTRA_UNROLL
    for (int part = 0; part < kParts; ++part) {
      VF sums[kVectors * kRows];
      LUTRA_UNROLL
      for (VF& sum : sums) sum = hn::Zero(DF());
      const std::uint8_t *lines = b.index + static_cast<std::size_t>(part) * kPartBytes, *x = b.x;
      LUTRA_KEEP_LOOP
      for (std::size_t chunk = 0; chunk < b.chunks; ++chunk, lines += kChunkBytes, x += b.x_stride) {
        PrefetchAndAdd<0, kRows>(b, part, lines, x, sums);
        PrefetchAndAdd<1, kRows>(b, part, lines, x, sums);
        PrefetchAndAdd<2, kRows>(b, part, lines, x, sums);
        PrefetchAndAdd<3, kRows>(b, part, lines, x, sums);
      }
      FlushFloats<kVectors, kRows>(b, sums, [part](int v) { return v * 16 + part * static_cast<int>(kPartRows); });
    }
  }

 private:
  // Adds the products of quad kQuad of a chunk. The first part prefetches the lines of all parts.
  template <int kQuad, int kRows>
  static HWY_INLINE void PrefetchAndAdd(const KBlock& b, int part, const std::uint8_t*& lines, const std::uint8_t* x,
                                        VF (&sums)[kVectors * kRows]) {
    LUTRA_UNROLL
    for (int line = kQuad * kPlanes / 2; part == 0 && line < (kQuad + 1) * kPlanes / 2; ++line) {
      b.Prefetch(lines + line * 64);
    }
    VF even[kRows], odd[kRows];
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n) {
      even[n] = LoadTwoOf<kQuad, 0>(x, n);
      odd[n] = LoadTwoOf<kQuad, 1>(x, n);
    }
    AddHalf<0, kQuad, kRows>(lines, even, odd, sums);
    AddHalf<1, kQuad, kRows>(lines, even, odd, sums);
  }
  // Adds the products of half of the panel's rows.
  template <int kHalf, int kQuad, int kRows>
  static HWY_INLINE void AddHalf(const std::uint8_t*& lines, const VF (&even)[kRows], const VF (&odd)[kRows],
                                 VF (&sums)[kVectors * kRows]) {
    V8 low, high;
    UnpackLines<kEncoding, kQuad>(lines + kHalf * kPlanes * 64, low, high);
    AddCodes<4 * kHalf, kRows>(low, even, odd, sums);
    AddCodes<4 * kHalf + 2, kRows>(high, even, odd, sums);
    KeepOrder(sums[(4 * kHalf + 4) * kRows - 1], lines);
  }
  // Adds the products of a vector of codes to the sums of vectors kFirst and kFirst + 1.
  template <int kFirst, int kRows>
  static HWY_INLINE void AddCodes(V8 codes, const VF (&even)[kRows], const VF (&odd)[kRows],
                                  VF (&sums)[kVectors * kRows]) {
    AddHalves<kFirst, kRows>(Halves::Even(codes), even, sums);
    AddHalves<kFirst, kRows>(Halves::Odd(codes), odd, sums);
  }
  template <int kFirst, int kRows>
  static HWY_INLINE void AddHalves(V16 halves, const VF (&x)[kRows], VF (&sums)[kVectors * kRows]) {
    const VF lower = LowerFloats(halves), upper = UpperFloats(halves);
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n) {
      VF &first = sums[kFirst * kRows + n], &second = sums[(kFirst + 1) * kRows + n];
      first = Fma(lower, x[n], first);
      StayInRegister(first);
      second = Fma(upper, x[n], second);
      StayInRegister(second);
    }
  }
};

// Unpacks half of the rows of a panel to floats: [chunk][quad][elements 0 and 2, 1 and 3][row][2].
template <Format kFormat>
struct FloatUnpacker {
  using Halves = HalvesOf<kFormat>;
  static constexpr Encoding kEncoding = Describe(kFormat).encoding;
  static constexpr std::size_t kPlanes = Describe(kEncoding).planes;

  static constexpr std::size_t Bytes(std::size_t, std::size_t x_chunks) {
    return x_chunks * kFloatChunk * sizeof(float);
  }

  static void Unpack(const MicroArgs& args, std::size_t, std::uint8_t* to) {
    const KBlock b(args);
    const std::uint8_t* lines = b.index + args.first_row / kHalfPanel * kPlanes * 64;
    auto* floats = reinterpret_cast<float*>(to);
    for (std::size_t chunk = 0; chunk < b.chunks; ++chunk, lines += kPlanes * kPlaneBytes, floats += kFloatChunk) {
      for (std::size_t line = 0; line < kPlanes; ++line) b.Prefetch(lines + line * 64);
      LUTRA_UNROLL
      for (std::size_t part = 0; part < kParts; ++part) {
        UnpackQuad<0>(lines + part * kPartBytes, floats + part * 2 * kPartRows);
        UnpackQuad<1>(lines + part * kPartBytes, floats + part * 2 * kPartRows);
        UnpackQuad<2>(lines + part * kPartBytes, floats + part * 2 * kPartRows);
        UnpackQuad<3>(lines + part * kPartBytes, floats + part * 2 * kPartRows);
      }
    }
  }

 private:
  template <int kQuad>
  static HWY_INLINE void UnpackQuad(const std::uint8_t* lines, float* to) {
    V8 low, high;  // 16 rows, or a part of them, and the next 16
    UnpackLines<kEncoding, kQuad>(lines, low, high);
    to += kQuad * 2 * kHalfFloats;
    StoreHalves(Halves::Even(low), to);
    StoreHalves(Halves::Even(high), to + kHalfFloats / 2);
    StoreHalves(Halves::Odd(low), to + kHalfFloats);
    StoreHalves(Halves::Odd(high), to + kHalfFloats + kHalfFloats / 2);
  }
  static HWY_INLINE void StoreHalves(V16 halves, float* to) {
    hn::Store(LowerFloats(halves), DF(), to);
    hn::Store(UpperFloats(halves), DF(), to + kLanesOfFloats);
  }
};

// The micro-kernel on floats that FloatUnpacker unpacked; b.tile and b.qparams begin with the first unpacked row.
struct UnpackedFloatKernel {
  using Sums = FloatSums;
  static constexpr int kMaxRows = 4, kMaxPanels = 1, kTile = kMaxRows;
  static constexpr std::size_t kPanelBytes = 0;
  static constexpr int kVectors = kRegisters / 8;  // at a time: half of the registers hold sums

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1);
    for (std::size_t first = 0; first < kHalfPanel; first += kVectors * kFloatRows) {
      VF sums[kVectors * kRows];
      LUTRA_UNROLL
      for (VF& sum : sums) sum = hn::Zero(DF());
      const float* floats = reinterpret_cast<const float*>(b.index) + 2 * first;
      const std::uint8_t* x = b.x;
      LUTRA_KEEP_LOOP
      for (std::size_t chunk = 0; chunk < b.chunks; ++chunk, floats += kFloatChunk, x += b.x_stride) {
        AddQuad<0, kRows>(floats, x, sums);
        AddQuad<1, kRows>(floats, x, sums);
        AddQuad<2, kRows>(floats, x, sums);
        AddQuad<3, kRows>(floats, x, sums);
      }
      const int row = static_cast<int>(first);
      FlushFloats<kVectors, kRows>(b, sums, [row](int v) { return row + v * static_cast<int>(kLanesOfFloats); });
    }
  }

 private:
  template <int kQuad, int kRows>
  static HWY_INLINE void AddQuad(const float* floats, const std::uint8_t* x, VF (&sums)[kVectors * kRows]) {
    AddTwo<kQuad, 0, kRows>(floats, x, sums);
    AddTwo<kQuad, 1, kRows>(floats, x, sums);
  }
  template <int kQuad, int kOdd, int kRows>
  static HWY_INLINE void AddTwo(const float* floats, const std::uint8_t* from, VF (&sums)[kVectors * kRows]) {
    VF codes[kVectors];
    LUTRA_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      codes[v] = hn::Load(DF(), floats + (2 * kQuad + kOdd) * kHalfFloats + v * kLanesOfFloats);
    }
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n) {
      const VF x = LoadTwoOf<kQuad, kOdd>(from, n);
      LUTRA_UNROLL
      for (int v = 0; v < kVectors; ++v) sums[v * kRows + n] = Fma(codes[v], x, sums[v * kRows + n]);
    }
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
