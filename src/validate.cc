// Checks of the caller's arguments; see validate.h.
#include "validate.h"

#include <algorithm>
#include <cstring>

#include "lutra/buffer.h"
#include "lutra/format.h"
#include "lutra/layout/qparams.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

Status ValidateOrder(const std::uint32_t* order, std::size_t k, const char* name) {
  const Elements<std::uint32_t> columns(order);
  Buffer seen;
  if (!seen.Reserve(k / 8 + 1)) return Status::OutOfMemory(name);
  std::memset(seen.data(), 0, k / 8 + 1);
  for (std::size_t j = 0; j < k; ++j) {
    const std::size_t column = columns[j];
    const unsigned bit = 1u << column % 8;
    if (column >= k || (seen.data()[column / 8] & bit) != 0) {
      return Status::Invalid(name, "is not a permutation of 0 .. K - 1");
    }
    seen.data()[column / 8] = static_cast<std::uint8_t>(seen.data()[column / 8] | bit);
  }
  return {};
}

Status ValidateShape(const QuantizedView& w) {
  if (!IsFormat(w.format)) return Status::Invalid("w.format", "is not a Format");
  if (!IsGroupSize(w.group)) return Status::Invalid("w.group", "is not 16, 32, 64, 128, 256, kPerRow or kPerMatrix");
  if (w.scale_type > DataType::kE4M3 || w.scale_type == DataType::kUInt8) {
    return Status::Invalid("w.scale_type", "is not a DataType of scales");
  }
  if (w.zero_kind > ZeroKind::kOffset) return Status::Invalid("w.zero_kind", "is not a ZeroKind");
  if (HasTwoLevels(w.scale_type)) {
    if (HasRowScales(w.group)) return Status::Invalid("w.group", "has no scales of two levels: give 16 to 256");
    if (w.zero_kind != ZeroKind::kNone && w.zero_kind != ZeroKind::kOffset) {
      return Status::Invalid("w.zero_kind", "is not kNone or kOffset, but scales have two levels");
    }
  }
  if (w.zero_kind != ZeroKind::kNone && Describe(w.format).is_float()) {
    return Status::Invalid("w.zero_kind", "is not kNone, but the values of the format are floats");
  }
  const bool of_scales = w.zero_type == w.scale_type && !HasMatrixScale(w.scale_type);
  if (w.zero_kind == ZeroKind::kOffset && !of_scales) {
    return Status::Invalid("w.zero_type", "is not scale_type, or has no zero, as offsets need");
  }
  const bool integers = w.zero_type == DataType::kUInt8 || w.zero_type == DataType::kUInt4;
  if (w.zero_kind == ZeroKind::kPoint && !integers && !(of_scales && IsFloat(w.zero_type))) {
    return Status::Invalid("w.zero_type", "is not kUInt8, kUInt4 or scale_type, as zero points need");
  }
  if (Describe(w.format).own_values && (w.codebook_tables == 0 || w.codebook_tables > kMaxTables)) {
    return Status::Invalid("w.codebook_tables", "is not 1 to 4");
  }
  if (Overflows(w.m, 1)) return Status::Invalid("w.m", "is too large");
  // One weight takes at most 16 bytes in any form: packed, padded, or as a code with scales in groups of 16.
  if (Overflows(w.m + 64, w.k < 64 ? 64 : w.k, 16)) return Status::Invalid("w.k", "is too large: M * K overflows");
  return {};
}

namespace {

const char* ArgumentOf(QparamRole role) {
  switch (role) {
    case QparamRole::kScale:
      return "w.scales";
    case QparamRole::kZeroPoint:
    case QparamRole::kOffset:
      return "w.zeros";
    case QparamRole::kTableChoice:
      return "w.table_choices";
    case QparamRole::kSuperScale:
      return "w.super_scales";
    case QparamRole::kSuperOffset:
      return "w.super_offsets";
  }
  return "w";
}

Status ValidateValues(const void* array, DataType type, std::size_t count, const char* name) {
  if (count == 0) return {};
  if (array == nullptr) return Status::Invalid(name, "is null");
  if (!AllFinite(array, type, count)) return Status::Invalid(name, "holds a value that is not finite");
  if (type == DataType::kUInt4 && !AllNibbles(array, count)) return Status::Invalid(name, "holds a value above 15");
  return {};
}

}  // namespace

Status ValidateCodebook(const QuantizedView& w) {
  if (TableCount(w) == 0) return {};
  if (w.codebook == nullptr) return Status::Invalid("w.codebook", "is null");
  const bool valid =
      std::all_of(w.codebook, w.codebook + CodebookSize(w), [](std::int8_t value) { return value >= kLowestOwnValue; });
  return valid ? Status() : Status::Invalid("w.codebook", "holds the value -128");
}

Status ValidateMatrixScale(const QuantizedView& w) {
  const bool valid = !HasMatrixScale(w.scale_type) || (w.matrix_scale != 0.0f && IsFinite(w.matrix_scale));
  return valid ? Status() : Status::Invalid("w.matrix_scale", "is 0 or not finite");
}

Status ValidateCodes(const QuantizedView& w) {
  if (w.codes == nullptr) return Status::Invalid("w.codes", "is null");
  if (w.m > 1 && w.code_stride < w.k) return Status::Invalid("w.code_stride", "is smaller than K");
  if (Overflows(w.m, w.code_stride)) return Status::Invalid("w.code_stride", "is too large: M * stride overflows");
  return {};
}

Status ValidateWeights(const QuantizedView& w) {
  LUTRA_RETURN_IF_ERROR(ValidateShape(w));
  LUTRA_RETURN_IF_ERROR(ValidateCodebook(w));
  if (w.m != 0 && w.k != 0) {
    LUTRA_RETURN_IF_ERROR(ValidateCodes(w));
    for (const QparamField& field : SchemeOf(w)) {
      LUTRA_RETURN_IF_ERROR(ValidateValues(ArrayOf(w, field.role), field.type, ValueCount(field, w.m, w.k, w.group),
                                           ArgumentOf(field.role)));
    }
    if (HasTableChoices(w) && !AllBelow(w.table_choices, ScaleCount(w), w.codebook_tables)) {
      return Status::Invalid("w.table_choices", "holds a table that the codebook does not have");
    }
  }
  LUTRA_RETURN_IF_ERROR(ValidateMatrixScale(w));
  if (w.bias != nullptr && !AllFinite(w.bias, DataType::kF32, w.m)) {
    return Status::Invalid("w.bias", "holds a value that is not finite");
  }
  return w.order != nullptr ? ValidateOrder(w.order, w.k, "w.order") : Status();
}

Status ValidateActivations(const ActivationView& x, NonFinite non_finite) {
  LUTRA_RETURN_IF_ERROR(ValidateActivationShape(x));
  return non_finite == NonFinite::kRefuse ? ValidateActivationScales(x, 0, x.n) : Status();
}

Status ValidateActivationShape(const ActivationView& x) {
  if (!IsFloat(x.type) && !HasScales(x.type)) return Status::Invalid("x.type", "is not a type of activations");
  if (Overflows(x.n, 1)) return Status::Invalid("x.n", "is too large");
  // One element of x takes at most 128 bytes of tables and scales.
  if (Overflows(x.n, x.k < 16 ? 16 : x.k, 128)) return Status::Invalid("x.k", "is too large: N * K overflows");
  if (x.n == 0 || x.k == 0) return {};
  if (x.data == nullptr) return Status::Invalid("x.data", "is null");
  if (x.n > 1 && x.row_stride < x.k) return Status::Invalid("x.row_stride", "is smaller than K");
  if (x.n > 1 && x.row_stride % PerByte(x.type) != 0) {
    return Status::Invalid("x.row_stride", "is not a multiple of the elements of a byte");
  }
  if (Overflows(x.n, x.row_stride, SizeOf(x.type))) {
    return Status::Invalid("x.row_stride", "is too large: N * stride overflows");
  }
  if (!HasScales(x.type)) return {};
  if (x.scales == nullptr) return Status::Invalid("x.scales", "is null, but x holds integers");
  if (x.scale_group == kPerMatrix) return Status::Invalid("x.scale_group", "is kPerMatrix; give kPerRow");
  return {};
}

Status ValidateActivationScales(const ActivationView& x, std::size_t begin, std::size_t end) {
  if (!HasScales(x.type) || begin >= end || x.k == 0) return {};
  const std::size_t per_row = GroupsPerRow(x.k, x.scale_group);
  const bool finite = AllFinite(x.scales + begin * per_row, DataType::kF32, (end - begin) * per_row);
  return finite ? Status() : Status::Invalid("x.scales", "holds a value that is not finite");
}

Status ValidateOutput(const OutputView& y) {
  if (!IsFloat(y.type)) return Status::Invalid("y.type", "is not kF32, kF16 or kBF16");
  if (y.n == 0 || y.m == 0) return {};
  if (y.data == nullptr) return Status::Invalid("y.data", "is null");
  if (y.n > 1 && y.row_stride < y.m) return Status::Invalid("y.row_stride", "is smaller than M");
  if (Overflows(y.n, y.row_stride, SizeOf(y.type))) {
    return Status::Invalid("y.row_stride", "is too large: N * stride overflows");
  }
  return {};
}

Status ValidateNorm(const RmsNorm& norm) {
  std::uint32_t bits;  // a comparison of floats would take negative subnormals for zeros in some modes
  std::memcpy(&bits, &norm.epsilon, sizeof(bits));
  const bool valid = bits < 0x7f800000u || bits == 0x80000000u;
  return valid ? Status() : Status::Invalid("norm.epsilon", "is negative or not finite");
}

Status ValidateHadamard(const Hadamard& hadamard, std::size_t k) {
  const std::size_t block = hadamard.block;
  if (block < 2 || block > kMaxHadamardBlock || (block & (block - 1)) != 0) {
    return Status::Invalid("hadamard.block", "is not a power of two from 2 to kMaxHadamardBlock");
  }
  if (k % block != 0) return Status::Invalid("hadamard.block", "does not divide K");
  if (hadamard.signs == nullptr) return {};
  std::uint32_t other = 0;  // bits in which a sign differs from 1 or -1
  for (std::size_t i = 0; i < k; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, hadamard.signs + i, sizeof(bits));
    other |= (bits & 0x7fffffffu) ^ 0x3f800000u;
  }
  return other == 0 ? Status() : Status::Invalid("hadamard.signs", "holds a value other than 1 and -1");
}

Status NotFinite(const Transform& transform, std::size_t k) {
  const RmsNorm* norm = transform.norm;
  if (norm != nullptr && norm->weight != nullptr && !AllFinite(norm->weight, DataType::kF32, k)) {
    return Status::Invalid("norm.weight", "holds a value that is not finite");
  }
  if (transform.hadamard != nullptr) {
    return Status::Invalid("x.data", "holds a row whose transformed values are not all finite");
  }
  if (norm != nullptr) return Status::Invalid("x.data", "holds a row whose normalized values are not all finite");
  return Status::Invalid("x.data", "holds a value that is not finite");
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
