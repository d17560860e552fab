// WordWeights: checks checkpoints of GPTQ and AWQ, and unpacks their words.
#include "import/word_weights.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "lutra/buffer.h"
#include "lutra/float16.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

using Words = Elements<std::uint32_t>;
using Halves = Elements<std::uint16_t>;
using Groups = Elements<std::int32_t>;

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
  return Renamed(ValidateShape(file->shape), pairs);
}

template <class T>
Status CheckTensor(const TensorView<T>& tensor, std::size_t size, const char* name) {
  if (tensor.size != size)
    return Status::Invalid(name, "does not have the number of elements that M, K and group_size give");
  return size != 0 && tensor.data == nullptr ? Status::Invalid(name, "is null") : Status();
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

void WordWeights::CodesOf(std::size_t column, std::size_t row, std::size_t count, std::uint8_t* codes,
                          std::size_t stride) const {
  const std::size_t m = file_.shape.m, bit = column * bits_, shift = bit % 32;
  if (awq_) {
    const Words words = Words(codes_).From(column * (m / 8));
    for (std::size_t r = 0; r < count; ++r) codes[r * stride] = UnpackAwq(words, row + r);
    return;
  }
  const unsigned mask = (1u << bits_) - 1;
  const Words words = Words(codes_).From(bit / 32 * m + row);
  for (std::size_t r = 0; r < count; ++r) codes[r * stride] = static_cast<std::uint8_t>(words[r] >> shift & mask);
  if (shift + bits_ <= 32) return;
  const Words next = words.From(m);  // the upper bits of a field of two words
  for (std::size_t r = 0; r < count; ++r) {
    codes[r * stride] = static_cast<std::uint8_t>(codes[r * stride] | (next[r] << (32 - shift) & mask));
  }
}

std::uint8_t WordWeights::ZeroAt(std::size_t group, std::size_t row) const {
  const Words words = Words(zeros_).From(group * (file_.shape.m * bits_ / 32));
  return awq_ ? UnpackAwq(words, row) : UnpackZero(words, row, bits_, reading_);
}

void WordWeights::ChooseZeros() {
  QuantizedView& shape = file_.shape;
  const auto usual = static_cast<std::uint8_t>(Describe(shape.format).default_zero);
  std::uint8_t highest = 0;
  for (std::size_t i = 0; i < file_.groups * shape.m; ++i) {
    const std::uint8_t zero = ZeroAt(i / shape.m, i % shape.m);
    if (zero != usual) shape.zero_kind = ZeroKind::kPoint;
    highest = std::max(highest, zero);
  }
  shape.zero_type = highest > 15 ? DataType::kUInt8 : DataType::kUInt4;
}

Status WordWeights::CheckScales() const {
  if (AllFinite(scales_, DataType::kF16, file_.groups * file_.shape.m)) return {};
  return Status::Invalid(awq_ ? "awq.scales" : "gptq.scales", "holds a value that is not finite");
}

void WordWeights::ColumnsOf(std::size_t begin, std::size_t end, std::uint32_t* columns) const {
  if (!sorted()) {
    for (std::size_t j = begin; j < end; ++j) columns[j - begin] = static_cast<std::uint32_t>(j);
    return;
  }
  // All groups but the last are full, so group g has the sorted columns from g * group on. Each group's columns are
  // counted from the first group that has one in the range.
  constexpr std::size_t kMaxGroups = 64;
  for (std::size_t first = begin / file_.group; first * file_.group < end; first += kMaxGroups) {
    std::size_t next[kMaxGroups] = {};
    for (std::size_t column = 0; column < file_.shape.k; ++column) {
      const std::size_t g = static_cast<std::size_t>(Groups(g_idx_)[column]) - first;  // huge if below first
      if (g >= kMaxGroups) continue;
      const std::size_t j = (first + g) * file_.group + next[g]++;
      if (begin <= j && j < end) columns[j - begin] = static_cast<std::uint32_t>(column);
    }
  }
}

Status WordWeights::Of(const GptqView& gptq, WordWeights* w) {
  LUTRA_RETURN_IF_ERROR(CheckBits(gptq));
  if (gptq.zeros > GptqZeros::kV1Masked) return Status::Invalid("gptq.zeros", "is not a GptqZeros");
  const Format format = gptq.bits == 2 ? Format::kInt2 : gptq.bits == 3 ? Format::kInt3 : Format::kInt4;
  WordWeights result;
  FileShape& file = result.file_;
  LUTRA_RETURN_IF_ERROR(
      ChooseShape(format, gptq.m, gptq.k, gptq.group_size, {"gptq.m", "gptq.k", "gptq.group_size"}, &file));
  const auto bits = static_cast<unsigned>(gptq.bits);
  const std::size_t m = gptq.m, k = gptq.k;
  if (m * bits % 32 != 0) return Status::Invalid("gptq.m", "times bits is not a multiple of 32");
  if (k * bits % 32 != 0) return Status::Invalid("gptq.k", "times bits is not a multiple of 32");
  LUTRA_RETURN_IF_ERROR(CheckTensor(gptq.qweight, k * bits / 32 * m, "gptq.qweight"));
  LUTRA_RETURN_IF_ERROR(CheckTensor(gptq.qzeros, file.groups * (m * bits / 32), "gptq.qzeros"));
  LUTRA_RETURN_IF_ERROR(CheckTensor(gptq.scales, file.groups * m, "gptq.scales"));
  bool sorts = false;
  if (gptq.g_idx.data != nullptr || gptq.g_idx.size != 0) {
    LUTRA_RETURN_IF_ERROR(CheckTensor(gptq.g_idx, k, "gptq.g_idx"));
    LUTRA_RETURN_IF_ERROR(CheckGroups(gptq.g_idx.data, file, &sorts));
  }
  result.codes_ = gptq.qweight.data;
  result.zeros_ = gptq.qzeros.data;
  result.scales_ = gptq.scales.data;
  if (sorts) result.g_idx_ = gptq.g_idx.data;
  result.bits_ = bits;
  result.reading_ = gptq.zeros;
  *w = result;
  return {};
}

Status WordWeights::Of(const AwqView& awq, WordWeights* w) {
  WordWeights result;
  FileShape& file = result.file_;
  LUTRA_RETURN_IF_ERROR(
      ChooseShape(Format::kInt4, awq.m, awq.k, awq.group_size, {"awq.m", "awq.k", "awq.group_size"}, &file));
  const std::size_t words = awq.m / 8;
  if (awq.m % 8 != 0) return Status::Invalid("awq.m", "is not a multiple of 8");
  LUTRA_RETURN_IF_ERROR(CheckTensor(awq.qweight, awq.k * words, "awq.qweight"));
  LUTRA_RETURN_IF_ERROR(CheckTensor(awq.qzeros, file.groups * words, "awq.qzeros"));
  LUTRA_RETURN_IF_ERROR(CheckTensor(awq.scales, file.groups * awq.m, "awq.scales"));
  result.codes_ = awq.qweight.data;
  result.zeros_ = awq.qzeros.data;
  result.scales_ = awq.scales.data;
  result.awq_ = true;
  *w = result;
  return {};
}

}  // namespace internal

Status functions::PlausibleGptqZeros(const GptqView& gptq, std::uint32_t* readings) {
  if (readings == nullptr) return Status::Invalid("readings", "is null");
  LUTRA_RETURN_IF_ERROR(internal::CheckBits(gptq));
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
      const unsigned stored = internal::Unpack(internal::Words(gptq.qzeros.data).From(g * row_words), 1, row, bits);
      is_v1 = is_v1 && stored == middle - 1;
      is_v2 = is_v2 && stored == middle;
    }
  }
  const std::uint32_t v2 = Reading(GptqZeros::kV2);
  const std::uint32_t v1 = Reading(GptqZeros::kV1Words) | Reading(GptqZeros::kV1Fields) | Reading(GptqZeros::kV1Masked);
  *readings = is_v1 == is_v2 ? v1 | v2 : is_v1 ? v1 : v2;
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
