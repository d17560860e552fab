// Pack: writes codes and qparams to packed bytes, panel by panel.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "lutra/kernels/registry.h"
#include "lutra/packed_matrix.h"
#include "memory/checksum.h"
#include "pack/parts.h"
#include "pack/runs.h"
#include "packed_access.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::Geometry;
using internal::kPanelRows;
using internal::Place;

// The work of a call; PackPanel packs one panel, on any thread.
struct Packer {
  const QuantizedView& w;
  const FormatInfo& format;
  Geometry geometry;
  std::size_t interleaved;
  const internal::RunLayouts& run_layouts;
  internal::Encoder encoder;
  std::uint8_t* packed;
  std::atomic<bool> codes_valid{true};

  void PackQparams(bool super, std::size_t panel, std::size_t i, std::size_t offset, std::size_t bytes) const {
    std::uint8_t* const to = packed + PlaceOf(panel).At(geometry.panel_bytes, offset, bytes);
    std::memset(to, 0, bytes);
    for (const internal::QparamField& field : geometry.scheme) {
      if (field.per_super != super) continue;
      const auto* const from = static_cast<const std::uint8_t*>(internal::ArrayOf(w, field.role));
      const std::size_t per_row = internal::ValuesPerRow(field, w.k, w.group);
      for (std::size_t m = panel * kPanelRows; m < std::min((panel + 1) * kPanelRows, w.m); ++m) {
        internal::ForEachValue(field, per_row, geometry.groups_per_super, m, i,
                               [&](std::size_t value, std::size_t place, int shift) {
                                 internal::PackValue(field.type, from + value, to + place, shift);
                               });
      }
    }
  }

  bool PackRun(std::size_t panel, std::size_t block, std::size_t first, std::size_t half_chunks,
               std::size_t offset) const {
    const EncodingInfo& e = format.stored();
    const std::size_t end = geometry.end(block), rows = std::min(kPanelRows, w.m - panel * kPanelRows);
    internal::Run run{};
    bool valid = true;
    for (std::size_t c = 0; 2 * c < half_chunks; ++c) {
      const std::size_t k = geometry.begin(block) + (first + c) * e.chunk_weights;
      const std::size_t weights = std::min(e.chunk_weights, end - k);
      for (std::size_t row = 0; row < rows; ++row) {
        const std::uint8_t* codes = w.codes + (panel * kPanelRows + row) * w.code_stride + k;
        std::uint8_t tail[internal::kMaxChunkWeights] = {};
        if (weights < e.chunk_weights) {
          std::memcpy(tail, codes, weights);
          codes = tail;
        }
        valid &= encoder.Encode(codes, run.data() + c * internal::kChunkStride + row * kIndicesPerChunk);
      }
    }
    std::uint8_t bytes[internal::kMaxRunBytes];
    run_layouts.Write(run, half_chunks, bytes);
    internal::ForEachUnit(
        e, geometry, PlaceOf(panel), offset, half_chunks,
        [&](std::size_t to, std::size_t from, std::size_t n) { std::memcpy(packed + to, bytes + from, n); });
    return valid;
  }

  void PackPanel(std::size_t panel) {
    bool valid = true;
    internal::ForEachPart(
        format.stored(), geometry,
        [&](bool super, std::size_t i, std::size_t offset, std::size_t bytes) {
          PackQparams(super, panel, i, offset, bytes);
        },
        [&](std::size_t block, std::size_t first, std::size_t half_chunks, std::size_t offset) {
          valid &= PackRun(panel, block, first, half_chunks, offset);
        });
    if (!valid) codes_valid.store(false, std::memory_order_relaxed);
  }

  Place PlaceOf(std::size_t panel) const { return {interleaved, panel, internal::PanelsIn(w.m)}; }
};

}  // namespace

internal::PackedFields internal::FieldsOf(const QuantizedView& w) {
  PackedFields fields;
  fields.format = w.format;
  fields.m = w.m;
  fields.k = w.k;
  fields.group = w.group;
  fields.scale_type = w.scale_type;
  fields.zero_kind = w.zero_kind;
  fields.zero_type = w.zero_type;
  if (HasMatrixScale(w.scale_type)) fields.matrix_scale = w.matrix_scale;
  fields.codebook_tables = TableCount(w);
  if (w.codebook != nullptr) std::copy_n(w.codebook, CodebookSize(w), fields.codebook);
  fields.bytes = internal::PanelsIn(w.m) * internal::GeometryOf(w).panel_bytes;
  return fields;
}

void internal::SetData(const std::uint8_t* data, const Tail& tail, PackedFields* fields) {
  fields->data = data;
  if (tail.bias_bytes != 0) fields->bias = reinterpret_cast<const float*>(data + fields->bytes);
  if (tail.order_bytes == 0) return;
  fields->order = reinterpret_cast<const std::uint32_t*>(data + fields->bytes + tail.bias_bytes);
  fields->order_checksum = Checksum(fields->order, tail.order_bytes);
}

Status Pack(const QuantizedView& w, const PackOptions& options, PackedMatrix* packed) {
  if (packed == nullptr) return Status::Invalid("packed", "is null");
  LUTRA_RETURN_IF_ERROR(internal::ValidateWeights(w));
  const FormatInfo& f = Describe(w.format);
  internal::PackedFields fields = internal::FieldsOf(w);
  fields.target = options.target != nullptr ? options.target : RunnableTargets().data[0];
  const internal::Tail tail(fields, w.bias != nullptr, w.order != nullptr);
  Buffer buffer;
  if (!buffer.Reserve(fields.bytes + tail.bytes())) return Status::OutOfMemory("packed");
  std::uint8_t* const behind = buffer.data() + fields.bytes;
  if (tail.bias_bytes != 0) std::memcpy(behind, w.bias, tail.bias_bytes);
  if (tail.order_bytes != 0) std::memcpy(behind + tail.bias_bytes, w.order, tail.order_bytes);
  internal::SetData(buffer.data(), tail, &fields);
  const Geometry geometry = internal::GeometryOf(w);
  if (geometry.blocks != 0) {
    const internal::Layout layout = fields.target->info.layout;
    const internal::RunLayouts run_layouts(layout, f.stored());
    Packer packer{w,
                  f,
                  geometry,
                  internal::InterleavedPanels(layout, f.stored()),
                  run_layouts,
                  internal::Encoder(f),
                  buffer.data()};
    internal::RunTasks<Packer>(options.executor, internal::PanelsIn(w.m), packer,
                               [](Packer& p, std::size_t panel) { p.PackPanel(panel); });
    if (!packer.codes_valid.load(std::memory_order_relaxed)) {
      return Status::Invalid("w.codes", "holds a code that the format does not have");
    }
  }
  *packed = PackedAccess::Make(fields, std::move(buffer));
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
