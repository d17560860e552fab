// Imports, layouts and panels of GptqView and AwqView, by way of CheckpointView; PlausibleGptqZeros.
#include <cstddef>
#include <cstdint>

#include "import/checkpoint_weights.h"
#include "lutra/checkpoint.h"
#include "lutra/import.h"
#include "lutra/pack_panels.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

template <class T>
TensorBytes BytesOf(const TensorView<T>& tensor) {
  constexpr auto kMost = static_cast<std::size_t>(-1);
  return {tensor.data, tensor.size > kMost / sizeof(T) ? kMost : tensor.size * sizeof(T)};
}

// The fields that views of GPTQ and AWQ have in common.
template <class View>
CheckpointView CheckpointOf(CheckpointScheme scheme, const View& words) {
  CheckpointView view;
  view.scheme = scheme;
  view.m = words.m;
  view.k = words.k;
  view.group_size = words.group_size;
  view.codes = BytesOf(words.qweight);
  view.zeros = BytesOf(words.qzeros);
  view.scales = BytesOf(words.scales);
  return view;
}

CheckpointView CheckpointOf(const GptqView& gptq) {
  CheckpointView view = CheckpointOf(CheckpointScheme::kGptq, gptq);
  view.bits = gptq.bits;
  view.g_idx = gptq.g_idx;
  view.gptq_zeros = gptq.zeros;
  return view;
}
Status Named(const Status& status, const GptqView*) {
  constexpr const char* kNames[][2] = {{"checkpoint.bits", "gptq.bits"},
                                       {"checkpoint.m", "gptq.m"},
                                       {"checkpoint.k", "gptq.k"},
                                       {"checkpoint.group_size", "gptq.group_size"},
                                       {"checkpoint.codes", "gptq.qweight"},
                                       {"checkpoint.zeros", "gptq.qzeros"},
                                       {"checkpoint.scales", "gptq.scales"},
                                       {"checkpoint.g_idx", "gptq.g_idx"},
                                       {"checkpoint.gptq_zeros", "gptq.zeros"}};
  return internal::Renamed(status, kNames);
}

CheckpointView CheckpointOf(const AwqView& awq) { return CheckpointOf(CheckpointScheme::kAwq, awq); }
Status Named(const Status& status, const AwqView*) {
  constexpr const char* kNames[][2] = {{"checkpoint.m", "awq.m"},
                                       {"checkpoint.k", "awq.k"},
                                       {"checkpoint.group_size", "awq.group_size"},
                                       {"checkpoint.codes", "awq.qweight"},
                                       {"checkpoint.zeros", "awq.qzeros"},
                                       {"checkpoint.scales", "awq.scales"}};
  return internal::Renamed(status, kNames);
}

// Checks the words of zero points, and sets *fields to them and *groups to their number in a row.
Status FindZeros(const GptqView& gptq, internal::Fields* fields, std::size_t* groups) {
  if (!Describe(CheckpointScheme::kGptq).has_width(gptq.bits)) {
    return Status::Invalid("gptq.bits", "is not a width that the scheme has");
  }
  if (internal::Overflows(gptq.m, 8)) return Status::Invalid("gptq.m", "is too large");
  const auto bits = static_cast<unsigned>(gptq.bits);
  const std::size_t row_words = gptq.m * bits / 32;
  if (gptq.m * bits % 32 != 0) return Status::Invalid("gptq.m", "times bits is not a multiple of 32");
  if (gptq.qzeros.size != 0 && gptq.qzeros.data == nullptr) return Status::Invalid("gptq.qzeros", "is null");
  *groups = row_words == 0 ? 0 : gptq.qzeros.size / row_words;
  if (*groups * row_words != gptq.qzeros.size) return Status::Invalid("gptq.qzeros", "has no whole number of groups");
  *fields = internal::Fields(internal::kGptqZeros, bits, gptq.m, *groups, false);
  fields->SetData(gptq.qzeros.data);
  return {};
}

}  // namespace

Status functions::ImportGptq(const GptqView& gptq, QuantizedMatrix* w) {
  return Named(ImportCheckpoint(CheckpointOf(gptq), w), &gptq);
}
Status functions::ImportAwq(const AwqView& awq, QuantizedMatrix* w) {
  return Named(ImportCheckpoint(CheckpointOf(awq), w), &awq);
}

Status functions::LayoutOf(const GptqView& gptq, const LayoutOptions& options, PackedLayout* layout) {
  return Named(LayoutOf(CheckpointOf(gptq), options, layout), &gptq);
}
Status functions::LayoutOf(const AwqView& awq, const LayoutOptions& options, PackedLayout* layout) {
  return Named(LayoutOf(CheckpointOf(awq), options, layout), &awq);
}

Status functions::PackPanels(const PackedLayout& layout, const GptqView& gptq, std::size_t first, std::size_t last,
                             void* memory, std::size_t size) {
  return Named(PackPanels(layout, CheckpointOf(gptq), first, last, memory, size), &gptq);
}
Status functions::PackPanels(const PackedLayout& layout, const AwqView& awq, std::size_t first, std::size_t last,
                             void* memory, std::size_t size) {
  return Named(PackPanels(layout, CheckpointOf(awq), first, last, memory, size), &awq);
}

Status functions::PlausibleGptqZeros(const GptqView& gptq, std::uint32_t* readings) {
  if (readings == nullptr) return Status::Invalid("readings", "is null");
  internal::Fields zeros;
  std::size_t groups = 0;
  LUTRA_RETURN_IF_ERROR(FindZeros(gptq, &zeros, &groups));
  const unsigned middle = 1u << (zeros.bits() - 1);  // the zero point of symmetric quantization
  bool is_v1 = true, is_v2 = true;
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t row = 0; row < gptq.m; ++row) {
      const unsigned stored = zeros.At(row, g);
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
