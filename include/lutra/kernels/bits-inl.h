// Products of bits: weights and x are -1 and 1. A word has a bit for each of 32 weights of a row. The sum of products
// is the number of weights minus twice the number of bits in which W and x differ.
//
// Unpacked codes are [word of 32 weights][panel][row]: from two chunks of indices each, once for all rows of x.
//
//     vector scope   byte j of a word has index j of the first chunk in its low nibble, of the second in its high one,
//                    because a line holds one row in low nibbles and another row in high nibbles
//     block scope    bit i of a word is weight i
#if defined(LUTRA_KERNELS_BITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_BITS_INL_H_
#undef LUTRA_KERNELS_BITS_INL_H_
#else
#define LUTRA_KERNELS_BITS_INL_H_
#endif

#include <cstring>

#include "lutra/kernels/dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

inline constexpr std::size_t kWordWeights = 32;
inline constexpr std::size_t kWordBytes = 4 * kPanelRows;  // of a word of each row of a panel
static_assert(Describe(ActivationKind::kBits).chunk_weights == kWordWeights);

// The word of x for 32 bits in order, as unpacked words have them.
constexpr std::uint32_t ArrangeBits(std::uint32_t bits) {
  if (!kVectorScope) return bits;
  std::uint32_t word = 0;
  for (int j = 0; j < 4; ++j) {
    word |= (bits >> (4 * j) & 15) << (8 * j);
    word |= (bits >> (16 + 4 * j) & 15) << (8 * j + 4);
  }
  return word;
}

// The micro-kernel on unpacked words.
struct BitsKernel {
  using Sums = SumTraits<ActivationKind::kBits, Precision::kInt8>;
  static constexpr int kMaxRows = 4, kMaxPanels = kVectorScope ? 4 : 1, kTile = kMaxRows;
  static constexpr std::size_t kPanelBytes = kWordBytes;
  // Vectors of rows of a panel at a time: with four rows of x, or four panels, their counts take half of the registers.
  static constexpr int kVectors = HWY_TARGET <= HWY_AVX3 || !HWY_ARCH_X86 ? 4 : 2;
  // Counts are bytes: of up to 8 bits for each word.
  static_assert(kMaxBlockWeights / kWordWeights * 8 <= 255);

  // counts: [panel][vector][row of x]
  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1 || kVectors == 4 * kParts);
    for (std::size_t first = 0; first < 4 * kParts; first += kVectors) {
      V8 counts[kPanels * kVectors * kRows];
      LUTRA_UNROLL
      for (V8& count : counts) count = hn::Zero(D8());
      const std::uint8_t *words = b.index + first * kPartBytes, *x = b.x;
      LUTRA_KEEP_LOOP
      for (std::size_t left = b.chunks; left != 0; --left, words += b.interleaved * kWordBytes, x += b.x_stride) {
        LUTRA_UNROLL
        for (int panel = 0; panel < kPanels; ++panel) {
          CountWord<kRows>(words + static_cast<std::size_t>(panel) * kWordBytes, x, counts + panel * kVectors * kRows);
        }
      }
      V32 sums[kPanels * kVectors * kRows];
      LUTRA_UNROLL
      for (int i = 0; i < kPanels * kVectors * kRows; ++i) sums[i] = SumOf(counts[i], b.scales[i % kRows].total);
      const int row = static_cast<int>(first * kPartRows);
      FlushPanels<Sums, kPanels, kVectors, kRows>(
          b, sums, [row](int vector) { return row + vector * static_cast<int>(kPartRows); });
    }
  }

 private:
  template <int kRows>
  static HWY_INLINE void CountWord(const std::uint8_t* words, const std::uint8_t* x, V8* counts) {
    const D8 d8;
    V8 w[kVectors];
    LUTRA_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) w[v] = hn::Load(d8, words + v * kPartBytes);
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n) {
      std::int32_t word;
      std::memcpy(&word, x + n * 4, sizeof(word));
      const V8 bits = hn::BitCast(d8, hn::Set(D32(), word));
      LUTRA_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        V8& count = counts[v * kRows + n];
        count = hn::Add(count, hn::PopulationCount(hn::Xor(w[v], bits)));
      }
    }
  }

  // weights - 2 * (the sum of the four bytes of a lane).
  static HWY_INLINE V32 SumOf(V8 counts, std::int32_t weights) {
    const V32 start = hn::Set(D32(), weights);
    if constexpr (kVectorScope) {
      return hn::SumOfMulQuadAccumulate(D32(), counts, hn::Set(DI8(), -2), start);
    } else {
      return hn::Sub(start, hn::ShiftLeft<1>(hn::BitCast(D32(), hn::SumsOf2(hn::SumsOf2(counts)))));
    }
  }
};

// Unpacks planes of indices to words.
template <Encoding kEncoding>
struct BitsUnpacker {
  static_assert(Describe(kEncoding).planes == 1 && !Describe(kEncoding).has_signs());
  static constexpr std::size_t Bytes(std::size_t, std::size_t x_chunks) { return x_chunks * kWordBytes; }

  static void Unpack(const MicroArgs& args, std::size_t panels, std::uint8_t* to) {
    const KBlock b(args);
    const std::size_t stride = (kVectorScope ? b.interleaved : 1) * kPlaneBytes;  // from a chunk to the next
    alignas(64) static constexpr std::uint8_t kNoWeights[kMaxInterleavedPanels * kPlaneBytes] = {};
    const std::uint8_t* first = b.index;
    for (std::size_t left = b.half_chunks / 2; left != 0; first += 2 * stride) {
      const std::uint8_t* second = left > 1 ? first + stride : kNoWeights;
      for (std::size_t at = 0; at < panels * kPlaneBytes; at += kPlaneBytes, to += kWordBytes) {
        for (const std::size_t line : {std::size_t{0}, std::size_t{64}}) {
          b.Prefetch(first + at + line);
          if (left > 1) b.Prefetch(second + at + line);
        }
        UnpackWord(first + at, second + at, to);
      }
      left -= HWY_MIN(left, std::size_t{2});
    }
  }

 private:
  static HWY_INLINE void UnpackWord(const std::uint8_t* first, const std::uint8_t* second, std::uint8_t* to) {
    const D8 d8;
    if constexpr (kVectorScope) {
      const V8 low = hn::Set(d8, 0x0f);
      LUTRA_UNROLL
      for (std::size_t line = 0; line < kPlaneBytes; line += 64) {
        const V8 a = hn::Load(d8, first + line), b = hn::Load(d8, second + line);
        hn::Store(hn::BitwiseIfThenElse(low, a, ShiftBytes<4>(b)), d8, to + 2 * line);
        hn::Store(hn::BitwiseIfThenElse(low, ShiftBytes<-4>(a), b), d8, to + 2 * line + 64);
      }
    } else {
      const hn::Repartition<std::uint16_t, D8> d16;
      LUTRA_UNROLL
      for (std::size_t at = 0; at < 64; at += kPartBytes, to += 4 * kPartBytes) {
        const V8 byte0 = hn::Load(d8, first + at), byte1 = hn::Load(d8, first + at + 64);
        const V8 byte2 = hn::Load(d8, second + at), byte3 = hn::Load(d8, second + at + 64);
        const auto low01 = hn::BitCast(d16, hn::InterleaveLower(d8, byte0, byte1));
        const auto low23 = hn::BitCast(d16, hn::InterleaveLower(d8, byte2, byte3));
        const auto high01 = hn::BitCast(d16, hn::InterleaveUpper(d8, byte0, byte1));
        const auto high23 = hn::BitCast(d16, hn::InterleaveUpper(d8, byte2, byte3));
        hn::Store(hn::BitCast(d8, hn::InterleaveLower(d16, low01, low23)), d8, to);
        hn::Store(hn::BitCast(d8, hn::InterleaveUpper(d16, low01, low23)), d8, to + kPartBytes);
        hn::Store(hn::BitCast(d8, hn::InterleaveLower(d16, high01, high23)), d8, to + 2 * kPartBytes);
        hn::Store(hn::BitCast(d8, hn::InterleaveUpper(d16, high01, high23)), d8, to + 3 * kPartBytes);
      }
    }
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
