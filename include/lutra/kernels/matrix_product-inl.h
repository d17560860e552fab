// The micro-kernel of smmla and bfmmla: 64 rows of W (a panel) times up to 4 rows of x in integers or bf16, over one
// K-block.
//
//     x        | row 0: 8 bytes | row 1 |      a pair of rows: eight integers of each, or a quad of bf16
//     codes    | row 0: 8 bytes | row 1 |      a pair of rows of W
//     product  | 0 with 0 | 0 with 1 | 1 with 0 | 1 with 1 |      four sums in 32 bits
//
// Codes in bytes are unpacked as for dot products, then paired in place; codes in bf16 are paired as they are unpacked.
// Rows of x are paired for each K-block, or for each super-group of joint ones (joint-inl.h).
#if defined(LUTRA_KERNELS_MATRIX_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_MATRIX_PRODUCT_INL_H_
#undef LUTRA_KERNELS_MATRIX_PRODUCT_INL_H_
#else
#define LUTRA_KERNELS_MATRIX_PRODUCT_INL_H_
#endif

#include "lutra/kernels/bf16-inl.h"
#include "lutra/kernels/joint-inl.h"
#include "lutra/kernels/tile-inl.h"

#ifdef LUTRA_MATRIX_PRODUCT

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

inline constexpr std::size_t kEightBytes = 8 * kPanelRows;  // 8 bytes of each row of a panel

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
  for (std::uint8_t* const end = codes + chunks * kChunkCodes; codes != end; codes += kEightBytes) {
    LUTRA_UNROLL
    for (std::size_t at = 0; at < kQuadBytes; at += kPartBytes) {
      const V32 first = hn::BitCast(D32(), hn::Load(D8(), codes + at)),
                second = hn::BitCast(D32(), hn::Load(D8(), codes + kQuadBytes + at));
      hn::Store(hn::BitCast(D8(), hn::InterleaveLower(D32(), first, second)), D8(), codes + at);
      hn::Store(hn::BitCast(D8(), hn::InterleaveUpper(D32(), first, second)), D8(), codes + kQuadBytes + at);
    }
  }
}

// Sums of products of integers.
template <Precision kPrecision>
struct IntegerProducts {
  using Sums = SumTraits<ActivationKind::kIntegers, kPrecision>;
  using V = V32;
  static constexpr ActivationKind kKind = ActivationKind::kIntegers;
  static constexpr std::size_t kLimbs = Sums::kLimbs;

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
  static HWY_INLINE void Add(V32& sums, V8 x, V8 codes) { AddProduct(sums, x, codes); }
  template <int kVectors, int kRows>
  static HWY_INLINE void Flush(const KBlock& b, const V32 (&sums)[kVectors * kRows], std::size_t first) {
    const int row = static_cast<int>(first);
    FlushPanels<Sums, 1, kVectors, kRows>(b, sums,
                                          [row](int vector) { return row + vector * static_cast<int>(kPartRows); });
  }

 private:
  // What each sum starts from, as in StartSums and NextLimb: the same for all rows of W.
  template <int kRows>
  static HWY_INLINE V32 StartOf(const KBlock& b, int pair) {
    const V32 first = hn::Set(D32(), internal::LUTRA_KERNELS_NAMESPACE::Start<Sums>(b, 2 * pair)),
              second =
                  hn::Set(D32(), internal::LUTRA_KERNELS_NAMESPACE::Start<Sums>(b, HWY_MIN(2 * pair + 1, kRows - 1)));
    return PairLower(first, second);
  }
};

// Sums of products of bf16.
struct Bf16Products {
  using Sums = FloatSums;
  using V = VF;
  static constexpr ActivationKind kKind = ActivationKind::kBf16;
  static constexpr std::size_t kLimbs = 1;

  template <int kRows, std::size_t kSums>
  static HWY_INLINE void Start(const KBlock&, VF (&sums)[kSums]) {
    LUTRA_UNROLL
    for (VF& sum : sums) sum = hn::Zero(DF());
  }
  template <int kRows, std::size_t kSums>
  static HWY_INLINE void Next(const KBlock&, VF (&)[kSums]) {}
  static HWY_INLINE void Add(VF& sums, V8 x, V8 codes) {
    AddBf16Product(sums, hn::BitCast(D16(), x), hn::BitCast(D16(), codes));
  }
  template <int kVectors, int kRows>
  static HWY_INLINE void Flush(const KBlock& b, const VF (&sums)[kVectors * kRows], std::size_t first) {
    FlushBf16<kVectors, kRows>(b, sums, first);
  }
};

// The starts and ratios of joint K-blocks of kRows rows of x, in the order of the lanes of a product of two pairs of
// rows.
template <int kRows>
class JointPairs {
 public:
  // A run has `run_chunks` chunks. Its sums start from start_per_x times the sum of x.
  HWY_INLINE JointPairs(const MicroArgs& a, std::int32_t start_per_x, std::size_t run_chunks) {
    const JointStarts<ExtensionDot, kRows> starts(a, start_per_x, run_chunks);
    for (std::size_t pair = 0; pair < kPairs; ++pair) {
      const std::size_t first = 2 * pair, second = HWY_MIN(first + 1, std::size_t{kRows} - 1);
      for (std::size_t chunk = 0; chunk < kJointChunks; ++chunk) {
        hn::Store(PairLower(starts.Of(first, chunk), starts.Of(second, chunk)), D32(), starts_[chunk][pair]);
      }
      for (std::size_t run = 0; run < kJointRuns; ++run) {
        const V32 of_first = hn::Set(D32(), JointScaleOf(a, first).ratio[run]),
                  of_second = hn::Set(D32(), JointScaleOf(a, second).ratio[run]);
        hn::Store(PairLower(of_first, of_second), D32(), ratios_[run][pair]);
      }
    }
  }
  HWY_INLINE V32 Start(std::size_t chunk, std::size_t pair) const { return hn::Load(D32(), starts_[chunk][pair]); }
  HWY_INLINE V32 Ratio(std::size_t run, std::size_t pair) const { return hn::Load(D32(), ratios_[run][pair]); }

 private:
  static constexpr std::size_t kPairs = (kRows + 1) / 2;
  HWY_ALIGN std::int32_t starts_[kJointChunks][kPairs][4];
  HWY_ALIGN std::int32_t ratios_[kJointRuns][kPairs][4];
};

template <class Products>
struct MatrixProductKernel {
  using Sums = typename Products::Sums;
  using V = typename Products::V;
  static constexpr int kMaxRows = 4, kMaxPanels = 1, kTile = kMaxRows;
  static constexpr std::size_t kPanelBytes = 0;

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1);
    constexpr int kPairs = (kRows + 1) / 2;
    constexpr int kVectors = 8 / kPairs;  // of four rows of W, at a time: 16 sums in registers
    HWY_ALIGN std::uint8_t x[kLimbs * kMaxIntegerChunks * kEights * kPairs * kPartBytes];
    PairRows<kRows>(b.x, b.x_stride, kLimbs * b.chunks, x);
    for (std::size_t first = 0; first < kPanelRows; first += kVectors * kPartRows) {
      V sums[2 * kVectors * kPairs];  // [vector][lower, upper two rows][pair of rows of x]
      Products::template Start<kRows>(b, sums);
      const std::uint8_t* from = x;
      for (std::size_t limb = 0; limb < kLimbs; ++limb) {
        if (limb != 0) Products::template Next<kRows>(b, sums);
        AddChunks<kPairs>(b.index + first * 4, from, b.chunks, sums);
        from += b.chunks * kEights * kPairs * kPartBytes;
      }
      V rows[kVectors * kRows];
      Separate<kRows>(sums, rows);
      Products::template Flush<kVectors, kRows>(b, rows, first);
    }
  }

  // Joint K-blocks, whose unpacked codes follow each other.
  template <int kRows>
  static HWY_INLINE void RunJoint(const MicroArgs& args) {
    constexpr int kPairs = (kRows + 1) / 2;
    const std::size_t chunks = (args.blocks - 1) * args.x_chunks + args.last_chunks;
    HWY_ALIGN std::uint8_t x[kJointChunks * kEights * kPairs * kPartBytes];
    PairRows<kRows>(args.x, args.x_stride, chunks, x);
    if (args.folded) {
      constexpr int kVectors = 8 / kPairs;
      const JointPairs<kRows> of_x(args, args.lowest - ExtensionDot::kLowest, kJointRunChunks);
      MultiplyJointRuns<kVectors, kRows>(args, of_x, chunks, [&](std::size_t first, std::size_t run, V32* parts) {
        AddRun<kVectors, kRows>(args, of_x, x, first, run * kJointRunChunks, chunks, kJointRunChunks, parts);
      });
    } else {
      constexpr int kVectors = 4 / kPairs;  // registers hold the sums of a group, parts and totals
      const JointPairs<kRows> of_x(args, args.start, args.x_chunks);
      MultiplyJointRuns<kVectors, kRows>(args, of_x, chunks, [&](std::size_t first, std::size_t run, V32* parts) {
        AddGroups<kVectors, kRows>(args, of_x, x, first, run * kJointRunChunks, chunks, parts);
      });
    }
  }

 private:
  static constexpr std::size_t kLimbs = Products::kLimbs;
  static constexpr std::size_t kRowBytes = Describe(Products::kKind).chunk_bytes;  // of a chunk of a row of x
  static constexpr std::size_t kEights = kRowBytes / 8;

  // Pairs rows of x: [limb][chunk][eight bytes of the chunk][pair][row of the pair][8]. A row without another is its
  // own pair.
  template <int kRows>
  static HWY_INLINE void PairRows(const std::uint8_t* x, std::size_t x_stride, std::size_t chunks, std::uint8_t* to) {
    constexpr std::size_t kPairs = (kRows + 1) / 2;
    for (std::size_t chunk = 0; chunk < chunks; ++chunk, x += x_stride) {
      LUTRA_UNROLL
      for (std::size_t at = 0; at < kRowBytes; at += 16, to += 2 * kPairs * kPartBytes) {
        LUTRA_UNROLL
        for (std::size_t pair = 0; pair < kPairs; ++pair) {
          const V8 first = hn::LoadU(D8(), x + at + 2 * pair * kRowBytes),
                   second = hn::LoadU(D8(), x + at + HWY_MIN(2 * pair + 1, std::size_t{kRows} - 1) * kRowBytes);
          hn::Store(PairLower(first, second), D8(), to + pair * kPartBytes);
          hn::Store(PairUpper(first, second), D8(), to + (kPairs + pair) * kPartBytes);
        }
      }
    }
  }

  // Multiplies joint K-blocks, kVectors vectors of four rows of W at a time. `part_of` computes the parts of a joint
  // run.
  template <int kVectors, int kRows, class PartOf>
  static HWY_INLINE void MultiplyJointRuns(const MicroArgs& args, const JointPairs<kRows>& of_x, std::size_t chunks,
                                           const PartOf& part_of) {
    constexpr int kPairs = (kRows + 1) / 2, kSums = 2 * kVectors * kPairs;
    for (std::size_t first = 0; first < kPanelRows; first += kVectors * kPartRows) {
      V32 totals[kSums];
      SetZero(totals);
      for (std::size_t run = 0; run * kJointRunChunks < chunks; ++run) {
        V32 parts[kSums];
        part_of(first, run, parts);
        LUTRA_UNROLL
        for (int i = 0; i < kSums; ++i) {
          totals[i] = hn::Add(totals[i], hn::Mul(parts[i], of_x.Ratio(run, static_cast<std::size_t>(i % kPairs))));
        }
      }
      V32 rows[kVectors * kRows];
      Separate<kRows>(totals, rows);
      const int row = static_cast<int>(first);
      FlushJoint<false, kVectors, kRows>(args, rows,
                                         [row](int vector) { return row + vector * static_cast<int>(kPartRows); });
    }
  }
  // The sums of up to `run_chunks` chunks from chunk `at` on.
  template <int kVectors, int kRows>
  static HWY_INLINE void AddRun(const MicroArgs& args, const JointPairs<kRows>& of_x, const std::uint8_t* x,
                                std::size_t first, std::size_t at, std::size_t chunks, std::size_t run_chunks,
                                V32* to) {
    constexpr int kPairs = (kRows + 1) / 2, kSums = 2 * kVectors * kPairs;
    V32 sums[kSums];
    LUTRA_UNROLL
    for (int i = 0; i < kSums; ++i) sums[i] = of_x.Start(at, static_cast<std::size_t>(i % kPairs));
    AddChunks<kPairs>(args.index + at * kChunkCodes + first * 4, x + at * kEights * kPairs * kPartBytes,
                      HWY_MIN(run_chunks, chunks - at), sums);
    LUTRA_UNROLL
    for (int i = 0; i < kSums; ++i) to[i] = sums[i];
  }
  // The parts of a joint run from chunk `at` on: the sums of its groups times their scales.
  template <int kVectors, int kRows>
  static HWY_INLINE void AddGroups(const MicroArgs& args, const JointPairs<kRows>& of_x, const std::uint8_t* x,
                                   std::size_t first, std::size_t at, std::size_t chunks, V32* parts) {
    constexpr int kPairs = (kRows + 1) / 2, kSums = 2 * kVectors * kPairs;
    LUTRA_UNROLL
    for (int i = 0; i < kSums; ++i) parts[i] = hn::Zero(D32());
    const float* scales = args.qparams + at / args.x_chunks * args.qparams_stride + first;
    for (const std::size_t end = HWY_MIN(at + kJointRunChunks, chunks); at < end; at += args.x_chunks) {
      V32 sums[kSums];
      AddRun<kVectors, kRows>(args, of_x, x, first, at, chunks, args.x_chunks, sums);
      LUTRA_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        const V32 scale = hn::BitCast(D32(), hn::Load(DF(), scales + v * static_cast<int>(kPartRows)));
        const V32 lower = PairLower(scale, scale), upper = PairUpper(scale, scale);
        LUTRA_UNROLL
        for (int pair = 0; pair < kPairs; ++pair) {
          const int i = 2 * v * kPairs + pair;
          parts[i] = hn::Add(parts[i], hn::Mul(sums[i], lower));
          parts[i + kPairs] = hn::Add(parts[i + kPairs], hn::Mul(sums[i + kPairs], upper));
        }
      }
      scales += args.qparams_stride;
    }
  }

  // Adds the products of `chunks` chunks of each row.
  template <int kPairs, std::size_t kSums>
  static HWY_INLINE void AddChunks(const std::uint8_t* codes, const std::uint8_t* from, std::size_t chunks,
                                   V (&sums)[kSums]) {
    LUTRA_KEEP_LOOP
    for (std::size_t i = 0; i < kEights * chunks; ++i, codes += kEightBytes, from += kPairs * kPartBytes) {
      AddEight<kPairs>(codes, from, sums);
    }
  }
  // Adds the products of eight bytes of each row.
  template <int kPairs, std::size_t kSums>
  static HWY_INLINE void AddEight(const std::uint8_t* codes, const std::uint8_t* from, V (&sums)[kSums]) {
    V8 x[kPairs];
    LUTRA_UNROLL
    for (std::size_t pair = 0; pair < kPairs; ++pair) x[pair] = hn::Load(D8(), from + pair * kPartBytes);
    LUTRA_UNROLL
    for (std::size_t i = 0; i < kSums / kPairs; ++i) {
      const V8 rows = hn::Load(D8(), codes + i % 2 * kQuadBytes + i / 2 * kPartBytes);
      LUTRA_UNROLL
      for (std::size_t pair = 0; pair < kPairs; ++pair) Products::Add(sums[i * kPairs + pair], x[pair], rows);
    }
  }

  // Separates the rows of x: [vector of rows of W][row of x].
  template <int kRows, std::size_t kSums, std::size_t kVectorsTimesRows>
  static HWY_INLINE void Separate(const V (&sums)[kSums], V (&rows)[kVectorsTimesRows]) {
    constexpr std::size_t kPairs = (kRows + 1) / 2;
    LUTRA_UNROLL
    for (std::size_t v = 0; v < kVectorsTimesRows / kRows; ++v) {
      LUTRA_UNROLL
      for (std::size_t pair = 0; pair < kPairs; ++pair) {
        const V lower = sums[2 * v * kPairs + pair], upper = sums[(2 * v + 1) * kPairs + pair];
        rows[v * kRows + 2 * pair] = PairLower(lower, upper);
        if (2 * pair + 1 < kRows) rows[v * kRows + 2 * pair + 1] = PairUpper(lower, upper);
      }
    }
  }
};

// Products of matrices of bf16: the kernel, and how unpacked codes are stored for it.
struct Bf16Matrices {
  using Kernel = MatrixProductKernel<Bf16Products>;
  static HWY_INLINE void Store(V16 even, V16 odd, std::uint8_t* to) {
    const V32 first = hn::BitCast(D32(), even), second = hn::BitCast(D32(), odd);
    Bf16Pairs::Store(hn::BitCast(D16(), hn::InterleaveLower(D32(), first, second)),
                     hn::BitCast(D16(), hn::InterleaveUpper(D32(), first, second)), to);
  }
};

// Multiplies batches with all rows of x in integers: pairs the codes, and calls the micro-kernels.
class ProductRows {
 public:
  static constexpr ActivationKind kKind = ActivationKind::kIntegers;
  // With fewer rows of x, pairing the codes takes as long as it saves.
  static HWY_INLINE bool Takes(const TileArgs& a) { return a.rows >= 2 * kNR; }

  explicit HWY_INLINE ProductRows(const TileArgs& a)
      : rows_(a, a.geometry->joint_ratio != 0 ? kJoint : kKernels[a.kernel->precision == Precision::kInt16]) {}

  HWY_INLINE void Multiply(MicroArgs& args, std::size_t block, std::uint8_t* codes) const {
    for (std::size_t i = 0; i < args.blocks; ++i) {
      PairCodes(codes + i * args.index_stride, i + 1 == args.blocks ? args.last_chunks : args.x_chunks);
    }
    rows_.Multiply(args, block, codes);
  }

 private:
  static constexpr MicroKernel kKernels[] = {MicroKernelOf<MatrixProductKernel<IntegerProducts<Precision::kInt8>>>(),
                                             MicroKernelOf<MatrixProductKernel<IntegerProducts<Precision::kInt16>>>()};
  static constexpr MicroKernel kJoint = JointKernelOf<MatrixProductKernel<IntegerProducts<Precision::kInt8>>>();
  const RowGroups rows_;
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // LUTRA_MATRIX_PRODUCT

#endif  // per-target include guard
