// See gather.h.
#include "gather.h"

#include <algorithm>
#include <cstring>

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

// A row of n in a row group of `stored` rows, of which it is number `at`.
struct RowPlace {
  std::size_t first, stored, at;  // the first row of the row group
  RowPlace(const Operands& o, std::size_t row, std::size_t n)
      : first(row / o.x.row_group * o.x.row_group), stored(std::min(o.x.row_group, n - first)), at(row - first) {}
};

// Copies `count` pieces of kBytes bytes; strides are in pieces.
template <std::size_t kBytes>
void CopyPieces(const std::uint8_t* from, std::size_t from_stride, std::size_t count, std::size_t to_stride,
                std::uint8_t* to) {
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(to + i * to_stride * kBytes, from + i * from_stride * kBytes, kBytes);
  }
}

// Copies a row between row groups; `to` is its first chunk.
void CopyRow(const Operands& o, const RowPlace& from, std::size_t to_stored, std::uint8_t* to, BlockScale* to_scales) {
  const std::size_t chunk_bytes = o.kernel.method.activations().chunk_bytes;
  const std::uint8_t* const data = o.x.data + from.first * o.x.row_bytes + from.at * chunk_bytes;
  const BlockScale* const scales = o.x.scales + from.first * o.geometry.x_scales + from.at * o.geometry.scale_units();
  constexpr std::size_t kIntegers = Describe(ActivationKind::kIntegers).chunk_bytes;
  constexpr std::size_t kTables = Describe(ActivationKind::kBinarySums).chunk_bytes;
  constexpr std::size_t kBits = Describe(ActivationKind::kBits).chunk_bytes;
  constexpr std::size_t kBf16 = Describe(ActivationKind::kBf16).chunk_bytes;
  static_assert([] {
    for (const ActivationInfo& a : kActivationKinds) {
      const std::size_t bytes = a.chunk_bytes;
      if (bytes != kIntegers && bytes != kBits && bytes != kBf16 && bytes != kTables) return false;
    }
    return true;
  }());
  const auto copy = chunk_bytes == kIntegers ? &CopyPieces<kIntegers>
                    : chunk_bytes == kBits   ? &CopyPieces<kBits>
                    : chunk_bytes == kBf16   ? &CopyPieces<kBf16>
                                             : &CopyPieces<kTables>;
  copy(data, from.stored, o.x.row_bytes / chunk_bytes, to_stored, to);
  const auto copy_scales =
      o.geometry.scale_units() == 1 ? &CopyPieces<sizeof(BlockScale)> : &CopyPieces<sizeof(JointScale)>;
  copy_scales(reinterpret_cast<const std::uint8_t*>(scales), from.stored, o.geometry.x_blocks, to_stored,
              reinterpret_cast<std::uint8_t*>(to_scales));
}

}  // namespace

BlockRows GatherRows(const Operands& o, std::size_t n, const std::int32_t* list, std::size_t first, std::size_t rows,
                     void* memory) {
  if (o.x.row_bytes == 0) return {o.x.data, o.x.scales, rows, 0};  // K = 0: there is nothing to gather
  const auto row = [&](std::size_t i) { return list == nullptr ? first + i : static_cast<std::size_t>(list[i]); };
  std::size_t consecutive = 1;
  while (consecutive < rows && row(consecutive) == row(0) + consecutive) ++consecutive;
  const RowPlace begin(o, row(0), n);
  if (consecutive == rows) {
    if (begin.at == 0 && (rows % o.x.row_group == 0 || begin.first + rows == n)) return RowsFrom(o, begin.first, rows);
    if (begin.at + rows <= begin.stored) {
      return {o.x.data + begin.first * o.x.row_bytes + begin.at * o.kernel.method.activations().chunk_bytes,
              o.x.scales + begin.first * o.geometry.x_scales + begin.at * o.geometry.scale_units(), rows, begin.stored};
    }
  }
  auto* const data = static_cast<std::uint8_t*>(memory);
  auto* const scales = reinterpret_cast<BlockScale*>(data + ActivationAccess::ScalesAt(rows, o.x.row_bytes));
  for (std::size_t i = 0; i < rows; ++i) {
    const RowPlace to(o, i, rows);
    CopyRow(o, RowPlace(o, row(i), n), to.stored,
            data + to.first * o.x.row_bytes + to.at * o.kernel.method.activations().chunk_bytes,
            scales + to.first * o.geometry.x_scales + to.at * o.geometry.scale_units());
  }
  return {data, scales, rows, 0};
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
