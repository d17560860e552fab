// The tile kernel of a matrix unit for joint K-blocks (layout/joint.h): 64 rows of W (a panel) times up to 16 rows of x
// at a time.
//
// The unit multiplies joint runs without scales, because codes are folded. Where products of codes and scales do not
// fit a byte, they take 16 bits, of which the unit multiplies the lower and the upper bytes apart:
//
//     sum of a run    256 * (upper bytes times x) + (lower bytes times x)
//     total           start + ratio * sum of each run
//
// Four registers hold sums of 16 rows of W: of four runs with one byte per code, of two runs with two. Bytes are 0 to
// 255, or signed. A folded code is the number in its bytes plus a constant; `start` is the constant times the sum of
// ratio * x. matrix_unit-inl.h draws the registers.
#if defined(LUTRA_KERNELS_JOINT_UNIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_JOINT_UNIT_INL_H_
#undef LUTRA_KERNELS_JOINT_UNIT_INL_H_
#else
#define LUTRA_KERNELS_JOINT_UNIT_INL_H_
#endif

#include <cstring>

#include "lutra/kernels/matrix_shapes.h"
#include "lutra/kernels/tile-inl.h"
#include "lutra/plan.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Whether codes are unpacked to signed bytes. Where BaseDot takes 0 to 255, none are.
inline constexpr bool kMaySign = BaseDot::kLowest != 0 || BaseDot::kHighest != 255;
HWY_INLINE bool HasSignedCodes(const MethodKernel& kernel) {
  return kMaySign && (BaseDot::kLowest < 0 || kernel.method.lowest() + kernel.bias < 0);
}

// Multiplies joint K-blocks with all rows of x of a tile, up to 16 rows at a time.
template <class Registers>
class JointUnitRows {
 public:
  static constexpr ActivationKind kKind = ActivationKind::kIntegers;
  static HWY_INLINE bool Takes(const TileArgs& a) { return a.geometry->joint_ratio != 0 && a.x.row_group == 1; }

  explicit HWY_INLINE JointUnitRows(const TileArgs& a)
      : a_(a),
        signed_(HasSignedCodes(*a.kernel)),
        rows_(DivideUp(a.rows, DivideUp(a.rows, kMatrixRows))),
        registers_(HasSignedCodes(*a.kernel), Shapes(rows_)) {}
  HWY_INLINE ~JointUnitRows() {
  }  // compiled for the target, as an implicit one would not be. NOLINT(modernize-use-equals-default)

  // Multiplies a super-group, of which `block` is the K-block of x; args.index are its codes, unpacked to `codes`.
  HWY_INLINE void Multiply(const MicroArgs& args, std::size_t block, std::uint8_t* codes) {
    args.folded ? MultiplyBytes<1>(args, block, codes) : MultiplyBytes<2>(args, block, codes);
  }

 private:
  // A row of x.
  struct RowOfX {
    std::int32_t ratio[kJointRuns];
    std::int32_t start;
    float scale;
  };
  // Which sums the next Flush adds to totals: of `rows` rows of x from `row` on, of the joint runs from `run` on. After
  // the last runs, totals become floats; `scale` has the super-scales of 16 rows of W.
  struct Flushing {
    std::size_t row, rows, run;
    bool last;
    const float* scale;
    float* tile;
  };
  static constexpr std::size_t kRunBytes = kJointRunWeights, kQuadsOfRun = kJointRunWeights / 4;
  static constexpr std::size_t kSumsBytes = kMatrixRows * kMatrixRowBytes;  // of a register
  static constexpr int kSums = 4, kX = 4, kCodes = 6;  // registers: 0 to 3 sums, 4 and 5 x, 6 and 7 codes, in turns
  static_assert(kRunBytes == kMatrixRowBytes && kQuadsOfRun == kMatrixRows && kJointRuns == kSums);
  static constexpr std::size_t kUpperAt = kJointWeights * kPanelRows;  // of upper bytes, behind unpacked codes
  static_assert(kUpperAt + kJointWeights * kMatrixRows <= kMaxUnpackedBytes);

  HWY_INLINE bool is_signed() const { return kMaySign && signed_; }  // whether bytes of codes are signed

  static HWY_INLINE MatrixShapes Shapes(std::size_t rows) {
    MatrixShapes shapes;
    for (int i = 0; i < kMatrixRegisters; ++i) {
      shapes.rows[i] = i < kCodes ? rows : kMatrixRows;
      shapes.row_bytes[i] = kMatrixRowBytes;
    }
    return shapes;
  }

  // The same as Multiply, with kBytes bytes per code. Sums of some runs are flushed while the unit multiplies the next.
  template <int kBytes>
  HWY_NOINLINE void MultiplyBytes(const MicroArgs& args, std::size_t block, std::uint8_t* codes) {
    constexpr std::size_t kRuns = kSums / kBytes;  // at a time
    const Geometry& g = *a_.geometry;
    const std::uint8_t* const x = a_.x.data + g.x_chunks_before(block) * kIntegersPerChunk;
    const BlockScale* const scales = a_.x.scales + block / g.joint * g.scale_units();
    const std::size_t chunks = (args.blocks - 1) * args.x_chunks + args.last_chunks,
                      runs = DivideUp(chunks, kJointRunChunks), missing = runs * kJointRunChunks - chunks;
    std::uint8_t* const upper = codes + kUpperAt;
    SetRowsOfX(scales, (kBytes == 1 ? args.lowest : is_signed() ? 0 : -32768) + (is_signed() ? 128 : 0));
    // The unit multiplies what is behind the last chunk of x with codes that are 0.
    std::memset(codes + chunks * kChunkCodes, 0, missing * kChunkCodes);
    if (kBytes == 2) std::memset(upper + chunks * kQuads * kMatrixRowBytes, 0, missing * kQuads * kMatrixRowBytes);
    Flushing flush = {};
    for (std::size_t m = 0; m < kPanelRows; m += kMatrixRows) {
      std::uint8_t* const lower = codes + m * 4;
      if (kBytes == 2) Fold(args, m, lower, upper);
      for (std::size_t row = 0; row < a_.rows; row += rows_) {
        for (std::size_t run = 0; run < runs; run += kRuns) {
          MultiplyRuns<kBytes>(x + row * a_.x.row_bytes, run, HWY_MIN(kRuns, runs - run), lower, upper);
          Flush<kBytes>(flush);
          StoreSums();
          flush = {row,
                   HWY_MIN(rows_, a_.rows - row),
                   run,
                   run + kRuns >= runs,
                   args.super_group + m,
                   a_.tile + row * kPanelRows + m};
        }
      }
    }
    Flush<kBytes>(flush);
    if (args.center != 0) AddOffsets(args, scales);
  }

  // Sets of_x_. A folded code is the number in its bytes plus `start`, so a total starts from start * (ratio * sum of
  // x).
  HWY_INLINE void SetRowsOfX(const BlockScale* scales, std::int32_t start) {
    const hn::FixedTag<std::int32_t, kJointRuns> d32;
    const hn::Repartition<std::int16_t, decltype(d32)> d16;
    const hn::Rebind<std::uint8_t, decltype(d32)> d8;
    for (std::size_t row = 0; row < a_.rows; ++row, scales += a_.x.row_scales) {
      const auto& of = *reinterpret_cast<const JointScale*>(scales);
      RowOfX& to = of_x_[row];
      hn::StoreU(hn::PromoteTo(d32, hn::LoadU(d8, of.ratio)), d32, to.ratio);
      auto sums = hn::Zero(d32);
      LUTRA_UNROLL
      for (std::size_t run = 0; run < kJointRuns; ++run) {
        const auto ratio = hn::Set(d16, static_cast<std::int16_t>(of.ratio[run]));
        const auto of_run = hn::Load(d16, of.chunk_sums[run * kJointRunChunks]);
        sums = hn::Add(sums, hn::WidenMulPairwiseAdd(d32, of_run, ratio));
      }
      // The product may wrap; the total that starts from it wraps back.
      const auto sum = static_cast<std::uint32_t>(hn::ReduceSum(d32, sums));
      to.start = static_cast<std::int32_t>(sum * static_cast<std::uint32_t>(start));
      to.scale = of.scale;
    }
  }

  // Makes folded codes of two bytes from codes of 16 rows of W, from row m on: [quad][row][4] lower bytes in their
  // place, [quad][16 rows][4] upper bytes. They are the two bytes of product + 2^15. Signed bytes are 128
  // less.
  HWY_INLINE void Fold(const MicroArgs& args, std::size_t m, std::uint8_t* lower, std::uint8_t* upper) const {
    const D8 d8;
    const D16 d16;
    const V8 flip = hn::Set(d8, 0x80);
    const V16 zero = hn::Set(d16, static_cast<std::int16_t>(args.start - (is_signed() ? 128 : 0)));  // of byte 0
    const V16 low_byte = hn::Set(d16, 0xff);
    for (std::size_t at = 0; at < kMatrixRowBytes; at += kPartBytes) {
      std::uint8_t *low_to = lower + at, *high_to = upper + at;
      const float* words = args.qparams + m + at / 4;
      for (std::size_t i = 0; i < args.blocks; ++i, words += args.qparams_stride) {
        const V16 scale = hn::DupEven(hn::BitCast(d16, hn::Load(DF(), words)));
        const V16 start = hn::Add(hn::Mul(scale, zero), hn::Set(d16, std::int16_t{-32768}));
        const auto odd = hn::ShiftLeft<8>(scale), even = hn::And(scale, low_byte);
        const std::size_t chunks = i + 1 == args.blocks ? args.last_chunks : args.x_chunks;
        LUTRA_KEEP_LOOP
        for (std::size_t quad = 0; quad < chunks * kQuads; ++quad, low_to += kQuadBytes, high_to += kMatrixRowBytes) {
          V8 codes = hn::Load(d8, low_to);
          if (is_signed()) codes = hn::Xor(codes, flip);
          const V16 evens = hn::Add(hn::SatWidenMulPairwiseAdd(d16, codes, hn::BitCast(DI8(), even)), start),
                    odds = hn::Add(hn::SatWidenMulPairwiseAdd(d16, codes, hn::BitCast(DI8(), odd)), start);
          V8 low = hn::BitCast(d8, hn::BitwiseIfThenElse(low_byte, evens, hn::ShiftLeft<8>(odds))),
             high = hn::BitCast(d8, hn::BitwiseIfThenElse(low_byte, hn::ShiftRight<8>(evens), odds));
          if (is_signed()) low = hn::Xor(low, flip), high = hn::Xor(high, flip);
          hn::Store(low, d8, low_to);
          hn::Store(high, d8, high_to);
        }
      }
    }
  }

  // Sums the products of `runs` joint runs, from `run` on: register by register, where each run has kBytes registers.
  template <int kBytes>
  HWY_INLINE void MultiplyRuns(const std::uint8_t* x, std::size_t run, std::size_t runs, const std::uint8_t* lower,
                               const std::uint8_t* upper) {
    registers_.template Clear<0>();
    registers_.template Clear<1>();
    registers_.template Clear<2>();
    registers_.template Clear<3>();
    x += run * kRunBytes;
    lower += run * kQuadsOfRun * kQuadBytes;
    upper += run * kQuadsOfRun * kMatrixRowBytes;
    MultiplyRun<kBytes, 0>(x, runs, lower, upper);
    MultiplyRun<kBytes, 1>(x, runs, lower, upper);
    if constexpr (kBytes == 1) {
      MultiplyRun<1, 2>(x, runs, lower, upper);
      MultiplyRun<1, 3>(x, runs, lower, upper);
    }
  }
  template <int kBytes, int kRun>
  HWY_INLINE void MultiplyRun(const std::uint8_t* x, std::size_t runs, const std::uint8_t* lower,
                              const std::uint8_t* upper) {
    if (kRun >= runs) return;
    constexpr int kOfX = kX + kRun % 2, kLower = kBytes == 2 ? kCodes : kCodes + kRun % 2;
    registers_.template Load<kOfX>(x + kRun * kRunBytes, a_.x.row_bytes);
    registers_.template Load<kLower>(lower + kRun * kQuadsOfRun * kQuadBytes, kQuadBytes);
    registers_.template Multiply<kKind, kRun * kBytes, kOfX, kLower>();
    if constexpr (kBytes == 2) {
      registers_.template Load<kCodes + 1>(upper + kRun * kQuadsOfRun * kMatrixRowBytes, kMatrixRowBytes);
      registers_.template Multiply<kKind, kRun * 2 + 1, kOfX, kCodes + 1>();
    }
  }
  HWY_INLINE void StoreSums() {
    registers_.template Store<0>(sums_[0], kMatrixRowBytes);
    registers_.template Store<1>(sums_[1], kMatrixRowBytes);
    registers_.template Store<2>(sums_[2], kMatrixRowBytes);
    registers_.template Store<3>(sums_[3], kMatrixRowBytes);
  }

  template <int kBytes>
  HWY_INLINE void Flush(const Flushing& flush) {
    const DF df;
    const D32 d32;
    for (std::size_t at = 0; at < kMatrixRowBytes && flush.rows != 0; at += kPartBytes) {
      const VF scale = hn::Load(df, flush.scale + at / 4);
      float* tile = flush.tile + at / 4;
      for (std::size_t n = 0; n < flush.rows; ++n, tile += kPanelRows) {
        const RowOfX& x = of_x_[flush.row + n];
        const std::size_t place = n * kMatrixRowBytes + at;
        auto* const stored = reinterpret_cast<std::int32_t*>(totals_ + place);
        V32 total = flush.run == 0 ? hn::Set(d32, x.start) : hn::Load(d32, stored);
        LUTRA_UNROLL
        for (int i = 0; i < kSums; i += kBytes) {
          V32 sum = SumAt(i, place);
          if constexpr (kBytes == 2) sum = hn::Add(sum, hn::ShiftLeft<8>(SumAt(i + 1, place)));
          total = hn::Add(total, hn::Mul(sum, hn::Set(d32, x.ratio[flush.run + static_cast<std::size_t>(i / kBytes)])));
        }
        if (flush.last) {
          const VF sum = hn::Mul(hn::ConvertTo(df, total), hn::Set(df, x.scale));
          hn::Store(Fma(scale, sum, hn::Load(df, tile)), df, tile);
        } else {
          hn::Store(total, d32, stored);
        }
      }
    }
  }
  HWY_INLINE V32 SumAt(int i, std::size_t place) const {
    return hn::Load(D32(), reinterpret_cast<const std::int32_t*>(sums_[i] + place));
  }

  HWY_INLINE void AddOffsets(const MicroArgs& args, const BlockScale* scales) const {
    MicroArgs of_row = args;
    for (std::size_t row = 0; row < a_.rows; ++row) {
      of_row.scales = scales + row * a_.x.row_scales;
      of_row.tile = a_.tile + row * kPanelRows;
      for (std::size_t m = 0; m < kPanelRows; m += kPartRows) {
        FlushOffsets<1, 1>(of_row, [m](int) { return static_cast<int>(m); });
      }
    }
  }

  const TileArgs& a_;
  const bool signed_;
  const std::size_t rows_;  // of x at a time
  Registers registers_;
  RowOfX of_x_[kMaxTileRows];
  HWY_ALIGN std::uint8_t sums_[kSums][kSumsBytes];
  HWY_ALIGN std::uint8_t totals_[kSumsBytes];
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
