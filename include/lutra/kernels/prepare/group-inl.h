// Prepares a row group of x as sum tables, integers, floats or bf16, K-block by K-block.
#if defined(LUTRA_KERNELS_PREPARE_GROUP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PREPARE_GROUP_INL_H_
#undef LUTRA_KERNELS_PREPARE_GROUP_INL_H_
#else
#define LUTRA_KERNELS_PREPARE_GROUP_INL_H_
#endif

#include "lutra/kernels/prepare/floats-inl.h"
#include "lutra/kernels/prepare/hadamard-inl.h"
#include "lutra/kernels/prepare/integers-inl.h"
#include "lutra/kernels/prepare/rms_norm-inl.h"
#include "lutra/kernels/prepare/steps-inl.h"
#include "lutra/kernels/prepare/sum_tables-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Builds the tables or integers of a K-block, and completes its scale with the sum of x.
template <class Traits>
HWY_INLINE void BuildRounded(const BlockOfX& block, const Destination& to, BlockScale& out) {
  std::int32_t total;
  if constexpr (Traits::kTables) {
    total = BuildTables<Traits>(block, to);
  } else {
    total = BuildIntegers<Traits>(block, to);
    if (block.joint) {
      auto& joint = reinterpret_cast<JointScale&>(out);
      for (std::size_t run = 0; run < kJointRuns; ++run) {
        joint.ratio[run] = static_cast<std::uint8_t>(block.ratio[run] & 0xff);
      }
      SetJointSums(to, joint);
      joint.scale *= 1.0f / kJointUnit;
      return;
    }
  }
  constexpr int kEach = Traits::kRatios ? kFine : 1;  // integers in a unit of the scale
  out.total = (total + kEach / 2) >> (Traits::kRatios ? Traits::kShift : 0);
  const float sum = static_cast<float>(total) * (1.0f / kEach) * out.scale;
  out.sum = HWY_MIN(HWY_MAX(sum, -kFloatMax), kFloatMax);
}
// Builds the tables, integers or floats of a K-block.
template <class Traits>
HWY_INLINE void BuildBlock(const BlockOfX& block, const Destination& to, BlockScale& out) {
  if constexpr (Traits::kFloats) {
    BuildFloats<Traits::kType>(block, to, out);
  } else {
    BuildRounded<Traits>(block, to, out);
  }
}

// TargetKernels::prepare. Takes the rows of the row group in turn, K-block by K-block, as memory is written. It
// measures up to kNR K-blocks before it builds the first, because the first integer of a K-block waits long for its
// largest value.
template <ActivationKind kKind, Precision kPrecision>
bool PrepareRowGroup(const PrepareArgs& a) {
  using Traits = PrepareTraits<kKind, kPrecision>;
  constexpr std::size_t kBytes = Traits::kInfo.chunk_bytes;
  const Geometry& g = *a.geometry;
  BlockOfX blocks[kNR];
  Row row[kNR];
  for (std::size_t n = 0; n < HWY_MIN(a.rows, kNR); ++n) {  // g++ warns of more rows than there are
    row[n] = {a, a.type == DataType::kF32 && a.order == nullptr, 1.0f};
    row[n].x = static_cast<const std::uint8_t*>(a.x) + n * a.x_stride;
    if (a.scales != nullptr) row[n].scales += n * a.scale_stride;
    if (a.transform.norm != nullptr) row[n].inverse_rms = InverseRms(row[n]);
    if (a.transform.hadamard != nullptr) TransformRow(row[n], a.transformed + n * HadamardStride(g.k));
  }
  std::uint8_t* tables = a.prepared;
  BlockScale* scales = a.block_scales;
  const std::size_t scale_stride = g.scale_units();
  bool good = true;
  for (std::size_t first = a.first_block; first < a.end_block && good;) {
    const std::size_t end = HWY_MIN(a.end_block, first + kNR / a.rows);
    BlockOfX* block = blocks;
    for (std::size_t b = first, i = 0; b < end; ++b) {
      for (std::size_t n = 0; n < a.rows; ++n, ++i, ++block) {
        MeasureBlock<Traits>(row[n], b, *block, scales[i * scale_stride]);
        good = good && (block->finite || a.propagate);
      }
    }
    block = blocks;
    for (; first < end && good; ++first) {
      const std::size_t chunks = g.x_chunks_in(first), stride = a.rows * kBytes;
      for (std::size_t n = 0; n < a.rows; ++n, ++block) {
        BuildBlock<Traits>(*block, {tables + n * kBytes, stride, chunks}, scales[0]);
        scales += scale_stride;
      }
      tables += chunks * Traits::kLimbs * stride;
    }
  }
  return good;
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
