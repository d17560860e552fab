// The micro-kernel of smmla: 64 rows of W (a panel) times up to 4 rows of x in integers, over one K-block.
//
//     x        | row 0: k .. k+7 | row 1 |      a pair of rows: eight integers of each
//     codes    | row 0: k .. k+7 | row 1 |      a pair of rows of W
//     product  | 0 with 0 | 0 with 1 | 1 with 0 | 1 with 1 |      four sums in 32 bits
//
// Codes are unpacked as for dot products, then paired in place. Rows of x are paired for each K-block.
#if defined(LUTRA_KERNELS_MATRIX_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_MATRIX_PRODUCT_INL_H_
#undef LUTRA_KERNELS_MATRIX_PRODUCT_INL_H_
#else
#define LUTRA_KERNELS_MATRIX_PRODUCT_INL_H_
#endif

#include "lutra/kernels/dot-inl.h"
#include "lutra/kernels/tile-inl.h"

#ifdef LUTRA_MATRIX_PRODUCT

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

inline constexpr std::size_t kHalfBytes = 2 * kQuadBytes;  // two quads of all rows of W: eight codes of each

// The lower eight bytes of a and of b in one vector, or the upper eight.
template <class V>
HWY_INLINE V PairLower(V a, V b) {
  const hn::Repartition<std::uint64_t, D8> d64;
  return hn::BitCast(hn::DFromV<V>(), hn::InterleaveLower(d64, hn::BitCast(d64, a), hn::BitCast(d64, b)));
}
template <class V>
HWY_INLINE V PairUpper(V a, V b) {
  const hn::Repartition<std::uint64_t, D8> d64;
  return hn::BitCast(hn::DFromV<V>(), hn::InterleaveUpper(d64, hn::BitCast(d64, a), hn::BitCast(d64, b)));
}

// Pairs the rows of unpacked codes, [quad][row][4], in place: of two quads of four rows, the first vector gets the
// eight codes of rows 0 and 1, the second vector the eight codes of rows 2 and 3.
inline void PairCodes(std::uint8_t* codes, std::size_t chunks) {
  for (std::uint8_t* const end = codes + chunks * kChunkCodes; codes != end; codes += kHalfBytes) {
    LUTRA_UNROLL
    for (std::size_t at = 0; at < kQuadBytes; at += kPartBytes) {
      const V32 first = hn::BitCast(D32(), hn::Load(D8(), codes + at)),
                second = hn::BitCast(D32(), hn::Load(D8(), codes + kQuadBytes + at));
      hn::Store(hn::BitCast(D8(), hn::InterleaveLower(D32(), first, second)), D8(), codes + at);
      hn::Store(hn::BitCast(D8(), hn::InterleaveUpper(D32(), first, second)), D8(), codes + kQuadBytes + at);
    }
  }
}

template <Precision kPrecision>
struct MatrixProductKernel {
  using Sums = SumTraits<ActivationKind::kIntegers, kPrecision>;
  static constexpr int kMaxRows = 4, kMaxPanels = 1, kTile = kMaxRows;
  static constexpr std::size_t kPanelBytes = 0;

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1);
    constexpr int kPairs = (kRows + 1) / 2;
    constexpr int kVectors = 8 / kPairs;  // of four rows of W, at a time: 16 sums in registers
    HWY_ALIGN std::uint8_t x[kLimbs * kMaxIntegerChunks * 2 * kPairs * kPartBytes];
    PairRows<kRows>(b, x);
    for (std::size_t first = 0; first < kPanelRows; first += kVectors * kPartRows) {
      V32 sums[2 * kVectors * kPairs];  // [vector][lower, upper two rows][pair of rows of x]
      Start<kRows>(b, sums);
      const std::uint8_t* from = x;
      for (std::size_t limb = 0; limb < kLimbs; ++limb) {
        if (limb != 0) Next<kRows>(b, sums);
        const std::uint8_t* codes = b.index + first * 4;
        LUTRA_KEEP_LOOP
        for (std::size_t half = 0; half < 2 * b.chunks; ++half, codes += kHalfBytes, from += kPairs * kPartBytes) {
          AddHalf<kPairs>(codes, from, sums);
        }
      }
      V32 rows[kVectors * kRows];
      Separate<kRows>(sums, rows);
      const int row = static_cast<int>(first);
      FlushPanels<Sums, 1, kVectors, kRows>(b, rows,
                                            [row](int vector) { return row + vector * static_cast<int>(kPartRows); });
    }
  }

 private:
  static constexpr std::size_t kLimbs = Sums::kLimbs;

  // Pairs rows of x: [limb][chunk][half of the chunk][pair][row of the pair][8]. A row without another is its own pair.
  template <int kRows>
  static HWY_INLINE void PairRows(const KBlock& b, std::uint8_t* to) {
    constexpr std::size_t kPairs = (kRows + 1) / 2;
    const std::uint8_t* x = b.x;
    for (std::size_t chunk = 0; chunk < kLimbs * b.chunks; ++chunk, x += b.x_stride, to += 2 * kPairs * kPartBytes) {
      LUTRA_UNROLL
      for (std::size_t pair = 0; pair < kPairs; ++pair) {
        const V8 first = hn::LoadU(D8(), x + 2 * pair * 16),
                 second = hn::LoadU(D8(), x + HWY_MIN(2 * pair + 1, std::size_t{kRows} - 1) * 16);
        hn::Store(PairLower(first, second), D8(), to + pair * kPartBytes);
        hn::Store(PairUpper(first, second), D8(), to + (kPairs + pair) * kPartBytes);
      }
    }
  }

  // What each sum starts from, as in StartSums and NextLimb: the same for all rows of W.
  template <int kRows>
  static HWY_INLINE V32 StartOf(const KBlock& b, int pair) {
    const V32 first = hn::Set(D32(), internal::LUTRA_KERNELS_NAMESPACE::Start<Sums>(b, 2 * pair)),
              second =
                  hn::Set(D32(), internal::LUTRA_KERNELS_NAMESPACE::Start<Sums>(b, HWY_MIN(2 * pair + 1, kRows - 1)));
    return PairLower(first, second);
  }
  template <int kRows, std::size_t kSums>
  static HWY_INLINE void Start(const KBlock& b, V32 (&sums)[kSums]) {
    constexpr int kPairs = (kRows + 1) / 2;
    LUTRA_UNROLL
    for (std::size_t i = 0; i < kSums; ++i) {
      sums[i] = kLimbs == 1 ? StartOf<kRows>(b, static_cast<int>(i) % kPairs) : hn::Zero(D32());
    }
  }
  template <int kRows, std::size_t kSums>
  static HWY_INLINE void Next(const KBlock& b, V32 (&sums)[kSums]) {
    constexpr int kPairs = (kRows + 1) / 2;
    LUTRA_UNROLL
    for (std::size_t i = 0; i < kSums; ++i) {
      sums[i] = hn::Add(hn::ShiftLeft<7>(sums[i]), StartOf<kRows>(b, static_cast<int>(i) % kPairs));
    }
  }

  // Adds the products of eight codes of each row.
  template <int kPairs, std::size_t kSums>
  static HWY_INLINE void AddHalf(const std::uint8_t* codes, const std::uint8_t* from, V32 (&sums)[kSums]) {
    V8 x[kPairs];
    LUTRA_UNROLL
    for (std::size_t pair = 0; pair < kPairs; ++pair) x[pair] = hn::Load(D8(), from + pair * kPartBytes);
    LUTRA_UNROLL
    for (std::size_t i = 0; i < kSums / kPairs; ++i) {
      const V8 rows = hn::Load(D8(), codes + i % 2 * kQuadBytes + i / 2 * kPartBytes);
      LUTRA_UNROLL
      for (std::size_t pair = 0; pair < kPairs; ++pair) AddProduct(sums[i * kPairs + pair], x[pair], rows);
    }
  }

  // Separates the rows of x: [vector of rows of W][row of x].
  template <int kRows, std::size_t kSums, std::size_t kVectorsTimesRows>
  static HWY_INLINE void Separate(const V32 (&sums)[kSums], V32 (&rows)[kVectorsTimesRows]) {
    constexpr std::size_t kPairs = (kRows + 1) / 2;
    LUTRA_UNROLL
    for (std::size_t v = 0; v < kVectorsTimesRows / kRows; ++v) {
      LUTRA_UNROLL
      for (std::size_t pair = 0; pair < kPairs; ++pair) {
        const V32 lower = sums[2 * v * kPairs + pair], upper = sums[(2 * v + 1) * kPairs + pair];
        rows[v * kRows + 2 * pair] = PairLower(lower, upper);
        if (2 * pair + 1 < kRows) rows[v * kRows + 2 * pair + 1] = PairUpper(lower, upper);
      }
    }
  }
};

// Multiplies batches with all rows of x: pairs the codes, and calls the micro-kernels.
class ProductRows {
 public:
  // With fewer rows of x, pairing the codes takes as long as it saves.
  static HWY_INLINE bool Takes(const TileArgs& a) { return a.rows >= 2 * kNR; }

  explicit HWY_INLINE ProductRows(const TileArgs& a) : rows_(a, kKernels[a.kernel->precision == Precision::kInt16]) {}

  HWY_INLINE void Multiply(MicroArgs& args, std::size_t block, std::uint8_t* codes) const {
    for (std::size_t i = 0; i < args.blocks; ++i) {
      PairCodes(codes + i * args.index_stride, i + 1 == args.blocks ? args.last_chunks : args.x_chunks);
    }
    rows_.Multiply(args, block, codes);
  }

 private:
  static constexpr MicroKernel kKernels[] = {MicroKernelOf<MatrixProductKernel<Precision::kInt8>>(),
                                             MicroKernelOf<MatrixProductKernel<Precision::kInt16>>()};
  const RowGroups rows_;
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // LUTRA_MATRIX_PRODUCT

#endif  // per-target include guard
