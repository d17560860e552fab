// Builds the sum tables of x: one K-block of one row, by additions and subtractions of 16-bit integers.
//
// x is first rounded to integers: kInt8 to 1/256 of a table step, kInt16 to integers up to ExactLimit. The sums of
// these integers are exact; under kInt8 they are then rounded to entries of 8 bits.
#if defined(LUTRA_KERNELS_PREPARE_SUM_TABLES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PREPARE_SUM_TABLES_INL_H_
#undef LUTRA_KERNELS_PREPARE_SUM_TABLES_INL_H_
#else
#define LUTRA_KERNELS_PREPARE_SUM_TABLES_INL_H_
#endif

#include <utility>

#include "lutra/kernels/prepare/traits-inl.h"
#include "lutra/layout/encodings.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Entry kIndex of one table in each lane: the sum over weights kWeight and above. x[0] to x[kG - 1] are the integers of
// the g weights; x[kG] is subtracted instead of x[0]. Under kInt8, x[kG] = x[0] + 1, so that ties are rounded up in
// half of the entries and down in the others. Otherwise the errors of the lookups of a row would add up.
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

// All entries that are computed for the tables of all lanes; entry[i] has entry i.
template <class Traits, std::size_t... kIndex>
HWY_INLINE void Entries(const V16 (&x)[Traits::kG + 1], V16 (&entry)[Traits::kColumns],
                        std::index_sequence<kIndex...>) {
  ((entry[kIndex] = Entry < Traits, 0,
    static_cast<int>(kIndex) < Traits::kInfo.entries ? static_cast<int>(kIndex) : 0 > (x)),
   ...);
}

// Joins the sums of two entries, rounded to bytes, in 16-bit lanes: `even` in the lower byte, `odd` in the upper one.
template <class Traits, int kLimb>
HWY_INLINE V16 JoinEntries(V16 even, V16 odd) {
  const D16 d;
  const hn::Repartition<std::uint16_t, D16> du;
  constexpr int kShift = Traits::kShift;
  if constexpr (kLimb == 0) {
    if constexpr (kShift != 8) odd = hn::ShiftLeft<8 - kShift>(odd);
    if constexpr (kShift != 8) even = hn::ShiftLeft<8 - kShift>(even);
    const V16 low = hn::BitCast(d, hn::ShiftRight<8>(hn::BitCast(du, even)));
    return hn::OrAnd(low, odd, hn::Set(d, static_cast<std::int16_t>(0xff00)));
  } else {  // the lower limb, without the half step that rounded the upper limb
    const V16 limb_mask = hn::Set(d, (1 << kShift) - 1);
    const V16 joined = hn::Or(hn::And(even, limb_mask), hn::ShiftLeft<8>(hn::And(odd, limb_mask)));
    constexpr int kCentre = kTableBias - (1 << (kShift - 1));
    return hn::BitCast(d, hn::Add(hn::BitCast(D8(), joined), hn::Set(D8(), static_cast<std::uint8_t>(kCentre))));
  }
}

// Completes a table from its lower half: T[15 - i] = -T[i]. Each 16-byte lane has the lower halves of two tables;
// kTable selects one of them.
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

// Transposes entries to tables of 16 bytes and stores them. entry[i] has entry i of one table in each 16-bit lane. Lane
// l of 16-byte lane b belongs to table `kQuadsPerVector * l + b`, so that whole vectors hold consecutive tables.
template <class Traits, int kLimb>
LUTRA_INLINE void StoreTables(const V16 (&entry)[Traits::kColumns], std::size_t first_chunk, const Destination& out) {
  const D8 d8;
  const D16 d16;
  const D32 d32;
  const hn::Repartition<std::int64_t, D8> d64;
  constexpr std::size_t kChunkBytes = Traits::kInfo.chunk_bytes, kBytes = 16 * kQuadsPerVector;
  const std::size_t chunks = out.chunks - first_chunk;
  std::uint8_t* to = out.to + first_chunk * out.stride;
  std::size_t at = 0;
  const auto store = [&](auto tables) HWY_ATTR {
    if (at / kChunkBytes < chunks) hn::Store(hn::BitCast(d8, tables), d8, to + at % kChunkBytes);
    at += kBytes;
    if (at % kChunkBytes == 0) to += out.stride;
  };
  constexpr std::size_t kTableQuads = Traits::kColumns / 4;
  auto sign = hn::Dup128VecFromValues(DI8(), 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1);
  StayInRegister(sign);       // otherwise the compiler negates and then blends, instead of negating under a mask
  V32 quads[2][kTableQuads];  // entries 4i .. 4i + 3, of the lower and of the upper four lanes of each 16-byte lane
  LUTRA_UNROLL
  for (std::size_t i = 0; i < kTableQuads; ++i) {
    const V16 even = JoinEntries<Traits, kLimb>(entry[4 * i], entry[4 * i + 1]);
    const V16 odd = JoinEntries<Traits, kLimb>(entry[4 * i + 2], entry[4 * i + 3]);
    quads[0][i] = hn::BitCast(d32, hn::InterleaveLower(d16, even, odd));
    quads[1][i] = hn::BitCast(d32, hn::InterleaveUpper(d16, even, odd));
  }
  LUTRA_UNROLL
  for (const auto& quad : quads) {
    const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d32, quad[0], quad[1]));
    const auto low23 = hn::BitCast(d64, hn::InterleaveUpper(d32, quad[0], quad[1]));
    if constexpr (kTableQuads == 4) {
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

// Rounds 8 vectors of quads, from vector `first_vector` on, to integers. x[j] gets the integers of weight j: one table
// in each 16-bit lane, as StoreTables takes them. Adds ratio * integers to `total`.
LUTRA_INLINE void RoundVectors(const BlockOfX& block, std::size_t first_vector, V16 (&x)[4], V32& total) {
  const DF df;
  const D16 d16;
  const D32 d32;
  const hn::Repartition<std::int64_t, D32> d64;
  static_assert(kVectorsPerRun % 2 == 0);
  const float* quads = block.quads + first_vector * kLanesF;
  V32 pairs[4];  // lanes of 32 bits: the integers of vectors 2i and 2i + 1
  LUTRA_UNROLL
  for (std::size_t i = 0; i < 4; ++i, quads += 2 * kLanesF) {
    const std::size_t run = (first_vector + 2 * i) / kVectorsPerRun;
    const VF inverse = hn::Set(df, block.inverse[run]);
    const V32 even = RoundSmall(hn::LoadU(df, quads), inverse);
    const V32 odd = RoundSmall(hn::LoadU(df, quads + kLanesF), inverse);
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

// Builds the tables of a K-block of quads. Returns the sum of ratio * integers.
template <class Traits>
HWY_INLINE std::int32_t BuildTables(const BlockOfX& block, const Destination& out) {
  const D16 d16;
  const D32 d32;
  constexpr std::size_t kChunks = 8 * kLanesF / kChunkFloats;  // chunks at a time: the 8 vectors of RoundVectors
  V32 total = hn::Zero(d32);
  for (std::size_t chunk = 0; chunk < out.chunks; chunk += kChunks) {
    V16 x[4], operands[Traits::kG + 1], entry[Traits::kColumns];
    RoundVectors(block, chunk * kChunkFloats / kLanesF, x, total);
    LUTRA_UNROLL
    for (std::size_t j = 0; j < Traits::kG; ++j) operands[j] = x[j];
    operands[Traits::kG] = Traits::kExact || Traits::kMirrored ? x[0] : hn::Add(x[0], hn::Set(d16, 1));
    Entries<Traits>(operands, entry, std::make_index_sequence<Traits::kColumns>());
    StoreTables<Traits, 0>(entry, chunk, out);
    if constexpr (Traits::kExact) {
      StoreTables<Traits, 1>(entry, chunk, {out.to + out.chunks * out.stride, out.stride, out.chunks});
    }
  }
  return hn::ReduceSum(d32, total);
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
