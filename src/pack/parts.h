// Loops over the parts of a packed panel, which Pack and Unpack share: qparams, scale runs, and their places.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lutra/layout/panels.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// --- Qparams

// Calls copy(number of the value in its row, place of row 0's value in the packed qparams, shift) for each value of a
// field in group or super-group i. `per_row`: ValuesPerRow. `paired`: the groups of a super-group, for paired fields.
template <class Copy>
void ForEachValue(const QparamField& field, std::size_t per_row, std::size_t paired, std::size_t i, Copy&& copy) {
  const std::size_t together = field.paired ? paired : 1;
  const std::size_t begin = i * together, end = std::min(begin + together, std::max<std::size_t>(per_row, 1));
  for (std::size_t at = begin; at < end; ++at) {
    const std::size_t in = at - begin;
    copy(at, field.offset + in / 2 * kPanelRows, field.shift + static_cast<int>(in % 2) * 4);
  }
}

// Writes a value to its place in packed qparams, which must be zero before; reads it back.
inline void PackValue(DataType type, const std::uint8_t* from, std::uint8_t* to, int shift) {
  if (type == DataType::kUInt4) {
    *to = static_cast<std::uint8_t>(*to | *from << shift);
  } else {
    std::memcpy(to, from, SizeOf(type));
  }
}
inline void UnpackValue(DataType type, const std::uint8_t* from, int shift, std::uint8_t* to) {
  std::memcpy(to, from, SizeOf(type));
  if (type == DataType::kUInt4) *to = static_cast<std::uint8_t>(*to >> shift & 15);
}

// --- Parts

// Calls, in the order of packed bytes of the K-blocks [first, end), qparams(whether of a super-group, number of the
// group or super-group, offset, bytes) and run(K-block, first chunk, half chunks, offset). Offsets are bytes in a panel
// that stands alone.
template <class Qparams, class Run>
void ForEachPart(const EncodingInfo& e, const Geometry& g, std::size_t first, std::size_t end, Qparams&& qparams,
                 Run&& run) {
  std::size_t offset = g.part_offset(first);
  for (std::size_t block = first; block < end; ++block) {
    const std::size_t group = block / g.blocks_per_group;
    if (block % g.blocks_per_group == 0) {
      if (g.groups_per_super != 0 && group % g.groups_per_super == 0) {
        const std::size_t super = group / g.groups_per_super, bytes = g.super_bytes_in(super);
        qparams(true, super, offset, bytes);
        offset += bytes;
      }
      qparams(false, group, offset, g.scheme.group_bytes);
      offset += g.scheme.group_bytes;
    }
    const std::size_t all = g.extent(block).half_chunks;
    for (std::size_t at = 0; at < all; at += kHalfChunksPerRun) {
      const std::size_t half_chunks = std::min(kHalfChunksPerRun, all - at);
      run(block, at / 2, half_chunks, offset);
      offset += RunBytes(e, half_chunks);
    }
  }
}

// Calls copy(offset in the matrix, offset in the scale run, bytes) for each piece of a run that is contiguous among
// interleaved panels: planes of chunks, then the signs.
template <class Copy>
void ForEachUnit(const EncodingInfo& e, const Geometry& g, const Place& place, std::size_t run, std::size_t half_chunks,
                 Copy&& copy) {
  const std::size_t index_bytes = RunIndexBytes(e, half_chunks);
  for (std::size_t at = 0; at < index_bytes; at += kPlaneBytes) {
    const std::size_t unit = std::min(kPlaneBytes, index_bytes - at);
    copy(place.At(g.panel_bytes, run + at, unit), at, unit);
  }
  const std::size_t signs = RunBytes(e, half_chunks) - index_bytes;
  if (signs != 0) copy(place.At(g.panel_bytes, run + index_bytes, signs), index_bytes, signs);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
