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

using BitsSums = SumTraits<ActivationKind::kBits, Precision::kInt8>;
// Counts are bytes: of up to 8 bits for each word.
static_assert(kMaxBlockWeights / kWordWeights * 8 <= 255);

// The words of 4 * kPartRows rows of W, from the lines of two chunks on.
LUTRA_INLINE void WordsOf(const std::uint8_t* first, const std::uint8_t* second, V8 (&words)[4]) {
  const D8 d8;
  if constexpr (kVectorScope) {
    const V8 low = hn::Set(d8, 0x0f);
    LUTRA_UNROLL
    for (std::size_t line = 0; line < 2; ++line) {
      const V8 a = hn::Load(d8, first + line * 64), b = hn::Load(d8, second + line * 64);
      words[2 * line] = hn::BitwiseIfThenElse(low, a, ShiftBytes<4>(b));
      words[2 * line + 1] = hn::BitwiseIfThenElse(low, ShiftBytes<-4>(a), b);
    }
  } else {
    const hn::Repartition<std::uint16_t, D8> d16;
    const V8 byte0 = hn::Load(d8, first), byte1 = hn::Load(d8, first + 64);
    const V8 byte2 = hn::Load(d8, second), byte3 = hn::Load(d8, second + 64);
    const auto low01 = hn::BitCast(d16, hn::InterleaveLower(d8, byte0, byte1));
    const auto low23 = hn::BitCast(d16, hn::InterleaveLower(d8, byte2, byte3));
    const auto high01 = hn::BitCast(d16, hn::InterleaveUpper(d8, byte0, byte1));
    const auto high23 = hn::BitCast(d16, hn::InterleaveUpper(d8, byte2, byte3));
    words[0] = hn::BitCast(d8, hn::InterleaveLower(d16, low01, low23));
    words[1] = hn::BitCast(d8, hn::InterleaveUpper(d16, low01, low23));
    words[2] = hn::BitCast(d8, hn::InterleaveLower(d16, high01, high23));
    words[3] = hn::BitCast(d8, hn::InterleaveUpper(d16, high01, high23));
  }
}
// What the second chunk of a word has where there is none.
alignas(64) inline constexpr std::uint8_t kNoWeights[kMaxInterleavedPanels * kPlaneBytes] = {};

// Counts the bits in which words of kVectors vectors of rows differ from kRows rows of x: [vector][row of x].
template <int kRows, std::size_t kVectors>
HWY_INLINE void CountBits(const V8 (&words)[kVectors], const std::uint8_t* x, V8* counts) {
  LUTRA_UNROLL
  for (std::size_t n = 0; n < kRows; ++n) {
    std::int32_t word;
    std::memcpy(&word, x + n * 4, sizeof(word));
    const V8 bits = hn::BitCast(D8(), hn::Set(D32(), word));
    LUTRA_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      V8& count = counts[v * kRows + n];
      count = hn::Add(count, hn::PopulationCount(hn::Xor(words[v], bits)));
      StayInRegister(count);
    }
  }
}

// weights - 2 * (the sum of the four bytes of a lane).
HWY_INLINE V32 SumOfBits(V8 counts, std::int32_t weights) {
  const V32 start = hn::Set(D32(), weights);
  if constexpr (kVectorScope) {
    return hn::SumOfMulQuadAccumulate(D32(), counts, hn::Set(DI8(), -2), start);
  } else {
    return hn::Sub(start, hn::ShiftLeft<1>(hn::BitCast(D32(), hn::SumsOf2(hn::SumsOf2(counts)))));
  }
}
// Flushes counts, [panel][vector][row of x], of consecutive rows of W from `row` on.
template <int kPanels, int kVectors, int kRows>
HWY_INLINE void FlushCounts(const KBlock& b, const V8* counts, std::size_t row) {
  constexpr int kCounts = kPanels * kVectors * kRows;
  V32 sums[kCounts];
  LUTRA_UNROLL
  for (int i = 0; i < kCounts; ++i) sums[i] = SumOfBits(counts[i], b.scales[i % kRows].total);
  const int begin = static_cast<int>(row);
  FlushPanels<BitsSums, kPanels, kVectors, kRows>(
      b, sums, [begin](int vector) { return begin + vector * static_cast<int>(kPartRows); });
}

// The micro-kernel on packed indices, which it turns into words in registers.
//
// Panels that alternate are read in another order than they stand in. Prefetches go in the order of addresses, four
// lines with each word of a panel: as these lines' own prefetches, one row of x takes 1.5 times as long on Zen 5.
struct PackedBitsKernel {
  using Sums = BitsSums;
  static constexpr int kMaxRows = kVectorScope ? 4 : 1, kMaxPanels = kVectorScope ? 4 : 1, kTile = kMaxRows;
  static constexpr std::size_t kPanelBytes = kVectorScope ? kPlaneBytes : 0;

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1 || kParts == 1);
    const std::size_t stride = (kVectorScope ? b.interleaved : 1) * kPlaneBytes;  // from a chunk to the next
    for (std::size_t at = 0; at < 64; at += kPartBytes) {
      V8 counts[kPanels * 4 * kRows];
      LUTRA_UNROLL
      for (V8& count : counts) count = hn::Zero(D8());
      const std::uint8_t *first = b.index + at, *x = b.x;
      std::size_t left = b.half_chunks / 2;
      // The lines of the panels before this one are prefetched with these panels.
      const std::uint8_t* ahead = kVectorScope ? b.index + b.first * (left - 1) * kPlaneBytes : b.index;
      LUTRA_KEEP_LOOP
      for (; left >= 2; left -= 2, first += 2 * stride, x += b.x_stride) {
        AddWord<kPanels, kRows>(b, ahead, first, first + stride, x, counts);
        ahead += kPanels * kWordBytes;
      }
      if (left != 0) AddWord<kPanels, kRows>(b, ahead, first, kNoWeights, x, counts);
      FlushCounts<kPanels, 4, kRows>(b, counts, at);
    }
  }

 private:
  template <int kPanels, int kRows>
  static HWY_INLINE void AddWord(const KBlock& b, const std::uint8_t* ahead, const std::uint8_t* first,
                                 const std::uint8_t* second, const std::uint8_t* x, V8* counts) {
    LUTRA_UNROLL
    for (std::size_t panel = 0; panel < kPanels; ++panel) {
      LUTRA_UNROLL
      for (std::size_t line = 0; line < kWordBytes; line += 64) b.Prefetch(ahead + panel * kWordBytes + line);
      V8 words[4];
      WordsOf(first + panel * kPlaneBytes, second + panel * kPlaneBytes, words);
      CountBits<kRows>(words, x, counts + panel * 4 * kRows);
    }
  }
};

// The micro-kernel on unpacked words.
struct BitsKernel {
  using Sums = BitsSums;
  static constexpr int kMaxRows = 4, kMaxPanels = kVectorScope ? 4 : 1, kTile = kMaxRows;
  static constexpr std::size_t kPanelBytes = kWordBytes;
  // Vectors of rows of a panel at a time: with four rows of x, or four panels, their counts take half of the registers.
  static constexpr int kVectors = kRegisters == 32 ? 4 : 2;

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
        for (std::size_t panel = 0; panel < kPanels; ++panel) {
          V8 w[kVectors];
          LUTRA_UNROLL
          for (std::size_t v = 0; v < kVectors; ++v) w[v] = hn::Load(D8(), words + panel * kWordBytes + v * kPartBytes);
          CountBits<kRows>(w, x, counts + panel * kVectors * kRows);
        }
      }
      FlushCounts<kPanels, kVectors, kRows>(b, counts, first * kPartRows);
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
    const std::uint8_t* first = b.index;
    for (std::size_t left = b.half_chunks / 2; left != 0; left -= HWY_MIN(left, std::size_t{2})) {
      const std::uint8_t* second = left > 1 ? first + stride : kNoWeights;
      for (std::size_t begin = 0; begin < panels * kPlaneBytes; begin += kPlaneBytes, to += kWordBytes) {
        for (std::size_t line = begin; line < begin + kPlaneBytes; line += 64) {
          b.Prefetch(first + line);
          b.Prefetch(second + line);
        }
        for (std::size_t at = 0; at < 64; at += kPartBytes) {
          V8 words[4];
          WordsOf(first + begin + at, second + begin + at, words);
          LUTRA_UNROLL
          for (std::size_t v = 0; v < 4; ++v) hn::Store(words[v], D8(), to + 4 * at + v * kPartBytes);
        }
      }
      first += 2 * stride;
    }
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
