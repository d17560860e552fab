// CheckpointWeights: checks the tensors of a checkpoint, and reads them by the row of its scheme.
#include "import/checkpoint_weights.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "load_float.h"
#include "lutra/buffer.h"
#include "lutra/float16.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

constexpr std::size_t kLargestGroup = 256, kSmallestGroup = 16;

Status CheckTensor(const TensorBytes& tensor, std::size_t bytes, const char* name) {
  if (tensor.size != bytes) return Status::Invalid(name, "does not have the size that M, K and group_size give");
  return bytes != 0 && tensor.data == nullptr ? Status::Invalid(name, "is null") : Status();
}

template <class T>
Status CheckTensor(const TensorView<T>& tensor, std::size_t size, const char* name) {
  if (tensor.size != size) return Status::Invalid(name, "does not have the number of elements that M and K give");
  return size != 0 && tensor.data == nullptr ? Status::Invalid(name, "is null") : Status();
}

// Whether a tensor of `bytes` bytes has padding bits in its words: whether its size fits only with them.
bool IsPadded(const FieldLayout& layout, unsigned bits, std::size_t m, std::size_t k, std::size_t bytes) {
  return layout.fill == Fill::kRounded && bytes != Fields(layout, bits, m, k, false).bytes() &&
         bytes == Fields(layout, bits, m, k, true).bytes();
}

// Checks that the fields of a tensor lie in words as the layout says. Does not check the size: CheckTensor does.
Status CheckWords(const FieldLayout& layout, const Fields& fields) {
  if (layout.fill == Fill::kDense && !fields.fills_words()) {
    return Status::Invalid(layout.axis == Axis::kK ? "checkpoint.k" : "checkpoint.m",
                           "times bits is not a multiple of the bits of a word");
  }
  if (layout.axis == Axis::kAll && layout.fill != Fill::kPlanes && !fields.rows_begin_with_words()) {
    return Status::Unsupported("checkpoint.k", "is odd: rows begin between the codes of a byte");
  }
  return {};
}

}  // namespace

unsigned ReadGptqZero(const Fields& zeros, std::size_t m, std::size_t group, GptqZeros reading) {
  const unsigned mask = (1u << zeros.bits()) - 1;
  if (reading == GptqZeros::kV1Words && 32 % zeros.bits() == 0) {
    return zeros.At(m, group, ~std::uint32_t{0} / mask);  // a 1 in each field
  }
  const unsigned stored = zeros.At(m, group);
  if (reading == GptqZeros::kV2) return stored;
  return reading == GptqZeros::kV1Fields ? stored + 1 : (stored + 1) & mask;
}

std::size_t CheckpointWeights::FileGroup(std::size_t group) const {
  return HasRowScales(shape_.group) ? 0 : group * shape_.group / group_;
}

unsigned CheckpointWeights::IntegerZeroAt(std::size_t row, std::size_t file_group) const {
  const unsigned middle = 1u << (codes_.bits() - 1);
  if (zeros_.bits() == 0) return middle;
  const unsigned zero = ReadGptqZero(zeros_, row / scale_rows_, file_group, reading_);
  return signed_zeros_ ? (zero ^ 0x80u) + middle - 0x80u : zero;  // huge if it is below all codes
}

std::size_t CheckpointWeights::ScaleIndex(std::size_t row, std::size_t group) const {
  if (shape_.k == 0) return row / scale_rows_;
  switch (layout_->scales.order) {
    case ScaleOrder::kGroups:
      return FileGroup(group) * shape_.m + row;
    case ScaleOrder::kRows:
      return row * groups_ + FileGroup(group);
    case ScaleOrder::kBlocks:
      return row / scale_rows_ * groups_ + FileGroup(group);
    case ScaleOrder::kAll:
      return (row * shape_.k + (HasRowScales(shape_.group) ? 0 : group * shape_.group)) / group_;
    case ScaleOrder::kMatrix:
      break;
  }
  return 0;
}

Status CheckpointWeights::ScaleOf(std::size_t row, std::size_t group, std::uint8_t* to) const {
  const Status not_finite = Status::Invalid("checkpoint.scales", "holds a value that is not finite");
  const DataType type = shape_.scale_type;
  const std::size_t i = ScaleIndex(row, group), bytes = SizeOf(type);
  if (layout_->scales.order == ScaleOrder::kMatrix) {
    std::memcpy(to, &matrix_scale_, sizeof(matrix_scale_));
    return {};
  }
  if (layout_->codes.unit == 0.0f) {
    std::memcpy(to, static_cast<const std::uint8_t*>(scales_) + i * bytes, bytes);
    return AllFinite(to, type, 1) ? Status() : not_finite;
  }
  float absmax;
  if (nested_.absmax.size == 0) {
    absmax = LoadElement<float>(scales_, i);
  } else {
    const std::size_t q = static_cast<const std::uint8_t*>(scales_)[i];
    absmax = LoadElement<float>(nested_.map.data, q) * LoadElement<float>(nested_.absmax.data, i / nested_.block);
    absmax += nested_.offset;
  }
  const float scale = absmax / layout_->codes.unit;
  std::memcpy(to, &scale, sizeof(scale));
  return IsFinite(scale) ? Status() : not_finite;
}

Status CheckpointWeights::ZeroOf(std::size_t row, std::size_t group, ZeroKind kind, DataType type,
                                 std::uint8_t* to) const {
  if (float_zeros_ != nullptr) {
    const std::size_t bytes = SizeOf(type);
    std::memcpy(to, static_cast<const std::uint8_t*>(float_zeros_) + ScaleIndex(row, group) * bytes, bytes);
    return AllFinite(to, type, 1) ? Status() : Status::Invalid("checkpoint.zeros", "holds a value that is not finite");
  }
  if (!has_zeros_) return {};
  const unsigned zero = IntegerZeroAt(row, FileGroup(group));
  if (zero > (1u << codes_.bits()) - (signed_zeros_ ? 1u : 0u)) {
    return Status::Invalid("checkpoint.zeros", "holds a byte that is no zero point of codes with this number of bits");
  }
  if (kind == ZeroKind::kNone) {
    const bool usual = zero == static_cast<unsigned>(Describe(shape_.format).default_zero);
    return usual ? Status() : Status::Invalid("layout", "has no zero points, but the weights have");
  }
  if (zero > (type == DataType::kUInt4 ? 15u : type == DataType::kUInt8 ? 255u : 256u)) {
    return Status::Invalid("layout", "has a type of zero points that does not hold one of the weights");
  }
  const std::uint16_t half =
      type == DataType::kBF16 ? F32ToBF16(static_cast<float>(zero)) : F32ToF16(static_cast<float>(zero));
  const auto value = static_cast<float>(zero);
  const auto byte = static_cast<std::uint8_t>(zero);
  const void* const from = SizeOf(type) == 1   ? static_cast<const void*>(&byte)
                           : SizeOf(type) == 2 ? static_cast<const void*>(&half)
                                               : static_cast<const void*>(&value);
  std::memcpy(to, from, SizeOf(type));
  return {};
}

void CheckpointWeights::CodesOf(const std::uint32_t* columns, std::size_t column_count, std::size_t row,
                                std::size_t count, std::uint8_t* codes, std::size_t stride) const {
  constexpr std::size_t kColumns = 256;
  const unsigned flip = layout_->codes.values == CodeValues::kSigned ? 1u << (codes_.bits() - 1) : 0;
  for (std::size_t begin = 0; begin < column_count; begin += kColumns) {
    FieldPlace places[kColumns];
    const std::size_t part = std::min(column_count - begin, kColumns);
    for (std::size_t j = 0; j < part; ++j) places[j] = codes_.ColumnPlace(columns[begin + j]);
    codes_.ReadRows(row, count, {places, columns[begin], part, !sorted()}, codes + begin, stride);
    for (std::size_t r = 0; r < count && flip != 0; ++r) {
      std::uint8_t* const to = codes + r * stride + begin;
      for (std::size_t j = 0; j < part; ++j) to[j] = static_cast<std::uint8_t>(to[j] ^ flip);
    }
  }
}

void CheckpointWeights::ChooseZeros() {
  if (!has_zeros_ || float_zeros_ != nullptr) return;
  const auto usual = static_cast<unsigned>(Describe(shape_.format).default_zero);
  unsigned highest = 0;
  for (std::size_t group = 0; group < groups_; ++group) {
    for (std::size_t row = 0; row < shape_.m; ++row) {
      const unsigned zero = IntegerZeroAt(row, group);
      if (zero != usual) shape_.zero_kind = ZeroKind::kPoint;
      highest = std::max(highest, zero);
    }
  }
  shape_.zero_type = highest <= 15 ? DataType::kUInt4 : highest <= 255 ? DataType::kUInt8 : shape_.scale_type;
}

bool CheckpointWeights::MayHaveZeros(ZeroKind kind, DataType type) const {
  if (kind == ZeroKind::kNone) return float_zeros_ == nullptr;
  const bool of_scales = type == shape_.scale_type && IsFloat(type);
  const bool integers = type == DataType::kUInt4 || type == DataType::kUInt8;
  return kind == ZeroKind::kPoint && has_zeros_ && (of_scales || (integers && float_zeros_ == nullptr));
}

void CheckpointWeights::ColumnsOf(std::size_t begin, std::size_t end, std::uint32_t* columns) const {
  if (!sorted()) {
    for (std::size_t j = begin; j < end; ++j) columns[j - begin] = static_cast<std::uint32_t>(j);
    return;
  }
  // All groups but the last are full, so group g has the sorted columns from g * group on. Each group's columns are
  // counted from the first group that has one in the range.
  constexpr std::size_t kMaxGroups = 64;
  for (std::size_t first = begin / group_; first * group_ < end; first += kMaxGroups) {
    std::size_t next[kMaxGroups] = {};
    for (std::size_t column = 0; column < shape_.k; ++column) {
      const std::size_t g = static_cast<std::size_t>(LoadElement<std::int32_t>(g_idx_, column)) - first;
      if (g >= kMaxGroups) continue;  // huge if below first
      const std::size_t j = (first + g) * group_ + next[g]++;
      if (begin <= j && j < end) columns[j - begin] = static_cast<std::uint32_t>(column);
    }
  }
}

// --- Checks

// Sets the group of the shape, and the groups of the file.
Status CheckpointWeights::ChooseGroup(const CheckpointView& c) {
  const std::size_t k = c.k, fixed = Describe(c.scheme).group;
  if (fixed == 0 && (c.group_size < -1 || c.group_size == 0)) {
    return Status::Invalid("checkpoint.group_size", "is neither positive nor -1");
  }
  const std::size_t size = fixed != 0 ? fixed : static_cast<std::size_t>(c.group_size);
  const bool all = layout_->scales.order == ScaleOrder::kAll;
  const bool of_row = c.group_size == -1 || k == 0 || (all ? size % k == 0 : size >= k);
  groups_ = 1;
  if (fixed == kPerMatrix || (fixed == 0 && of_row)) {
    shape_.group = fixed == kPerMatrix ? kPerMatrix : kPerRow;
    group_ = all && c.group_size != -1 ? size : k;
    return {};
  }
  std::size_t group = kLargestGroup;
  while (group >= kSmallestGroup && (size % group != 0 || (all && k % group != 0))) group /= 2;
  if (group < kSmallestGroup) {
    return Status::Unsupported("checkpoint.group_size", all ? "gives parts of rows that are not multiples of 16"
                                                            : "is not a multiple of 16, -1 or at least K");
  }
  shape_.group = group;
  group_ = size;
  groups_ = k / size + (k % size != 0);
  return {};
}

// Sets the shape, but for zeros and the scale of the matrix.
Status CheckpointWeights::ChooseShape(const CheckpointView& c) {
  const ScaleRow& scales = layout_->scales;
  const bool of_view = scales.types != ScaleTypes::kOne;
  const bool may_be_e8m0 = scales.types == ScaleTypes::kFloatsOrE8M0;
  if (of_view && !IsFloat(c.scale_type) && !(may_be_e8m0 && c.scale_type == DataType::kE8M0)) {
    return Status::Invalid("checkpoint.scale_type",
                           may_be_e8m0 ? "is neither a float type nor kE8M0" : "is not a float type");
  }
  shape_.format = FormatOf(layout_->codes.values, c.bits);
  shape_.scale_type = of_view ? c.scale_type : scales.type;
  shape_.codebook = layout_->codes.table;
  shape_.m = c.m;
  shape_.k = c.k;
  if (c.k > std::numeric_limits<std::uint32_t>::max()) return Status::Invalid("checkpoint.k", "is too large");
  LUTRA_RETURN_IF_ERROR(ChooseGroup(c));
  constexpr const char* kNames[][2] = {{"w.m", "checkpoint.m"}, {"w.k", "checkpoint.k"}};
  LUTRA_RETURN_IF_ERROR(Renamed(ValidateShape(shape_), kNames));
  const bool all = scales.order == ScaleOrder::kAll && c.k != 0;
  if (scales.order == ScaleOrder::kBlocks) scale_rows_ = c.scale_rows;
  if (scale_rows_ == 0) return Status::Invalid("checkpoint.scale_rows", "is 0");
  scale_count_ = all ? c.m * c.k / group_ + (c.m * c.k % group_ != 0) : DivideUp(c.m, scale_rows_) * groups_;
  return {};
}

// Checks the tensors of scales, and sets the scale of the matrix.
Status CheckpointWeights::ChooseScales(const CheckpointView& c) {
  const ScaleRow& row = layout_->scales;
  const std::size_t nested = c.nested.absmax.size;
  if (layout_->codes.unit != 0.0f && nested != 0) {
    nested_ = c.nested;
    if (nested_.block == 0) return Status::Invalid("checkpoint.nested.block", "is 0");
    LUTRA_RETURN_IF_ERROR(CheckTensor(c.scales, scale_count_, "checkpoint.scales"));
    LUTRA_RETURN_IF_ERROR(CheckTensor(nested_.map, 256, "checkpoint.nested.map"));
    const std::size_t blocks = scale_count_ / nested_.block + (scale_count_ % nested_.block != 0);
    LUTRA_RETURN_IF_ERROR(CheckTensor(nested_.absmax, blocks, "checkpoint.nested.absmax"));
  } else if (row.order != ScaleOrder::kMatrix) {
    LUTRA_RETURN_IF_ERROR(CheckTensor(c.scales, scale_count_ * SizeOf(shape_.scale_type), "checkpoint.scales"));
  }
  scales_ = c.scales.data;
  if (!row.of_matrix) return {};
  matrix_scale_ = c.matrix_scale_divides ? 1.0f / c.matrix_scale : c.matrix_scale;
  if (HasMatrixScale(shape_.scale_type)) shape_.matrix_scale = matrix_scale_;
  const bool valid = IsFinite(c.matrix_scale) && IsFinite(matrix_scale_) && matrix_scale_ != 0.0f;
  return valid ? Status() : Status::Invalid("checkpoint.matrix_scale", "is 0 or not finite, or its reciprocal is");
}

// Sets codes_ and the zeros, and checks their tensors.
Status CheckpointWeights::CheckCodes(const CheckpointView& c) {
  const auto bits = static_cast<unsigned>(c.bits);
  const CodeRow& codes = layout_->codes;
  const FieldLayout& layout = bits == 3 && codes.three_bits != nullptr ? *codes.three_bits : codes.fields;
  const ZeroRow& row = layout_->zeros;
  const bool given = c.zeros.data != nullptr || c.zeros.size != 0;
  const bool fields = row.storage == ZeroStorage::kFields || (row.storage == ZeroStorage::kOptional && given);
  const std::size_t zero_rows = DivideUp(shape_.m, scale_rows_);
  const bool bytes = c.byte_zeros && row.bytes != nullptr;
  const FieldLayout& zero_layout = bytes ? *row.bytes : row.fields;
  const unsigned zero_bits = bytes ? 8 : bits;
  signed_zeros_ = bytes || codes.values == CodeValues::kSigned;
  // Codes and zero points are padded alike; one of the sizes may not tell.
  const bool padded = IsPadded(layout, bits, shape_.m, shape_.k, c.codes.size) ||
                      (fields && IsPadded(zero_layout, zero_bits, zero_rows, groups_, c.zeros.size));
  const bool planes_of_all = layout.axis == Axis::kAll && layout.fill == Fill::kPlanes;
  // Planes are whole groups; a group may be larger than the matrix.
  const std::size_t unit =
      planes_of_all ? std::max<std::size_t>(std::min(group_, shape_.m * shape_.k), 1) : std::size_t{1};
  codes_ = Fields(layout, bits, shape_.m, shape_.k, padded, unit);
  codes_.SetData(c.codes.data);
  LUTRA_RETURN_IF_ERROR(CheckWords(layout, codes_));
  if (fields) {
    zeros_ = Fields(zero_layout, zero_bits, zero_rows, groups_, padded);
    zeros_.SetData(c.zeros.data);
    LUTRA_RETURN_IF_ERROR(CheckWords(zero_layout, zeros_));
  }
  LUTRA_RETURN_IF_ERROR(CheckTensor(c.codes, codes_.bytes(), "checkpoint.codes"));
  has_zeros_ = fields || c.bits == 1;  // codes of one bit are int2's, whose default zero point is not theirs
  if (fields) return CheckTensor(c.zeros, zeros_.bytes(), "checkpoint.zeros");
  if (row.storage != ZeroStorage::kFloats) return {};
  has_zeros_ = true;
  shape_.zero_kind = ZeroKind::kPoint;
  shape_.zero_type = shape_.scale_type;
  float_zeros_ = c.zeros.data;
  return CheckTensor(c.zeros, scale_count_ * SizeOf(shape_.scale_type), "checkpoint.zeros");
}

// Checks that every group has as many columns as it must. Sets g_idx_ if it differs from k / group anywhere.
Status CheckpointWeights::CheckGroups(const CheckpointView& c) {
  const std::size_t k = shape_.k;
  if (!layout_->has_g_idx || (c.g_idx.data == nullptr && c.g_idx.size == 0)) return {};
  LUTRA_RETURN_IF_ERROR(CheckTensor(c.g_idx, k, "checkpoint.g_idx"));
  Buffer counts;
  if (!counts.Reserve(groups_ * sizeof(std::size_t))) return Status::OutOfMemory("checkpoint.g_idx");
  auto* const count = counts.as<std::size_t>();
  std::fill_n(count, groups_, std::size_t{0});
  bool sorts = false;
  for (std::size_t column = 0; column < k; ++column) {
    const auto g = static_cast<std::size_t>(LoadElement<std::int32_t>(c.g_idx.data, column));  // huge if negative
    if (g >= groups_) return Status::Invalid("checkpoint.g_idx", "holds a group that does not exist");
    ++count[g];
    sorts = sorts || g != column / group_;
  }
  if (groups_ > 1 && count[0] == k) {
    return Status::Unsupported("checkpoint.g_idx", "is all zeros, but there are several groups: pass no g_idx");
  }
  for (std::size_t g = 0; g < groups_; ++g) {
    if (count[g] == std::min(group_, k - g * group_)) continue;
    return Status::Unsupported("checkpoint.g_idx", "has a group that does not have group_size columns");
  }
  if (sorts) g_idx_ = c.g_idx.data;
  return {};
}

Status CheckpointWeights::Of(const CheckpointView& c, CheckpointWeights* w) {
  if (!IsScheme(c.scheme)) return Status::Invalid("checkpoint.scheme", "is not a CheckpointScheme");
  const CheckpointInfo& info = Describe(c.scheme);
  if (info.refusal != nullptr) return Status::Unsupported("checkpoint.scheme", info.refusal);
  if (!info.has_width(c.bits)) return Status::Invalid("checkpoint.bits", "is not a width that the scheme has");
  CheckpointWeights result;
  result.layout_ = &internal::LayoutOf(c.scheme);
  if (c.scheme == CheckpointScheme::kGptq) {
    if (c.gptq_zeros > GptqZeros::kV1Masked) return Status::Invalid("checkpoint.gptq_zeros", "is not a GptqZeros");
    result.reading_ = c.gptq_zeros;
  }
  if (c.scheme == CheckpointScheme::kHqq && c.groups_down_rows) {
    return Status::Unsupported("checkpoint.groups_down_rows",
                               "is set: with axis 0 each weight of a row has a scale of its own; quantize with axis=1");
  }
  LUTRA_RETURN_IF_ERROR(result.ChooseShape(c));
  LUTRA_RETURN_IF_ERROR(result.CheckCodes(c));
  LUTRA_RETURN_IF_ERROR(result.ChooseScales(c));
  LUTRA_RETURN_IF_ERROR(result.CheckGroups(c));
  *w = result;
  return {};
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
