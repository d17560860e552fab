// The lookup micro-kernel in block scope: 64 rows of W (a panel) times a few rows of x over one K-block.
//
// Each 16-byte lane of a vector repeats one table of 16 entries, so all bytes of a vector look up the same table. The
// pair adder multiplies two adjacent bytes of one row by weights and adds them in 16 bits. A step takes one of three
// kinds of pairs:
//
//     plane pairs   | r0: plane 0, 1 | r1: plane 0, 1 | ...   one index; weights 1 and 2             (two planes)
//     half tables   | r0: k, k + 1   | r1: k, k + 1   | ...   two indices; weights are signs         (one plane)
//     joined        the same bytes, interleaved after lookups in two tables                          (mirrored tables)
//
// Half tables: T[~i] = -T[i], so half a table holds all magnitudes. The upper half of one table and the lower half of
// the next are 16 consecutive bytes, so one lookup serves both indices.
//
// The kernel on packed codes, for few rows of x, does not compute the indices and signs of half tables. It looks up one
// plane in whole tables and adds the bytes to 16-bit lanes (AddBytes).
//
// Except on Arm, table entries have a bias of 128, which makes them unsigned bytes. The sums of a single plane start at
// minus the bias of a scale run. The sums of plane pairs have the same bias in each run and row of W (kRunBias); the
// flush subtracts it once, times the sum of the ratios. 16 bits suffice for a scale run:
//     plane pairs    8 indices * 255 * (1 + 2) = 6120 < 2^15
//     single plane   odd bytes: 8 * 255 < 2^15. All bytes: modulo 2^16; FinishBytes subtracts the odd bytes.
#if defined(LUTRA_KERNELS_LOOKUP_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_LOOKUP_BLOCK_INL_H_
#undef LUTRA_KERNELS_LOOKUP_BLOCK_INL_H_
#else
#define LUTRA_KERNELS_LOOKUP_BLOCK_INL_H_
#endif

#include <type_traits>

#include "lutra/kernels/lookup-inl.h"

#if !LUTRA_VECTOR_SCOPE
HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// A part of a panel: the rows of one vector of packed bytes. They take two vectors of 16-bit sums.
inline constexpr std::size_t kVectorBytes = 16 * kLayout.blocks;
inline constexpr std::size_t kPartCount = kPanelRows / kVectorBytes;

// A step of the micro-kernel: two lookups for the rows of a part, and two additions of pairs. Its operands are two
// vectors of indices and, unless they are constant, two vectors of weights.
template <class Traits>
struct PairStep {
  static constexpr bool kPlanePairs = Traits::kPlanes == 2, kJoined = Traits::kSigned;
  using Sum = std::conditional_t<kPlanePairs, PlaneSums, V16>;
  static HWY_INLINE Sum Start(V16 start) {
    if constexpr (kPlanePairs) {
      return StartPlanes(start);
    } else {
      return start;
    }
  }
  static HWY_INLINE V16 Finish(const Sum& sum) {
    if constexpr (kPlanePairs) {
      return FinishPlanes(sum);
    } else {
      return sum;
    }
  }
  static_assert(Traits::kPlanes <= 2 && !(kPlanePairs && kJoined));
  static constexpr std::size_t kIndices = kPlanePairs ? 1 : 2, kPerChunk = kIndicesPerChunk / kIndices;
  // Steps of a chunk in a run of `half_chunks` half chunks.
  static constexpr std::size_t InChunk(std::size_t chunk, std::size_t half_chunks) {
    return HWY_MIN(kPerChunk, (half_chunks - 2 * chunk) * (kPerChunk / 2));
  }
  static constexpr std::size_t kBytes = (kPlanePairs ? 2 : 4) * kVectorBytes;

  // The sums of a scale run fit 16 bits, and a single pair does not saturate (see the top of this file). Without their
  // bias the sums are at most 8 * 128 * 3, so the sums of two runs times their ratios fit the 32 bits of flush-inl.h.
  static constexpr int kPlaneWeights = kPlanePairs ? 1 + 2 : 1, kRunIndices = int{kChunksPerRun * kIndicesPerChunk};
  static_assert(kRunIndices * 255 * kPlaneWeights <= 32767 && 255 * HWY_MAX(kPlaneWeights, 2) <= 32767);

  // The bias of `chunks` chunks without signs, and the bias that the sums of each run keep, however long it is.
  static constexpr int BiasOf(int chunks) { return chunks * int{kIndicesPerChunk} * kTableBias * kPlaneWeights; }
  static constexpr int kRunBias = kPlanePairs ? BiasOf(int{kChunksPerRun}) : 0;
};

HWY_INLINE hn::Vec<DI8> PlaneWeights() { return hn::BitCast(DI8(), hn::Set(D16(), 0x0201)); }

// Byte i of the result is map[index[i]], for a table of 16 bytes.
HWY_INLINE V8 Map(const void* map, V8 index) {
  return hn::TableLookupBytes(hn::LoadDup128(D8(), static_cast<const std::uint8_t*>(map)), index);
}

// The signs of a part of a panel. The sign byte of a row has four bits for each chunk of a scale run, one per index,
// from the top bit down. Next returns the signs of the next index, as the signs of bytes that are not 0.
struct Signs {
  // The next sign is the top bit of each byte. Bit 0 of each byte is set at first, so that no byte is ever 0. (Bits
  // that are shifted across bytes reach bit 6 at most.)
  V16 bits;
  HWY_INLINE Signs(const std::uint8_t* from, std::size_t chunk) : bits(hn::BitCast(D16(), hn::Load(D8(), from))) {
    if (chunk % kChunksPerRun != 0) bits = hn::ShiftLeft<4>(bits);
    bits = hn::Or(bits, hn::Set(D16(), 0x0101));
  }
  HWY_INLINE VI8 Next() {
    const VI8 signs = hn::BitCast(DI8(), bits);
    bits = hn::Add(bits, bits);
    return signs;
  }
};

// The pairs of scale runs of a K-block; a last run may have no partner.
HWY_INLINE std::size_t PairsOf(const KBlock& b) { return (b.chunks + 2 * kChunksPerRun - 1) / (2 * kChunksPerRun); }
static_assert(kMaxRunsPerBlock % 2 == 0);

// Flushes the parts of a K-block: adds up the 16-bit sums of its scale runs, [run][row of x][vector], times the ratios
// of the runs.
template <class Step, class Sums, int kRows>
class PartFlush {
 public:
  using Runs = RunSums<2 * kRows>;
  explicit HWY_INLINE PartFlush(const KBlock& b) : pairs_(PairsOf(b)) {
    LUTRA_UNROLL
    for (std::size_t n = 0; n < kRows; ++n) {
      bias_[n] = Step::kRunBias == 0 ? 0 : Step::kRunBias * RatiosOf(b.scales[n]);
    }
  }

  // Sets the sums of the run that completes the last pair. Call it before the runs are summed.
  HWY_INLINE void CompletePair(const KBlock& b, Runs& runs) const {
    const std::size_t count = (b.chunks + kChunksPerRun - 1) / kChunksPerRun;
    if (count % 2 == 0) return;
    const V16 none = hn::Set(D16(), std::int16_t{Step::kRunBias});
    for (std::size_t limb = 0; limb < Sums::kLimbs; ++limb) {
      for (std::size_t i = 0; i < 2 * kRows; ++i) runs.Store(none, limb * kMaxRunsPerBlock + count, i);
    }
  }

  // Row of x by row of x, so that its ratios and its scale are loaded once.
  HWY_INLINE void Flush(const KBlock& b, const Runs& runs, std::size_t part) const {
    const DF df;
    const float* const qparams = b.qparams + part * kVectorBytes;
    float* to = b.tile + part * kVectorBytes;
    VF scale[kVectors];
    LUTRA_UNROLL
    for (std::size_t i = 0; i < kVectors; ++i) scale[i] = hn::Load(df, qparams + i * kFloats);
    LUTRA_UNROLL
    for (std::size_t n = 0; n < kRows; ++n, to += kPanelRows) {
      V32 sums[kVectors];
      AddRuns(b, runs, n, sums);
      const Units<Sums> units(b.scales[n]);
      if (b.center == 0) {
        LUTRA_UNROLL
        for (std::size_t i = 0; i < kVectors; ++i) FlushSum(sums[i], units, scale[i], to + i * kFloats);
      } else {
        const float* const center = qparams + kPanelRows;
        LUTRA_UNROLL
        for (std::size_t i = 0; i < kVectors; ++i) {
          FlushSum(sums[i], units, scale[i], center + i * kFloats, b.scales[n].sum, to + i * kFloats);
        }
      }
    }
  }

 private:
  // Vectors of the sums of a part as 32-bit integers: the lower and the upper half of each vector of 16-bit sums.
  static constexpr std::size_t kVectors = 4, kFloats = kVectorBytes / 4;

  // The sums of row n of x.
  HWY_INLINE void AddRuns(const KBlock& b, const Runs& runs, std::size_t n, V32 (&sums)[kVectors]) const {
    const D16 d16;
    const D32 d32;
    const BlockScale& scale = b.scales[n];
    for (std::size_t limb = 0; limb < Sums::kLimbs; ++limb) {
      const bool last = limb + 1 == Sums::kLimbs;
      const V32 start = hn::Set(d32, (last ? Start<Sums>(b, static_cast<int>(n)) : 0) - bias_[n]);
      LUTRA_UNROLL
      for (V32& sum : sums) sum = limb == 0 ? start : hn::Add(hn::ShiftLeft<7>(sum), start);
      const std::size_t first = limb * kMaxRunsPerBlock;
      LUTRA_UNROLL
      for (std::size_t pair = 0; pair < kMaxRunsPerBlock / 2; ++pair) {
        if (pair != 0 && pair >= pairs_) break;
        const V16 ratio = hn::BitCast(d16, hn::Set(d32, static_cast<std::int32_t>(scale.pair[pair])));
        LUTRA_UNROLL
        for (std::size_t v = 0; v < 2; ++v) {
          const V16 even = runs.Load(first + 2 * pair, 2 * n + v), odd = runs.Load(first + 2 * pair + 1, 2 * n + v);
          V32& lower = sums[2 * v];
          V32& upper = sums[2 * v + 1];
          lower = hn::Add(lower, hn::WidenMulPairwiseAdd(d32, hn::InterleaveLower(d16, even, odd), ratio));
          upper = hn::Add(upper, hn::WidenMulPairwiseAdd(d32, hn::InterleaveUpper(d16, even, odd), ratio));
        }
      }
    }
  }

  // The sum of the ratios of all pairs.
  HWY_INLINE std::int32_t RatiosOf(const BlockScale& scale) const {
    std::uint32_t ratios = 0;  // of the even runs, of the odd runs
    LUTRA_UNROLL
    for (std::size_t pair = 0; pair < kMaxRunsPerBlock / 2; ++pair) {
      if (pair != 0 && pair >= pairs_) break;
      ratios += scale.pair[pair];
    }
    return static_cast<std::int32_t>((ratios & 0xffff) + (ratios >> 16));
  }

  const std::size_t pairs_;
  std::int32_t bias_[kRows];
};

// The micro-kernel on packed indices, which it unpacks in registers.
template <Encoding kEncoding, Precision kPrecision>
struct LookupKernel {
  using Traits = LookupTraits<kEncoding>;
  using Sums = LookupSums<kEncoding, kPrecision>;
  using Step = PairStep<Traits>;
  static constexpr int kMaxRows = 4, kMaxPanels = 1, kTile = kMaxRows;
  static constexpr std::size_t kPanelBytes = 0;

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1);
    const PartFlush<Step, Sums, kRows> flush(b);
    RunSums<2 * kRows> runs[kPartCount];
    LUTRA_UNROLL
    for (auto& part : runs) flush.CompletePair(b, part);
    const std::uint8_t* tables = b.x;
    for (std::size_t limb = 0; limb < Sums::kLimbs; ++limb) {
      const std::uint8_t* index = b.index;
      std::size_t run = limb * kMaxRunsPerBlock, left = b.half_chunks;
      for (; left >= kHalfChunksPerRun; left -= kHalfChunksPerRun, ++run) {
        SumRun<kRows, kHalfChunksPerRun>(b, index, tables, runs, run);
        index += RunBytes(Traits::kInfo, kHalfChunksPerRun);
        tables += kChunksPerRun * b.x_stride;
      }
      if (Step::kJoined && left == 3) {
        SumRun<kRows, Step::kJoined ? 3 : 2>(b, index, tables, runs, run);
        tables += kChunksPerRun * b.x_stride;
      } else if (left != 0) {
        SumRun<kRows, 2>(b, index, tables, runs, run);
        tables += b.x_stride;
      }
    }
    for (std::size_t part = 0; part < kPartCount; ++part) flush.Flush(b, runs[part], part);
  }

 private:
  // Sums a scale run, part by part.
  template <int kRows, std::size_t kHalfChunks>
  static HWY_INLINE void SumRun(const KBlock& b, const std::uint8_t* index, const std::uint8_t* tables,
                                RunSums<2 * kRows> (&runs)[kPartCount], std::size_t run) {
    LUTRA_UNROLL
    for (std::size_t part = 0; part < kPartCount; ++part) {
      typename Step::Sum sums[2 * kRows];
      SumPart<kRows, kHalfChunks>(b, index + part * kVectorBytes, tables, part, sums);
      LUTRA_UNROLL
      for (std::size_t i = 0; i < 2 * kRows; ++i) {
        V16 sum = Step::Finish(sums[i]);
        runs[part].Store(sum, run, i);
        if (kRows > 1 && i + 1 == 2 * kRows)
          KeepOrder(sum, tables);  // with sums[i] instead, clang spills three times as much
      }
    }
    if (Step::kJoined) b.Prefetch(index + RunIndexBytes(Traits::kInfo, kHalfChunks));
  }

  template <int kRows, std::size_t kHalfChunks>
  static HWY_INLINE void SumPart(const KBlock& b, const std::uint8_t* index, const std::uint8_t* tables,
                                 std::size_t part, typename Step::Sum (&sums)[2 * kRows]) {
    const D8 d8;
    const D16 d16;
    constexpr int kStart = Step::kRunBias - Step::BiasOf(static_cast<int>(kHalfChunks)) / 2;
    const V16 start = hn::Set(d16, std::int16_t{kStart});
    LUTRA_UNROLL
    for (auto& sum : sums) sum = Step::Start(start);
    LUTRA_UNROLL
    for (std::size_t chunk = 0; 2 * chunk < kHalfChunks; ++chunk, tables += b.x_stride) {
      [[maybe_unused]] Signs signs(Step::kJoined ? index + (kHalfChunks - 2 * chunk) * (kPlaneBytes / 2) : index,
                                   chunk);
      const std::size_t steps = Step::InChunk(chunk, kHalfChunks);
      LUTRA_UNROLL
      for (std::size_t step = 0; step < steps; ++step, index += 64) {
        const V8 packed = hn::Load(d8, index), low = LowNibbles(packed), high = HighNibbles(packed);
        if (step % kPartCount == part) b.Prefetch(index);
        if constexpr (Step::kPlanePairs) {
          LUTRA_UNROLL
          for (std::size_t n = 0; n < kRows; ++n) {
            const V8 table = hn::LoadDup128(d8, tables + n * kTableBytes + step * 16);
            AddPlanes(sums[2 * n], hn::TableLookupBytes(table, low));
            AddPlanes(sums[2 * n + 1], hn::TableLookupBytes(table, high));
          }
        } else {
          AddSinglePlane<kRows>(low, tables + step * 32, signs, sums);
          AddSinglePlane<kRows>(high, tables + step * 32 + 16, signs, sums);
        }
      }
    }
    if constexpr (!Step::kPlanePairs) {
      LUTRA_UNROLL
      for (std::size_t n = 0; n < kRows; ++n) FinishBytes(sums[2 * n], sums[2 * n + 1]);
    }
  }

  // Adds the lookups of one index. sums: [row of x][lower, upper] as in AddBytes.
  template <int kRows>
  static HWY_INLINE void AddSinglePlane(V8 index, const std::uint8_t* tables, Signs& signs, V16 (&sums)[2 * kRows]) {
    [[maybe_unused]] VI8 sign;
    if constexpr (Step::kJoined) sign = signs.Next();
    LUTRA_UNROLL
    for (std::size_t n = 0; n < kRows; ++n) {
      const V8 found = hn::TableLookupBytes(hn::LoadDup128(D8(), tables + n * kTableBytes), index);
      if constexpr (Step::kJoined) {
        AddSignedBytes(sums[2 * n], sums[2 * n + 1], found, sign);
      } else {
        AddBytes(sums[2 * n], sums[2 * n + 1], found);
      }
    }
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();
#endif  // block scope

#endif  // per-target include guard
