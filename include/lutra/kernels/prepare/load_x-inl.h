// Loads elements of x, of any type, in the order of the columns of W, as quads of floats.
#if defined(LUTRA_KERNELS_PREPARE_LOAD_X_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PREPARE_LOAD_X_INL_H_
#undef LUTRA_KERNELS_PREPARE_LOAD_X_INL_H_
#else
#define LUTRA_KERNELS_PREPARE_LOAD_X_INL_H_
#endif

#include "lutra/kernels/prepare/traits-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// A row of x.
struct Row : PrepareArgs {
  bool in_place;      // elements are floats in the order of the columns of W, so that they need no copy
  float inverse_rms;  // for RMSNorm: 1 / sqrt(mean square + epsilon)
};

// Converts `count` consecutive floats of any type.
HWY_INLINE void ConvertFloats(const void* from, DataType type, std::size_t count, float* to) {
  const DF df;
  std::size_t i = 0;
  for (; i + hn::Lanes(df) <= count; i += hn::Lanes(df)) hn::Store(LoadFloats(df, from, type, i), df, to + i);
  const hn::CappedTag<float, 1> d1;
  for (; i < count; ++i) hn::Store(LoadFloats(d1, from, type, i), d1, to + i);
}

// Calls take(integer_at), where integer_at(i) is element i of a row of integers.
template <class Take>
HWY_INLINE void WithIntegers(const Row& x, const Take& take) {
  const auto* bytes = static_cast<const std::uint8_t*>(x.x);
  if (x.type == DataType::kBits) {
    take([=](std::size_t i) HWY_ATTR { return 2 * (bytes[i / 8] >> (i % 8) & 1) - 1; });
  } else if (x.type == DataType::kInt4) {
    take([=](std::size_t i) HWY_ATTR { return ((bytes[i / 2] >> (i % 2 * 4) & 15) ^ 8) - 8; });
  } else {
    take([=](std::size_t i) HWY_ATTR { return static_cast<int>(static_cast<std::int8_t>(bytes[i])); });
  }
}

// Loads elements begin, begin + 1, ... of x as floats. `raw`: integers without their scales.
HWY_INLINE void LoadConsecutive(const Row& x, std::size_t begin, std::size_t count, bool raw, float* to) {
  if (!HasScales(x.type)) {
    return ConvertFloats(static_cast<const std::uint8_t*>(x.x) + begin * SizeOf(x.type), x.type, count, to);
  }
  WithIntegers(x, [&](const auto& integer_at) HWY_ATTR {
    for (std::size_t i = 0; i < count;) {  // elements that share a scale
      const std::size_t group = (begin + i) / x.scale_group;
      const std::size_t end = HWY_MIN(count - i, x.scale_group - (begin + i) % x.scale_group) + i;
      const float scale = raw ? 1.0f : x.scales[group];
      for (; i < end; ++i) to[i] = static_cast<float>(integer_at(begin + i)) * scale;
    }
  });
}

// Loads elements order[begin], order[begin + 1], ... of x as floats. `raw` as above.
inline HWY_NOINLINE void LoadPermuted(const Row& x, std::size_t begin, std::size_t count, bool raw, float* to) {
  const std::uint32_t* order = x.order + begin;
  if (x.type == DataType::kF32) {
    const auto* from = static_cast<const float*>(x.x);
    for (std::size_t i = 0; i < count; ++i) to[i] = from[order[i]];
  } else if (HasScales(x.type)) {
    const bool one_scale = x.scale_group >= x.geometry->k;
    WithIntegers(x, [&](const auto& integer_at) HWY_ATTR {
      for (std::size_t i = 0; i < count; ++i) {
        const float scale = raw ? 1.0f : x.scales[one_scale ? 0 : order[i] / x.scale_group];
        to[i] = static_cast<float>(integer_at(order[i])) * scale;
      }
    });
  } else {
    const auto* from = static_cast<const std::uint16_t*>(x.x);
    std::uint16_t words[kMaxBlockFloats];
    for (std::size_t i = 0; i < count; ++i) words[i] = from[order[i]];
    ConvertFloats(words, x.type, count, to);
  }
}

// Normalizes `count` elements: linear[i] = (loaded[i] * inverse_rms) * weight. It stores whole vectors, because the
// next step loads whole vectors: narrower stores would delay these loads.
inline HWY_NOINLINE void NormalizeLinear(const Row& x, std::size_t begin, std::size_t count, const float* loaded,
                                         float* linear) {
  const DF df;
  const float* weight = x.transform.norm->weight;
  std::size_t i = 0;
  if (x.order != nullptr && weight != nullptr) {
    for (; i < count; ++i) linear[i] = loaded[i] * x.inverse_rms * weight[x.order[begin + i]];
    return;
  }
  const VF scale = hn::Set(df, x.inverse_rms);
  for (; i + hn::Lanes(df) <= count; i += hn::Lanes(df)) {
    VF scaled = hn::Mul(hn::LoadU(df, loaded + i), scale);
    if (weight != nullptr) scaled = hn::Mul(scaled, hn::LoadU(df, weight + begin + i));
    hn::Store(scaled, df, linear + i);
  }
  for (; i < count; ++i) {
    linear[i] = loaded[i] * x.inverse_rms;
    if (weight != nullptr) linear[i] *= weight[begin + i];
  }
}

// Loads `count` elements from column `begin` of W on as floats, normalized if x has a norm, then zeros up to `padded`.
HWY_INLINE void LoadLinear(const Row& x, std::size_t begin, std::size_t count, std::size_t padded, bool raw,
                           float* linear) {
  const float* loaded = linear;
  if (x.order != nullptr) {
    LoadPermuted(x, begin, count, raw, linear);
  } else if (x.transform.norm != nullptr && x.in_place) {
    loaded = static_cast<const float*>(x.x) + begin;
  } else {
    LoadConsecutive(x, begin, count, raw, linear);
  }
  if (x.transform.norm != nullptr) NormalizeLinear(x, begin, count, loaded, linear);
  for (std::size_t i = count; i < padded; ++i) linear[i] = 0.0f;
}

// Spreads `count` floats to quads of three elements and a zero, then zeros up to `size` floats. adjust(v, i, load)
// changes each vector v of quads before it is stored; i is its first element, and load(pointer) loads other floats as
// quads. Reads up to kQuadsPerVector floats beyond the elements of the last vector.
template <class Adjust>
HWY_INLINE void Spread(const float* linear, std::size_t count, std::size_t size, float* quads, const Adjust& adjust) {
  const DF df;
  const D32 d32;
  constexpr std::size_t kTaken = 3 * kQuadsPerVector;
  HWY_ALIGN std::int32_t lanes[kLanesF];
  for (std::size_t i = 0; i < kLanesF; ++i) lanes[i] = static_cast<std::int32_t>(i / 4 * 3 + i % 4);
  V32 from = hn::Load(d32, lanes);
  StayInRegister(from);  // otherwise clang uses two shuffles instead of one permutation
  const auto where = hn::IndicesFromVec(df, from);
  const V32 used = hn::Dup128VecFromValues(d32, -1, -1, -1, 0);
  const auto load = [&](const float* at) HWY_ATTR { return hn::TableLookupLanes(hn::LoadU(df, at), where); };
  const auto spread = [&](std::size_t i, V32 lanes_used) HWY_ATTR {
    const VF quad = adjust(load(linear + i), i, load);
    hn::Store(hn::IfThenElseZero(hn::MaskFromVec(hn::BitCast(df, lanes_used)), quad), df, quads);
    quads += kLanesF;
  };
  float* const end = quads + size;
  std::size_t i = 0;
  for (; i + kTaken <= count; i += kTaken) spread(i, used);
  if (i < count) {
    const V32 left = hn::Set(d32, static_cast<std::int32_t>(count - i));
    spread(i, hn::And(used, hn::VecFromMask(d32, hn::Lt(from, left))));
  }
  VF zero = hn::Zero(df);
  StayInRegister(zero);  // prevents a call of memset, whose narrower stores would delay loads
  for (; quads != end; quads += kLanesF) hn::Store(zero, df, quads);
}

// Returns the `size` floats of quads of a K-block of `count` elements: in x itself, or in `buffer`. `copy`: always in
// `buffer`.
template <class Traits>
HWY_INLINE const float* LoadQuads(const Row& x, std::size_t begin, std::size_t count, std::size_t size, bool raw,
                                  bool copy, float* buffer) {
  const auto* in_x = static_cast<const float*>(x.x) + begin;
  if constexpr (!Traits::kMirrored) {
    if (x.in_place && x.transform.norm == nullptr && count == size && !copy) return in_x;
    LoadLinear(x, begin, count, size, raw, buffer);
  } else {
    const std::size_t read =
        (count + 3 * kQuadsPerVector - 1) / (3 * kQuadsPerVector) * (3 * kQuadsPerVector) + kQuadsPerVector;
    HWY_ALIGN float linear[kMaxBlockFloats];
    const bool from_x = x.in_place && begin + read <= x.geometry->k;
    if (!from_x) LoadLinear(x, begin, count, read, raw, linear);
    if (!from_x || x.transform.norm == nullptr) {
      Spread(from_x ? in_x : linear, count, size, buffer, [](VF v, std::size_t, const auto&) HWY_ATTR { return v; });
    } else {  // the arithmetic of NormalizeLinear; not its output, because loads that overlap two stores wait for both
      const float* weight = x.transform.norm->weight;
      Spread(in_x, count, size, buffer, [&](VF v, std::size_t i, const auto& load) HWY_ATTR {
        v = hn::Mul(v, hn::Set(DF(), x.inverse_rms));
        return weight == nullptr ? v : hn::Mul(v, load(weight + begin + i));
      });
    }
  }
  return buffer;
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
