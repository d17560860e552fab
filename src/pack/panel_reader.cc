// PanelReader: the inverse of PanelPacker.
#include "pack/panel_reader.h"

#include <algorithm>
#include <cstring>

#include "pack/codes.h"
#include "pack/parts.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The arguments of a call of Read.
struct PanelReader::Work {
  Place place;
  std::size_t begin;  // column
  const RunRows* row;
  const PieceOut& to;
};

PieceOut OutOf(PieceBuffer& buffer, std::size_t first, std::size_t rows) {
  PieceOut to;
  to.first = first;
  to.rows = rows;
  to.codes = buffer.codes;
  to.code_stride = PieceBuffer::kWeights;
  for (std::size_t i = 0; i < kMaxFields; ++i) {
    to.values[i] = buffer.values[i];
    to.strides[i] = PieceBuffer::kStride;
  }
  return to;
}

PanelReader::PanelReader(const PackedFields& fields, Layout layout)
    : fields_(fields),
      e_(Describe(fields.format).stored()),
      geometry_(GeometryOf(fields)),
      cuts_(geometry_),
      interleaved_(InterleavedPanels(layout, e_)),
      run_layouts_(layout, e_),
      encoder_(Describe(fields.format)) {}

void PanelReader::ReadQparams(const Work& work, bool super, std::size_t i, std::size_t offset,
                              std::size_t bytes) const {
  const std::uint8_t* const from = fields_.data + work.place.At(geometry_.panel_bytes, offset, bytes);
  for (std::size_t f = 0; f < geometry_.scheme.count; ++f) {
    const QparamField& field = geometry_.scheme.fields[f];
    if (field.per_super != super) continue;
    const std::size_t first = FirstValue(field, fields_, work.begin), size = SizeOf(field.type);
    ForEachValue(field, ValuesPerRow(field, fields_.k, fields_.group), geometry_.groups_per_super, i,
                 [&](std::size_t value, std::size_t at, int shift) {
                   for (std::size_t r = 0; r < work.to.rows; ++r) {
                     UnpackValue(field.type, from + at + (work.to.first + r) * size, shift,
                                 work.to.values[f] + r * work.to.strides[f] + (value - first) * size);
                   }
                 });
  }
}

void PanelReader::ReadCodes(const Work& work, std::size_t k, std::size_t end, std::size_t chunks,
                            std::size_t offset) const {
  const std::size_t chunk_bytes = static_cast<std::size_t>(e_.planes) * kPlaneBytes;
  const std::uint8_t* from = fields_.data + work.place.At(geometry_.panel_bytes, offset, chunks * chunk_bytes);
  for (std::size_t c = 0; c < chunks; ++c, k += kCodesPerChunk, from += chunk_bytes) {
    const std::size_t count = std::min(kCodesPerChunk, end - k);
    std::uint8_t* const codes = work.to.codes + (k - work.begin);
    if (work.to.rows == 1) {
      FunctionsOf(e_).unpack_row(from, work.to.first, count, codes);
    } else {
      FunctionsOf(e_).unpack(from, work.to.first, work.to.rows, count, codes, work.to.code_stride);
    }
  }
}

void PanelReader::ReadIndices(const Work& work, std::size_t k, std::size_t end, std::size_t half_chunks,
                              std::size_t offset) const {
  std::uint8_t bytes[kMaxRunBytes];
  ForEachUnit(e_, geometry_, work.place, offset, half_chunks, [&](std::size_t from, std::size_t to, std::size_t n) {
    std::memcpy(bytes + to, fields_.data + from, n);
  });
  Run run;
  if (half_chunks % 2 != 0) run.fill(0);  // the indices that half a chunk does not store
  if (work.row != nullptr) {
    run_layouts_.ReadRow(bytes, half_chunks, *work.row, run);
  } else {
    run_layouts_.Read(bytes, half_chunks, run);
  }
  for (std::size_t c = 0; 2 * c < half_chunks; ++c, k += e_.chunk_weights) {
    for (std::size_t r = 0; r < work.to.rows; ++r) {
      std::uint8_t codes[kMaxChunkWeights];
      encoder_.Decode(run.data() + c * kChunkStride + (work.to.first + r) * kIndicesPerChunk, codes);
      std::memcpy(work.to.codes + r * work.to.code_stride + (k - work.begin), codes,
                  std::min(e_.chunk_weights, end - k));
    }
  }
}

void PanelReader::Read(std::size_t panel, std::size_t begin, std::size_t end, const RunRows* row,
                       const PieceOut& to) const {
  const Work work{Place(interleaved_, panel, PanelsIn(fields_.m)), begin, row, to};
  ForEachPart(
      e_, geometry_, cuts_.block_at(begin), cuts_.block_at(end),
      [&](bool super, std::size_t i, std::size_t offset, std::size_t bytes) {
        ReadQparams(work, super, i, offset, bytes);
      },
      [&](std::size_t block, std::size_t first, std::size_t half_chunks, std::size_t offset) {
        const std::size_t k = geometry_.begin(block) + first * e_.chunk_weights;
        if (e_.has_indices()) {
          ReadIndices(work, k, geometry_.end(block), half_chunks, offset);
        } else {
          ReadCodes(work, k, geometry_.end(block), half_chunks / 2, offset);
        }
      });
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
