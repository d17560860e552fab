// Joint K-blocks (layout/joint.h) in the dot micro-kernels: the integer sums of groups times their integer scales,
// added up in 32 bits, and their flush to floats.
//
//     run     16-bit or 32-bit sums of the products of some chunks of one group, in the lanes of the Dot
//     part    the sum of the runs of a joint run, each times the scale of its group
//     total   the sum of all parts, each times the ratio of x
#if defined(LUTRA_KERNELS_JOINT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_JOINT_INL_H_
#undef LUTRA_KERNELS_JOINT_INL_H_
#else
#define LUTRA_KERNELS_JOINT_INL_H_
#endif

#include "lutra/kernels/flush-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// The scale of row n of x.
HWY_INLINE const JointScale& JointScaleOf(const MicroArgs& a, std::size_t n) {
  return reinterpret_cast<const JointScale*>(a.scales)[n];
}

// Words of 32 bits from which the runs that begin at a chunk start, [row of x][chunk]: for pairs of 16-bit lanes the
// starts of both, otherwise their sum.
template <class Dot, int kRows>
class JointStarts {
 public:
  // Runs have `run_chunks` chunks: 1, 2 or 4. A start is start_per_x times the sum of x.
  HWY_INLINE JointStarts(const MicroArgs& a, std::int32_t start_per_x, std::size_t run_chunks) {
    const hn::CappedTag<std::int32_t, kJointChunks> d32;
    const hn::Repartition<std::int16_t, decltype(d32)> d16;
    const auto start = hn::Set(d16, static_cast<std::int16_t>(start_per_x));
    for (std::size_t i = 0; i < kRows * kJointChunks; i += hn::Lanes(d32)) {
      const auto* sums = JointScaleOf(a, i / kJointChunks).chunk_sums[i % kJointChunks];
      auto words = Times(hn::Load(d16, sums), start);
      if (run_chunks >= 2) words = Add(words, hn::Shuffle2301(words));
      if (run_chunks >= 4) words = Add(words, hn::Shuffle1032(words));
      hn::Store(words, d32, words_ + i);
    }
  }
  HWY_INLINE V32 Of(std::size_t n, std::size_t chunk) const { return hn::Set(D32(), words_[n * kJointChunks + chunk]); }

 private:
  static constexpr bool kPairs = Dot::kJoint == JointForm::kPairs;
  template <class V>
  static HWY_INLINE auto Times(V sums, V start) {
    const hn::Repartition<std::int32_t, hn::DFromV<V>> d32;
    if constexpr (kPairs) {
      return hn::BitCast(d32, hn::Mul(sums, start));
    } else {
      return hn::WidenMulPairwiseAdd(d32, sums, start);
    }
  }
  template <class V>
  static HWY_INLINE V Add(V a, V b) {
    const hn::Repartition<std::int16_t, hn::DFromV<V>> d16;
    if constexpr (kPairs) return hn::BitCast(hn::DFromV<V>(), hn::Add(hn::BitCast(d16, a), hn::BitCast(d16, b)));
    return hn::Add(a, b);
  }
  HWY_ALIGN std::int32_t words_[kRows * kJointChunks];
};

// The first sums of a run, from a word of JointStarts.
template <class Dot>
HWY_INLINE typename Dot::Sum StartJoint([[maybe_unused]] V32 start) {
  if constexpr (Dot::kJoint == JointForm::kPairs) return hn::BitCast(D16(), start);
  if constexpr (Dot::kJoint == JointForm::kWords) return start;
  if constexpr (Dot::kJoint == JointForm::kWidened) return Dot::Zero();
}

// Signed bytes of the rows from `row` on, in 32 bits.
HWY_INLINE V32 LoadSignedBytes(const std::uint8_t* from, std::size_t row) {
  const hn::Rebind<std::int8_t, D32> d8;
  return hn::PromoteTo(D32(), hn::LoadU(d8, reinterpret_cast<const std::int8_t*>(from) + row));
}
// The scales of a group for the rows from `row` on, from the group's bytes: in 32 bits, or twice in 16 bits (kPairs).
// `scale_bits`: the bits of a byte that are the scale.
template <bool kPairs>
HWY_INLINE V32 LoadJointScale(std::int32_t scale_bits, const std::uint8_t* group, std::size_t row) {
  const V32 scale = hn::And(LoadSignedBytes(group, row), hn::Set(D32(), scale_bits));
  if constexpr (kPairs) return hn::BitCast(D32(), hn::DupEven(hn::BitCast(D16(), scale)));
  return scale;
}

// The scales of the group of a packed K-block: from the group's bytes if the kernel reads groups, else from qparams.
template <class Dot, int kRows>
class JointScales {
 public:
  HWY_INLINE JointScales(const KBlock& b, const GroupReader* reader) : words_(b.qparams) {
    if (kRows > kMaxJointReadingRows || reader == nullptr) return;
    const QparamArgs& a = *reader->args;
    bytes_ = b.index - a.group_bytes;
    scale_bits_ = a.scale_bits;
    for (std::size_t i = 0; i < a.group_bytes; i += 64) b.Prefetch(bytes_ + i);
  }
  HWY_INLINE V32 Of(std::size_t row) const {
    if (kRows > kMaxJointReadingRows || bytes_ == nullptr) return hn::BitCast(D32(), hn::Load(DF(), words_ + row));
    return LoadJointScale<Dot::kJoint == JointForm::kPairs>(scale_bits_, bytes_, row);
  }

 private:
  const float* words_;
  const std::uint8_t* bytes_ = nullptr;
  std::int32_t scale_bits_ = 0;
};

// part + run * scale. `scale` is a word of qparams.
template <class Dot>
HWY_INLINE V32 AddScaled(V32 part, const typename Dot::Sum& run, [[maybe_unused]] V32 start, V32 scale) {
  if constexpr (Dot::kJoint == JointForm::kPairs) {
    return hn::Add(part, hn::WidenMulPairwiseAdd(D32(), run, hn::BitCast(D16(), scale)));
  }
  if constexpr (Dot::kJoint == JointForm::kWords) return hn::Add(part, hn::Mul(run, scale));
  if constexpr (Dot::kJoint == JointForm::kWidened) return hn::Add(part, hn::Mul(Dot::Widen(start, run), scale));
}

// Adds a run of one group: kVectors vectors of rows of W times kRows rows of x. `scale_of` gives the scales of a
// vector.
template <class Dot, int kVectors, int kRows, std::size_t kSums, class ScaleOf>
LUTRA_INLINE void AddJointRun(const typename Dot::Sum (&run)[kSums], const JointStarts<Dot, kRows>& starts,
                              std::size_t chunk, V32* parts, const ScaleOf& scale_of) {
  static_assert(kSums == kVectors * kRows);
  LUTRA_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    const V32 scale = scale_of(v);
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n) {
      const int i = v * kRows + n;
      parts[i] = AddScaled<Dot>(parts[i], run[i], starts.Of(static_cast<std::size_t>(n), chunk), scale);
    }
  }
}

// Adds the parts of a joint run to the totals, [vector][row of x].
template <int kVectors, int kRows>
LUTRA_INLINE void AddJointParts(const MicroArgs& a, std::size_t run, const V32* parts, V32* totals) {
  LUTRA_UNROLL
  for (int n = 0; n < kRows; ++n) {
    const V32 ratio = hn::Set(D32(), JointScaleOf(a, static_cast<std::size_t>(n)).ratio[run]);
    LUTRA_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      totals[v * kRows + n] = hn::Add(totals[v * kRows + n], hn::Mul(parts[v * kRows + n], ratio));
    }
  }
}
template <int kSums>
LUTRA_INLINE void SetZero(V32 (&sums)[kSums]) {
  LUTRA_UNROLL
  for (V32& sum : sums) sum = hn::Zero(D32());
}

// tile += super_group * (of_x * sum). `super_group` has a float for each row of W, of_x(n) is that of row n of x.
template <int kVectors, int kRows, class RowOf, class OfX>
LUTRA_INLINE void FlushSums(const MicroArgs& a, const float* super_group, const V32* sums, const RowOf& row_of,
                            const OfX& of_x) {
  const DF df;
  LUTRA_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    const VF scale = hn::Load(df, super_group + row_of(v));
    LUTRA_UNROLL
    for (int n = 0; n < kRows; ++n) {
      float* to = a.tile + n * static_cast<int>(kPanelRows) + row_of(v);
      const VF sum = hn::Mul(hn::ConvertTo(df, sums[v * kRows + n]), hn::Set(df, of_x(static_cast<std::size_t>(n))));
      hn::Store(Fma(scale, sum, hn::Load(df, to)), df, to);
    }
  }
}
// Flushes totals: super-scale * (step * total).
template <int kVectors, int kRows, class RowOf>
LUTRA_INLINE void FlushTotals(const MicroArgs& a, const V32* totals, const RowOf& row_of) {
  FlushSums<kVectors, kRows>(a, a.super_group, totals, row_of,
                             [&a](std::size_t n) { return JointScaleOf(a, n).scale; });
}
// Flushes sums of offsets: super-offset * (sum scale * sum).
template <int kVectors, int kRows, class RowOf>
LUTRA_INLINE void FlushOffsetSums(const MicroArgs& a, const V32* sums, const RowOf& row_of) {
  FlushSums<kVectors, kRows>(a, a.super_group + kPanelRows, sums, row_of,
                             [&a](std::size_t n) { return JointScaleOf(a, n).sum_scales[a.joint_sums.index]; });
}

// Makes words from the bytes of two groups: for each row of a panel 16 bits with the offset of the first group, and 16
// bits with that of the second.
#if LUTRA_VECTOR_SCOPE
struct OffsetPlaces {
  std::uint8_t bytes[4 * kPanelRows];
};
// Of each row the byte of the first group, twice, and of the second one, twice.
constexpr OffsetPlaces FindOffsetPlaces() {
  OffsetPlaces places{};
  for (std::size_t i = 0; i < sizeof(places.bytes); ++i) {
    places.bytes[i] = static_cast<std::uint8_t>(i / 2 % 2 * kPanelRows + i / 4);
  }
  return places;
}
alignas(64) inline constexpr OffsetPlaces kOffsetPlaces = FindOffsetPlaces();

template <DataType kType>
class JointOffsets {
 public:
  HWY_INLINE JointOffsets(const std::uint8_t* first, const std::uint8_t* second)
      : first_(hn::LoadU(D8(), first)), second_(hn::LoadU(D8(), second)) {}
  // Both bytes of a lane of 16 bits are the same, so a shift leaves the signed byte, or its upper four bits.
  HWY_INLINE V16 Of(std::size_t row) const {
    const hn::Repartition<std::uint16_t, D8> du16;
    const auto places = hn::IndicesFromVec(D8(), hn::Load(D8(), kOffsetPlaces.bytes + 4 * row));
    const V8 bytes = hn::TwoTablesLookupLanes(D8(), first_, second_, places);
    if constexpr (kType == DataType::kInt8) return hn::ShiftRight<8>(hn::BitCast(D16(), bytes));
    return hn::BitCast(D16(), hn::ShiftRight<12>(hn::BitCast(du16, bytes)));
  }

 private:
  V8 first_, second_;
};
#else
template <DataType kType>
class JointOffsets {
 public:
  HWY_INLINE JointOffsets(const std::uint8_t* first, const std::uint8_t* second) : first_(first), second_(second) {}
  HWY_INLINE V16 Of(std::size_t row) const {
    const hn::Rebind<std::int8_t, D16> both;
    const hn::Rebind<std::int8_t, D32> one;
    const auto a = hn::LoadU(one, reinterpret_cast<const std::int8_t*>(first_) + row);
    const auto b = hn::LoadU(one, reinterpret_cast<const std::int8_t*>(second_) + row);
    V16 words;
    if constexpr (hn::MaxLanes(one) == 16) {
      words = hn::PromoteTo(D16(), hn::Combine(both, hn::InterleaveUpper(one, a, b), hn::InterleaveLower(one, a, b)));
    } else {
      words = hn::PromoteTo(D16(), hn::InterleaveLower(both, hn::ResizeBitCast(both, a), hn::ResizeBitCast(both, b)));
    }
    return kType == DataType::kInt8 ? words : hn::And(hn::ShiftRight<4>(words), hn::Set(D16(), 15));
  }

 private:
  const std::uint8_t *first_, *second_;
};
#endif

// Multiplies offsets, whose words are in qparams, with sums of x. kWords words are in registers at a time.
template <int kVectors, int kRows, class RowOf>
LUTRA_INLINE void FlushOffsets(const MicroArgs& a, const RowOf& row_of) {
  const DF df;
  const D16 d16;
  const D32 d32;
  const float* const offsets = a.qparams + kPanelRows;
  const auto* const scales = reinterpret_cast<const JointScale*>(a.scales);
  const std::size_t stride = a.offset_stride;
  constexpr std::size_t kWords = kCoarseJointSums.words();
  LUTRA_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    V32 sums[kRows];
    SetZero(sums);
    for (std::size_t first = 0; first < a.joint_sums.words(); first += kWords) {
      V16 words[kWords];
      LUTRA_UNROLL
      for (std::size_t i = 0; i < kWords; ++i) {
        words[i] = hn::BitCast(d16, hn::Load(df, offsets + (first + i) * stride + row_of(v)));
      }
      LUTRA_UNROLL
      for (int n = 0; n < kRows; ++n) {
        const std::int32_t* const of_x = scales[n].sums + a.joint_sums.first + first;
        LUTRA_UNROLL
        for (std::size_t i = 0; i < kWords; ++i) {
          const V16 pair = hn::BitCast(d16, hn::Set(d32, of_x[i]));
          sums[n] = hn::Add(sums[n], hn::WidenMulPairwiseAdd(d32, words[i], pair));
        }
      }
    }
    const int row = row_of(v);
    FlushOffsetSums<1, kRows>(a, sums, [row](int) { return row; });
  }
}

// The same for one row of x, from the bytes of the groups of a whole super-group. (Zen 4, N = 1 from L2: q2_K 1.15
// times, q4_K 1.1 times as fast as with words in memory, which serve several rows.)
template <DataType kType, int kVectors, class RowOf>
LUTRA_INLINE void FlushOffsetBytes(const MicroArgs& a, const QparamArgs& q, const RowOf& row_of) {
  const std::uint8_t* group = a.index - q.group_bytes + q.zero->offset;
  const std::size_t second = (q.word_groups - 1) * a.index_stride;
  V32 sums[kVectors];
  SetZero(sums);
  for (std::size_t i = 0; i < a.joint_sums.words(); ++i, group += q.word_groups * a.index_stride) {
    const JointOffsets<kType> offsets(group, group + second);
    const V16 of_x = hn::BitCast(D16(), hn::Set(D32(), JointScaleOf(a, 0).sums[a.joint_sums.first + i]));
    LUTRA_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      const V16 words = offsets.Of(static_cast<std::size_t>(row_of(v)));
      sums[v] = hn::Add(sums[v], hn::WidenMulPairwiseAdd(D32(), words, of_x));
    }
  }
  FlushOffsetSums<kVectors, 1>(a, sums, row_of);
}

// Flushes totals, then offsets if there are any. No total is in a register while the kernel converts offsets. kReads:
// the kernel converts offsets itself if there is a MicroArgs::reader.
template <bool kReads, int kVectors, int kRows, class RowOf>
LUTRA_INLINE void FlushJoint(const MicroArgs& a, const V32* totals, const RowOf& row_of) {
  FlushTotals<kVectors, kRows>(a, totals, row_of);
  if (a.center == 0) return;
  if (kReads && a.reader != nullptr) {
    if constexpr (kReads && kRows == 1) {
      const QparamArgs& q = *a.reader->args;
      if (a.blocks == q.word_groups * a.joint_sums.words()) {
        return q.scale_bits == 15 ? FlushOffsetBytes<DataType::kUInt4, kVectors>(a, q, row_of)
                                  : FlushOffsetBytes<DataType::kInt8, kVectors>(a, q, row_of);
      }
    }
    a.reader->Read(a.index, a.blocks);
  }
  FlushOffsets<kVectors, kRows>(a, row_of);
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
