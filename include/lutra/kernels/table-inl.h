// Table building: one row of x into tables of partial sums, by adding and subtracting in 16-bit integers.
//
// Each run's x is rounded to integers with 6 bits below a table step (kInt8), or at most ExactLimit (kInt16), so the
// partial sums are exact integers and only their rounding to table entries (kInt8) loses anything.
#if defined(LUTRA_KERNELS_TABLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_TABLE_INL_H_
#undef LUTRA_KERNELS_TABLE_INL_H_
#else
#define LUTRA_KERNELS_TABLE_INL_H_
#endif

#include <cstring>
#include <utility>

#include "lutra/kernels/registry.h"
#include "lutra/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

inline constexpr std::size_t kIndicesPerRun = kChunksPerRun * kIndicesPerChunk;
using DRun = hn::CappedTag<float, kIndicesPerRun>;
inline constexpr std::size_t kMaxIndices = kMaxChunksPerBlock * kIndicesPerChunk;  // of a block
inline constexpr float kFloatMax = 3.40282347e38f;
inline constexpr float kMaxRatio = 31.0f;  // times plane weights up to 8: fits an unsigned byte

template <int kBase, Precision kPrecision>
struct TableTraits {
  static constexpr FormatInfo kInfo = Describe(kBase == 2 ? Format::kInt1 : Format::kTernary);
  static constexpr std::size_t kG = static_cast<std::size_t>(kInfo.g);
  static constexpr bool kExact = kPrecision == Precision::kInt16;
  static constexpr int kPasses = kExact ? 2 : 1;
  // Bits of a partial sum below the last one kept in the (upper) table, and what every sum starts from: half a step to
  // round, and the bias of unsigned tables.
  static constexpr int kShift = kExact ? 7 : 6;
  static constexpr int kRoot = (1 << (kShift - 1)) + (kVectorScope ? 0 : 128 << kShift);
};

// x of a block; [j][i] is weight j of index i.
template <std::size_t kG>
struct BlockOfX {
  HWY_ALIGN float linear[kMaxIndices * kG];  // in the order of K; zero beyond the end
  HWY_ALIGN float x[kG][kMaxIndices];
  HWY_ALIGN std::int16_t rounded[kG][kMaxIndices];
};

// --- Tables from integers.

// Entry kIndex of the tables of as many indices as there are lanes, from the digits of weight kWeight and above. x[kG]
// is what is subtracted for x[0]: in kInt8, one unit more, so that an entry and its mirror image, half of whose ties
// would both be rounded up, stay each other's negative. Otherwise the errors of a row of lookups would add up.
template <class Traits, std::size_t kWeight, int kIndex>
HWY_INLINE V16 Entry(const V16 (&x)[Traits::kG + 1]) {
  if constexpr (kWeight == Traits::kG) {
    return hn::Set(D16(), static_cast<std::int16_t>(Traits::kRoot));
  } else {
    // Weight kWeight is digit kWeight: recurse over the index without its kWeight lowest digits.
    const V16 above = Entry<Traits, kWeight + 1, DropLowDigit(Traits::kInfo, kIndex)>(x);
    constexpr int kDigit = LowDigit(Traits::kInfo, kIndex);
    if constexpr (kDigit > 0) return hn::Add(above, x[kWeight]);
    if constexpr (kDigit < 0) return hn::Sub(above, x[kWeight == 0 ? Traits::kG : kWeight]);
    return above;
  }
}

template <class Traits, std::size_t... kIndex>
HWY_INLINE void Entries(const V16 (&x)[Traits::kG + 1], V16 (&entry)[16], std::index_sequence<kIndex...>) {
  ((entry[kIndex] = Entry < Traits, 0,
    static_cast<int>(kIndex) < Traits::kInfo.entries() ? static_cast<int>(kIndex) : 0 > (x)),
   ...);
}

// Table bytes 2i and 2i + 1 in 16-bit lanes, from the sums of two entries.
template <class Traits, int kPass>
HWY_INLINE V16 JoinEntries(V16 even, V16 odd) {
  const D16 d;
  constexpr int kShift = Traits::kShift;
  if constexpr (kPass == 0) {
    const V16 low_byte = hn::Set(d, 0xff);
    return hn::OrAnd(hn::AndNot(low_byte, hn::ShiftLeft<8 - kShift>(odd)), hn::ShiftRight<kShift>(even), low_byte);
  } else {  // the lower digit, less what was added to round the upper one
    const V16 digit = hn::Set(d, (1 << kShift) - 1);
    const V16 joined = hn::Or(hn::And(even, digit), hn::ShiftLeft<8>(hn::And(odd, digit)));
    constexpr int kCentre = (kVectorScope ? 0 : 128) - (1 << (kShift - 1));
    return hn::BitCast(d, hn::Add(hn::BitCast(D8(), joined), hn::Set(D8(), static_cast<std::uint8_t>(kCentre))));
  }
}

// 16 vectors of entries (lane = index) transposed to 16 bytes per index. Lane l of 16-byte block b stands for index
// `blocks * l + b`, so that whole vectors of consecutive tables leave.
template <class Traits, int kPass>
HWY_INLINE void StoreTables(const V16 (&entry)[16], std::uint8_t* to) {
  const D8 d8;
  const D16 d16;
  const D32 d32;
  const hn::Repartition<std::int64_t, D8> d64;
  V32 quads[2][4];  // entries 4i .. 4i + 3 of the lower, and of the upper four lanes of each block
  for (int i = 0; i < 4; ++i) {
    const V16 even = JoinEntries<Traits, kPass>(entry[4 * i], entry[4 * i + 1]);
    const V16 odd = JoinEntries<Traits, kPass>(entry[4 * i + 2], entry[4 * i + 3]);
    quads[0][i] = hn::BitCast(d32, hn::InterleaveLower(d16, even, odd));
    quads[1][i] = hn::BitCast(d32, hn::InterleaveUpper(d16, even, odd));
  }
  const std::size_t bytes = hn::Lanes(d8);
  for (const auto& quad : quads) {
    const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d32, quad[0], quad[1]));
    const auto low23 = hn::BitCast(d64, hn::InterleaveUpper(d32, quad[0], quad[1]));
    const auto high01 = hn::BitCast(d64, hn::InterleaveLower(d32, quad[2], quad[3]));
    const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d32, quad[2], quad[3]));
    hn::Store(hn::BitCast(d8, hn::InterleaveLower(d64, low01, high01)), d8, to);
    hn::Store(hn::BitCast(d8, hn::InterleaveUpper(d64, low01, high01)), d8, to + bytes);
    hn::Store(hn::BitCast(d8, hn::InterleaveLower(d64, low23, high23)), d8, to + 2 * bytes);
    hn::Store(hn::BitCast(d8, hn::InterleaveUpper(d64, low23, high23)), d8, to + 3 * bytes);
    to += 4 * bytes;
  }
}

// May write up to TableSlack bytes beyond the tables of the block.
template <class Traits, int kPass>
HWY_INLINE void BuildTables(const BlockOfX<Traits::kG>& block, std::size_t chunks, std::uint8_t* to) {
  const D16 d16;
  constexpr std::size_t kLanes = 8 * kLayout.blocks;
  HWY_ALIGN std::int16_t order[kLanes];
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    order[lane] = static_cast<std::int16_t>(lane % 8 * static_cast<std::size_t>(kLayout.blocks) + lane / 8);
  }
  const auto where = hn::SetTableIndices(d16, order);
  for (std::size_t first = 0; first < chunks * kIndicesPerChunk; first += kLanes) {
    V16 x[Traits::kG + 1], entry[16];
    for (std::size_t j = 0; j < Traits::kG; ++j) {
      x[j] = hn::TableLookupLanes(hn::Load(d16, block.rounded[j] + first), where);
    }
    x[Traits::kG] = Traits::kExact || Traits::kInfo.mirrored() ? x[0] : hn::Add(x[0], hn::Set(d16, 1));
    Entries<Traits>(x, entry, std::make_index_sequence<16>());
    StoreTables<Traits, kPass>(entry, to + first * 16);
  }
}

// --- Integers from x.

// The next `count` elements from `begin` as floats, zero up to `padded` (a multiple of the vector). For kInt8 in
// integers if `raw`.
template <std::size_t kG>
HWY_INLINE void LoadLinear(const TableArgs& a, std::size_t begin, std::size_t count, std::size_t padded, bool raw,
                           BlockOfX<kG>& block) {
  const DF df;
  std::size_t i = 0;
  if (a.type == DataType::kInt8) {
    const auto* from = static_cast<const std::int8_t*>(a.x) + begin;
    if (raw) {
      for (; i < count; ++i) block.linear[i] = from[i];
    } else {
      for (; i < count; ++i) block.linear[i] = static_cast<float>(from[i]) * a.scales[(begin + i) / a.scale_group];
    }
  } else {
    const auto* from = static_cast<const std::uint8_t*>(a.x) + begin * SizeOf(a.type);
    for (; i + hn::Lanes(df) <= count; i += hn::Lanes(df)) {
      hn::Store(LoadFloats(df, from, a.type, i), df, block.linear + i);
    }
    const hn::CappedTag<float, 1> d1;
    for (; i < count; ++i) hn::Store(LoadFloats(d1, from, a.type, i), d1, block.linear + i);
  }
  for (; i < padded; ++i) block.linear[i] = 0.0f;
}

// The bits of the largest magnitude; at least those of infinity if an element is not finite.
HWY_INLINE std::int32_t LargestBits(const float* from, std::size_t padded) {
  const D32 d;
  V32 largest = hn::Zero(d);
  for (std::size_t i = 0; i < padded; i += hn::Lanes(d)) {
    const V32 bits = hn::BitCast(d, hn::Load(DF(), from + i));
    largest = hn::Max(largest, hn::And(bits, hn::Set(d, 0x7fffffff)));
  }
  return hn::ReduceMax(d, largest);
}

template <std::size_t kG>
HWY_INLINE void Deinterleave(std::size_t indices, BlockOfX<kG>& block) {
  const DF df;
  for (std::size_t i = 0; i < indices; i += hn::Lanes(df)) {
    VF x0, x1, x2, x3;
    if constexpr (kG == 4) {
      hn::LoadInterleaved4(df, block.linear + i * kG, x0, x1, x2, x3);
      hn::Store(x3, df, block.x[3] + i);
    } else {
      hn::LoadInterleaved3(df, block.linear + i * kG, x0, x1, x2);
    }
    hn::Store(x0, df, block.x[0] + i);
    hn::Store(x1, df, block.x[1] + i);
    hn::Store(x2, df, block.x[2] + i);
  }
}

// The largest sum of |x| over the g weights of an index, in run r.
template <std::size_t kG>
HWY_INLINE float LargestSum(const BlockOfX<kG>& block, std::size_t r) {
  const DRun df;
  auto largest = hn::Zero(df);
  for (std::size_t i = r * kIndicesPerRun; i < (r + 1) * kIndicesPerRun; i += hn::Lanes(df)) {
    auto sum = hn::Abs(hn::Load(df, block.x[0] + i));
    for (std::size_t j = 1; j < kG; ++j) sum = hn::Add(sum, hn::Abs(hn::Load(df, block.x[j] + i)));
    largest = hn::Max(largest, sum);
  }
  return hn::ReduceMax(df, largest);
}

// rounded = round(x * inverse) in run r; returns the sum of these integers.
template <std::size_t kG>
HWY_INLINE std::int32_t RoundRun(std::size_t r, float inverse, BlockOfX<kG>& block) {
  const DRun df;
  const hn::RebindToSigned<DRun> d32;
  const hn::Rebind<std::int16_t, DRun> dh;
  const auto factor = hn::Set(df, inverse);
  auto sum = hn::Zero(d32);
  for (std::size_t i = r * kIndicesPerRun; i < (r + 1) * kIndicesPerRun; i += hn::Lanes(df)) {
    for (std::size_t j = 0; j < kG; ++j) {
      const auto q = hn::NearestInt(hn::Mul(hn::Load(df, block.x[j] + i), factor));
      sum = hn::Add(sum, q);
      hn::Store(hn::DemoteTo(dh, q), dh, block.rounded[j] + i);
    }
  }
  return hn::ReduceSum(d32, sum);
}

// Scales a block of very small or very large x by a power of two, so that nothing below under- or overflows. Returns
// what to multiply results with.
HWY_INLINE float Normalize(std::int32_t largest_bits, std::size_t padded, float* linear) {
  const std::int32_t exponent = (largest_bits >> 23) - 127;
  if (largest_bits == 0 || (exponent >= -60 && exponent <= 60)) return 1.0f;
  const float up = 0x1p90f, down = 0x1p-90f;
  for (std::size_t i = 0; i < padded; ++i) linear[i] *= exponent < 0 ? up : down;
  return exponent < 0 ? down : up;
}

HWY_INLINE void SetRatio(BlockScale& s, std::size_t run, std::uint32_t ratio) {
  s.quad[run] = ratio * 0x01010101u;
  s.pair[run / 2] |= ratio << (16 * (run % 2));
}

template <class Traits>
HWY_INLINE bool BuildBlock(const TableArgs& a, std::size_t b, std::uint8_t* tables, BlockScale& out) {
  constexpr std::size_t kG = Traits::kG;
  const Geometry& g = *a.geometry;
  const std::size_t begin = b * g.block, count = HWY_MIN(g.block, g.k - begin);
  const std::size_t chunks = g.chunks_in(b), runs = (chunks + kChunksPerRun - 1) / kChunksPerRun;
  const std::size_t padded = RoundUp(runs * kIndicesPerRun, hn::Lanes(DF())) * kG;
  // int8 under one scale: its integers are used as they are.
  const bool raw =
      Traits::kExact && a.type == DataType::kInt8 && begin / a.scale_group == (begin + count - 1) / a.scale_group;
  BlockOfX<kG> block;
  LoadLinear(a, begin, count, padded, raw, block);
  const std::int32_t bits = LargestBits(block.linear, padded);
  if (bits >= 0x7f800000) return false;
  const float restore = Normalize(bits, padded, block.linear);
  float largest;
  std::memcpy(&largest, &bits, sizeof(largest));
  largest /= restore;
  Deinterleave(padded / kG, block);

  std::int32_t total = 0;
  float unit;  // of the sums of rounded x
  std::memset(&out, 0, sizeof(out));
  if constexpr (Traits::kExact) {
    constexpr float kLimit = static_cast<float>(ExactLimit(Traits::kInfo));
    const float inverse = raw ? 1.0f : largest > 0.0f ? kLimit / largest : 0.0f;
    unit = raw ? a.scales[begin / a.scale_group] : largest / kLimit * restore;
    for (std::size_t r = 0; r < runs; ++r) {
      total += RoundRun(r, inverse, block);
      SetRatio(out, r, 1);
    }
    out.scale = unit;
    BuildTables<Traits, 0>(block, chunks, tables);
    BuildTables<Traits, 1>(block, chunks, tables + chunks * kTableBytes);
  } else {
    float sums[kMaxRunsPerBlock], largest_sum = 0.0f;
    for (std::size_t r = 0; r < runs; ++r) {
      sums[r] = LargestSum(block, r);
      largest_sum = HWY_MAX(largest_sum, sums[r]);
    }
    constexpr float kSteps = 127.0f * kMaxRatio;
    constexpr float kFine = 1 << Traits::kShift;
    for (std::size_t r = 0; r < runs; ++r) {
      const float share = largest_sum > 0.0f ? std::ceil(kMaxRatio * sums[r] / largest_sum) : 0.0f;
      const float ratio = HWY_MIN(HWY_MAX(1.0f, share), kMaxRatio);
      const float inverse = largest_sum > 0.0f ? kFine * kSteps / (ratio * largest_sum) : 0.0f;
      total += static_cast<std::int32_t>(ratio) * RoundRun(r, inverse, block);
      SetRatio(out, r, static_cast<std::uint32_t>(ratio));
    }
    out.scale = largest_sum / kSteps * restore;
    unit = out.scale / kFine;
    BuildTables<Traits, 0>(block, chunks, tables);
  }
  const float sum = static_cast<float>(total) * unit;
  out.sum = HWY_MIN(HWY_MAX(sum, -kFloatMax), kFloatMax);
  return true;
}

template <int kBase, Precision kPrecision>
bool BuildRow(const TableArgs& a) {
  using Traits = TableTraits<kBase, kPrecision>;
  std::uint8_t* tables = a.tables;
  for (std::size_t b = 0; b < a.geometry->blocks; ++b) {
    if (!BuildBlock<Traits>(a, b, tables, a.block_scales[b])) return false;
    tables += a.geometry->chunks_in(b) * kTableBytes * Traits::kPasses;
  }
  return true;
}

template <int kBase, Precision kPrecision>
constexpr TableKernel TableRow() {
  return {kBase, kPrecision, &BuildRow<kBase, kPrecision>};
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
