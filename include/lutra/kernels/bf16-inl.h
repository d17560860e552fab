// The micro-kernel for codes that are small floats times x in bf16: 64 rows of W (a panel) times a few rows of x, over
// one K-block.
//
//     codes    |       row 0       |  ...   |       row 15      |        four codes of each row (a quad), as stored
//     bf16     |    k    |   k+2   |  ...   |    k    |   k+2   |        then the same for k+1 and k+3
//     x        |    k    |   k+2   |  ...                                the same two elements of x for all rows
//
// A lane of 32 bits sums the products of a row (AddBf16Pairs). Bf16Unpacker unpacks codes to L1 once for all rows of x.
// L(q) is exact in bf16. Where the CPU multiplies matrices of bf16, other kernels multiply the unpacked codes
// (matrix_unit-inl.h, matrix_product-inl.h).
#if defined(LUTRA_KERNELS_BF16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_BF16_INL_H_
#undef LUTRA_KERNELS_BF16_INL_H_
#else
#define LUTRA_KERNELS_BF16_INL_H_
#endif

#include "lutra/kernels/floats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

inline constexpr std::size_t kPairBytes = 4 * kPanelRows;           // two codes of each row of a panel in bf16
inline constexpr std::size_t kBf16Chunk = kQuads * 2 * kPairBytes;  // bytes of an unpacked chunk
inline constexpr std::size_t kBf16Row = Describe(ActivationKind::kBf16).chunk_bytes;  // bytes of a chunk of a row of x

// Converts codes of the format to bf16.
#if LUTRA_VECTOR_SCOPE
// The lower and the upper byte of the bf16 of each code below 128. Bit 7 of a code of 8 bits is its sign.
struct Bf16Bytes {
  alignas(64) std::uint8_t low[128];
  alignas(64) std::uint8_t high[128];
};
template <Format kFormat>
constexpr Bf16Bytes FindBf16() {
  constexpr FloatCode kCode = Describe(kFormat).floats;
  Bf16Bytes bytes{};
  for (int q = 0; q < 128 && q < Describe(kFormat).levels; ++q) {
    int mantissa = kCode.mantissa(q), exponent = kCode.power(q) + kCode.bias - kF16Bias + 127 + 7;
    if (mantissa == 0) exponent = 0;
    for (; mantissa != 0 && mantissa < 128; mantissa *= 2) --exponent;
    const int bits = (q == kCode.magnitude(q) ? 0 : 0x8000) | exponent << 7 | (mantissa & 127);
    bytes.low[q] = static_cast<std::uint8_t>(bits & 255);
    bytes.high[q] = static_cast<std::uint8_t>(bits >> 8);
  }
  return bytes;
}
template <Format kFormat>
inline constexpr Bf16Bytes kBf16Bytes = FindBf16<kFormat>();

template <Format kFormat>
class Bf16Of {
 public:
  HWY_INLINE Bf16Of() : low_(kBf16Bytes<kFormat>.low), high_(kBf16Bytes<kFormat>.high) {}

  // Sets `even` from the low bytes of pairs of codes, and `odd` from the high bytes.
  HWY_INLINE void Convert(V8 codes, V16& even, V16& odd) const {
    const hn::Repartition<std::uint16_t, D8> d16;
    const V8 below = kBits == 8 ? hn::And(codes, hn::Set(D8(), 0x7f)) : codes;
    V8 upper = high_.LookUp(below);
    if (kBits == 8) upper = hn::OrAnd(upper, codes, hn::Set(D8(), 0x80));
    const auto low = hn::BitCast(d16, low_.LookUp(below)), high = hn::BitCast(d16, upper);
    even = hn::BitCast(D16(), hn::OrAnd(hn::ShiftLeft<8>(high), low, hn::Set(d16, 0x00ff)));
    odd = hn::BitCast(D16(), hn::OrAnd(hn::ShiftRight<8>(low), high, hn::Set(d16, 0xff00)));
  }

 private:
  static constexpr int kBits = Describe(kFormat).floats.bits();
  class Table {
   public:
    explicit HWY_INLINE Table(const std::uint8_t* bytes)
        : first_(hn::Load(D8(), bytes)), second_(hn::Load(D8(), bytes + 64)) {}
    HWY_INLINE V8 LookUp(V8 codes) const {
      return hn::TwoTablesLookupLanes(D8(), first_, second_, hn::IndicesFromVec(D8(), codes));
    }

   private:
    V8 first_, second_;
  };
  Table low_, high_;
};
#else
// Codes become f16 as for products with floats, then f32, of which bf16 is the upper half.
template <Format kFormat>
class Bf16Of {
 public:
  // Sets `even` from the low bytes of pairs of codes, and `odd` from the high bytes.
  HWY_INLINE void Convert(V8 codes, V16& even, V16& odd) const {
    even = Narrow(HalvesOf<kFormat>::Even(codes));
    odd = Narrow(HalvesOf<kFormat>::Odd(codes));
  }

 private:
  static HWY_INLINE V16 Narrow(V16 halves) {
    const D16 d16;
    return hn::ConcatOdd(d16, hn::BitCast(d16, UpperFloats(halves)), hn::BitCast(d16, LowerFloats(halves)));
  }
};
#endif

// Unpacks the rows of a panel to bf16: for each quad two lines of kPairBytes. Products::Store gets elements 0 and 2 of
// the rows in `even`, 1 and 3 in `odd`, and writes both lines in the order that its kernel reads.
template <Format kFormat, class Products>
struct Bf16Unpacker {
  static constexpr Encoding kEncoding = Describe(kFormat).encoding;
  static constexpr std::size_t kPlanes = Describe(kEncoding).planes;

  static constexpr std::size_t Bytes(std::size_t, std::size_t x_chunks) { return x_chunks * kBf16Chunk; }

  static void Unpack(const MicroArgs& args, std::size_t, std::uint8_t* to) {
    const KBlock b(args);
    const Bf16Of<kFormat> bf16;
    const std::uint8_t* lines = b.index;
    for (std::size_t chunk = 0; chunk < b.chunks; ++chunk, lines += kPlanes * kPlaneBytes, to += kBf16Chunk) {
      for (std::size_t line = 0; line < 2 * kPlanes; ++line) b.Prefetch(lines + line * 64);
      LUTRA_UNROLL
      for (std::size_t part = 0; part < 2 * kParts; ++part) {  // of the lower half of the panel's rows, then the upper
        const std::size_t half = part / kParts, at = part % kParts;
        const std::uint8_t* const from = lines + half * kPlanes * 64 + at * kPartBytes;
        std::uint8_t* const rows = to + half * (kPairBytes / 2) + at * kPartBytes;
        UnpackQuad<0>(bf16, from, rows);
        UnpackQuad<1>(bf16, from, rows);
        UnpackQuad<2>(bf16, from, rows);
        UnpackQuad<3>(bf16, from, rows);
      }
    }
  }

 private:
  template <int kQuad>
  static HWY_INLINE void UnpackQuad(const Bf16Of<kFormat>& bf16, const std::uint8_t* lines, std::uint8_t* to) {
    V8 low, high;  // 16 rows, or a part of them, and the next 16
    UnpackLines<kEncoding, kQuad>(lines, low, high);
    to += kQuad * 2 * kPairBytes;
    Store(bf16, low, to);
    Store(bf16, high, to + kPairBytes / 4);
  }
  static HWY_INLINE void Store(const Bf16Of<kFormat>& bf16, V8 codes, std::uint8_t* to) {
    V16 even, odd;
    bf16.Convert(codes, even, odd);
    Products::Store(even, odd, to);
  }
};

// Adds the sums of a K-block to the tile: tile += scale * sum. `sums` are [vector][row of x], of rows of W from row
// `first` of the panel on.
template <int kVectors, int kRows>
LUTRA_INLINE void FlushBf16(const KBlock& b, const VF (&sums)[kVectors * kRows], std::size_t first) {
  const DF df;
  LUTRA_UNROLL
  for (int i = 0; i < kVectors * kRows; ++i) {
    const std::size_t row = first + static_cast<std::size_t>(i / kRows) * kLanesOfFloats;
    float* const to = b.tile + static_cast<std::size_t>(i % kRows) * kPanelRows + row;
    hn::Store(Fma(hn::Load(df, b.qparams + row), sums[i], hn::Load(df, to)), df, to);
  }
}

// The micro-kernel on codes that Bf16Unpacker unpacked to [chunk][quad][elements 0 and 2, 1 and 3][row][2].
struct UnpackedBf16Kernel {
  using Sums = FloatSums;
  static constexpr int kMaxRows = 4, kMaxPanels = 1, kTile = kMaxRows;
  static constexpr std::size_t kPanelBytes = 0;
  static constexpr int kVectors = kRegisters / 8;  // at a time: half of the registers hold sums

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1);
    for (std::size_t first = 0; first < kPanelRows; first += kVectors * kLanesOfFloats) {
      VF sums[kVectors * kRows];
      LUTRA_UNROLL
      for (VF& sum : sums) sum = hn::Zero(DF());
      const std::uint8_t *codes = b.index + 4 * first, *x = b.x;
      LUTRA_KEEP_LOOP
      for (std::size_t chunk = 0; chunk < b.chunks; ++chunk, codes += kBf16Chunk, x += b.x_stride) {
        AddQuad<0, kRows>(codes, x, sums);
        AddQuad<1, kRows>(codes, x, sums);
        AddQuad<2, kRows>(codes, x, sums);
        AddQuad<3, kRows>(codes, x, sums);
      }
      FlushBf16<kVectors, kRows>(b, sums, first);
    }
  }

 private:
  template <int kQuad, int kRows>
  static HWY_INLINE void AddQuad(const std::uint8_t* codes, const std::uint8_t* x, VF (&sums)[kVectors * kRows]) {
    AddPair<2 * kQuad, kRows>(codes, x, sums);
    AddPair<2 * kQuad + 1, kRows>(codes, x, sums);
  }
  // Adds the products of pair kPair of a chunk.
  template <int kPair, int kRows>
  static HWY_INLINE void AddPair(const std::uint8_t* from, const std::uint8_t* x, VF (&sums)[kVectors * kRows]) {
    V16 codes[kVectors];
    LUTRA_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      codes[v] = hn::BitCast(D16(), hn::Load(D8(), from + kPair * kPairBytes + v * 4 * kLanesOfFloats));
    }
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n) {
      std::int32_t two;
      std::memcpy(&two, x + static_cast<std::size_t>(n) * kBf16Row + kPair * sizeof(two), sizeof(two));
      const V16 pair = hn::BitCast(D16(), hn::Set(D32(), two));
      LUTRA_UNROLL
      for (int v = 0; v < kVectors; ++v) sums[v * kRows + n] = AddBf16Pairs(sums[v * kRows + n], codes[v], pair);
    }
  }
};

// Products of bf16, pair by pair of each row: the kernel, and how unpacked codes are stored for it.
struct Bf16Pairs {
  using Kernel = UnpackedBf16Kernel;
  static HWY_INLINE void Store(V16 even, V16 odd, std::uint8_t* to) {
    hn::Store(even, D16(), reinterpret_cast<std::int16_t*>(to));
    hn::Store(odd, D16(), reinterpret_cast<std::int16_t*>(to + kPairBytes));
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
