// The dot micro-kernel on codes that were unpacked to numbers of 16 bits. It takes the place of the kernel on bytes
// where a product of signed bytes takes more instructions than a product of 16-bit numbers (kUnpacksShorts).
//
//     codes    | row 0: k, k+2   | row 1: k, k+2   | ...     a quad of each row: its even codes, then its odd codes
//              | row 0: k+1, k+3 | row 1: k+1, k+3 | ...
//     x        | k, k+2 | k, k+2 | ...                       a pair of x in all lanes of 32 bits
//     dot      |  sum   |  sum   | ...                       vpmaddwd and vpaddd
//
// 32 products take two multiplications and two additions; x is converted once for the rows of a panel.
//
// Joint K-blocks are unpacked to folded codes (layout/joint.h), half a panel at a time: the products of codes and
// scales always fit 16 bits.
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
  static HWY_INLINE void Store(V8 codes, std::uint8_t* to) { Store(Even(codes), Odd(codes), to); }
  // The same for codes plus `start`, times `scale`.
  static HWY_INLINE void Store(V8 codes, V16 start, V16 scale, std::uint8_t* to) {
    Store(hn::Mul(hn::Add(Even(codes), start), scale), hn::Mul(hn::Add(Odd(codes), start), scale), to);
  }

 private:
  static HWY_INLINE V16 Even(V8 codes) {
    const V16 lanes = hn::BitCast(D16(), codes);
    return kLowest < 0 ? hn::ShiftRight<8>(hn::ShiftLeft<8>(lanes)) : hn::And(lanes, hn::Set(D16(), 0xff));
  }
  static HWY_INLINE V16 Odd(V8 codes) {
    const hn::Repartition<std::uint16_t, D8> du16;
    if constexpr (kLowest < 0) return hn::ShiftRight<8>(hn::BitCast(D16(), codes));
    return hn::BitCast(D16(), hn::ShiftRight<8>(hn::BitCast(du16, codes)));
  }
  static HWY_INLINE void Store(V16 even, V16 odd, std::uint8_t* to) {
    hn::Store(even, D16(), reinterpret_cast<std::int16_t*>(to));
    hn::Store(odd, D16(), reinterpret_cast<std::int16_t*>(to + kPartBytes));
  }
};

// Unpacks codes of joint K-blocks for ShortDotKernel, to folded codes of half a panel: (code + start) * scale in 16
// bits.
template <Encoding kEncoding, class Codes, int kLowest>
struct FoldedShorts {
  static constexpr std::size_t Bytes(std::size_t, std::size_t x_chunks) { return x_chunks * kChunkCodes; }

  static void Unpack(const MicroArgs& args, std::size_t, std::uint8_t* to) {
    args.first_row == 0 ? UnpackOf<0>(args, to) : UnpackOf<1>(args, to);
  }

 private:
  static constexpr std::size_t kPlanes = Describe(kEncoding).planes;

  template <int kHalf>
  static HWY_INLINE void UnpackOf(const MicroArgs& args, std::uint8_t* to) {
    const KBlock b(args);
    const V16 start = hn::Set(D16(), static_cast<std::int16_t>(b.start));
    for (std::size_t part = 0; part < kParts; ++part) {
      const Codes codes(b, part);
      V16 scales[2];
      LUTRA_UNROLL
      for (std::size_t v = 0; v < 2; ++v) {
        const std::size_t row = (2 * kHalf + v) * 16 + part * kPartRows;
        scales[v] = hn::DupEven(hn::BitCast(D16(), hn::Load(DF(), b.qparams + row)));
      }
      const std::uint8_t* lines = b.index + part * kPartBytes;
      std::uint8_t* chunk_to = to + 2 * part * kPartBytes;
      for (std::size_t chunk = 0; chunk < b.chunks; ++chunk) {
        for (std::size_t line = 0; part == 0 && line < kPlanes; ++line) {
          b.Prefetch(lines + (kHalf * kPlanes + line) * 64);
        }
        UnpackQuad<0, kHalf>(lines, codes, start, scales, chunk_to);
        UnpackQuad<1, kHalf>(lines, codes, start, scales, chunk_to);
        UnpackQuad<2, kHalf>(lines, codes, start, scales, chunk_to);
        UnpackQuad<3, kHalf>(lines, codes, start, scales, chunk_to);
        lines += kPlanes * kPlaneBytes;
        chunk_to += kChunkCodes;
      }
    }
  }
  template <int kQuad, int kHalf>
  static HWY_INLINE void UnpackQuad(const std::uint8_t* lines, const Codes& codes_of, V16 start, const V16 (&scales)[2],
                                    std::uint8_t* to) {
    V8 low, high;
    UnpackHalf<kEncoding, kQuad, kHalf>(lines, codes_of, low, high);
    ShortCodes<kLowest>::Store(low, start, scales[0], to + kQuad * kQuadBytes);
    ShortCodes<kLowest>::Store(high, start, scales[1], to + kQuad * kQuadBytes + 2 * 64);
  }
};

// The integers of kRows rows of x, as numbers of 16 bits: [chunk][row][even, odd][quad][2]. A second limb is further
// chunks.
template <int kRows, std::size_t kMaxChunks>
class ShortsOfX {
 public:
  static constexpr std::size_t kChunkBytes = 32;  // of a row

  HWY_INLINE ShortsOfX(const std::uint8_t* x, std::size_t x_stride, std::size_t chunks) {
    const hn::CappedTag<std::int16_t, 8> d;
    std::int16_t* to = shorts_;
    for (; chunks != 0; --chunks, x += x_stride) {
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
  HWY_ALIGN std::int16_t shorts_[kMaxChunks * kRows * kChunkBytes / 2];
};

// b.index points to the codes, [chunk][quad][vector of rows][even, odd]; of joint K-blocks to half a panel of them.
template <Precision kPrecision>
struct ShortDotKernel {
  using Sums = SumTraits<ActivationKind::kIntegers, kPrecision>;
  static constexpr int kVectors = 2;  // vectors of rows at a time: 8 sums, 4 vectors of codes and 2 for products
  static constexpr int kMaxRows = 4, kMaxPanels = 1, kTile = kMaxRows;
  static constexpr std::size_t kPanelBytes = 0;

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1);
    const ShortsOfX<kRows, Sums::kLimbs * kMaxIntegerChunks> shorts(b.x, b.x_stride, b.chunks * Sums::kLimbs);
    for (std::size_t first = 0; first < 4 * kParts; first += kVectors) {
      V32 sums[kVectors * kRows];
      StartSums<Sums, kRows>(b, sums);
      const std::uint8_t* x = shorts.data();
      for (int limb = 0; limb < Sums::kLimbs; ++limb) {
        if (limb != 0) NextLimb<Sums, kRows>(b, sums);
        const std::uint8_t* codes = b.index + 2 * first * kPartBytes;
        AddChunks<2 * kQuadBytes, kRows>(codes, x, b.chunks, sums);
      }
      const int row = static_cast<int>(first * kPartRows);
      FlushPanels<Sums, 1, kVectors, kRows>(b, sums,
                                            [row](int vector) { return row + vector * static_cast<int>(kPartRows); });
    }
  }

  // Joint K-blocks of half a panel. (Totals are in memory while a part is summed.)
  template <int kRows>
  static HWY_INLINE void RunJoint(const MicroArgs& args) {
    const std::size_t chunks = (args.blocks - 1) * args.x_chunks + args.last_chunks;
    const ShortsOfX<kRows, kJointChunks> shorts(args.x, args.x_stride, chunks);
    for (std::size_t first = 0; first < 2 * kParts; first += kVectors) {
      V32 totals[kVectors * kRows];
      SetZero(totals);
      const std::uint8_t *x = shorts.data(), *codes = args.index + 2 * first * kPartBytes;
      for (std::size_t at = 0; at < chunks; at += kJointRunChunks) {
        V32 parts[kVectors * kRows];
        SetZero(parts);
        AddChunks<kQuadBytes, kRows>(codes, x, HWY_MIN(kJointRunChunks, chunks - at), parts);
        AddJointParts<kVectors, kRows>(args, at / kJointRunChunks, parts, totals);
      }
      const int row = static_cast<int>(first * kPartRows);
      FlushJoint<false, kVectors, kRows>(args, totals,
                                         [row](int vector) { return row + vector * static_cast<int>(kPartRows); });
    }
  }

 private:
  // Adds the products of chunks whose quads are kStride bytes apart.
  template <std::size_t kStride, int kRows>
  static HWY_INLINE void AddChunks(const std::uint8_t*& codes, const std::uint8_t*& x, std::size_t chunks,
                                   V32 (&sums)[kVectors * kRows]) {
    LUTRA_KEEP_LOOP
    for (; chunks != 0; --chunks) {
      AddQuad<0, kStride, kRows>(codes, x, sums);
      AddQuad<1, kStride, kRows>(codes, x, sums);
      AddQuad<2, kStride, kRows>(codes, x, sums);
      AddQuad<3, kStride, kRows>(codes, x, sums);
      codes += kQuads * kStride;
      x += kRows * ShortsOfX<kRows, 1>::kChunkBytes;
    }
  }
  template <int kQuad, std::size_t kStride, int kRows>
  static HWY_INLINE void AddQuad(const std::uint8_t*& codes, const std::uint8_t* x, V32 (&sums)[kVectors * kRows]) {
    V16 even[kVectors], odd[kVectors];
    LUTRA_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      const auto* from = reinterpret_cast<const std::int16_t*>(codes + kQuad * kStride + 2 * v * kPartBytes);
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
