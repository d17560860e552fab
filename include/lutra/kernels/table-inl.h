// What Prepare makes of a few rows of x: tables of partial sums by adding and subtracting in 16-bit integers, or
// integers.
//
// For tables, each run's x is rounded to integers with 8 bits below a table step (kInt8), or at most ExactLimit
// (kInt16), so the partial sums are exact integers and only their rounding to table entries (kInt8) loses anything.
#if defined(LUTRA_KERNELS_TABLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_TABLE_INL_H_
#undef LUTRA_KERNELS_TABLE_INL_H_
#else
#define LUTRA_KERNELS_TABLE_INL_H_
#endif

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "lutra/kernels/registry.h"
#include "lutra/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

// x is worked on in slots of four floats: an index, its weights from g on zero; or four integers. 16 slots are four
// runs, a span. A vector of floats has a slot per 16-byte block.
inline constexpr std::size_t kChunkSlots = 16;  // floats of a chunk in slots
inline constexpr std::size_t kRunsPerSpan = 4;
inline constexpr std::size_t kSpan = kRunsPerSpan * kChunksPerRun * kChunkSlots;  // floats
inline constexpr std::size_t kMaxSpans = kMaxRunsPerBlock / kRunsPerSpan;
inline constexpr std::size_t kBlocks = kLayout.blocks;
inline constexpr std::size_t kLanesF = 4 * kBlocks;
inline constexpr std::size_t kVectorsPerRun = kSpan / kRunsPerSpan / kLanesF;
inline constexpr float kFloatMax = 3.40282347e38f;
inline constexpr int kFine = 256;  // integers in a step of kInt8 tables

template <Prepared kPrepared, Precision kPrecision>
struct TableTraits {
  static constexpr FormatInfo kInfo = Describe(kPrepared == Prepared::kBinarySums    ? Format::kInt1
                                               : kPrepared == Prepared::kTernarySums ? Format::kTernary
                                                                                     : Format::kInt4);
  static constexpr std::size_t kG = static_cast<std::size_t>(kInfo.g);
  static constexpr bool kExact = kPrecision == Precision::kInt16;
  static constexpr bool kRatios = kInfo.looks_up() && !kExact;  // runs have steps of their own
  static constexpr int kPasses = kExact ? 2 : 1;
  // What is computed of a table: in base 2, T[15 - i] = -T[i].
  static constexpr std::size_t kColumns = kInfo.mirrored() ? 16 : 8;
  // Bits of a partial sum below the last one kept in the (upper) table, and what every sum starts from: half a step to
  // round, and the bias of unsigned tables.
  static constexpr int kShift = kExact ? 7 : 8;
  static constexpr int kRoot = (1 << (kShift - 1)) + (kTableBias << kShift);
  // The largest integer that x (kIntegers, or kInt16) is rounded to.
  static constexpr float kLimit = kExact ? static_cast<float>(ExactLimit(kInfo)) : 127.0f;

  // The largest sum of the integers of an index, or the largest integer. Those of kInt8 tables are a slot's x times
  // kFine * 127 / (its largest sum in the run) or less, and err by 1/2 each; g = 4: 32514.
  static constexpr int kMaxSum = kRatios ? 127 * kFine + kInfo.g / 2 : kInfo.g * static_cast<int>(kLimit);
  static_assert(kMaxSum < 1 << 22);  // RoundSmall
  // Entries are sums from kRoot on, and one less where x[0] + 1 is subtracted: signed, or unsigned with the bias, of 16
  // bits. Without the lowest kShift bits, they are bytes.
  static constexpr int kLowest = kRoot - kMaxSum - 1, kHighest = kRoot + kMaxSum;
  static_assert(!kInfo.looks_up() || (kTableBias == 0 ? kLowest >= -(128 << kShift) && kHighest < 128 << kShift
                                                      : kLowest >= 0 && kHighest < 256 << kShift));
  static_assert(kShift <= 8 && kMaxSum <= 32767 && (!kRatios || kFine == 1 << kShift));
  // The total of a block, in 32 bits: that of kInt8 tables is 64 indices * 31 * 32514 = 6.5e7.
  static constexpr std::int64_t kMaxTotal =
      (kInfo.looks_up() ? kMaxChunksPerBlock * kIndicesPerChunk : kMaxIntegerChunks * kChunkSlots) *
      std::int64_t{kRatios ? kMaxRatio : 1} * kMaxSum;
  static_assert(kMaxTotal < std::int64_t{1} << 31);
};

// Where the tables of a block go: those of a chunk, of this row, are `stride` bytes after those of the one before.
struct Destination {
  std::uint8_t* to;
  std::size_t stride, chunks;
};

// --- Tables from integers.

// Entry kIndex of the tables of as many indices as there are lanes, from the digits of weight kWeight and above. x[kG]
// is what is subtracted for x[0]: in kInt8, one unit more, so that ties are rounded up in half of the entries, and down
// in others. Otherwise the errors of a row of lookups would add up.
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
HWY_INLINE void Entries(const V16 (&x)[Traits::kG + 1], V16 (&entry)[Traits::kColumns],
                        std::index_sequence<kIndex...>) {
  ((entry[kIndex] = Entry < Traits, 0,
    static_cast<int>(kIndex) < Traits::kInfo.entries() ? static_cast<int>(kIndex) : 0 > (x)),
   ...);
}

// Table bytes 2i and 2i + 1 in 16-bit lanes, from the sums of two entries.
template <class Traits, int kPass>
HWY_INLINE V16 JoinEntries(V16 even, V16 odd) {
  const D16 d;
  const hn::Repartition<std::uint16_t, D16> du;
  constexpr int kShift = Traits::kShift;
  if constexpr (kPass == 0) {
    if constexpr (kShift != 8) odd = hn::ShiftLeft<8 - kShift>(odd);
    if constexpr (kShift != 8) even = hn::ShiftLeft<8 - kShift>(even);
    const V16 low = hn::BitCast(d, hn::ShiftRight<8>(hn::BitCast(du, even)));
    return hn::OrAnd(low, odd, hn::Set(d, static_cast<std::int16_t>(0xff00)));
  } else {  // the lower digit, less what was added to round the upper one
    const V16 digit = hn::Set(d, (1 << kShift) - 1);
    const V16 joined = hn::Or(hn::And(even, digit), hn::ShiftLeft<8>(hn::And(odd, digit)));
    constexpr int kCentre = kTableBias - (1 << (kShift - 1));
    return hn::BitCast(d, hn::Add(hn::BitCast(D8(), joined), hn::Set(D8(), static_cast<std::uint8_t>(kCentre))));
  }
}

// The lower halves of two tables in each block to both halves of the first, or the second: T[15 - i] = -T[i].
template <int kTable, class V>
HWY_INLINE V8 Mirror(V lower_halves, hn::Vec<DI8> sign) {
  const D8 d8;
  const DI8 di8;
  constexpr int k = 8 * kTable;
  const V8 where = hn::Dup128VecFromValues(d8, k, k + 1, k + 2, k + 3, k + 4, k + 5, k + 6, k + 7,  //
                                           k + 7, k + 6, k + 5, k + 4, k + 3, k + 2, k + 1, k);
  const V8 both = hn::TableLookupBytes(hn::BitCast(d8, lower_halves), where);
  return hn::BitCast(d8, hn::IfNegativeThenNegOrUndefIfZero(sign, hn::BitCast(di8, both)));
}

// Vectors of entries (lane = index) transposed to 16 bytes per index. Lane l of 16-byte block b stands for index
// `blocks * l + b`, so that whole vectors of consecutive tables leave.
template <class Traits, int kPass>
LUTRA_INLINE void StoreTables(const V16 (&entry)[Traits::kColumns], std::size_t first_chunk, const Destination& out) {
  const D8 d8;
  const D16 d16;
  const D32 d32;
  const hn::Repartition<std::int64_t, D8> d64;
  constexpr std::size_t kChunkBytes = TableBytes(Traits::kInfo), kBytes = 16 * kBlocks;
  const std::size_t chunks = out.chunks - first_chunk;
  std::uint8_t* to = out.to + first_chunk * out.stride;
  std::size_t at = 0;
  const auto store = [&](auto tables) HWY_ATTR {
    if (at / kChunkBytes < chunks) hn::Store(hn::BitCast(d8, tables), d8, to + at % kChunkBytes);
    at += kBytes;
    if (at % kChunkBytes == 0) to += out.stride;
  };
  constexpr std::size_t kQuads = Traits::kColumns / 4;
  auto sign = hn::Dup128VecFromValues(DI8(), 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1);
  StayInRegister(sign);  // for a negation under a mask, not one and a choice
  V32 quads[2][kQuads];  // entries 4i .. 4i + 3 of the lower, and of the upper four lanes of each block
  LUTRA_UNROLL
  for (std::size_t i = 0; i < kQuads; ++i) {
    const V16 even = JoinEntries<Traits, kPass>(entry[4 * i], entry[4 * i + 1]);
    const V16 odd = JoinEntries<Traits, kPass>(entry[4 * i + 2], entry[4 * i + 3]);
    quads[0][i] = hn::BitCast(d32, hn::InterleaveLower(d16, even, odd));
    quads[1][i] = hn::BitCast(d32, hn::InterleaveUpper(d16, even, odd));
  }
  LUTRA_UNROLL
  for (const auto& quad : quads) {
    const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d32, quad[0], quad[1]));
    const auto low23 = hn::BitCast(d64, hn::InterleaveUpper(d32, quad[0], quad[1]));
    if constexpr (kQuads == 4) {
      const auto high01 = hn::BitCast(d64, hn::InterleaveLower(d32, quad[2], quad[3]));
      const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d32, quad[2], quad[3]));
      store(hn::InterleaveLower(d64, low01, high01));
      store(hn::InterleaveUpper(d64, low01, high01));
      store(hn::InterleaveLower(d64, low23, high23));
      store(hn::InterleaveUpper(d64, low23, high23));
    } else {
      store(Mirror<0>(low01, sign));
      store(Mirror<1>(low01, sign));
      store(Mirror<0>(low23, sign));
      store(Mirror<1>(low23, sign));
    }
  }
}

// --- Slots of floats.

// A row of x.
struct Row : TableArgs {
  bool in_order;      // its elements are floats, in the order of the tables
  float inverse_rms;  // if it is normalized
};

// `count` floats of any type in a row.
HWY_INLINE void ConvertFloats(const void* from, DataType type, std::size_t count, float* to) {
  const DF df;
  std::size_t i = 0;
  for (; i + hn::Lanes(df) <= count; i += hn::Lanes(df)) hn::Store(LoadFloats(df, from, type, i), df, to + i);
  const hn::CappedTag<float, 1> d1;
  for (; i < count; ++i) hn::Store(LoadFloats(d1, from, type, i), d1, to + i);
}

// Elements begin, begin + 1, ... of x as floats; the integers of kInt8 if `raw`.
HWY_INLINE void LoadInRow(const Row& x, std::size_t begin, std::size_t count, bool raw, float* to) {
  if (x.type != DataType::kInt8) {
    return ConvertFloats(static_cast<const std::uint8_t*>(x.x) + begin * SizeOf(x.type), x.type, count, to);
  }
  const auto* from = static_cast<const std::int8_t*>(x.x) + begin;
  for (std::size_t i = 0; i < count;) {  // what shares a scale
    const std::size_t group = (begin + i) / x.scale_group;
    const std::size_t end = HWY_MIN(count - i, x.scale_group - (begin + i) % x.scale_group) + i;
    const float scale = raw ? 1.0f : x.scales[group];
    for (; i < end; ++i) to[i] = static_cast<float>(from[i]) * scale;
  }
}

// Elements order[begin], order[begin + 1], ... likewise.
inline HWY_NOINLINE void LoadInOrder(const Row& x, std::size_t begin, std::size_t count, bool raw, float* to) {
  const std::uint32_t* order = x.order + begin;
  if (x.type == DataType::kF32) {
    const auto* from = static_cast<const float*>(x.x);
    for (std::size_t i = 0; i < count; ++i) to[i] = from[order[i]];
  } else if (x.type == DataType::kInt8) {
    const auto* from = static_cast<const std::int8_t*>(x.x);
    const bool one_scale = x.scale_group >= x.geometry->k;
    for (std::size_t i = 0; i < count; ++i) {
      const float scale = raw ? 1.0f : x.scales[one_scale ? 0 : order[i] / x.scale_group];
      to[i] = static_cast<float>(from[order[i]]) * scale;
    }
  } else {
    const auto* from = static_cast<const std::uint16_t*>(x.x);
    std::uint16_t halves[kMaxSpans * kSpan];
    for (std::size_t i = 0; i < count; ++i) halves[i] = from[order[i]];
    ConvertFloats(halves, x.type, count, to);
  }
}

// (x * inverse_rms) * weight, of elements that were loaded. Whole vectors are stored, as they are loaded again at once.
inline HWY_NOINLINE void NormalizeLinear(const Row& x, std::size_t begin, std::size_t count, const float* loaded,
                                         float* linear) {
  const DF df;
  const float* weight = x.norm->weight;
  std::size_t i = 0;
  if (x.order != nullptr && weight != nullptr) {
    for (; i < count; ++i) linear[i] = loaded[i] * x.inverse_rms * weight[x.order[begin + i]];
    return;
  }
  const VF scale = hn::Set(df, x.inverse_rms);
  for (; i + hn::Lanes(df) <= count; i += hn::Lanes(df)) {
    VF scaled = hn::Mul(hn::LoadU(df, loaded + i), scale);
    if (weight != nullptr) scaled = hn::Mul(scaled, hn::LoadU(df, weight + begin + i));
    hn::Store(scaled, df, linear + i);
  }
  for (; i < count; ++i) {
    linear[i] = loaded[i] * x.inverse_rms;
    if (weight != nullptr) linear[i] *= weight[begin + i];
  }
}

// The next `count` elements from column `begin` of the tables as floats, zero up to `padded`.
HWY_INLINE void LoadLinear(const Row& x, std::size_t begin, std::size_t count, std::size_t padded, bool raw,
                           float* linear) {
  const float* loaded = linear;
  if (x.order != nullptr) {
    LoadInOrder(x, begin, count, raw, linear);
  } else if (x.norm != nullptr && x.in_order) {
    loaded = static_cast<const float*>(x.x) + begin;
  } else {
    LoadInRow(x, begin, count, raw, linear);
  }
  if (x.norm != nullptr) NormalizeLinear(x, begin, count, loaded, linear);
  for (std::size_t i = count; i < padded; ++i) linear[i] = 0.0f;
}

// `count` floats in threes to slots of four, zero up to `size`. What is stored of a vector v of slots, from element i
// on, is adjust(v, i, load), where `load` loads other floats as slots. Reads kBlocks floats beyond a last vector's.
template <class Adjust>
HWY_INLINE void Spread(const float* linear, std::size_t count, std::size_t size, float* slots, const Adjust& adjust) {
  const DF df;
  const D32 d32;
  constexpr std::size_t kTaken = 3 * kBlocks;
  HWY_ALIGN std::int32_t lanes[kLanesF];
  for (std::size_t i = 0; i < kLanesF; ++i) lanes[i] = static_cast<std::int32_t>(i / 4 * 3 + i % 4);
  V32 from = hn::Load(d32, lanes);
  StayInRegister(from);  // clang would expand, in two shuffles, what one permutes
  const auto where = hn::IndicesFromVec(df, from);
  const V32 used = hn::Dup128VecFromValues(d32, -1, -1, -1, 0);
  const auto load = [&](const float* at) HWY_ATTR { return hn::TableLookupLanes(hn::LoadU(df, at), where); };
  const auto spread = [&](std::size_t i, V32 lanes_used) HWY_ATTR {
    const VF slot = adjust(load(linear + i), i, load);
    hn::Store(hn::IfThenElseZero(hn::MaskFromVec(hn::BitCast(df, lanes_used)), slot), df, slots);
    slots += kLanesF;
  };
  float* const end = slots + size;
  std::size_t i = 0;
  for (; i + kTaken <= count; i += kTaken) spread(i, used);
  if (i < count) {
    const V32 left = hn::Set(d32, static_cast<std::int32_t>(count - i));
    spread(i, hn::And(used, hn::VecFromMask(d32, hn::Lt(from, left))));
  }
  VF zero = hn::Zero(df);
  StayInRegister(zero);  // no call of memset, whose narrower stores would delay loads
  for (; slots != end; slots += kLanesF) hn::Store(zero, df, slots);
}

// The slots of a block: in x itself, or copied. `copy`: to `buffer` in any case.
template <class Traits>
HWY_INLINE const float* LoadSlots(const Row& x, std::size_t begin, std::size_t count, std::size_t size, bool raw,
                                  bool copy, float* buffer) {
  const auto* in_x = static_cast<const float*>(x.x) + begin;
  if constexpr (!Traits::kInfo.mirrored()) {
    if (x.in_order && x.norm == nullptr && count == size && !copy) return in_x;
    LoadLinear(x, begin, count, size, raw, buffer);
  } else {
    const std::size_t read = (count + 3 * kBlocks - 1) / (3 * kBlocks) * (3 * kBlocks) + kBlocks;
    HWY_ALIGN float linear[kMaxSpans * kSpan];
    const bool from_x = x.in_order && begin + read <= x.geometry->k;
    if (!from_x) LoadLinear(x, begin, count, read, raw, linear);
    if (!from_x || x.norm == nullptr) {
      Spread(from_x ? in_x : linear, count, size, buffer, [](VF v, std::size_t, const auto&) HWY_ATTR { return v; });
    } else {  // as NormalizeLinear; not from its output, as loads that overlap two stores wait for both
      const float* weight = x.norm->weight;
      Spread(in_x, count, size, buffer, [&](VF v, std::size_t i, const auto& load) HWY_ATTR {
        v = hn::Mul(v, hn::Set(DF(), x.inverse_rms));
        return weight == nullptr ? v : hn::Mul(v, load(weight + begin + i));
      });
    }
  }
  return buffer;
}

// The bits of the largest magnitude; at least those of infinity if an element is not finite.
HWY_INLINE std::int32_t LargestBits(const float* from, std::size_t count) {
  const D32 d;
  V32 largest = hn::Zero(d);
  for (std::size_t i = 0; i < count; i += hn::Lanes(d)) {
    const V32 bits = hn::BitCast(d, hn::LoadU(DF(), from + i));
    largest = hn::Max(largest, hn::And(bits, hn::Set(d, 0x7fffffff)));
  }
  return hn::ReduceMax(d, largest);
}

using D4 = hn::FixedTag<std::int32_t, 4>;

// Lane i: the largest of lane i of all 16-byte blocks.
template <class V>
HWY_INLINE hn::Vec<D4> LargestOfBlocks(V v) {
  if constexpr (sizeof(V) == sizeof(hn::Vec<D4>)) {
    return v;
  } else {
    const hn::Half<hn::DFromV<V>> half;
    return LargestOfBlocks(hn::Max(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// The bits of the largest sum of |x| over a slot, in each run of a span.
HWY_INLINE hn::Vec<D4> LargestSums(const float* span) {
  const DF df;
  const D32 d32;
  const hn::Repartition<std::int64_t, D32> d64;
  V32 largest = hn::Zero(d32);
  for (std::size_t i = 0; i < kVectorsPerRun; ++i, span += kLanesF) {
    VF run[kRunsPerSpan];
    LUTRA_UNROLL
    for (std::size_t r = 0; r < kRunsPerSpan; ++r) {
      run[r] = hn::Abs(hn::LoadU(df, span + r * kVectorsPerRun * kLanesF));
    }
    const VF half01 = hn::Add(hn::InterleaveLower(df, run[0], run[1]), hn::InterleaveUpper(df, run[0], run[1]));
    const VF half23 = hn::Add(hn::InterleaveLower(df, run[2], run[3]), hn::InterleaveUpper(df, run[2], run[3]));
    const auto pair01 = hn::BitCast(d64, half01), pair23 = hn::BitCast(d64, half23);
    const VF sums = hn::Add(hn::BitCast(df, hn::InterleaveLower(d64, pair01, pair23)),
                            hn::BitCast(df, hn::InterleaveUpper(d64, pair01, pair23)));
    largest = hn::Max(largest, hn::BitCast(d32, sums));
  }
  return LargestOfBlocks(largest);
}

// Scales a block of very small or very large x by a power of two, so that nothing below under- or overflows. Returns
// what to multiply results with.
constexpr bool IsModerate(std::int32_t bits) { return bits == 0 || ((bits >> 23) >= 127 - 60 && (bits >> 23) <= 187); }
HWY_INLINE float Normalize(std::int32_t largest_bits, std::size_t count, float* slots) {
  if (IsModerate(largest_bits)) return 1.0f;
  const bool small = (largest_bits >> 23) < 127;
  const float up = 0x1p90f, down = 0x1p-90f;
  for (std::size_t i = 0; i < count; ++i) slots[i] *= small ? up : down;
  return small ? down : up;
}

// --- Blocks.

// A block on its way: its slots, and what its runs are rounded with.
struct BlockOfX {
  HWY_ALIGN float buffer[kMaxSpans * kSpan];
  HWY_ALIGN float inverse[kMaxRunsPerBlock];       // integers = x * inverse
  HWY_ALIGN std::int32_t ratio[kMaxRunsPerBlock];  // in 16 bits, twice
  const float* slots;
  bool finite;
};

// The integer nearest to x * inverse, which is below 2^22, plus kMagicBits: its lower 16 bits are the integer's.
HWY_INLINE V32 RoundSmall(VF x, VF inverse) { return hn::BitCast(D32(), Fma(x, inverse, hn::Set(DF(), kMagic))); }

// 8 vectors of slots to the integers of weight j of as many indices as there are 16-bit lanes, in the order of
// StoreTables; adds ratio * integers to `total`.
LUTRA_INLINE void RoundVectors(const BlockOfX& block, std::size_t first_vector, V16 (&x)[4], V32& total) {
  const DF df;
  const D16 d16;
  const D32 d32;
  const hn::Repartition<std::int64_t, D32> d64;
  static_assert(kVectorsPerRun % 2 == 0);
  const float* slots = block.slots + first_vector * kLanesF;
  V32 pairs[4];  // lanes of 32 bits: the integers of vectors 2i and 2i + 1
  LUTRA_UNROLL
  for (std::size_t i = 0; i < 4; ++i, slots += 2 * kLanesF) {
    const std::size_t run = (first_vector + 2 * i) / kVectorsPerRun;
    const VF inverse = hn::Set(df, block.inverse[run]);
    const V32 even = RoundSmall(hn::LoadU(df, slots), inverse);
    const V32 odd = RoundSmall(hn::LoadU(df, slots + kLanesF), inverse);
    const V16 pair = hn::OddEven(hn::BitCast(d16, hn::ShiftLeft<16>(odd)), hn::BitCast(d16, even));
    const V16 ratio = hn::BitCast(d16, hn::Set(d32, block.ratio[run]));
    total = hn::Add(total, hn::WidenMulPairwiseAdd(d32, pair, ratio));
    pairs[i] = hn::BitCast(d32, pair);
  }
  const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d32, pairs[0], pairs[1]));
  const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d32, pairs[2], pairs[3]));
  const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d32, pairs[0], pairs[1]));
  const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d32, pairs[2], pairs[3]));
  x[0] = hn::BitCast(d16, hn::InterleaveLower(d64, low01, low23));
  x[1] = hn::BitCast(d16, hn::InterleaveUpper(d64, low01, low23));
  x[2] = hn::BitCast(d16, hn::InterleaveLower(d64, high01, high23));
  x[3] = hn::BitCast(d16, hn::InterleaveUpper(d64, high01, high23));
}

// Tables of a block of slots. Returns the sum of ratio * integers.
template <class Traits>
HWY_INLINE std::int32_t BuildTables(const BlockOfX& block, const Destination& out) {
  const D16 d16;
  const D32 d32;
  constexpr std::size_t kChunks = 8 * kLanesF / kChunkSlots;  // at a time
  V32 total = hn::Zero(d32);
  for (std::size_t chunk = 0; chunk < out.chunks; chunk += kChunks) {
    V16 x[4], operands[Traits::kG + 1], entry[Traits::kColumns];
    RoundVectors(block, chunk * kChunkSlots / kLanesF, x, total);
    LUTRA_UNROLL
    for (std::size_t j = 0; j < Traits::kG; ++j) operands[j] = x[j];
    operands[Traits::kG] = Traits::kExact || Traits::kInfo.mirrored() ? x[0] : hn::Add(x[0], hn::Set(d16, 1));
    Entries<Traits>(operands, entry, std::make_index_sequence<Traits::kColumns>());
    StoreTables<Traits, 0>(entry, chunk, out);
    if constexpr (Traits::kExact) {
      StoreTables<Traits, 1>(entry, chunk, {out.to + out.chunks * out.stride, out.stride, out.chunks});
    }
  }
  return hn::ReduceSum(d32, total);
}

// Integers of a block of slots. Returns their sum.
template <class Traits>
HWY_INLINE std::int32_t BuildIntegers(const BlockOfX& block, const Destination& out) {
  const DF df;
  const D32 d32;
  const hn::Rebind<std::int8_t, DF> d8;
  constexpr int kShift = Traits::kShift;
  const VF inverse = hn::Set(df, block.inverse[0]);
  V32 total = hn::Zero(d32);
  for (std::size_t i = 0; i < out.chunks * kChunkSlots; i += kLanesF) {
    const V32 q = hn::Sub(RoundSmall(hn::LoadU(df, block.slots + i), inverse), hn::Set(d32, kMagicBits));
    total = hn::Add(total, q);
    auto* to = reinterpret_cast<std::int8_t*>(out.to + i / kChunkSlots * out.stride + i % kChunkSlots);
    if constexpr (Traits::kExact) {
      const V32 upper = hn::ShiftRight<kShift>(hn::Add(q, hn::Set(d32, 1 << (kShift - 1))));
      hn::StoreU(hn::DemoteTo(d8, upper), d8, to);
      hn::StoreU(hn::DemoteTo(d8, hn::Sub(q, hn::ShiftLeft<kShift>(upper))), d8, to + out.chunks * out.stride);
    } else {
      hn::StoreU(hn::DemoteTo(d8, q), d8, to);
    }
  }
  return hn::ReduceSum(d32, total);
}

// The ratios of the runs of a block, from the bits of their largest sums and the largest of all.
HWY_INLINE void SetRatios(const std::int32_t* run_bits, float largest, std::size_t spans, BlockOfX& block,
                          BlockScale& out) {
  const D4 d4;
  const hn::Rebind<float, D4> f4;
  const hn::Rebind<std::uint16_t, D4> h4;
  const float units = largest > 0.0f ? kMaxRatio / largest : 0.0f;
  const auto most = hn::Set(f4, float{kMaxRatio});
  for (std::size_t run = 0; run < spans * kRunsPerSpan; run += kRunsPerSpan) {
    const auto sums = hn::BitCast(f4, hn::Load(d4, run_bits + run));
    const auto ratio = hn::Min(hn::Max(hn::Set(f4, 1.0f), hn::Ceil(hn::Mul(sums, hn::Set(f4, units)))), most);
    const auto r = hn::ConvertTo(d4, ratio);
    const auto twice = hn::Or(r, hn::ShiftLeft<16>(r));
    hn::Store(hn::Div(hn::Set(f4, units * (kFine * 127.0f)), ratio), f4, block.inverse + run);
    hn::Store(twice, d4, block.ratio + run);
    hn::Store(hn::Or(twice, hn::ShiftLeft<8>(twice)), d4, reinterpret_cast<std::int32_t*>(out.quad + run));
    hn::StoreU(hn::DemoteTo(h4, r), h4, reinterpret_cast<std::uint16_t*>(out.pair + run / 2));
  }
}

// The upper 22 of its 24 bits (Veltkamp), so that its product with kMagic is a float.
HWY_INLINE float Upper22Bits(float value) {
  const float shifted = value * 5.0f;
  return shifted - (shifted - value);
}

// Finds how the runs of block b are rounded.
template <class Traits>
HWY_INLINE void MeasureBlock(const Row& x, std::size_t b, BlockOfX& block, BlockScale& out) {
  const Geometry& g = *x.geometry;
  const std::size_t begin = g.begin(b), count = g.end(b) - begin;
  const std::size_t spans = (g.extent(b).chunks * kChunkSlots + kSpan - 1) / kSpan, size = spans * kSpan;
  // int8 under one scale, the row's or, unless an order mixes them, a group's: its integers are used as they are,
  // unless tables round them.
  const std::size_t last = begin + count - 1;
  const bool one_scale = x.scale_group >= g.k || (x.order == nullptr && begin / x.scale_group == last / x.scale_group);
  const bool raw = !Traits::kRatios && x.type == DataType::kInt8 && one_scale && x.norm == nullptr;
  HWY_ALIGN std::int32_t run_bits[kMaxRunsPerBlock];
  const auto largest_bits = [&](const float* slots) HWY_ATTR {
    if (!Traits::kRatios) return LargestBits(slots, size);
    auto largest = hn::Zero(D4());
    for (std::size_t span = 0; span < spans; ++span) {
      const auto sums = LargestSums(slots + span * kSpan);
      hn::Store(sums, D4(), run_bits + span * kRunsPerSpan);
      largest = hn::Max(largest, sums);
    }
    return hn::ReduceMax(D4(), largest);
  };
  block.slots = LoadSlots<Traits>(x, begin, count, size, raw, false, block.buffer);
  block.finite = true;
  std::int32_t bits = largest_bits(block.slots);
  float restore = 1.0f;
  if (!IsModerate(bits)) {
    block.slots = LoadSlots<Traits>(x, begin, count, size, raw, true, block.buffer);
    const std::int32_t largest_x = LargestBits(block.slots, size);
    block.finite = largest_x < 0x7f800000;
    restore = Normalize(largest_x, size, block.buffer);
    bits = largest_bits(block.slots);
  }
  float largest;
  std::memcpy(&largest, &bits, sizeof(largest));
  // The integers are finite, what they stand for may not be.
  if (raw) block.finite = std::fabs(largest * x.scales[begin / x.scale_group]) <= kFloatMax;
  if constexpr (Traits::kRatios) {
    SetRatios(run_bits, largest, spans, block, out);
    out.scale = Upper22Bits(largest / (127.0f * kMaxRatio) * restore);
    out.offset = -kMagic * out.scale;
    // From 2.6e34 on in x: no number, on any target.
    if (out.offset < -kFloatMax) out.scale = out.offset = std::numeric_limits<float>::quiet_NaN();
  } else {
    const float inverse = raw ? 1.0f : largest > 0.0f ? Traits::kLimit / largest : 0.0f;
    for (std::size_t r = 0; r < kMaxRunsPerBlock; ++r) {
      block.inverse[r] = inverse;
      block.ratio[r] = 0x00010001;
      out.quad[r] = 0x01010101u;
      out.pair[r / 2] = 0x00010001u;
    }
    out.scale = raw ? x.scales[begin / x.scale_group] : largest / Traits::kLimit * restore;
    out.offset = 0.0f;
  }
}

template <class Traits>
HWY_INLINE void BuildBlock(const BlockOfX& block, const Destination& to, BlockScale& out) {
  std::int32_t total;
  if constexpr (Traits::kInfo.looks_up()) {
    total = BuildTables<Traits>(block, to);
  } else {
    total = BuildIntegers<Traits>(block, to);
  }
  constexpr int kEach = Traits::kRatios ? kFine : 1;  // integers in a unit of the scale
  out.total = (total + kEach / 2) >> (Traits::kRatios ? Traits::kShift : 0);
  const float sum = static_cast<float>(total) * (1.0f / kEach) * out.scale;
  out.sum = HWY_MIN(HWY_MAX(sum, -kFloatMax), kFloatMax);
}

// 1 / sqrt(mean of squares + epsilon) of a row, to the bit what ReferenceRmsNorm takes: squares are exact in double,
// 32 sums have a fixed order, and several are on their way in each vector.
inline HWY_NOINLINE float InverseRms(const Row& x) {
  constexpr std::size_t kSums = 32, kPiece = 128;
  const hn::Repartition<double, DF> d;
  const hn::Rebind<float, decltype(d)> df;
  constexpr std::size_t kLanes = hn::MaxLanes(d);
  HWY_ALIGN float piece[kPiece];
  HWY_ALIGN double lanes[kSums];
  hn::Vec<decltype(d)> sums[kSums / kLanes];
  LUTRA_UNROLL
  for (auto& sum : sums) sum = hn::Zero(d);
  for (std::size_t begin = 0; begin < x.geometry->k; begin += kPiece) {
    const std::size_t count = HWY_MIN(kPiece, x.geometry->k - begin);
    const float* from = static_cast<const float*>(x.x) + begin;
    if (x.type != DataType::kF32 || count < kPiece) {
      LoadInRow(x, begin, count, false, piece);
      for (std::size_t i = count; i < kPiece; ++i) piece[i] = 0.0f;
      from = piece;
    }
    for (std::size_t i = 0; i < kPiece; i += kSums) {
      LUTRA_UNROLL
      for (std::size_t v = 0; v < kSums / kLanes; ++v) {
        const auto value = hn::PromoteTo(d, hn::LoadU(df, from + i + v * kLanes));
        sums[v] = hn::MulAdd(value, value, sums[v]);
      }
    }
  }
  for (std::size_t v = 0; v < kSums / kLanes; ++v) hn::Store(sums[v], d, lanes + v * kLanes);
  for (std::size_t width = kSums / 2; width != 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  const double mean = lanes[0] / static_cast<double>(x.geometry->k);
  return static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(x.norm->epsilon)));
}

// The rows of a group alternate block by block, in the order in which memory is written. Several blocks are on their
// way at a time, as there is a long wait from the largest value of a block to its first integer.
template <Prepared kPrepared, Precision kPrecision>
bool BuildGroup(const TableArgs& a) {
  using Traits = TableTraits<kPrepared, kPrecision>;
  constexpr std::size_t kBytes = TableBytes(Traits::kInfo);
  const Geometry& g = *a.geometry;
  BlockOfX blocks[kGroupRows];
  Row row[kGroupRows];
  for (std::size_t n = 0; n < HWY_MIN(a.rows, kGroupRows); ++n) {  // g++ warns of more rows than there are
    row[n] = {a, a.type == DataType::kF32 && a.order == nullptr, 1.0f};
    row[n].x = static_cast<const std::uint8_t*>(a.x) + n * a.x_stride;
    if (a.scales != nullptr) row[n].scales += n * a.scale_stride;
    if (a.norm != nullptr) row[n].inverse_rms = InverseRms(row[n]);
  }
  std::uint8_t* tables = a.tables;
  BlockScale* scales = a.block_scales;
  bool finite = true;
  for (std::size_t first = 0; first < g.blocks && finite;) {
    const std::size_t end = HWY_MIN(g.blocks, first + kGroupRows / a.rows);
    BlockOfX* block = blocks;
    for (std::size_t b = first, i = 0; b < end; ++b) {
      for (std::size_t n = 0; n < a.rows; ++n, ++i, ++block) {
        MeasureBlock<Traits>(row[n], b, *block, scales[i]);
        finite = finite && block->finite;
      }
    }
    block = blocks;
    for (; first < end && finite; ++first) {
      const std::size_t chunks = g.extent(first).chunks, stride = a.rows * kBytes;
      for (std::size_t n = 0; n < a.rows; ++n, ++block) {
        BuildBlock<Traits>(*block, {tables + n * kBytes, stride, chunks}, *scales++);
      }
      tables += chunks * Traits::kPasses * stride;
    }
  }
  return finite;
}

template <Prepared kPrepared, Precision kPrecision>
constexpr TableKernel TableRow() {
  return {kPrepared, kPrecision, &BuildGroup<kPrepared, kPrecision>};
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
