// The parts that all micro-kernels share: their arguments, the start of integer sums, and the flush of sums to floats.
#if defined(LUTRA_KERNELS_FLUSH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_FLUSH_INL_H_
#undef LUTRA_KERNELS_FLUSH_INL_H_
#else
#define LUTRA_KERNELS_FLUSH_INL_H_
#endif

#include "lutra/kernels/prefetch.h"
#include "lutra/kernels/registry.h"
#include "lutra/kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Properties of integer sums of lookups or products, for an activation kind and precision.
template <ActivationKind kKind, Precision kPrecision, bool kMayStart = true>
struct SumTraits {
  static constexpr bool kStarts = kMayStart;  // whether MicroArgs::start may differ from 0
  static constexpr ActivationInfo kActivations = Describe(kKind);
  static constexpr int kLimbs = Limbs(kPrecision);
  // Lookup sums under kInt8 start from kMagicBits, so that their bits are floats and need no conversion.
  static constexpr bool kMagicSums = kActivations.has_tables() && kLimbs == 1;

  // Whether the sums of a K-block fit their lanes of 32 bits, or 22 bits with kMagicBits. `bias`: kernels multiply
  // L(q) + bias. The bound is the sum of two parts:
  //   sums    at most 64 lookups of each plane, each times a ratio under kInt8; or 192 products. Limbs, table entries
  //           (without their bias) and int8 x are at most 128 in magnitude. A second limb adds 7 bits.
  //   start   start times the total of x. The largest total is that of integers in two limbs: 192 * 16319.
  // The largest bound of all formats is that of iq4nl in two limbs: 1.2e9 of 2.1e9.
  static constexpr bool Fit(const MethodInfo& method, std::int64_t bias) {
    constexpr bool kTables = kActivations.has_tables();
    constexpr std::int64_t kTerms = kTables ? kMaxChunksPerBlock * kIndicesPerChunk : kMaxIntegerChunks * 16;
    const std::int64_t low = method.lowest() + bias, high = method.highest() + bias;
    const std::int64_t weight = (high > -low ? high : -low) * (kTables && kLimbs == 1 ? kMaxRatio : 1);
    const std::int64_t start = (method.start() < 0 ? -method.start() : method.start()) + bias;
    const std::int64_t sums = kTerms * weight * 128 * (kLimbs == 1 ? 1 : 129) +
                              kTerms * start * (kLimbs == 1 ? 128 * (kTables ? kMaxRatio : 1) : 128 * 128);
    return sums < std::int64_t{1} << (kMagicSums ? 22 : 31);
  }
};

// Floats of a panel and group: scale * gain of each row, then, if there are zeros, the center of each row
// (qparams-inl.h).
inline constexpr std::size_t kPanelQparams = 2 * kPanelRows;

// Arguments for one K-block, copied from MicroArgs. (The constructor copies word by word, as MicroArgs were written. A
// load of two words would wait until both stores have reached L1: some 20 of the 500 cycles of a K-block.)
struct KBlock {
  const std::uint8_t *index, *x, *values, *choices;
  const float* qparams;
  const BlockScale* scales;
  std::size_t chunks, half_chunks;  // chunks of x; stored half chunks
  std::size_t interleaved, first;
  PrefetchDistances prefetch;
  std::size_t center, x_stride, run_chunks;
  float* tile;
  std::size_t tile_stride;
  std::int32_t start, lowest;
  // The bytes of the scales, their type, and the factor of scales. Null if the scales are floats in `qparams`.
  const std::uint8_t* scale_bytes = nullptr;
  DataType scale_type = {};
  float factor = 0.0f;

  explicit HWY_INLINE KBlock(const MicroArgs& a)
      : index(a.index),
        x(a.x),
        values(a.values),
        choices(a.choices),
        qparams(a.qparams),
        scales(a.scales),
        chunks(a.x_chunks),
        half_chunks(a.half_chunks),
        interleaved(a.interleaved),
        first(a.first),
        prefetch(a.prefetch),
        center(a.center),
        x_stride(a.x_stride),
        run_chunks(a.run_chunks),
        tile(a.tile),
        tile_stride(a.tile_stride),
        start(a.start),
        lowest(a.lowest) {}

  // Call for each line of packed weights that is read: prefetches lines that follow it, at the distances `prefetch`.
  HWY_INLINE void Prefetch(const std::uint8_t* line) const { internal::Prefetch(line, prefetch); }

  // Converts the qparams of the K-block's group to floats, or, if they are scales alone, notes where their bytes are.
  HWY_INLINE void Read(const GroupReader& reader) {
    if (!reader.scales_alone) return reader.Read(index, 1);
    const std::size_t bytes = reader.args->group_bytes;
    scale_bytes = index - bytes;
    scale_type = reader.scale_type;
    factor = reader.args->factor;
    for (std::size_t at = 0; at < bytes; at += 64) Prefetch(scale_bytes + at);
  }
};

// E8M0: 2^(e - 127). The bits of the float are e at the place of the exponent; but for e = 0, the subnormal 2^-127,
// they are 0x00400000.
HWY_INLINE VF LoadExponents(const std::uint8_t* from, std::size_t row) {
  const V32 e = hn::PromoteTo(D32(), hn::LoadU(hn::Rebind<std::uint8_t, DF>(), from + row));
  return hn::BitCast(DF(), hn::Max(hn::ShiftLeft<23>(e), hn::Set(D32(), 0x00400000)));
}

// Up to this number of rows of x, kernels on packed codes read the scales of joint K-blocks from the bytes of groups.
// (With more rows, sums need these registers.)
inline constexpr int kMaxJointReadingRows = LUTRA_VECTOR_SCOPE ? 2 : 1;

// Whether a kernel converts the qparams of groups itself (MicroArgs::reader).
template <class Kernel>
inline constexpr bool kReadsGroups = false;

// Multiplies all K-blocks of the args, for kPanels panels from panel `panel` of the args on, with kRows rows of x.
template <class Kernel, int kPanels, int kRows>
HWY_INLINE void MultiplyBlocks(const MicroArgs& args, std::size_t panel) {
  KBlock b(args);
  b.index += panel * Kernel::kPanelBytes;
  b.first += panel;
  b.qparams += panel * kPanelQparams;
  b.tile += panel * b.tile_stride;
  for (std::size_t left = args.blocks;; --left) {
    if (left == 1) b.chunks = args.last_chunks, b.half_chunks = args.last_half_chunks;
    if constexpr (kReadsGroups<Kernel>) {
      if (args.reader != nullptr) b.Read(*args.reader);
    }
    Kernel::template Run<kPanels, kRows>(b);
    if (left == 1) return;
    b.index += args.index_stride;
    b.qparams += args.qparams_stride;
    b.choices += args.choice_stride;
    b.x += b.chunks * Kernel::Sums::kLimbs * b.x_stride;
    b.scales += args.scale_stride;
  }
}
// A micro-kernel: multiplies all panels of the args, as many at a time as registers hold.
template <class Kernel, int kRows>
HWY_NOINLINE void MultiplyPanels(const MicroArgs& args) {
  constexpr std::size_t kPanels = HWY_MIN(Kernel::kMaxPanels, Kernel::kTile / kRows);
  std::size_t panel = 0;
  if constexpr (kPanels > 1) {
    for (; panel + kPanels <= args.panel_count; panel += kPanels) MultiplyBlocks<Kernel, kPanels, kRows>(args, panel);
  }
  do {
    if (kPanels > 1 && panel == args.panel_count) return;
    MultiplyBlocks<Kernel, 1, kRows>(args, panel);
  } while (Kernel::kMaxPanels > 1 && ++panel < args.panel_count);
}

// The same for joint K-blocks of one panel.
template <class Kernel, int kRows>
HWY_NOINLINE void MultiplyJoint(const MicroArgs& args) {
  Kernel::template RunJoint<kRows>(args);
}

template <class Kernel, int kRows>
constexpr MicroFunction FunctionFor() {
  if constexpr (kRows <= Kernel::kMaxRows) return &MultiplyPanels<Kernel, kRows>;
  return nullptr;
}
template <class Kernel>
constexpr MicroKernel MicroKernelOf() {
  static_assert(kNR == 4);
  return {Kernel::kMaxRows,
          Kernel::kMaxPanels,
          Kernel::kTile,
          kReadsGroups<Kernel> ? Kernel::kMaxRows : 0,
          {FunctionFor<Kernel, 1>(), FunctionFor<Kernel, 2>(), FunctionFor<Kernel, 3>(), FunctionFor<Kernel, 4>()}};
}

template <class Kernel, int kRows>
constexpr MicroFunction JointFunctionFor() {
  if constexpr (kRows <= Kernel::kMaxRows) return &MultiplyJoint<Kernel, kRows>;
  return nullptr;
}
template <class Kernel>
constexpr MicroKernel JointKernelOf() {
  return {Kernel::kMaxRows,
          1,
          Kernel::kMaxRows,
          kReadsGroups<Kernel> ? kMaxJointReadingRows : 0,
          {JointFunctionFor<Kernel, 1>(), JointFunctionFor<Kernel, 2>(), JointFunctionFor<Kernel, 3>(),
           JointFunctionFor<Kernel, 4>()}};
}

// The start of the sums of row n of x. (A method that always starts from 0 does not load `total`: int1 is 1.05 times as
// fast.)
template <class Sums>
HWY_INLINE std::int32_t Start(const KBlock& b, int n) {
  const std::int32_t start = Sums::kStarts ? b.start * b.scales[n].total : 0;
  return Sums::kMagicSums ? kMagicBits + start : start;
}

// Sums in registers, [vector of rows of W][row of x]. StartSums sets them before the first limb of x; NextLimb shifts
// them by the 7 bits of a limb before the second one.
template <class Sums, int kRows, std::size_t kSums>
HWY_INLINE void StartSums(const KBlock& b, V32 (&sums)[kSums]) {
  LUTRA_UNROLL
  for (std::size_t i = 0; i < kSums; ++i) {
    sums[i] = Sums::kLimbs == 1 ? hn::Set(D32(), Start<Sums>(b, static_cast<int>(i % kRows))) : hn::Zero(D32());
  }
}
template <class Sums, int kRows, std::size_t kSums>
HWY_INLINE void NextLimb(const KBlock& b, V32 (&sums)[kSums]) {
  LUTRA_UNROLL
  for (std::size_t i = 0; i < kSums; ++i) {
    sums[i] = hn::Add(hn::ShiftLeft<7>(sums[i]), hn::Set(D32(), Start<Sums>(b, static_cast<int>(i % kRows))));
  }
}

// The 16-bit sums of the scale runs of a K-block: kCount vectors for each run, and for each limb, the upper one first.
template <int kCount, int kRuns = kMaxRunsPerBlock, int kLimbs = 2>
class RunSums {
 public:
  HWY_INLINE V16 Load(std::size_t run, std::size_t i) const {
    return hn::Load(D16(), lanes_ + (run * kCount + i) * kN);
  }
  HWY_INLINE void Store(V16 sums, std::size_t run, std::size_t i) {
    hn::Store(sums, D16(), lanes_ + (run * kCount + i) * kN);
  }

 private:
  static constexpr std::size_t kN = 8 * kLayout.blocks;
  HWY_ALIGN std::int16_t lanes_[kLimbs * kRuns * kCount * kN];
};

// The scale of a K-block of a row of x. Of() multiplies an integer sum by it, and rounds once, to float.
template <class Sums>
class Units {
 public:
  explicit HWY_INLINE Units(const BlockScale& block)
      : scale_(hn::Set(DF(), block.scale)), offset_(hn::Set(DF(), block.offset)) {}
  HWY_INLINE VF Of(V32 sum) const {
    if constexpr (Sums::kMagicSums) {
      return Fma(hn::BitCast(DF(), sum), scale_, offset_);
    } else {
      return hn::Mul(hn::ConvertTo(DF(), sum), scale_);
    }
  }

 private:
  VF scale_, offset_;
};

// Flushes the sum of a vector of rows of W: to += scale * (scaled sum), then += center * (sum of x), if there are
// centers.
template <class Sums>
HWY_INLINE void FlushSum(V32 sum, const Units<Sums>& units, VF scale, float* to) {
  const DF df;
  hn::Store(Fma(scale, units.Of(sum), hn::Load(df, to)), df, to);
}
template <class Sums>
HWY_INLINE void FlushSum(V32 sum, const Units<Sums>& units, VF scale, const float* center, float sum_of_x, float* to) {
  const DF df;
  const VF scaled = Fma(scale, units.Of(sum), hn::Load(df, to));
  hn::Store(Fma(hn::Load(df, center), hn::Set(df, sum_of_x), scaled), df, to);
}

// The scales, times the gain, of the rows of W from `row` on. kReads: they may be in KBlock::scale_bytes.
template <bool kReads>
HWY_INLINE VF ScaleOf(const KBlock& b, const float* qparams, std::size_t row) {
  const DF df;
  if (!kReads || b.scale_bytes == nullptr) return hn::Load(df, qparams + row);
  const VF scale = b.scale_type == DataType::kE8M0 ? LoadExponents(b.scale_bytes, row)
                                                   : LoadFloats(df, b.scale_bytes, DataType::kF16, row);
  return hn::Mul(scale, hn::Set(df, b.factor));
}

// Flushes the sums of a K-block. `sums` are [panel][vector][row of x]; the lanes of a vector are consecutive rows of W
// from row_of(vector) on.
template <class Sums, int kPanels, int kVectors, int kRows, bool kReads = false, std::size_t kSums, class RowOf>
LUTRA_INLINE void FlushPanels(const KBlock& b, const V32 (&sums)[kSums], const RowOf& row_of) {
  static_assert(kSums == kPanels * kVectors * kRows);
  LUTRA_UNROLL
  for (int panel = 0; panel < kPanels; ++panel) {
    const float* qparams = b.qparams + panel * static_cast<int>(kPanelQparams);
    float* tile = b.tile + static_cast<std::size_t>(panel) * b.tile_stride;
    VF scale[kVectors];
    LUTRA_UNROLL
    for (int v = 0; v < kVectors; ++v) scale[v] = ScaleOf<kReads>(b, qparams, static_cast<std::size_t>(row_of(v)));
    if (b.center == 0) {
      LUTRA_UNROLL
      for (int i = 0; i < kVectors * kRows; ++i) {
        const int v = i / kRows, n = i % kRows;
        FlushSum(sums[panel * kVectors * kRows + i], Units<Sums>(b.scales[n]), scale[v],
                 tile + n * static_cast<int>(kPanelRows) + row_of(v));
      }
    } else {
      LUTRA_UNROLL
      for (int i = 0; i < kVectors * kRows; ++i) {
        const int v = i / kRows, n = i % kRows;
        FlushSum(sums[panel * kVectors * kRows + i], Units<Sums>(b.scales[n]), scale[v],
                 qparams + kPanelRows + row_of(v), b.scales[n].sum,
                 tile + n * static_cast<int>(kPanelRows) + row_of(v));
      }
    }
  }
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
