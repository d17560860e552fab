// The integers of prepared activations and their bounds, and a K-block of x while it is prepared.
#if defined(LUTRA_KERNELS_PREPARE_TRAITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PREPARE_TRAITS_INL_H_
#undef LUTRA_KERNELS_PREPARE_TRAITS_INL_H_
#else
#define LUTRA_KERNELS_PREPARE_TRAITS_INL_H_
#endif

#include "lutra/kernels/registry.h"
#include "lutra/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// A quad is four consecutive floats. For sum tables it holds the g elements of x that one index selects from, then
// zeros; for integers it holds four elements. A vector of floats has a quad in each 16-byte lane.
inline constexpr std::size_t kChunkFloats = 16;  // a chunk of x is four quads
// Scale runs are measured four at a time, so that the results of four fill a vector of four lanes.
inline constexpr std::size_t kRunsAtOnce = 4;
inline constexpr std::size_t kFloatsAtOnce = kRunsAtOnce * kChunksPerRun * kChunkFloats;
// The quads of the longest K-block, padded to a multiple of kFloatsAtOnce: 8 runs of 32 floats.
inline constexpr std::size_t kMaxBlockFloats = kMaxRunsPerBlock / kRunsAtOnce * kFloatsAtOnce;
inline constexpr std::size_t kQuadsPerVector = kLayout.blocks;
inline constexpr std::size_t kLanesF = 4 * kQuadsPerVector;  // floats of a vector
inline constexpr std::size_t kVectorsPerRun = kFloatsAtOnce / kRunsAtOnce / kLanesF;
inline constexpr float kFloatMax = 3.40282347e38f;
// kInt8 tables: x is rounded to 1/256 of a table step. Sums have 16 bits: 8 for the
// entry and 8 below it.
inline constexpr int kFine = 256;

template <ActivationKind kKind, Precision kPrecision>
struct PrepareTraits {
  static constexpr ActivationInfo kInfo = Describe(kKind);
  static constexpr bool kTables = kInfo.has_tables(), kFloats = kInfo.is_float();
  static constexpr DataType kType = kKind == ActivationKind::kBf16 ? DataType::kBF16 : DataType::kF32;  // of floats
  static constexpr bool kMirrored = kInfo.base == 3;  // mirrored tables: entries of negative indices are not stored
  static constexpr std::size_t kG = static_cast<std::size_t>(kInfo.g);
  static constexpr bool kExact = kPrecision == Precision::kInt16;
  static constexpr bool kRatios = kTables && !kExact;  // each scale run has a step of its own
  static constexpr int kLimbs = Limbs(kInfo, kPrecision);
  // Entries that are computed of a table. In base 2 half of them suffice, because T[15 - i] = -T[i].
  static constexpr std::size_t kColumns = kMirrored ? 16 : 8;
  // Sums have kShift bits below a table entry, or below its upper limb. They start from kRoot: half a step, to round
  // them, and the bias of unsigned tables.
  static constexpr int kShift = kExact ? 7 : 8;
  static constexpr int kRoot = (1 << (kShift - 1)) + (kTableBias << kShift);
  // The largest integer that x is rounded to (for kIntegers or under kInt16).
  static constexpr float kLimit = kExact ? static_cast<float>(ExactLimit(kInfo)) : 127.0f;

  // The largest sum of the integers of a quad, or the largest integer. For kInt8 tables, integers are x times at most
  // kFine * 127 / (largest sum of |x| over a quad in the run); rounding adds 1/2 for each of the g integers. g = 4:
  // 32514.
  static constexpr int kMaxSum = kRatios ? 127 * kFine + kInfo.g / 2 : kInfo.g * static_cast<int>(kLimit);
  static_assert(kMaxSum < 1 << 22);  // RoundSmall
  // The range of sums, which start from kRoot (and are one less where x[0] + 1 is subtracted). Without the lowest
  // kShift bits, they fit signed bytes, or unsigned bytes where tables have a bias.
  static constexpr int kLowest = kRoot - kMaxSum - 1, kHighest = kRoot + kMaxSum;
  static_assert(!kTables || (kTableBias == 0 ? kLowest >= -(128 << kShift) && kHighest < 128 << kShift
                                             : kLowest >= 0 && kHighest < 256 << kShift));
  static_assert(kShift <= 8 && kMaxSum <= 32767 && (!kRatios || kFine == 1 << kShift));
  // The largest total of a K-block fits 32 bits. For kInt8 tables it is 64 quads * 31 * 32514 = 6.5e7.
  static constexpr std::int64_t kMaxTotal =
      (kTables ? kMaxChunksPerBlock * kIndicesPerChunk : kMaxIntegerChunks * kChunkFloats) *
      std::int64_t{kRatios ? kMaxRatio : 1} * kMaxSum;
  static_assert(kMaxTotal < std::int64_t{1} << 31);
};

// Where the tables, integers or floats of a K-block are written: each chunk of the row is `stride` bytes after the one
// before.
struct Destination {
  std::uint8_t* to;
  std::size_t stride, chunks;
};

// A K-block of x that is measured: its quads, and the steps of its scale runs.
struct BlockOfX {
  HWY_ALIGN float buffer[kMaxBlockFloats];
  HWY_ALIGN float inverse[kMaxRunsPerBlock];       // integers = x * inverse
  HWY_ALIGN std::int32_t ratio[kMaxRunsPerBlock];  // the ratio of each scale run, twice in 16 bits
  bool joint = false;                              // joint K-blocks
  const float* quads;
  bool finite;
};

// The integer nearest to x * inverse, plus kMagicBits; |x * inverse| is below 2^22. The lower 16 bits of the result are
// the lower 16 bits of the integer, because those of kMagicBits are 0.
HWY_INLINE V32 RoundSmall(VF x, VF inverse) { return hn::BitCast(D32(), Fma(x, inverse, hn::Set(DF(), kMagic))); }

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
