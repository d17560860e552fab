// The lookup micro-kernel in block scope on unpacked indices, and their unpacking to L1 once for all rows of x.
#if defined(LUTRA_KERNELS_LOOKUP_BLOCK_UNPACKED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_LOOKUP_BLOCK_UNPACKED_INL_H_
#undef LUTRA_KERNELS_LOOKUP_BLOCK_UNPACKED_INL_H_
#else
#define LUTRA_KERNELS_LOOKUP_BLOCK_UNPACKED_INL_H_
#endif

#include "lutra/kernels/lookup_block-inl.h"

#if !LUTRA_VECTOR_SCOPE
HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Adds the lookups of one step in the tables of kRows rows of x to the sums of a part, [row of x][vector].
template <class Traits, int kRows>
LUTRA_INLINE void AddStep(const std::uint8_t* operands, const std::uint8_t* tables,
                          typename PairStep<Traits>::Sum (&sums)[2 * kRows]) {
  using Step = PairStep<Traits>;
  const D8 d8;
  const V8 index0 = hn::Load(d8, operands), index1 = hn::Load(d8, operands + kVectorBytes);
  [[maybe_unused]] hn::Vec<DI8> weights0, weights1;
  if constexpr (!Step::kPlanePairs) {
    weights0 = hn::BitCast(DI8(), hn::Load(d8, operands + 2 * kVectorBytes));
    weights1 = hn::BitCast(DI8(), hn::Load(d8, operands + 3 * kVectorBytes));
  }
  LUTRA_UNROLL
  for (std::size_t n = 0; n < kRows; ++n) {
    const std::uint8_t* table = tables + n * kTableBytes;
    V8 found0, found1;
    if constexpr (Step::kJoined) {
      const V8 first = hn::TableLookupBytes(hn::LoadDup128(d8, table), index0);
      const V8 second = hn::TableLookupBytes(hn::LoadDup128(d8, table + 16), index1);
      found0 = hn::InterleaveLower(d8, first, second);
      found1 = hn::InterleaveUpper(d8, first, second);
    } else {
      const V8 entries = hn::LoadDup128(d8, table + (Step::kPlanePairs ? 0 : 8));
      found0 = hn::TableLookupBytes(entries, index0);
      found1 = hn::TableLookupBytes(entries, index1);
    }
    if constexpr (Step::kPlanePairs) {
      AddPlanes(sums[2 * n], found0);
      StayInRegister(sums[2 * n]);
      AddPlanes(sums[2 * n + 1], found1);
    } else {
      sums[2 * n] = AddPairs(sums[2 * n], found0, weights0);
      StayInRegister(sums[2 * n]);
      sums[2 * n + 1] = AddPairs(sums[2 * n + 1], found1, weights1);
    }
    StayInRegister(sums[2 * n + 1]);
  }
}

// Lookups in two half tables: the upper half of a first table, then the lower half of a second one. Entry i of a table
// stands among these 16 entries at place[i], times sign[i], as T[15 - i] = -T[i]. For the second table, they are
// 15 - place[15 - i] and sign[15 - i].
struct HalfTables {
  std::uint8_t place[16];
  std::int8_t sign[16];
};
constexpr HalfTables FindHalfTables() {
  HalfTables table{};
  for (int i = 0; i < 16; ++i) {
    table.place[i] = static_cast<std::uint8_t>(i >= 8 ? i - 8 : 7 - i);
    table.sign[i] = i >= 8 ? 1 : -1;
  }
  return table;
}
inline constexpr HalfTables kHalfTables = FindHalfTables();

// Stores the places of an index in each of the two tables for each row, in adjacent bytes, in two vectors; `signs` gets
// their signs.
template <class Store>
HWY_INLINE void UnpackHalfTables(V8 first, V8 second, const Store& store, VI8 (&signs)[2]) {
  const D8 d8;
  const V8 from_last = hn::BitCast(d8, hn::Set(D16(), 0x0f00)), mirrored = hn::Xor(second, hn::Set(d8, 0x0f));
  const V8 pairs[2] = {hn::InterleaveLower(d8, first, mirrored), hn::InterleaveUpper(d8, first, mirrored)};
  LUTRA_UNROLL
  for (std::size_t v = 0; v < 2; ++v) {
    store(v, hn::Xor(Map(kHalfTables.place, pairs[v]), from_last));
    signs[v] = hn::BitCast(DI8(), Map(kHalfTables.sign, pairs[v]));
  }
}

// Unpacks the indices of a part of a scale run of `half_chunks` half chunks to the operands of its steps. Adds the
// signs of single planes to `total`. After a half chunk, the operands of the missing step are 0.
template <class Traits>
HWY_INLINE void UnpackRun(const std::uint8_t* index, std::size_t half_chunks, std::uint8_t* to, VI8 (&total)[2]) {
  using Step = PairStep<Traits>;
  const D8 d8;
  const DI8 di8;
  const auto store = [&](std::size_t i, V8 v) HWY_ATTR { hn::Store(v, d8, to + i * kVectorBytes); };
  for (std::size_t chunk = 0; 2 * chunk < half_chunks; ++chunk) {
    [[maybe_unused]] Signs signs(Step::kJoined ? index + (half_chunks - 2 * chunk) * (kPlaneBytes / 2) : index, chunk);
    for (std::size_t step = 0; step < Step::InChunk(chunk, half_chunks); ++step, index += 64, to += Step::kBytes) {
      const V8 packed = hn::Load(d8, index), low = LowNibbles(packed), high = HighNibbles(packed);
      if constexpr (Step::kPlanePairs) {
        store(0, low);
        store(1, high);
        continue;
      }
      VI8 weights[2];
      if constexpr (Step::kJoined) {
        store(0, low);
        store(1, high);
        const VI8 first = SignOf(signs.Next()), second = SignOf(signs.Next());
        weights[0] = hn::InterleaveLower(di8, first, second);
        weights[1] = hn::InterleaveUpper(di8, first, second);
      } else {
        UnpackHalfTables(low, high, store, weights);
      }
      store(2, hn::BitCast(d8, weights[0]));
      store(3, hn::BitCast(d8, weights[1]));
      total[0] = hn::Add(total[0], weights[0]);
      total[1] = hn::Add(total[1], weights[1]);
    }
  }
  if (Step::kJoined && half_chunks % 2 != 0) {
    for (std::size_t i = 0; i < Step::kBytes / kVectorBytes; ++i) store(i, hn::Zero(d8));
  }
}

// The layout of the unpacked indices of a K-block of a panel: [part][scale run]. A run has the start of its two vectors
// of sums (minus the bias), unless that is a constant, then the operands of each step.
template <Encoding kEncoding>
struct UnpackedRuns {
  using Step = PairStep<LookupTraits<kEncoding>>;
  static constexpr std::size_t kStartBytes = Step::kPlanePairs ? 0 : 2 * kVectorBytes;
  static constexpr std::size_t kChunkBytes = Step::kPerChunk * Step::kBytes;
  static constexpr std::size_t kRunBytes = kStartBytes + kChunksPerRun * kChunkBytes;
  static constexpr std::size_t PartBytes(std::size_t chunks) {
    return DivideUp(chunks, kChunksPerRun) * kStartBytes + chunks * kChunkBytes;
  }

  // What the sums of a run of kChunks chunks start from, in vector v of the two.
  template <std::size_t kChunks>
  static HWY_INLINE V16 Start([[maybe_unused]] const std::uint8_t* run, [[maybe_unused]] std::size_t v) {
    if constexpr (Step::kPlanePairs) {
      return hn::Set(D16(), std::int16_t{Step::kRunBias - Step::BiasOf(int{kChunks})});
    } else {
      return hn::Load(D16(), reinterpret_cast<const std::int16_t*>(run + v * kVectorBytes));
    }
  }
  // The sums of a run start from minus its bias: the bias of an entry, times the sum of the signs of a pair.
  static HWY_INLINE void StoreStarts(const VI8 (&signs)[2], std::uint8_t* run) {
    const V8 bias = hn::Set(D8(), static_cast<std::uint8_t>(kTableBias));
    for (std::size_t v = 0; v < 2 && !Step::kPlanePairs; ++v) {
      const V16 start = hn::Neg(AddPairs(hn::Zero(D16()), bias, signs[v]));
      hn::Store(start, D16(), reinterpret_cast<std::int16_t*>(run + v * kVectorBytes));
    }
  }
};

// Unpacks indices for UnpackedLookupKernel.
template <Encoding kEncoding>
struct IndexUnpacker : UnpackedRuns<kEncoding> {
  using Traits = LookupTraits<kEncoding>;
  using Runs = UnpackedRuns<kEncoding>;

  static constexpr std::size_t Bytes(std::size_t, std::size_t x_chunks) {
    return kPartCount * Runs::PartBytes(x_chunks);
  }

  // Unpacks a K-block of one panel.
  static void Unpack(const MicroArgs& args, std::size_t, std::uint8_t* to) {
    const KBlock b(args);
    const DI8 di8;
    const std::uint8_t* index = b.index;
    const std::size_t part_bytes = Runs::PartBytes(b.chunks);
    for (std::size_t first = 0; first < b.chunks; first += kChunksPerRun, to += Runs::kRunBytes) {
      const std::size_t half_chunks = HWY_MIN(kHalfChunksPerRun, b.half_chunks - 2 * first);
      const std::size_t bytes = RunBytes(Traits::kInfo, half_chunks);
      for (std::size_t at = 0; at < bytes; at += 64) b.Prefetch(index + at);
      for (std::size_t part = 0; part < kPartCount; ++part) {
        std::uint8_t* run = to + part * part_bytes;
        VI8 signs[2] = {hn::Zero(di8), hn::Zero(di8)};
        UnpackRun<Traits>(index + part * kVectorBytes, half_chunks, run + Runs::kStartBytes, signs);
        Runs::StoreStarts(signs, run);
      }
      index += bytes;
    }
  }
};

// The micro-kernel on indices that IndexUnpacker unpacked; b.index points to them.
template <Encoding kEncoding, Precision kPrecision>
struct UnpackedLookupKernel {
  using Traits = LookupTraits<kEncoding>;
  using Sums = LookupSums<kEncoding, kPrecision>;
  using Step = PairStep<Traits>;
  using Runs = UnpackedRuns<kEncoding>;
  static constexpr int kMaxRows = 4, kMaxPanels = 1,
                       kTile = kMaxRows;         // 8 sums, 4 operands, 3 for lookups: 15 of 16 registers
  static constexpr std::size_t kPanelBytes = 0;  // panels do not alternate

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1);
    const PartFlush<Step, Sums, kRows> flush(b);
    RunSums<2 * kRows> runs;
    flush.CompletePair(b, runs);
    const std::uint8_t* unpacked = b.index;
    for (std::size_t part = 0; part < kPartCount; ++part, unpacked += Runs::PartBytes(b.chunks)) {
      const std::uint8_t* tables = b.x;
      for (std::size_t limb = 0; limb < Sums::kLimbs; ++limb) {
        const std::uint8_t* from = unpacked;
        const std::size_t first = limb * kMaxRunsPerBlock, end = first + b.chunks / kChunksPerRun;
        std::size_t run = first;
        LUTRA_KEEP_LOOP
        for (; run < end; ++run) {
          SumRun<kRows, kChunksPerRun>(from, tables, b.x_stride, runs, run);
          from += Runs::kRunBytes;
          tables += kChunksPerRun * b.x_stride;
        }
        if (b.chunks % kChunksPerRun == 0) continue;
        SumRun<kRows, 1>(from, tables, b.x_stride, runs, run);
        tables += b.x_stride;
      }
      flush.Flush(b, runs, part);
    }
  }

 private:
  // Sums a scale run of a part. (Its loops are unrolled, because on Intel CPUs loop counters and addresses share
  // execution ports with vectors.)
  template <int kRows, std::size_t kChunks>
  static HWY_INLINE void SumRun(const std::uint8_t* from, const std::uint8_t* tables, std::size_t table_stride,
                                RunSums<2 * kRows>& runs, std::size_t run) {
    typename Step::Sum sums[2 * kRows];
    LUTRA_UNROLL
    for (std::size_t i = 0; i < 2 * kRows; ++i) sums[i] = Step::Start(Runs::template Start<kChunks>(from, i % 2));
    const std::uint8_t* operands = from + Runs::kStartBytes;
    LUTRA_UNROLL
    for (std::size_t chunk = 0; chunk < kChunks; ++chunk, tables += table_stride) {
      LUTRA_UNROLL
      for (std::size_t step = 0; step < Step::kPerChunk; ++step, operands += Step::kBytes) {
        AddStep<Traits, kRows>(operands, tables + step * Step::kIndices * 16, sums);
      }
      KeepOrder(sums[2 * kRows - 1], tables);
    }
    LUTRA_UNROLL
    for (std::size_t i = 0; i < 2 * kRows; ++i) runs.Store(Step::Finish(sums[i]), run, i);
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();
#endif  // block scope

#endif  // per-target include guard
