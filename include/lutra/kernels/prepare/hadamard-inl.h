// Transforms a row of x by a Hadamard matrix, block by block (QuaRot, https://arxiv.org/abs/2404.00456; with signs:
// QuIP#, https://arxiv.org/abs/2402.04396).
//
// A block of B elements takes log2(B) stages. The stage of distance h replaces each pair (v[i], v[i + h]), where i & h
// is 0, by (v[i] + v[i + h], v[i] - v[i + h]). Stages run in the order h = 1, 2, 4, ..., so that results have the same
// bits on all targets. The first pass takes kPieceVectors vectors at a time and leaves them in registers for the stages
// within a vector and between these vectors. Each later pass takes 8, 4 or 2 vectors that are h apart, for 3, 2 or 1
// stages. The last pass multiplies by 1 / sqrt(B).
#if defined(LUTRA_KERNELS_PREPARE_HADAMARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PREPARE_HADAMARD_INL_H_
#undef LUTRA_KERNELS_PREPARE_HADAMARD_INL_H_
#else
#define LUTRA_KERNELS_PREPARE_HADAMARD_INL_H_
#endif

#include "lutra/kernels/prepare/load_x-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

inline constexpr std::size_t kPieceVectors = 8;  // half of the registers of AVX2
inline constexpr std::size_t kHadamardPiece = kPieceVectors * kLanesF;
static_assert(kMaxHadamardPiece % kHadamardPiece == 0);

// Lane i of the result is lane i ^ kDistance of v.
template <std::size_t kDistance>
HWY_INLINE VF SwapLanes(VF v) {
  if constexpr (kDistance == 1) return hn::Shuffle2301(v);
  if constexpr (kDistance == 2) return hn::Shuffle1032(v);
  if constexpr (kDistance == 4) return hn::SwapAdjacentBlocks(v);
  if constexpr (kDistance == 8) return hn::ConcatLowerUpper(DF(), v, v);
}

// The stages of distance kDistance, 2 * kDistance, ... below `block` within each vector. Both lanes of a pair compute
// at once: a + b, and b with its sign changed, plus a.
template <std::size_t kDistance>
HWY_INLINE void StagesInVectors(std::size_t block, VF (&v)[kPieceVectors]) {
  if constexpr (kDistance < kLanesF) {
    if (block <= kDistance) return;
    const DF df;
    const hn::RebindToUnsigned<DF> du;
    // The sign bit of the lanes that subtract, those with the bit kDistance.
    constexpr int kShift = kDistance == 1 ? 31 : kDistance == 2 ? 30 : kDistance == 4 ? 29 : 28;
    const auto signs = hn::And(hn::ShiftLeft<kShift>(hn::Iota(du, 0)), hn::Set(du, 0x80000000u));
    LUTRA_UNROLL
    for (VF& each : v) each = hn::Add(SwapLanes<kDistance>(each), hn::Xor(each, hn::BitCast(df, signs)));
    StagesInVectors<2 * kDistance>(block, v);
  }
}

// The stage between vectors that are kApart apart in v.
template <std::size_t kApart, std::size_t kVectors>
HWY_INLINE void StageOfVectors(VF (&v)[kVectors]) {
  LUTRA_UNROLL
  for (std::size_t i = 0; i < kVectors; ++i) {
    if ((i & kApart) != 0) continue;
    const VF a = v[i], b = v[i + kApart];
    v[i] = hn::Add(a, b);
    v[i + kApart] = hn::Sub(a, b);
  }
}

// Stores vectors that are `stride` floats apart, multiplied by `scale` unless that is 1.
template <std::size_t kVectors>
HWY_INLINE void StoreScaled(const VF (&v)[kVectors], float scale, std::size_t stride, float* to) {
  const DF df;
  const VF factor = hn::Set(df, scale);
  if (scale == 1.0f) {
    LUTRA_UNROLL
    for (std::size_t i = 0; i < kVectors; ++i) hn::Store(v[i], df, to + i * stride);
  } else {
    LUTRA_UNROLL
    for (std::size_t i = 0; i < kVectors; ++i) hn::Store(hn::Mul(v[i], factor), df, to + i * stride);
  }
}

// The first pass over kHadamardPiece elements: changes signs, then all stages of distance below kHadamardPiece. `signs`
// may be null.
HWY_INLINE void FirstPass(const float* from, const float* signs, std::size_t block, float scale, float* to) {
  const DF df;
  VF v[kPieceVectors];
  LUTRA_UNROLL
  for (std::size_t i = 0; i < kPieceVectors; ++i) v[i] = hn::LoadU(df, from + i * kLanesF);
  if (signs != nullptr) {  // 1 and -1: their sign bits suffice
    LUTRA_UNROLL
    for (std::size_t i = 0; i < kPieceVectors; ++i) {
      v[i] = hn::Xor(v[i], hn::And(hn::LoadU(df, signs + i * kLanesF), hn::SignBit(df)));
    }
  }
  StagesInVectors<1>(block, v);
  if (block > kLanesF) StageOfVectors<1>(v);
  if (block > 2 * kLanesF) StageOfVectors<2>(v);
  if (block > 4 * kLanesF) StageOfVectors<4>(v);
  StoreScaled(v, scale, kLanesF, to);
}

// A later pass over a block: the stages of distance `distance` to kVectors / 2 * distance.
template <std::size_t kVectors>
HWY_INLINE void LaterPass(std::size_t block, std::size_t distance, float scale, float* v) {
  const DF df;
  for (std::size_t begin = 0; begin < block; begin += kVectors * distance) {
    for (std::size_t i = begin; i < begin + distance; i += kLanesF) {
      VF each[kVectors];
      LUTRA_UNROLL
      for (std::size_t j = 0; j < kVectors; ++j) each[j] = hn::Load(df, v + i + j * distance);
      StageOfVectors<1>(each);
      if constexpr (kVectors > 2) StageOfVectors<2>(each);
      if constexpr (kVectors > 4) StageOfVectors<4>(each);
      StoreScaled(each, scale, distance, v + i);
    }
  }
}

// The stages of distance kHadamardPiece to block / 2. Four stages take two passes of two each.
HWY_INLINE void LaterPasses(std::size_t block, float scale, float* v) {
  for (std::size_t distance = kHadamardPiece; distance < block;) {
    const std::size_t left = block / distance;
    if (left == 2) {
      LaterPass<2>(block, distance, scale, v);
      distance *= 2;
    } else if (left == 4 || left == 16) {
      LaterPass<4>(block, distance, left == 4 ? scale : 1.0f, v);
      distance *= 4;
    } else {
      LaterPass<8>(block, distance, left == 8 ? scale : 1.0f, v);
      distance *= 8;
    }
  }
}

// Returns 1 / sqrt(block), rounded to float.
HWY_INLINE float InverseRoot(std::size_t block) {
  constexpr float kInverseRootOf2 = 0x1.6a09e6p-1f;
  float root = 1.0f;
  for (; block >= 4; block /= 4) root *= 0.5f;
  return block == 2 ? root * kInverseRootOf2 : root;
}

// Transforms row x to `to`, HadamardStride(K) floats, with the same bits as ReferenceHadamard. Then x is that row of
// floats.
inline HWY_NOINLINE void TransformRow(Row& x, float* to) {
  const Hadamard& h = *x.transform.hadamard;
  const std::size_t k = x.geometry->k;
  const float scale = InverseRoot(h.block);
  Row source = x;  // its columns are in their own order while they are transformed
  source.order = nullptr;
  source.in_place = x.type == DataType::kF32;
  // Short blocks share a piece. The last piece may go beyond K, where it has zeros.
  const std::size_t step = HWY_MAX(h.block, kHadamardPiece);
  for (std::size_t begin = 0; begin < k; begin += step) {
    const std::size_t count = HWY_MIN(step, k - begin);
    const float* from = static_cast<const float*>(x.x) + begin;
    const float* signs = h.signs == nullptr ? nullptr : h.signs + begin;
    if (!source.in_place || x.transform.norm != nullptr || count < step) {
      LoadLinear(source, begin, count, step, false, to + begin);
      from = to + begin;
    }
    HWY_ALIGN float padded[kHadamardPiece];
    if (signs != nullptr && count < step) {
      for (std::size_t i = 0; i < kHadamardPiece; ++i) padded[i] = i < count ? signs[i] : 1.0f;
      signs = padded;
    }
    for (std::size_t i = 0; i < step; i += kHadamardPiece) {
      FirstPass(from + i, signs == nullptr ? nullptr : signs + i, h.block, h.block <= kHadamardPiece ? scale : 1.0f,
                to + begin + i);
    }
    LaterPasses(h.block, scale, to + begin);
  }
  x.x = to;
  x.type = DataType::kF32;
  x.scales = nullptr;
  x.transform = {};
  x.in_place = x.order == nullptr;
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
