// The qparams of a group, of whatever types, as the floats that micro-kernels add: MicroArgs::qparams.
#if defined(LUTRA_KERNELS_QPARAMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_QPARAMS_INL_H_
#undef LUTRA_KERNELS_QPARAMS_INL_H_
#else
#define LUTRA_KERNELS_QPARAMS_INL_H_
#endif

#include "lutra/kernels/flush-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
namespace internal {
namespace HWY_NAMESPACE {

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
// E8M0: 2^(e - 127); the bits of 2^-127, a subnormal, are larger than those of e = 0 shifted to their place.
HWY_INLINE VF LoadExponents(const std::uint8_t* from, std::size_t row) {
  const V32 e = hn::PromoteTo(D32(), hn::LoadU(hn::Rebind<std::uint8_t, DF>(), from + row));
  return hn::BitCast(DF(), hn::Max(hn::ShiftLeft<23>(e), hn::Set(D32(), 0x00400000)));
}

template <DataType kType>
HWY_INLINE VF LoadValues(const std::uint8_t* from, std::size_t row, bool high) {
  if constexpr (kType == DataType::kInt8) return LoadBytes<std::int8_t>(from, row);
  if constexpr (kType == DataType::kUInt8) return LoadBytes<std::uint8_t>(from, row);
  if constexpr (kType == DataType::kUInt4) return LoadNibbles(from, row, high);
  if constexpr (kType == DataType::kE8M0) return LoadExponents(from, row);
  return LoadFloats(DF(), from, kType, row);
}

// --- A panel's qparams. With scales of two levels, `supers` are floats: super-scale * gain and super-offset of each row.

// What turns a group's values into scale * gain and center.
struct QparamArgs {
  QparamScheme scheme;
  float gain, center;  // of the method
};

// internal::CenterAt in src/scales.h, but of offsets; the gain is a power of two: exact.
HWY_INLINE VF CenterOf(const QparamArgs& a, VF scale, VF zero) {
  const DF df;
  return hn::Mul(scale, hn::Mul(hn::Sub(hn::Set(df, a.center), zero), hn::Set(df, 1.0f / a.gain)));
}

template <DataType kType>
HWY_INLINE VF LoadOffsets(const QparamField& field, const std::uint8_t* from, const float* supers, std::size_t row) {
  const VF offset = LoadValues<kType>(from + field.offset, row, field.shift != 0);
  return HasTwoLevels(kType) ? hn::Mul(offset, hn::Load(DF(), supers + kPanelRows + row)) : offset;
}

template <DataType kType>
HWY_INLINE void LoadGroup(const QparamArgs& a, const std::uint8_t* from, const float* supers, float* to) {
  const DF df;
  const VF gain = hn::Set(df, a.gain);
  const QparamField* const zero = a.scheme.zero();
  for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
    const VF value = LoadValues<kType>(from, row, false);
    const VF scale = hn::Mul(value, HasTwoLevels(kType) ? hn::Load(df, supers + row) : gain);
    hn::Store(scale, df, to + row);
    if (zero == nullptr || zero->paired) continue;
    VF center;
    if (zero->role == QparamRole::kOffset) {
      center = LoadOffsets<kType>(*zero, from, supers, row);
      if (a.center != 0.0f) center = Fma(scale, hn::Set(df, a.center / a.gain), center);
    } else {
      const std::uint8_t* zeros = from + zero->offset;
      center = CenterOf(a, scale, zero->type == DataType::kUInt8 ? LoadBytes<std::uint8_t>(zeros, row)
                                                                 : LoadValues<kType>(zeros, row, false));
    }
    hn::Store(center, df, to + kPanelRows + row);
  }
}

// The qparams of a panel in some groups, `stride` bytes apart.
struct GroupBytes {
  const std::uint8_t* first;
  std::size_t stride, count, prefetch;
};

template <DataType kType>
LUTRA_INLINE void LoadGroupsAs(const QparamArgs& a, const GroupBytes& from, const float* supers, float* to) {
  const std::uint8_t* bytes = from.first;
  for (std::size_t i = 0; i < from.count; ++i, bytes += from.stride, to += kMaxInterleavedPanels * kPanelQparams) {
    for (std::size_t at = 0; at < a.scheme.group_bytes; at += 64) PrefetchInTwoSteps(bytes + at, from.prefetch);
    LoadGroup<kType>(a, bytes, supers, to);
  }
}

// One panel in groups of the same super-group; but paired zero points (LoadPairedZeros).
inline void LoadGroups(const QparamArgs& a, const GroupBytes& from, const float* supers, float* to) {
  switch (a.scheme.fields[0].type) {
    case DataType::kF32:
      return LoadGroupsAs<DataType::kF32>(a, from, supers, to);
    case DataType::kF16:
      return LoadGroupsAs<DataType::kF16>(a, from, supers, to);
    case DataType::kBF16:
      return LoadGroupsAs<DataType::kBF16>(a, from, supers, to);
    case DataType::kInt8:
      return LoadGroupsAs<DataType::kInt8>(a, from, supers, to);
    case DataType::kUInt4:
      return LoadGroupsAs<DataType::kUInt4>(a, from, supers, to);
    case DataType::kUInt8:
      return LoadGroupsAs<DataType::kUInt8>(a, from, supers, to);
    case DataType::kE8M0:
      return LoadGroupsAs<DataType::kE8M0>(a, from, supers, to);
  }
}

// Zero points of four bits of one panel's group, the first or the second of a pair, behind scales that are loaded.
LUTRA_INLINE void LoadPairedZeros(const QparamArgs& a, const std::uint8_t* zeros, bool second, float* to) {
  const DF df;
  for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
    hn::Store(CenterOf(a, hn::Load(df, to + row), LoadNibbles(zeros, row, second)), df, to + kPanelRows + row);
  }
}

// Super-scales, times the gain, and super-offsets of one panel as floats. Both are f16.
LUTRA_INLINE void LoadSupers(const QparamArgs& a, const std::uint8_t* supers, float* to) {
  const DF df;
  for (const QparamField& field : a.scheme) {
    if (!field.super()) continue;
    const bool scale = field.role == QparamRole::kSuperScale;
    const VF factor = hn::Set(df, scale ? a.gain : 1.0f);
    for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(df)) {
      const VF value = LoadFloats(df, supers + field.offset, DataType::kF16, row);
      hn::Store(hn::Mul(value, factor), df, to + (scale ? 0 : kPanelRows) + row);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace internal
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
