// The dot micro-kernel on codes that were unpacked to numbers of 16 bits. It takes the place of the kernel on bytes
// where a product of signed bytes takes more instructions than a product of 16-bit numbers (kUnpacksShorts).
//
//     codes    | row 0: k, k+2   | row 1: k, k+2   | ...     a quad of each row: its even codes, then its odd codes
//              | row 0: k+1, k+3 | row 1: k+1, k+3 | ...
//     x        | k, k+2 | k, k+2 | ...                       a pair of x in all lanes of 32 bits
//     dot      |  sum   |  sum   | ...                       vpmaddwd and vpaddd
//
// 32 products take two multiplications and two additions; x is converted once for the rows of a panel.
#if defined(LUTRA_KERNELS_SHORT_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_SHORT_DOT_INL_H_
#undef LUTRA_KERNELS_SHORT_DOT_INL_H_
#else
#define LUTRA_KERNELS_SHORT_DOT_INL_H_
#endif

#include "lutra/kernels/dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// How unpacked codes are stored: kBytes for each, a vector of codes at a time.
struct ByteCodes {
  static constexpr std::size_t kBytes = 1;
  static HWY_INLINE void Store(V8 codes, std::uint8_t* to) { hn::Store(codes, D8(), to); }
};
// As two vectors: the even codes, the odd codes. kLowest: the lowest byte that the Dot takes; below 0 if bytes
// are signed.
template <int kLowest>
struct ShortCodes {
  static constexpr std::size_t kBytes = 2;
  static HWY_INLINE void Store(V8 codes, std::uint8_t* to) {
    const hn::Repartition<std::uint16_t, D8> du16;
    const V16 lanes = hn::BitCast(D16(), codes);
    if constexpr (kLowest < 0) {
      Store(hn::ShiftRight<8>(hn::ShiftLeft<8>(lanes)), hn::ShiftRight<8>(lanes), to);
    } else {
      const auto odd = hn::ShiftRight<8>(hn::BitCast(du16, codes));
      Store(hn::And(lanes, hn::Set(D16(), 0xff)), hn::BitCast(D16(), odd), to);
    }
  }

 private:
  static HWY_INLINE void Store(V16 even, V16 odd, std::uint8_t* to) {
    hn::Store(even, D16(), reinterpret_cast<std::int16_t*>(to));
    hn::Store(odd, D16(), reinterpret_cast<std::int16_t*>(to + kPartBytes));
  }
};

// The integers of a K-block of kRows rows of x, as numbers of 16 bits: [limb][chunk][row][even, odd][quad][2].
template <int kRows, int kLimbs>
class ShortsOfX {
 public:
  static constexpr std::size_t kChunkBytes = 32;  // of a row

  explicit HWY_INLINE ShortsOfX(const KBlock& b) {
    const hn::CappedTag<std::int16_t, 8> d;
    const std::uint8_t* x = b.x;
    std::int16_t* to = shorts_;
    for (std::size_t left = b.chunks * kLimbs; left != 0; --left, x += b.x_stride) {
      LUTRA_UNROLL
      for (std::size_t n = 0; n < kRows; ++n, to += 16) {
        const auto lanes = hn::LoadU(d, reinterpret_cast<const std::int16_t*>(x + n * 16));
        hn::Store(hn::ShiftRight<8>(hn::ShiftLeft<8>(lanes)), d, to);
        hn::Store(hn::ShiftRight<8>(lanes), d, to + 8);
      }
    }
  }
  HWY_INLINE const std::uint8_t* data() const { return reinterpret_cast<const std::uint8_t*>(shorts_); }

 private:
  HWY_ALIGN std::int16_t shorts_[kLimbs * kMaxIntegerChunks * kRows * kChunkBytes / 2];
};

// b.index points to the codes, [chunk][quad][vector of rows][even, odd].
template <Precision kPrecision>
struct ShortDotKernel {
  using Sums = SumTraits<ActivationKind::kIntegers, kPrecision>;
  static constexpr int kVectors = 2;  // vectors of rows at a time: 8 sums, 4 vectors of codes and 2 for products
  static constexpr int kMaxRows = 4, kMaxPanels = 1, kTile = kMaxRows;
  static constexpr std::size_t kPanelBytes = 0;

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1);
    const ShortsOfX<kRows, Sums::kLimbs> shorts(b);
    for (std::size_t first = 0; first < 4 * kParts; first += kVectors) {
      V32 sums[kVectors * kRows];
      StartSums<Sums, kRows>(b, sums);
      const std::uint8_t* x = shorts.data();
      for (int limb = 0; limb < Sums::kLimbs; ++limb) {
        if (limb != 0) NextLimb<Sums, kRows>(b, sums);
        const std::uint8_t* codes = b.index + 2 * first * kPartBytes;
        LUTRA_KEEP_LOOP
        for (std::size_t left = b.chunks; left != 0; --left) {
          AddQuad<0, kRows>(codes, x, sums);
          AddQuad<1, kRows>(codes, x, sums);
          AddQuad<2, kRows>(codes, x, sums);
          AddQuad<3, kRows>(codes, x, sums);
          codes += 2 * kChunkCodes;
          x += kRows * ShortsOfX<kRows, Sums::kLimbs>::kChunkBytes;
        }
      }
      const int row = static_cast<int>(first * kPartRows);
      FlushPanels<Sums, 1, kVectors, kRows>(b, sums,
                                            [row](int vector) { return row + vector * static_cast<int>(kPartRows); });
    }
  }

 private:
  template <int kQuad, int kRows>
  static HWY_INLINE void AddQuad(const std::uint8_t*& codes, const std::uint8_t* x, V32 (&sums)[kVectors * kRows]) {
    V16 even[kVectors], odd[kVectors];
    LUTRA_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      const auto* from = reinterpret_cast<const std::int16_t*>(codes + 2 * (kQuad * kQuadBytes + v * kPartBytes));
      even[v] = hn::Load(D16(), from);
      odd[v] = hn::Load(D16(), from + kPartBytes / 2);
    }
    LUTRA_UNROLL
    for (std::size_t n = 0; n < kRows; ++n, x += 32) {
      AddPair<kRows>(even, x + kQuad * 4, n, sums);
      AddPair<kRows>(odd, x + 16 + kQuad * 4, n, sums);
    }
    KeepOrder(sums[kVectors * kRows - 1], codes);
  }
  // Adds the products with a pair of row n of x.
  template <int kRows>
  static HWY_INLINE void AddPair(const V16 (&codes)[kVectors], const std::uint8_t* x, std::size_t n,
                                 V32 (&sums)[kVectors * kRows]) {
    std::int32_t word;
    std::memcpy(&word, x, sizeof(word));
    const V16 pair = hn::BitCast(D16(), hn::Set(D32(), word));
    LUTRA_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      V32& sum = sums[v * kRows + n];
      sum = hn::Add(sum, hn::WidenMulPairwiseAdd(D32(), codes[v], pair));
      StayInRegister(sum);
    }
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
