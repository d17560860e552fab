// Qparam schemes: the scales and zero points or offsets of a matrix, their types, and where they stand in packed bytes.
// Packing, unpacking, validation, allocation, file headers and kernels loop over the fields of a scheme.
//
// The qparams of a panel stand before the codes that they scale. The qparams of a super-group (256 weights, or the one
// group of a row) stand before the qparams of its first group. A field is an array over the 64 rows of the panel. Two
// values of four bits share a byte: a scale (low bits) and the group's offset, or the zero points of two consecutive
// groups, the first one in the low bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/layout/k_blocks.h"
#include "lutra/matrix.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

inline constexpr std::size_t kPanelRows = 64;  // MR: rows of W in a panel

// What a qparam means; QuantizedView (matrix.h) has the formulas.
enum class QparamRole : std::uint8_t { kScale, kZeroPoint, kOffset, kTableChoice, kSuperScale, kSuperOffset };

// One array of qparams.
struct QparamField {
  QparamRole role;
  DataType type;       // kUInt4 takes a byte in views, four bits here
  bool per_super;      // packed with the super-group
  std::size_t offset;  // bytes from the begin of the qparams to row 0's value
  int shift;           // kUInt4: position of the lowest bit in its byte, 0 or 4
  bool paired;         // values of two consecutive groups share a byte

  constexpr bool super() const { return role == QparamRole::kSuperScale || role == QparamRole::kSuperOffset; }
};

// All qparams of a matrix: of each group, then of each super-group.
struct QparamScheme {
  QparamField fields[5];
  std::size_t count = 0;
  std::size_t group_bytes = 0;  // of a panel and group
  std::size_t super_bytes = 0;  // of a panel and super-group, without paired fields

  constexpr const QparamField* begin() const { return fields; }
  constexpr const QparamField* end() const { return fields + count; }
  // The zero points or offsets of groups; null if there are none.
  constexpr const QparamField* zero() const {
    const bool has_zero =
        count > 1 && (fields[1].role == QparamRole::kZeroPoint || fields[1].role == QparamRole::kOffset);
    return has_zero ? fields + 1 : nullptr;
  }
  // The tables that groups use; null if the matrix does not have several.
  constexpr const QparamField* table_choice() const {
    for (const QparamField& field : *this) {
      if (field.role == QparamRole::kTableChoice) return &field;
    }
    return nullptr;
  }
  constexpr bool has_paired() const { return zero() != nullptr && zero()->paired; }
  constexpr bool has_super_groups() const { return super_bytes != 0 || has_paired(); }

  // Bytes of a panel and a super-group of `groups` groups.
  constexpr std::size_t super_bytes_of(std::size_t groups) const {
    return super_bytes + (has_paired() ? DivideUp(groups, 2) * kPanelRows : 0);
  }
  // Groups that share a super-group; 0 if there are none.
  constexpr std::size_t groups_per_super(std::size_t group) const {
    return !has_super_groups() ? 0 : HasRowScales(group) ? 1 : kSuperGroup / group;
  }

  // A field with one value per group.
  constexpr void Add(QparamRole role, DataType type) {
    fields[count++] = {role, type, false, group_bytes, 0, false};
    group_bytes += kPanelRows * SizeOf(type);
  }
  // A field of four bits in the upper halves of the bytes of `low`.
  constexpr void AddToBytesOf(const QparamField& low, QparamRole role) {
    fields[count++] = {role, low.type, low.per_super, low.offset, 4, false};
  }
  // A field of four bits per group, packed with the super-group: two groups share a byte.
  constexpr void AddPaired(QparamRole role, DataType type) {
    fields[count++] = {role, type, true, super_bytes, 0, true};
  }
  // A field with one value per super-group.
  constexpr void AddSuper(QparamRole role, DataType type) {
    fields[count++] = {role, type, true, super_bytes, 0, false};
    super_bytes += kPanelRows * SizeOf(type);
  }
};

// The scheme for scales and zeros of these types; `choices`: with a table per group.
constexpr QparamScheme SchemeOf(DataType scale_type, ZeroKind zero_kind, DataType zero_type, bool choices = false) {
  QparamScheme scheme{};
  const bool offsets = zero_kind == ZeroKind::kOffset;
  const QparamRole role = offsets ? QparamRole::kOffset : QparamRole::kZeroPoint;
  scheme.Add(QparamRole::kScale, scale_type);
  if (zero_kind == ZeroKind::kNone) {
  } else if (zero_type != DataType::kUInt4) {
    scheme.Add(role, zero_type);
  } else if (scale_type == DataType::kUInt4) {
    scheme.AddToBytesOf(scheme.fields[0], role);
  } else {
    scheme.AddPaired(role, zero_type);
  }
  if (choices) scheme.Add(QparamRole::kTableChoice, DataType::kUInt8);
  if (HasTwoLevels(scale_type)) {
    scheme.AddSuper(QparamRole::kSuperScale, DataType::kF16);
    if (offsets) scheme.AddSuper(QparamRole::kSuperOffset, DataType::kF16);
  }
  return scheme;
}

constexpr QparamScheme SchemeOf(const QuantizedView& w) {
  return SchemeOf(w.scale_type, w.zero_kind, w.zero_type, HasTableChoices(w));
}

// The array of a view that holds a field.
inline const void* ArrayOf(const QuantizedView& w, QparamRole role) {
  switch (role) {
    case QparamRole::kScale:
      return w.scales;
    case QparamRole::kZeroPoint:
    case QparamRole::kOffset:
      return w.zeros;
    case QparamRole::kTableChoice:
      return w.table_choices;
    case QparamRole::kSuperScale:
      return w.super_scales;
    case QparamRole::kSuperOffset:
      return w.super_offsets;
  }
  return nullptr;
}
// The same, of a view of a QuantizedMatrix, whose arrays may be written.
inline std::uint8_t* WritableArrayOf(const QuantizedView& w, QparamRole role) {
  return static_cast<std::uint8_t*>(const_cast<void*>(ArrayOf(w, role)));
}
// Values that a view has for one row: one per group or super-group; 0 if one value serves the whole matrix.
constexpr std::size_t ValuesPerRow(const QparamField& field, std::size_t k, std::size_t group) {
  if (field.super()) return GroupsPerRow(k, kSuperGroup);
  return group == kPerMatrix ? 0 : GroupsPerRow(k, group);
}
// Values that a view of M x K weights has.
constexpr std::size_t ValueCount(const QparamField& field, std::size_t m, std::size_t k, std::size_t group) {
  return group == kPerMatrix && !field.super() ? 1 : m * ValuesPerRow(field, k, group);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
