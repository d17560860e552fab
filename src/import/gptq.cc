// ImportGptq and ImportAwq: unpacks words to codes and sorts the columns by group.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "lutra/buffer.h"
#include "lutra/import.h"
#include "memory/elements.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using Words = internal::Elements<std::uint32_t>;
using Halves = internal::Elements<std::uint16_t>;
using Groups = internal::Elements<std::int32_t>;

// Value j of `bits` bits from words that are `stride` apart.
unsigned Unpack(const Words& words, std::size_t stride, std::size_t j, unsigned bits) {
  const std::size_t bit = j * bits, at = bit / 32 * stride;
  const auto shift = static_cast<unsigned>(bit % 32);
  unsigned value = words[at] >> shift;
  if (shift + bits > 32) value |= words[at + stride] << (32 - shift);
  return value & ((1u << bits) - 1);
}

// The zero point of row j, as `reading` reads the words of a group.
std::uint8_t UnpackZero(const Words& words, std::size_t j, unsigned bits, GptqZeros reading) {
  const unsigned mask = (1u << bits) - 1;
  if (reading == GptqZeros::kV1Words && bits != 3) {
    const std::uint32_t ones = ~std::uint32_t{0} / mask;  // a 1 in each field
    const std::size_t bit = j * bits;
    return static_cast<std::uint8_t>((words[bit / 32] + ones) >> bit % 32 & mask);
  }
  const unsigned stored = Unpack(words, 1, j, bits);
  if (reading == GptqZeros::kV2) return static_cast<std::uint8_t>(stored);
  return static_cast<std::uint8_t>(reading == GptqZeros::kV1Fields ? stored + 1 : (stored + 1) & mask);
}

// Column j of AWQ's words.
std::uint8_t UnpackAwq(const Words& words, std::size_t j) {
  constexpr unsigned kNibbles[] = {0, 4, 1, 5, 2, 6, 3, 7};
  return words[j / 8] >> (4 * kNibbles[j % 8]) & 15;
}

// The names of the caller's arguments.
struct Names {
  const char *m, *k, *group_size;
};

// The shape of the result, and the groups of the file. A file may have larger groups than any format: `repeat` groups
// of the result have the same scale and zero point.
struct FileShape {
  QuantizedView shape;
  std::size_t group = 0, groups = 0, repeat = 1;  // group: columns; groups: per row; both of the file
};

// Sets *file from the format, M, K and group_size.
Status ChooseShape(Format format, std::size_t m, std::size_t k, std::ptrdiff_t group_size, const Names& names,
                   FileShape* file) {
  if (group_size < -1 || group_size == 0) return Status::Invalid(names.group_size, "is neither positive nor -1");
  if (k > std::numeric_limits<std::uint32_t>::max()) return Status::Invalid(names.k, "is too large");
  const auto size = static_cast<std::size_t>(group_size);
  file->shape.format = format;
  file->shape.m = m;
  file->shape.k = k;
  if (group_size == -1 || size >= k) {
    file->shape.group = kPerRow;
    file->group = k;
    file->groups = 1;
  } else {
    constexpr std::size_t kLargest = 256, kSmallest = 16;
    std::size_t group = kLargest;
    while (group >= kSmallest && size % group != 0) group /= 2;
    if (group < kSmallest) return Status::Unsupported(names.group_size, "is not a multiple of 16, -1 or at least K");
    file->shape.group = group;
    file->group = size;
    file->groups = (k + size - 1) / size;
    file->repeat = size / group;
  }
  const char* const pairs[][2] = {{"w.m", names.m}, {"w.k", names.k}};
  return internal::Renamed(internal::ValidateShape(file->shape), pairs);
}

template <class T>
Status CheckTensor(const TensorView<T>& tensor, std::size_t size, const char* name) {
  if (tensor.size != size)
    return Status::Invalid(name, "does not have the number of elements that M, K and group_size give");
  return size != 0 && tensor.data == nullptr ? Status::Invalid(name, "is null") : Status();
}

Status CheckScales(const TensorView<std::uint16_t>& scales, const FileShape& file, const char* name) {
  LUTRA_RETURN_IF_ERROR(CheckTensor(scales, file.groups * file.shape.m, name));
  if (internal::AllFinite(scales.data, DataType::kF16, scales.size)) return {};
  return Status::Invalid(name, "holds a value that is not finite");
}

// order[j] = the column that is stored at j: sorted by g_idx, unless that is null. CheckGroups has shown that all
// groups but the last are full, so group g begins at g * file.group.
bool SortColumns(const std::int32_t* g_idx, const FileShape& file, Buffer* order_buffer) {
  const std::size_t k = file.shape.k, groups = file.groups;
  if (!order_buffer->Reserve((k + groups) * sizeof(std::uint32_t))) return false;
  auto *const order = order_buffer->as<std::uint32_t>(), *const next = order + k;  // next: of each group
  for (std::size_t g = 0; g < groups; ++g) next[g] = static_cast<std::uint32_t>(g * file.group);
  for (std::size_t column = 0; column < k; ++column) {
    const std::size_t j = g_idx == nullptr ? column : next[Groups(g_idx)[column]]++;
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

// Sets the kind and type of zeros: none if all are the default of the format; of four bits, unless one is 16.
template <class ZeroAt>
void ChooseZeros(std::size_t groups, const ZeroAt& zero_at, QuantizedView* shape) {
  const auto usual = static_cast<std::uint8_t>(Describe(shape->format).default_zero);
  std::uint8_t highest = 0;
  for (std::size_t i = 0; i < groups * shape->m; ++i) {
    const std::uint8_t zero = zero_at(i / shape->m, i % shape->m);
    if (zero != usual) shape->zero_kind = ZeroKind::kPoint;
    highest = std::max(highest, zero);
  }
  shape->zero_type = highest > 15 ? DataType::kUInt8 : DataType::kUInt4;
}

// Fills *w from zero_at(group, m), code_at(m, column) and scales[groups x M]; a group is a group of the file.
template <class ZeroAt, class CodeAt>
Status Build(const FileShape& file, const Halves& scales, const std::int32_t* g_idx, const ZeroAt& zero_at,
             const CodeAt& code_at, QuantizedMatrix* w) {
  QuantizedView shape = file.shape;
  ChooseZeros(file.groups, zero_at, &shape);
  Buffer order_buffer;
  if (!SortColumns(g_idx, file, &order_buffer)) return Status::OutOfMemory("w");
  const auto* const order = order_buffer.as<std::uint32_t>();
  if (g_idx != nullptr) shape.order = order;

  QuantizedMatrix result;
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape));
  const std::size_t m = shape.m, groups = GroupsPerRow(shape.k, shape.group);
  for (std::size_t i = 0; i < m * groups; ++i) {
    const std::size_t row = i / groups, g = i % groups / file.repeat;
    static_cast<std::uint16_t*>(result.scales())[i] = scales[g * m + row];
    if (result.zeros() != nullptr) static_cast<std::uint8_t*>(result.zeros())[i] = zero_at(g, row);
  }
  if (g_idx != nullptr) std::copy_n(order, shape.k, result.order());
  if (!FillCodes(code_at, order, &result)) return Status::OutOfMemory("w");
  *w = std::move(result);
  return {};
}

// Checks that every group has as many columns as it must. Sets *sorts if g_idx differs from k / group anywhere.
Status CheckGroups(const std::int32_t* g_idx, const FileShape& file, bool* sorts) {
  const std::size_t k = file.shape.k;
  Buffer counts;
  if (!counts.Reserve(file.groups * sizeof(std::size_t))) return Status::OutOfMemory("gptq.g_idx");
  auto* const count = counts.as<std::size_t>();
  std::fill_n(count, file.groups, std::size_t{0});
  for (std::size_t column = 0; column < k; ++column) {
    const auto g = static_cast<std::size_t>(Groups(g_idx)[column]);  // huge if negative
    if (g >= file.groups) return Status::Invalid("gptq.g_idx", "holds a group that does not exist");
    ++count[g];
    if (g != column / file.group) *sorts = true;
  }
  if (file.groups > 1 && count[0] == k) {
    return Status::Unsupported("gptq.g_idx", "is all zeros, but there are several groups: pass no g_idx");
  }
  for (std::size_t g = 0; g < file.groups; ++g) {
    if (count[g] == std::min(file.group, k - g * file.group)) continue;
    return Status::Unsupported("gptq.g_idx", "has a group that does not have group_size columns");
  }
  return {};
}

Status CheckBits(const GptqView& gptq) {
  if (gptq.bits == 8) return Status::Unsupported("gptq.bits", "is 8; Lutra's codes have up to 4");
  return gptq.bits < 2 || gptq.bits > 4 ? Status::Invalid("gptq.bits", "is not 2, 3 or 4") : Status();
}

}  // namespace

Status ImportGptq(const GptqView& gptq, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  LUTRA_RETURN_IF_ERROR(CheckBits(gptq));
  if (gptq.zeros > GptqZeros::kV1Masked) return Status::Invalid("gptq.zeros", "is not a GptqZeros");
  const Format format = gptq.bits == 2 ? Format::kInt2 : gptq.bits == 3 ? Format::kInt3 : Format::kInt4;
  FileShape file;
  LUTRA_RETURN_IF_ERROR(
      ChooseShape(format, gptq.m, gptq.k, gptq.group_size, {"gptq.m", "gptq.k", "gptq.group_size"}, &file));
  const auto bits = static_cast<unsigned>(gptq.bits);
  const std::size_t m = gptq.m, k = gptq.k, zero_words = m * bits / 32;
  if (m * bits % 32 != 0) return Status::Invalid("gptq.m", "times bits is not a multiple of 32");
  if (k * bits % 32 != 0) return Status::Invalid("gptq.k", "times bits is not a multiple of 32");
  LUTRA_RETURN_IF_ERROR(CheckTensor(gptq.qweight, k * bits / 32 * m, "gptq.qweight"));
  LUTRA_RETURN_IF_ERROR(CheckTensor(gptq.qzeros, file.groups * zero_words, "gptq.qzeros"));
  LUTRA_RETURN_IF_ERROR(CheckScales(gptq.scales, file, "gptq.scales"));
  bool sorts = false;
  if (gptq.g_idx.data != nullptr || gptq.g_idx.size != 0) {
    LUTRA_RETURN_IF_ERROR(CheckTensor(gptq.g_idx, k, "gptq.g_idx"));
    LUTRA_RETURN_IF_ERROR(CheckGroups(gptq.g_idx.data, file, &sorts));
  }

  const Words qzeros(gptq.qzeros.data), qweight(gptq.qweight.data);
  const auto zero_at = [&](std::size_t g, std::size_t row) {
    return UnpackZero(qzeros.From(g * zero_words), row, bits, gptq.zeros);
  };
  const auto code_at = [&](std::size_t row, std::size_t column) {
    return static_cast<std::uint8_t>(Unpack(qweight.From(row), m, column, bits));
  };
  return Build(file, Halves(gptq.scales.data), sorts ? gptq.g_idx.data : nullptr, zero_at, code_at, w);
}

Status PlausibleGptqZeros(const GptqView& gptq, std::uint32_t* readings) {
  if (readings == nullptr) return Status::Invalid("readings", "is null");
  LUTRA_RETURN_IF_ERROR(CheckBits(gptq));
  if (internal::Overflows(gptq.m, 1)) return Status::Invalid("gptq.m", "is too large");
  const auto bits = static_cast<unsigned>(gptq.bits);
  const std::size_t row_words = gptq.m * bits / 32;
  if (gptq.m * bits % 32 != 0) return Status::Invalid("gptq.m", "times bits is not a multiple of 32");
  if (gptq.qzeros.size != 0 && gptq.qzeros.data == nullptr) return Status::Invalid("gptq.qzeros", "is null");
  const std::size_t groups = row_words == 0 ? 0 : gptq.qzeros.size / row_words;
  if (groups * row_words != gptq.qzeros.size) return Status::Invalid("gptq.qzeros", "has no whole number of groups");
  const unsigned middle = 1u << (bits - 1);  // the zero point of symmetric quantization
  bool is_v1 = true, is_v2 = true;
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t row = 0; row < gptq.m; ++row) {
      const unsigned stored = Unpack(Words(gptq.qzeros.data).From(g * row_words), 1, row, bits);
      is_v1 = is_v1 && stored == middle - 1;
      is_v2 = is_v2 && stored == middle;
    }
  }
  const std::uint32_t v2 = Reading(GptqZeros::kV2);
  const std::uint32_t v1 = Reading(GptqZeros::kV1Words) | Reading(GptqZeros::kV1Fields) | Reading(GptqZeros::kV1Masked);
  *readings = is_v1 == is_v2 ? v1 | v2 : is_v1 ? v1 : v2;
  return {};
}

Status ImportAwq(const AwqView& awq, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  FileShape file;
  LUTRA_RETURN_IF_ERROR(
      ChooseShape(Format::kInt4, awq.m, awq.k, awq.group_size, {"awq.m", "awq.k", "awq.group_size"}, &file));
  const std::size_t words = awq.m / 8;
  if (awq.m % 8 != 0) return Status::Invalid("awq.m", "is not a multiple of 8");
  LUTRA_RETURN_IF_ERROR(CheckTensor(awq.qweight, awq.k * words, "awq.qweight"));
  LUTRA_RETURN_IF_ERROR(CheckTensor(awq.qzeros, file.groups * words, "awq.qzeros"));
  LUTRA_RETURN_IF_ERROR(CheckScales(awq.scales, file, "awq.scales"));

  const Words qzeros(awq.qzeros.data), qweight(awq.qweight.data);
  const auto zero_at = [&](std::size_t g, std::size_t row) { return UnpackAwq(qzeros.From(g * words), row); };
  const auto code_at = [&](std::size_t row, std::size_t column) {
    return UnpackAwq(qweight.From(column * words), row);
  };
  return Build(file, Halves(awq.scales.data), nullptr, zero_at, code_at, w);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
