// The tile kernel of a matrix unit: 64 rows of W (a panel) times up to 16 rows of x in integers or bf16, over one
// K-block.
//
//     x        | 64 bytes of a row |                up to 16 rows of x: a register
//     codes    | row 0: k  k+1 k+2 k+3 | row 1 ...  16 quads of 16 rows of W, as unpacked: a register
//     bf16     | row 0: k      k+2     | row 1 ...  the same with pairs (bf16-inl.h)
//     product  | x times row 0 | x times row 1 ...  16 sums for each row of x, in 32 bits: a register
//
// Four registers hold the sums of a panel, so that a register of x is loaded once for 64 rows of W. Rows of x are read
// as Prepare stores them for the unit: each row group is one row, whose elements follow each other.
//
// Registers is a class with the unit's instructions (simd/amx-inl.h):
//
//   Registers(signed_codes, shapes)    sets the shapes of all registers; codes in bytes are signed or unsigned
//   ~Registers()                leaves no state behind
//   Clear<kRegister>()          sets a register to 0
//   Load<kRegister>(from, stride), Store<kRegister>(to, stride)    rows of a register that are `stride` bytes apart
//   Multiply<kKind, kSums, kX, kCodes>()    adds products of integers: sums[n][m] += x[n][4 * q + i] *
//                               codes[q][4 * m + i] in bytes, for i < 4 and all q; or of bf16: sums[n][m] +=
//                               x[n][2 * q + i] * codes[q][2 * m + i], for i < 2 and all q
// (Joint K-blocks: joint_unit-inl.h.)
#if defined(LUTRA_KERNELS_MATRIX_UNIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_MATRIX_UNIT_INL_H_
#undef LUTRA_KERNELS_MATRIX_UNIT_INL_H_
#else
#define LUTRA_KERNELS_MATRIX_UNIT_INL_H_
#endif

#include <cstring>

#include "lutra/kernels/bf16-inl.h"
#include "lutra/kernels/joint_unit-inl.h"
#include "lutra/kernels/matrix_shapes.h"
#include "lutra/kernels/tile-inl.h"
#include "lutra/plan.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Multiplies batches with all rows of x of a tile, integers or bf16, up to 16 rows at a time.
template <class Registers, ActivationKind kOfX>
class UnitRows {
 public:
  static constexpr ActivationKind kKind = kOfX;
  static HWY_INLINE bool Takes(const TileArgs& a) { return a.x.row_group == 1 && a.geometry->joint_ratio == 0; }

  explicit HWY_INLINE UnitRows(const TileArgs& a)
      : a_(a),
        limbs_(static_cast<std::size_t>(Limbs(Describe(kKind), a.kernel->precision))),
        step_chunks_(HWY_MIN(a.geometry->whole.x_chunks, kMaxStepChunks)),
        rows_(DivideUp(a.rows, DivideUp(a.rows, kMatrixRows))),
        registers_(HasSignedCodes(*a.kernel), Shapes(rows_, step_chunks_)) {}
  HWY_INLINE ~UnitRows() {
  }  // compiled for the target, as an implicit one would not be. NOLINT(modernize-use-equals-default)

  // Multiplies a batch, of which `block` is the first K-block of x; args.index are its codes, unpacked to `codes`. The
  // sums of some rows of x become floats while the unit multiplies the next rows.
  HWY_INLINE void Multiply(const MicroArgs& args, std::size_t block, std::uint8_t* codes) {
    const Geometry& g = *a_.geometry;
    const std::uint8_t* x = a_.x.data + g.x_chunks_before(block) * limbs_ * kChunkBytes;
    Flushing flush = {};
    for (std::size_t i = 0; i < args.blocks; ++i, codes += args.index_stride) {
      const std::size_t chunks = i + 1 == args.blocks ? args.last_chunks : args.x_chunks;
      Complete(codes, chunks);
      for (std::size_t row = 0; row < a_.rows; row += rows_) {
        MultiplyLimb(x + row * a_.x.row_bytes, codes, chunks);
        Flush(args, flush);
        StoreSums(0);
        if (limbs_ == 2) {
          MultiplyLimb(x + row * a_.x.row_bytes + chunks * kChunkBytes, codes, chunks);
          StoreSums(1);
        }
        flush = {a_.tile + row * kPanelRows, args.qparams + i * args.qparams_stride,
                 a_.x.scales + row * a_.x.row_scales + block + i, HWY_MIN(rows_, a_.rows - row)};
      }
      x += chunks * limbs_ * kChunkBytes;
    }
    Flush(args, flush);
  }

 private:
  // The sums that are to become floats: of `rows` rows of x.
  struct Flushing {
    float* tile;
    const float* qparams;
    const BlockScale* scales;
    std::size_t rows;
  };
  static constexpr std::size_t kChunkBytes = Describe(kKind).chunk_bytes;
  static constexpr std::size_t kUnpackedChunk = kChunkBytes * kPanelRows;
  static constexpr std::size_t kMaxStepChunks = kMatrixRowBytes / kChunkBytes;
  static_assert(kOverrunRows == kMaxTileRows / kMatrixRows - 1 && kOverrunBytes >= kMatrixRowBytes - kChunkBytes);
  static constexpr std::size_t kSumsBytes = kMatrixRows * kMatrixRowBytes;  // of a register
  static constexpr int kX = 4, kCodes = 5;  // registers: 0 to 3 sums, 4 x, 5 to 7 codes in turns

  // A step is kMaxStepChunks chunks, or a K-block if that is shorter; it divides each whole K-block.
  static HWY_INLINE MatrixShapes Shapes(std::size_t rows, std::size_t step_chunks) {
    MatrixShapes shapes;
    for (int i = 0; i < kMatrixRegisters; ++i) {
      shapes.rows[i] = i < kCodes ? rows : step_chunks * kChunkBytes / 4;
      shapes.row_bytes[i] = i == kX ? step_chunks * kChunkBytes : kMatrixRowBytes;
    }
    return shapes;
  }
  // Sets the codes between the end of a K-block and the end of its last step to 0, because the unit multiplies them
  // with whatever is behind the K-block in x. (In bf16 that might be NaN: LoadX replaces it by 0.)
  HWY_INLINE void Complete(std::uint8_t* codes, std::size_t chunks) const {
    const std::size_t missing = RoundUp(chunks, step_chunks_) - chunks;
    if (missing != 0) std::memset(codes + chunks * kUnpackedChunk, 0, missing * kUnpackedChunk);
  }

  // Sums the products of one limb of a K-block.
  HWY_INLINE void MultiplyLimb(const std::uint8_t* x, const std::uint8_t* codes, std::size_t chunks) {
    registers_.template Clear<0>();
    registers_.template Clear<1>();
    registers_.template Clear<2>();
    registers_.template Clear<3>();
    for (std::size_t chunk = 0; chunk < chunks; chunk += step_chunks_) {
      LoadX(x + chunk * kChunkBytes, chunks - chunk);
      const std::uint8_t* from = codes + chunk * kUnpackedChunk;
      MultiplyCodes<0, kCodes>(from);
      MultiplyCodes<1, kCodes + 1>(from);
      MultiplyCodes<2, kCodes + 2>(from);
      MultiplyCodes<3, kCodes>(from);
    }
  }
  // Loads a step of x; `left` chunks of the K-block are left. In bf16, an element behind the K-block may be NaN or
  // infinity, whose product with 0 is NaN. So the last step is copied, with 0 in their place.
  HWY_INLINE void LoadX(const std::uint8_t* x, std::size_t left) {
    if (kKind != ActivationKind::kBf16 || left >= step_chunks_) {
      registers_.template Load<kX>(x, a_.x.row_bytes);
      return;
    }
    std::uint8_t* const end = sums_[1];
    std::memset(end, 0, rows_ * kMatrixRowBytes);
    for (std::size_t row = 0; row < rows_; ++row) {
      std::memcpy(end + row * kMatrixRowBytes, x + row * a_.x.row_bytes, left * kChunkBytes);
    }
    registers_.template Load<kX>(end, kMatrixRowBytes);
  }
  template <int kSums, int kRegister>
  HWY_INLINE void MultiplyCodes(const std::uint8_t* codes) {
    registers_.template Load<kRegister>(codes + kSums * kMatrixRowBytes, kQuadBytes);
    registers_.template Multiply<kKind, kSums, kX, kRegister>();
  }
  HWY_INLINE void StoreSums(int limb) {
    std::uint8_t* to = sums_[limb];
    registers_.template Store<0>(to, kMatrixRowBytes);
    registers_.template Store<1>(to + kSumsBytes, kMatrixRowBytes);
    registers_.template Store<2>(to + 2 * kSumsBytes, kMatrixRowBytes);
    registers_.template Store<3>(to + 3 * kSumsBytes, kMatrixRowBytes);
  }

  HWY_INLINE void Flush(const MicroArgs& args, const Flushing& flush) const {
    if constexpr (kKind == ActivationKind::kBf16) {
      FlushRows<FloatSums>(args, flush);
    } else if (limbs_ == 1) {
      FlushRows<SumTraits<kKind, Precision::kInt8>>(args, flush);
    } else {
      FlushRows<SumTraits<kKind, Precision::kInt16>>(args, flush);
    }
  }
  // Flushes sums as FlushPanels does, or FlushBf16.
  template <class Sums>
  HWY_INLINE void FlushRows(const MicroArgs& args, const Flushing& flush) const {
    constexpr std::size_t kVectors = 4;  // at a time
    if (flush.rows == 0) return;
    const DF df;
    const std::size_t scale_stride = a_.x.row_scales;
    for (std::size_t m = 0; m < kPanelRows; m += kVectors * kPartRows) {
      VF scale[kVectors], center[kVectors];
      LUTRA_UNROLL
      for (std::size_t v = 0; v < kVectors; ++v) {
        scale[v] = hn::Load(df, flush.qparams + m + v * kPartRows);
        center[v] = hn::Load(df, flush.qparams + args.center + m + v * kPartRows);
      }
      const BlockScale* units = flush.scales;
      float* tile = flush.tile + m;
      for (std::size_t n = 0; n < flush.rows; ++n, tile += kPanelRows, units += scale_stride) {
        const V32 start = hn::Set(D32(), args.start * units->total);
        VF floats[kVectors];
        LUTRA_UNROLL
        for (std::size_t v = 0; v < kVectors; ++v) {
          VF u;
          if constexpr (kKind == ActivationKind::kBf16) {
            u = hn::Load(df, reinterpret_cast<const float*>(sums_[0] + PlaceOf(m + v * kPartRows, n)));
          } else {
            u = Units<Sums>(*units).Of(SumsOf<Sums>(m + v * kPartRows, n, start));
          }
          floats[v] = Fma(scale[v], u, hn::Load(df, tile + v * kPartRows));
        }
        if (args.center != 0) {
          LUTRA_UNROLL
          for (std::size_t v = 0; v < kVectors; ++v) floats[v] = Fma(center[v], hn::Set(df, units->sum), floats[v]);
        }
        LUTRA_UNROLL
        for (std::size_t v = 0; v < kVectors; ++v) hn::Store(floats[v], df, tile + v * kPartRows);
      }
    }
  }
  // Where the sums of rows of W from row m of the panel on with row n of x begin.
  static constexpr std::size_t PlaceOf(std::size_t m, std::size_t n) {
    return m / kMatrixRows * kSumsBytes + n * kMatrixRowBytes + m % kMatrixRows * 4;
  }
  // These sums in integers, from `start` on.
  template <class Sums>
  HWY_INLINE V32 SumsOf(std::size_t m, std::size_t n, V32 start) const {
    const std::size_t at = PlaceOf(m, n);
    const V32 upper = hn::Load(D32(), reinterpret_cast<const std::int32_t*>(sums_[0] + at));
    if constexpr (Sums::kLimbs == 1) return hn::Add(start, upper);
    const V32 lower = hn::Load(D32(), reinterpret_cast<const std::int32_t*>(sums_[Sums::kLimbs - 1] + at));
    return hn::Add(hn::Add(hn::ShiftLeft<7>(upper), start), lower);
  }

  const TileArgs& a_;
  const std::size_t limbs_, step_chunks_;
  const std::size_t rows_;  // of x at a time
  Registers registers_;
  HWY_ALIGN std::uint8_t sums_[2][4 * kSumsBytes];  // for each limb four registers; with bf16 [1] is the copy of LoadX
};

// TargetKernels::tile of a target with a matrix unit.
template <class Registers>
void TileOfUnit(const TileArgs& a) {
  TileWithMatrices<UnitRows<Registers, ActivationKind::kIntegers>, JointUnitRows<Registers>,
                   UnitRows<Registers, ActivationKind::kBf16>>(a);
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
