// Converts the qparams of groups, of any types, to the floats of MicroArgs::qparams.
#if defined(LUTRA_KERNELS_QPARAMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_QPARAMS_INL_H_
#undef LUTRA_KERNELS_QPARAMS_INL_H_
#else
#define LUTRA_KERNELS_QPARAMS_INL_H_
#endif

#include <cstring>

#include "lutra/kernels/joint-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// --- Values of a field for the rows from `row` on, as floats. One function per type.

// Integers of a byte each.
template <class T>
HWY_INLINE VF LoadBytes(const std::uint8_t* from, std::size_t row) {
  const hn::Rebind<T, DF> d8;
  return hn::ConvertTo(DF(), hn::PromoteTo(D32(), hn::LoadU(d8, reinterpret_cast<const T*>(from) + row)));
}
// Integers of four bits each, the low or the high ones of their bytes.
HWY_INLINE VF LoadNibbles(const std::uint8_t* from, std::size_t row, bool high) {
  V32 both = hn::PromoteTo(D32(), hn::LoadU(hn::Rebind<std::uint8_t, DF>(), from + row));
  StayInRegister(both);  // promoted once, not once for the low and once for the high ones
  return hn::ConvertTo(DF(), high ? hn::ShiftRight<4>(both) : hn::And(both, hn::Set(D32(), 15)));
}
// E4M3 without a sign. Its seven bits are the upper bits of a float whose exponent has 120 less of bias.
HWY_INLINE VF LoadE4M3(const std::uint8_t* from, std::size_t row) {
  const V32 bits = hn::PromoteTo(D32(), hn::LoadU(hn::Rebind<std::uint8_t, DF>(), from + row));
  // Subnormals: 2^-9 times the mantissa.
  const VF normal = hn::BitCast(DF(), hn::Add(hn::ShiftLeft<20>(bits), hn::Set(D32(), 120 << 23)));
  const VF subnormal = hn::Mul(hn::ConvertTo(DF(), bits), hn::Set(DF(), 0x1p-9f));
  return hn::IfThenElse(hn::RebindMask(DF(), hn::Lt(bits, hn::Set(D32(), 8))), subnormal, normal);
}

template <DataType kType>
HWY_INLINE VF LoadValues(const std::uint8_t* from, std::size_t row, bool high) {
  if constexpr (kType == DataType::kInt8) return LoadBytes<std::int8_t>(from, row);
  if constexpr (kType == DataType::kUInt8) return LoadBytes<std::uint8_t>(from, row);
  if constexpr (kType == DataType::kUInt4) return LoadNibbles(from, row, high);
  if constexpr (kType == DataType::kE8M0) return LoadExponents(from, row);
  if constexpr (kType == DataType::kE4M3) return LoadE4M3(from, row);
  return LoadFloats(DF(), from, kType, row);
}

// --- The qparams of a panel. `super_group` is for scales of two levels: floats, super-scale * gain of each row, then
// the super-offset of each row.

// The center of a zero point, in the arithmetic of internal::CenterAt (src/scales.h). (Products with the gain, a power
// of two, are exact.)
HWY_INLINE VF CenterOf(const QparamArgs& a, VF scale, VF zero) {
  const DF df;
  return hn::Mul(scale, hn::Mul(hn::Sub(hn::Set(df, a.center), zero), hn::Set(df, 1.0f / a.gain)));
}

// The scales of a vector of rows: with two levels times super-scale and gain, otherwise without the gain.
template <DataType kType>
HWY_INLINE VF LoadScale(const std::uint8_t* from, const float* super_group, std::size_t row) {
  const VF value = LoadValues<kType>(from, row, false);
  return HasTwoLevels(kType) ? hn::Mul(value, hn::Load(DF(), super_group + row)) : value;
}
template <DataType kType>
HWY_INLINE VF LoadOffset(const QparamArgs& a, const std::uint8_t* from, const float* super_group, std::size_t row) {
  const VF offset = LoadValues<kType>(from + a.zero->offset, row, a.zero->shift != 0);
  return HasTwoLevels(kType) ? hn::Mul(offset, hn::Load(DF(), super_group + kPanelRows + row)) : offset;
}

// Converts the qparams of one group: scale * gain of 64 rows, then, if there are zeros, the center of 64 rows.
template <DataType kType>
HWY_INLINE void LoadGroup(const QparamArgs& a, const std::uint8_t* from, const float* super_group, float* to) {
  const DF df;
  const float gain = HasTwoLevels(kType) ? 1.0f : a.factor;
  if (a.zero == nullptr && gain == 1.0f) {
    LUTRA_UNROLL
    for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
      hn::Store(LoadScale<kType>(from, super_group, row), df, to + row);
    }
    return;
  }
  const VF factor = hn::Set(df, gain);
  if (a.zero == nullptr) {
    LUTRA_UNROLL
    for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
      hn::Store(hn::Mul(LoadScale<kType>(from, super_group, row), factor), df, to + row);
    }
    return;
  }
  const bool integers = a.zero->type == DataType::kUInt8;
  for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
    const VF scale = hn::Mul(LoadScale<kType>(from, super_group, row), factor);
    VF center;
    if (a.offset) {
      center = LoadOffset<kType>(a, from, super_group, row);
      if (a.center != 0.0f) center = Fma(scale, hn::Set(df, a.center / a.gain), center);
    } else {
      const std::uint8_t* zeros = from + a.zero->offset;
      center =
          CenterOf(a, scale, integers ? LoadBytes<std::uint8_t>(zeros, row) : LoadValues<kType>(zeros, row, false));
    }
    hn::Store(scale, df, to + row);
    hn::Store(center, df, to + kPanelRows + row);
  }
}

// While the qparams of several groups are converted, no code is read, so no line of codes would be prefetched. Each
// group therefore also prefetches one line of the codes that follow it. (Speed over that without, N = 1 on Zen 5: q6_K
// 1.27 times, q4_K 1.17, q4_0 1.08; two or four lines per group are no better.)
HWY_INLINE void PrefetchCodesEarly(const QparamArgs& a, const std::uint8_t* from, std::size_t group) {
  Prefetch(from + a.group_bytes + group * 64, a.prefetch);
}

// Converts the qparams of `groups` groups of one super-group, for `panels` panels whose bytes are adjacent. Paired zero
// points are left to LoadPairedZeros.
template <DataType kType>
void LoadGroups(const QparamArgs& a, const std::uint8_t* from, std::size_t groups, std::size_t panels,
                const float* super_group, float* to) {
  for (std::size_t panel = 0; panel < panels; ++panel, from += a.group_bytes) {
    const std::uint8_t* bytes = from;
    float* group = to + panel * kPanelQparams;
    for (std::size_t i = 0; i < groups; ++i, bytes += a.stride, group += kMaxInterleavedPanels * kPanelQparams) {
      for (std::size_t at = 0; at < a.group_bytes; at += 64) Prefetch(bytes + at, a.prefetch);
      PrefetchCodesEarly(a, from, i);
      LoadGroup<kType>(a, bytes, super_group + panel * kPanelQparams, group);
    }
  }
}

// --- Joint K-blocks: the integers of groups, in words. A scale fills its word, or stands in both halves. The offsets
// of two groups share a word, in the place of the first group's centers; an offset of 64 weights stands in both halves.

// The offset of a group for one vector of rows.
template <DataType kType>
HWY_INLINE V32 LoadJointOffset(const QparamArgs& a, const std::uint8_t* from, std::size_t row) {
  if constexpr (kType == DataType::kInt8) {
    return LoadSignedBytes(from + a.zero->offset, row);
  } else {  // the upper half
    return hn::ShiftRight<4>(hn::PromoteTo(D32(), hn::LoadU(hn::Rebind<std::uint8_t, DF>(), from + row)));
  }
}
template <DataType kType>
HWY_INLINE V32 PairOf(V32 low, V32 high) {
  if constexpr (kType == DataType::kInt8) low = hn::And(low, hn::Set(D32(), 0xffff));
  return hn::Or(low, hn::ShiftLeft<16>(high));
}

// LoadGroups for the scales of joint K-blocks of one panel.
inline void LoadJointScales(const QparamArgs& a, const std::uint8_t* from, std::size_t groups, std::size_t,
                            const float*, float* to) {
  const DF df;
  constexpr std::size_t kStride = kPanelQparams;
  for (std::size_t i = 0; i < groups; ++i) {
    const std::uint8_t* const group = from + i * a.stride;
    for (std::size_t at = 0; at < a.group_bytes; at += 64) Prefetch(group + at, a.prefetch);
    PrefetchCodesEarly(a, from, i);
    float* const scales = to + i * kStride;
    LUTRA_UNROLL
    for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
      const V32 scale =
          a.pairs ? LoadJointScale<true>(a.scale_bits, group, row) : LoadJointScale<false>(a.scale_bits, group, row);
      hn::Store(hn::BitCast(df, scale), df, scales + row);
    }
  }
}

// LoadGroups for the offsets of joint K-blocks of one panel; the group at `from` is the first of the super-group. Words
// of missing offsets are 0.
template <DataType kType>
void LoadJointOffsets(const QparamArgs& a, const std::uint8_t* from, std::size_t groups, std::size_t, const float*,
                      float* to) {
  const DF df;
  constexpr std::size_t kStride = kPanelQparams;
  const std::size_t step = a.word_groups;
  for (std::size_t i = 0; i < step * a.sums.words(); i += step) {
    const std::uint8_t* const group = from + i * a.stride;
    float* const offsets = to + i * kStride + kPanelRows;
    if (i >= groups) {
      std::memset(offsets, 0, kPanelRows * sizeof(float));
      continue;
    }
    const bool two = step == 2 && i + 1 < groups;
    for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
      const V32 first = LoadJointOffset<kType>(a, group, row);
      const V32 second = two ? LoadJointOffset<kType>(a, group + a.stride, row) : step == 1 ? first : hn::Zero(D32());
      hn::Store(hn::BitCast(df, PairOf<kType>(first, second)), df, offsets + row);
    }
  }
}
inline LoadGroupsFunction LoaderOf(DataType scale_type, bool joint) {
  if (joint) return &LoadJointScales;
  constexpr LoadGroupsFunction kLoaders[] = {&LoadGroups<DataType::kF32>,   &LoadGroups<DataType::kF16>,
                                             &LoadGroups<DataType::kBF16>,  &LoadGroups<DataType::kInt8>,
                                             &LoadGroups<DataType::kUInt4>, &LoadGroups<DataType::kUInt8>,
                                             &LoadGroups<DataType::kE8M0>,  &LoadGroups<DataType::kE4M3>};
  return kLoaders[static_cast<std::size_t>(scale_type)];
}
// The function for the offsets of joint K-blocks; null if there are none.
inline LoadGroupsFunction OffsetLoaderOf(const Geometry& g) {
  if (g.joint_ratio == 0 || g.scheme.zero() == nullptr) return nullptr;
  return g.scheme.fields[0].type == DataType::kInt8 ? &LoadJointOffsets<DataType::kInt8>
                                                    : &LoadJointOffsets<DataType::kUInt4>;
}

// Converts the zero points of a group of one panel, the first or the second group of a pair that shares bytes. `to` has
// the scales already.
LUTRA_INLINE void LoadPairedZeros(const QparamArgs& a, const std::uint8_t* zeros, bool second, float* to) {
  const DF df;
  for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
    hn::Store(CenterOf(a, hn::Load(df, to + row), LoadNibbles(zeros, row, second)), df, to + kPanelRows + row);
  }
}

// Converts the super-scales, times the gain, and the super-offsets of one panel. Both are f16.
LUTRA_INLINE void LoadSuperQparams(const QparamScheme& scheme, float gain, const std::uint8_t* super_group, float* to) {
  const DF df;
  for (const QparamField& field : scheme) {
    if (!field.super()) continue;
    const bool scale = field.role == QparamRole::kSuperScale;
    const VF factor = hn::Set(df, scale ? gain : 1.0f);
    for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
      const VF value = LoadFloats(df, super_group + field.offset, DataType::kF16, row);
      hn::Store(hn::Mul(value, factor), df, to + (scale ? 0 : kPanelRows) + row);
    }
  }
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
