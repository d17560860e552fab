// Unpack: the inverse of Pack.
#include <algorithm>
#include <cstring>

#include "activation_access.h"
#include "lutra/packed_matrix.h"
#include "pack/codes.h"
#include "pack/parts.h"
#include "pack/runs.h"
#include "packed_access.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::Geometry;
using internal::kPanelRows;
using internal::Place;

// Unpacks one panel, from row `m` on, to the arrays of *w.
struct PanelUnpacker {
  const PackedMatrix& packed;
  const EncodingInfo& e;
  const Geometry& geometry;
  const internal::RunLayouts& run_layouts;
  const internal::Encoder& encoder;
  QuantizedMatrix& w;
  std::size_t m;
  Place place;

  std::size_t rows() const { return std::min(kPanelRows, packed.m() - m); }

  void UnpackQparams(bool super, std::size_t i, std::size_t offset, std::size_t bytes) const {
    const std::uint8_t* const from = packed.data() + place.At(geometry.panel_bytes, offset, bytes);
    for (const internal::QparamField& field : geometry.scheme) {
      if (field.per_super != super) continue;
      auto* const to = static_cast<std::uint8_t*>(const_cast<void*>(internal::ArrayOf(w.view(), field.role)));
      const std::size_t per_row = internal::ValuesPerRow(field, packed.k(), packed.group()), size = SizeOf(field.type);
      internal::ForEachValue(field, per_row, geometry.groups_per_super, i,
                             [&](std::size_t value, std::size_t at, int shift) {
                               for (std::size_t row = 0; row < rows(); ++row) {
                                 internal::UnpackValue(field.type, from + at + row * size, shift,
                                                       to + ((m + row) * per_row + value) * size);
                               }
                             });
    }
  }

  void UnpackCodes(std::size_t block, std::size_t first, std::size_t half_chunks, std::size_t offset) const {
    const std::size_t chunk_bytes = static_cast<std::size_t>(e.planes) * internal::kPlaneBytes;
    const std::uint8_t* from = packed.data() + place.At(geometry.panel_bytes, offset, chunk_bytes);
    for (std::size_t c = 0; 2 * c < half_chunks; ++c, from += chunk_bytes) {
      const std::size_t k = geometry.begin(block) + (first + c) * internal::kCodesPerChunk;
      const std::size_t count = std::min(internal::kCodesPerChunk, geometry.end(block) - k);
      internal::FunctionsOf(e).unpack(from, rows(), count, w.codes() + m * packed.k() + k, packed.k());
    }
  }

  void UnpackIndices(std::size_t block, std::size_t first, std::size_t half_chunks, std::size_t offset) const {
    std::uint8_t bytes[internal::kMaxRunBytes];
    internal::ForEachUnit(
        e, geometry, place, offset, half_chunks,
        [&](std::size_t from, std::size_t to, std::size_t n) { std::memcpy(bytes + to, packed.data() + from, n); });
    internal::Run run;
    if (half_chunks % 2 != 0) run.fill(0);  // the indices that half a chunk does not store
    run_layouts.Read(bytes, half_chunks, run);
    const std::size_t end = geometry.end(block);
    for (std::size_t c = 0; 2 * c < half_chunks; ++c) {
      const std::size_t k = geometry.begin(block) + (first + c) * e.chunk_weights;
      for (std::size_t row = 0; row < rows(); ++row) {
        std::uint8_t codes[internal::kMaxChunkWeights];
        encoder.Decode(run.data() + c * internal::kChunkStride + row * kIndicesPerChunk, codes);
        std::memcpy(w.codes() + (m + row) * packed.k() + k, codes, std::min(e.chunk_weights, end - k));
      }
    }
  }
};

}  // namespace

Status Unpack(const PackedMatrix& packed, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  return internal::UnpackFrom(packed, packed.target() != nullptr ? packed.target()->info.layout : internal::Layout{},
                              w);
}

Status internal::UnpackFrom(const PackedMatrix& packed, Layout layout, QuantizedMatrix* w) {
  QuantizedMatrix result;
  QuantizedView shape = ShapeOf(PackedAccess::Fields(packed));
  shape.order = packed.order();
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape, packed.has_bias()));
  std::copy_n(packed.codebook(), CodebookSize(result.view()), result.codebook());
  if (packed.has_bias()) std::memcpy(result.bias(), packed.bias(), packed.m() * sizeof(float));
  if (packed.order() != nullptr) std::memcpy(result.order(), packed.order(), packed.k() * sizeof(std::uint32_t));

  const FormatInfo& f = Describe(packed.format());
  const Geometry geometry = lutra::GeometryOf(packed);
  if (geometry.blocks != 0 && packed.m() != 0) {
    const RunLayouts run_layouts(layout, f.stored());
    const Encoder encoder(f);
    for (std::size_t m = 0; m < packed.m(); m += kPanelRows) {
      const Place place(InterleavedPanels(layout, f.stored()), m / kPanelRows, PanelsIn(packed.m()));
      const PanelUnpacker panel{packed, f.stored(), geometry, run_layouts, encoder, result, m, place};
      ForEachPart(
          f.stored(), geometry, 0, geometry.blocks,
          [&](bool super, std::size_t i, std::size_t offset, std::size_t bytes) {
            panel.UnpackQparams(super, i, offset, bytes);
          },
          [&](std::size_t block, std::size_t first, std::size_t half_chunks, std::size_t offset) {
            if (f.stored().has_indices()) {
              panel.UnpackIndices(block, first, half_chunks, offset);
            } else {
              panel.UnpackCodes(block, first, half_chunks, offset);
            }
          });
    }
  }
  *w = std::move(result);
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
