// The dot micro-kernel on unpacked codes, one for all encodings (dot-inl.h draws it).
#if defined(LUTRA_KERNELS_UNPACKED_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_UNPACKED_DOT_INL_H_
#undef LUTRA_KERNELS_UNPACKED_DOT_INL_H_
#else
#define LUTRA_KERNELS_UNPACKED_DOT_INL_H_
#endif

#include "lutra/kernels/dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// The micro-kernel on codes of any format that unpack-inl.h unpacked; b.index points to them, [chunk][quad][row][4].
template <class Dot, Precision kPrecision>
struct UnpackedDotKernel {
  using Sums = SumTraits<ActivationKind::kIntegers, kPrecision>;
  static constexpr int kVectors = Dot::kVectors;  // vectors of rows at a time
  static constexpr int kMaxRows = 4, kMaxPanels = 1, kTile = kMaxRows;
  static constexpr std::size_t kPanelBytes = 0;

  template <int kPanels, int kRows>
  static HWY_INLINE void Run(const KBlock& b) {
    static_assert(kPanels == 1);
    for (std::size_t first = 0; first < 4 * kParts; first += kVectors) {
      V32 sums[kVectors * kRows];
      StartSums<Sums, kRows>(b, sums);
      const std::uint8_t* x = b.x;
      for (int limb = 0; limb < Sums::kLimbs; ++limb) {
        if (limb != 0) NextLimb<Sums, kRows>(b, sums);
        const std::uint8_t* codes = b.index + first * kPartBytes;
        if constexpr (Dot::kProducts == 0) {
          AddChunks<kVectors, kRows>(b.x_stride, codes, x, b.chunks, sums);
        } else {
          for (std::size_t chunk = 0; chunk < b.chunks; chunk += b.run_chunks) {
            typename Dot::Sum run[kVectors * kRows];
            StartRun<Dot>(run);
            AddChunks<kVectors, kRows>(b.x_stride, codes, x, HWY_MIN(b.run_chunks, b.chunks - chunk), run);
            AddRun<Dot>(run, sums);
          }
        }
      }
      const int row = static_cast<int>(first * kPartRows);
      FlushPanels<Sums, 1, kVectors, kRows>(b, sums,
                                            [row](int vector) { return row + vector * static_cast<int>(kPartRows); });
    }
  }

  // Joint K-blocks: a few vectors of rows of W at a time, so that registers hold runs and totals.
  template <int kRows>
  static HWY_INLINE void RunJoint(const MicroArgs& args) {
    if constexpr (kTakesBytes<Dot>) {
      if (args.folded) return RunFolded<kRows>(args);
    }
    constexpr int kAtOnce = kVectors * kRows > 8 ? 2 : kVectors;
    const std::size_t run_chunks = HWY_MIN(args.run_chunks, args.x_chunks);
    const JointStarts<Dot, kRows> starts(args, args.start, run_chunks);
    const std::size_t group_chunks = args.x_chunks, chunks = (args.blocks - 1) * group_chunks + args.last_chunks;
    const std::size_t x_stride = args.x_stride, qparams_stride = args.qparams_stride, index_stride = args.index_stride;
    for (std::size_t first = 0; first < 4 * kParts; first += kAtOnce) {
      const int row = static_cast<int>(first * kPartRows);
      const auto row_of = [row](int vector) { return row + vector * static_cast<int>(kPartRows); };
      V32 totals[kAtOnce * kRows];
      SetZero(totals);
      const std::uint8_t* x = args.x;
      const std::uint8_t *group = args.index + first * kPartBytes, *codes = group;
      const float* qparams = args.qparams;
      for (std::size_t at = 0, joint = 0, group_end = group_chunks; at < chunks; ++joint) {  // chunks, joint runs
        V32 parts[kAtOnce * kRows];
        SetZero(parts);
        for (const std::size_t end = HWY_MIN(at + kJointRunChunks, chunks); at < end; at += run_chunks) {
          typename Dot::Sum run[kAtOnce * kRows];
          LUTRA_UNROLL
          for (int i = 0; i < kAtOnce * kRows; ++i) {
            run[i] = StartJoint<Dot>(starts.Of(static_cast<std::size_t>(i % kRows), at));
          }
          if (at == group_end) {
            codes = group += index_stride;
            qparams += qparams_stride;
            group_end += group_chunks;
          }
          AddChunks<kAtOnce, kRows>(x_stride, codes, x, HWY_MIN(run_chunks, end - at), run);
          AddJointRun<Dot, kAtOnce, kRows>(run, starts, at, parts, [qparams, row_of](int v) {
            return hn::BitCast(D32(), hn::Load(DF(), qparams + row_of(v)));
          });
        }
        AddJointParts<kAtOnce, kRows>(args, joint, parts, totals);
      }
      FlushJoint<false, kAtOnce, kRows>(args, totals, row_of);
    }
  }

  // Joint K-blocks of folded codes: a part is the plain sum of the products of a joint run. (Totals are in memory while
  // a part is summed.)
  template <int kRows>
  static HWY_INLINE void RunFolded(const MicroArgs& args) {
    const JointStarts<Dot, kRows> starts(args, args.lowest - Dot::kLowest, kJointRunChunks);
    const std::size_t chunks = (args.blocks - 1) * args.x_chunks + args.last_chunks, x_stride = args.x_stride;
    for (std::size_t first = 0; first < 4 * kParts; first += kVectors) {
      const int row = static_cast<int>(first * kPartRows);
      V32 totals[kVectors * kRows];
      SetZero(totals);
      const std::uint8_t *x = args.x, *codes = args.index + first * kPartBytes;
      for (std::size_t at = 0; at < chunks; at += kJointRunChunks) {
        V32 parts[kVectors * kRows];
        LUTRA_UNROLL
        for (int i = 0; i < kVectors * kRows; ++i) parts[i] = starts.Of(static_cast<std::size_t>(i % kRows), at);
        AddChunks<kVectors, kRows>(x_stride, codes, x, HWY_MIN(kJointRunChunks, chunks - at), parts);
        AddJointParts<kVectors, kRows>(args, at / kJointRunChunks, parts, totals);
      }
      FlushJoint<false, kVectors, kRows>(args, totals,
                                         [row](int vector) { return row + vector * static_cast<int>(kPartRows); });
    }
  }

 private:
  template <int kAtOnce, int kRows>
  static HWY_INLINE void AddChunks(std::size_t x_stride, const std::uint8_t*& codes, const std::uint8_t*& x,
                                   std::size_t chunks, typename Dot::Sum (&sums)[kAtOnce * kRows]) {
    LUTRA_KEEP_LOOP
    for (; chunks != 0; --chunks, codes += kChunkCodes, x += x_stride) {
      AddCodes<0, kAtOnce, kRows>(codes, x, sums);
      AddCodes<1, kAtOnce, kRows>(codes, x, sums);
      AddCodes<2, kAtOnce, kRows>(codes, x, sums);
      AddCodes<3, kAtOnce, kRows>(codes, x, sums);
    }
  }
  template <int kQuad, int kAtOnce, int kRows>
  static HWY_INLINE void AddCodes(const std::uint8_t* from, const std::uint8_t* x,
                                  typename Dot::Sum (&sums)[kAtOnce * kRows]) {
    V8 codes[kAtOnce];
    LUTRA_UNROLL
    for (std::size_t v = 0; v < kAtOnce; ++v) codes[v] = hn::Load(D8(), from + kQuad * kQuadBytes + v * kPartBytes);
    AddQuad<Dot, kQuad, 0, kRows>(codes, x, sums);
  }
};

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
