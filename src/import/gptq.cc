// ImportGptq and ImportAwq: unpacks words to codes and sorts the columns by group.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "lutra/buffer.h"
#include "lutra/import.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

// Value j of `bits` bits from words that are `stride` apart.
unsigned Unpack(const std::uint32_t* words, std::size_t stride, std::size_t j, unsigned bits) {
  const std::size_t bit = j * bits;
  const auto shift = static_cast<unsigned>(bit % 32);
  words += bit / 32 * stride;
  unsigned value = *words >> shift;
  if (shift + bits > 32) value |= words[stride] << (32 - shift);
  return value & ((1u << bits) - 1);
}

// Column j of AWQ's words.
std::uint8_t UnpackAwq(const std::uint32_t* words, std::size_t j) {
  constexpr unsigned kNibbles[] = {0, 4, 1, 5, 2, 6, 3, 7};
  return words[j / 8] >> (4 * kNibbles[j % 8]) & 15;
}

// The names of the caller's arguments.
struct Names {
  const char *m, *k, *group_size;
};

// Sets the format, M, K and group of *shape.
Status ChooseShape(Format format, std::size_t m, std::size_t k, std::ptrdiff_t group_size, const Names& names,
                   QuantizedView* shape) {
  if (group_size < -1 || group_size == 0) return Status::Invalid(names.group_size, "is neither positive nor -1");
  const auto size = static_cast<std::size_t>(group_size);
  const bool one_group = group_size == -1 || size >= k;
  if (!one_group && !IsGroupSize(size)) {
    return Status::Unsupported(names.group_size, "is not 16, 32, 64, 128, 256, -1 or at least K");
  }
  if (k > std::numeric_limits<std::uint32_t>::max()) return Status::Invalid(names.k, "is too large");
  shape->format = format;
  shape->m = m;
  shape->k = k;
  shape->group = one_group ? kPerRow : size;
  const char* const pairs[][2] = {{"w.m", names.m}, {"w.k", names.k}};
  return internal::Renamed(internal::ValidateShape(*shape), pairs);
}

template <class T>
Status CheckTensor(const TensorView<T>& tensor, std::size_t size, const char* name) {
  if (tensor.size != size)
    return Status::Invalid(name, "does not have the number of elements that M, K and group_size give");
  return size != 0 && tensor.data == nullptr ? Status::Invalid(name, "is null") : Status();
}

Status CheckScales(const TensorView<std::uint16_t>& scales, const QuantizedView& shape, const char* name) {
  LUTRA_RETURN_IF_ERROR(CheckTensor(scales, ScaleCount(shape), name));
  if (internal::AllFinite(scales.data, DataType::kF16, scales.size)) return {};
  return Status::Invalid(name, "holds a value that is not finite");
}

// order[j] = the column that is stored at j: sorted by g_idx, unless that is null. CheckGroups has shown that all
// groups but the last are full, so group g begins at g * shape.group.
bool SortColumns(const std::int32_t* g_idx, const QuantizedView& shape, Buffer* order_buffer) {
  const std::size_t k = shape.k, groups = GroupsPerRow(k, shape.group);
  if (!order_buffer->Reserve((k + groups) * sizeof(std::uint32_t))) return false;
  auto *const order = order_buffer->as<std::uint32_t>(), *const next = order + k;  // next: of each group
  for (std::size_t g = 0; g < groups; ++g) next[g] = static_cast<std::uint32_t>(g * shape.group);
  for (std::size_t column = 0; column < k; ++column) {
    const std::size_t j = g_idx == nullptr ? column : next[g_idx[column]]++;
    order[j] = static_cast<std::uint32_t>(column);
  }
  return true;
}

// Writes the codes of all rows, column j from column order[j]. The words of a row are M words apart and the codes of a
// column K bytes apart, so kRows rows at a time are transposed in a buffer.
template <class CodeAt>
bool FillCodes(const CodeAt& code_at, const std::uint32_t* order, QuantizedMatrix* w) {
  constexpr std::size_t kRows = 16;  // the words of 16 rows fill a cache line
  const std::size_t m = w->view().m, k = w->view().k;
  Buffer rows_buffer;  // [K x kRows]
  if (!rows_buffer.Reserve(k * kRows)) return false;
  std::uint8_t* const columns = rows_buffer.data();
  for (std::size_t begin = 0; begin < m; begin += kRows) {
    const std::size_t rows = std::min(m - begin, kRows);
    for (std::size_t column = 0; column < k; ++column) {
      for (std::size_t r = 0; r < rows; ++r) columns[column * kRows + r] = code_at(begin + r, column);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint8_t* const codes = w->codes() + (begin + r) * k;
      for (std::size_t j = 0; j < k; ++j) codes[j] = columns[order[j] * kRows + r];
    }
  }
  return true;
}

// Fills *w from zero_at(group, m), code_at(m, column) and scales[G x M].
template <class ZeroAt, class CodeAt>
Status Build(QuantizedView shape, const std::uint16_t* scales, const std::int32_t* g_idx, const ZeroAt& zero_at,
             const CodeAt& code_at, QuantizedMatrix* w) {
  const std::size_t m = shape.m, groups = GroupsPerRow(shape.k, shape.group);
  const auto usual = static_cast<std::uint8_t>(Describe(shape.format).default_zero);
  for (std::size_t i = 0; i < groups * m; ++i) {
    if (zero_at(i / m, i % m) != usual) shape.zero_kind = ZeroKind::kPoint;
  }
  shape.zero_type = DataType::kUInt4;
  Buffer order_buffer;
  if (!SortColumns(g_idx, shape, &order_buffer)) return Status::OutOfMemory("w");
  const auto* const order = order_buffer.as<std::uint32_t>();
  if (g_idx != nullptr) shape.order = order;

  QuantizedMatrix result;
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape));
  for (std::size_t i = 0; i < m * groups; ++i) {
    const std::size_t row = i / groups, g = i % groups;
    static_cast<std::uint16_t*>(result.scales())[i] = scales[g * m + row];
    if (result.zeros() != nullptr) static_cast<std::uint8_t*>(result.zeros())[i] = zero_at(g, row);
  }
  if (g_idx != nullptr) std::copy_n(order, shape.k, result.order());
  if (!FillCodes(code_at, order, &result)) return Status::OutOfMemory("w");
  *w = std::move(result);
  return {};
}

// Checks that every group has as many columns as it must. Sets *sorts if g_idx differs from k / group anywhere.
Status CheckGroups(const std::int32_t* g_idx, const QuantizedView& shape, bool* sorts) {
  const std::size_t k = shape.k, groups = GroupsPerRow(k, shape.group), group = groups == 1 ? k : shape.group;
  Buffer counts;
  if (!counts.Reserve(groups * sizeof(std::size_t))) return Status::OutOfMemory("gptq.g_idx");
  auto* const count = counts.as<std::size_t>();
  std::fill_n(count, groups, std::size_t{0});
  for (std::size_t column = 0; column < k; ++column) {
    const auto g = static_cast<std::size_t>(g_idx[column]);  // huge if negative
    if (g >= groups) return Status::Invalid("gptq.g_idx", "holds a group that does not exist");
    ++count[g];
    if (g != column / group) *sorts = true;
  }
  for (std::size_t g = 0; g < groups; ++g) {
    if (count[g] == std::min(group, k - g * group)) continue;
    return Status::Unsupported("gptq.g_idx", "has a group that does not have group_size columns");
  }
  return {};
}

}  // namespace

Status ImportGptq(const GptqView& gptq, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  if (gptq.bits == 8) return Status::Unsupported("gptq.bits", "is 8; Lutra's codes have up to 4");
  if (gptq.bits < 2 || gptq.bits > 4) return Status::Invalid("gptq.bits", "is not 2, 3 or 4");
  if (gptq.zeros > GptqZeros::kAsStored) return Status::Invalid("gptq.zeros", "is not a GptqZeros");
  const Format format = gptq.bits == 2 ? Format::kInt2 : gptq.bits == 3 ? Format::kInt3 : Format::kInt4;
  QuantizedView shape;
  LUTRA_RETURN_IF_ERROR(
      ChooseShape(format, gptq.m, gptq.k, gptq.group_size, {"gptq.m", "gptq.k", "gptq.group_size"}, &shape));
  const auto bits = static_cast<unsigned>(gptq.bits);
  const std::size_t m = gptq.m, k = gptq.k, zero_words = m * bits / 32;
  if (m * bits % 32 != 0) return Status::Invalid("gptq.m", "times bits is not a multiple of 32");
  if (k * bits % 32 != 0) return Status::Invalid("gptq.k", "times bits is not a multiple of 32");
  LUTRA_RETURN_IF_ERROR(CheckTensor(gptq.qweight, k * bits / 32 * m, "gptq.qweight"));
  LUTRA_RETURN_IF_ERROR(CheckTensor(gptq.qzeros, GroupsPerRow(k, shape.group) * zero_words, "gptq.qzeros"));
  LUTRA_RETURN_IF_ERROR(CheckScales(gptq.scales, shape, "gptq.scales"));
  bool sorts = false;
  if (gptq.g_idx.data != nullptr || gptq.g_idx.size != 0) {
    LUTRA_RETURN_IF_ERROR(CheckTensor(gptq.g_idx, k, "gptq.g_idx"));
    LUTRA_RETURN_IF_ERROR(CheckGroups(gptq.g_idx.data, shape, &sorts));
  }

  const unsigned add = gptq.zeros == GptqZeros::kMinusOne ? 1 : 0, mask = (1u << bits) - 1;
  const auto zero_at = [&](std::size_t g, std::size_t row) {
    return static_cast<std::uint8_t>((Unpack(gptq.qzeros.data + g * zero_words, 1, row, bits) + add) & mask);
  };
  const auto code_at = [&](std::size_t row, std::size_t column) {
    return static_cast<std::uint8_t>(Unpack(gptq.qweight.data + row, m, column, bits));
  };
  return Build(shape, gptq.scales.data, sorts ? gptq.g_idx.data : nullptr, zero_at, code_at, w);
}

Status ImportAwq(const AwqView& awq, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  QuantizedView shape;
  LUTRA_RETURN_IF_ERROR(
      ChooseShape(Format::kInt4, awq.m, awq.k, awq.group_size, {"awq.m", "awq.k", "awq.group_size"}, &shape));
  const std::size_t words = awq.m / 8;
  if (awq.m % 8 != 0) return Status::Invalid("awq.m", "is not a multiple of 8");
  LUTRA_RETURN_IF_ERROR(CheckTensor(awq.qweight, awq.k * words, "awq.qweight"));
  LUTRA_RETURN_IF_ERROR(CheckTensor(awq.qzeros, GroupsPerRow(awq.k, shape.group) * words, "awq.qzeros"));
  LUTRA_RETURN_IF_ERROR(CheckScales(awq.scales, shape, "awq.scales"));

  const auto zero_at = [&](std::size_t g, std::size_t row) { return UnpackAwq(awq.qzeros.data + g * words, row); };
  const auto code_at = [&](std::size_t row, std::size_t column) {
    return UnpackAwq(awq.qweight.data + column * words, row);
  };
  return Build(shape, awq.scales.data, nullptr, zero_at, code_at, w);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
