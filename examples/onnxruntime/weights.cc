// Turns streams of bits into codes of a byte each, and packs them.
#include "weights.h"

#include <algorithm>
#include <cstring>

namespace op {
namespace {

// Reads `count` fields of a stream of bits.
void ReadFields(const std::uint8_t* bytes, std::size_t bits, std::size_t count, std::uint8_t* fields) {
  unsigned held = 0;
  std::size_t available = 0;  // bits in `held`
  for (std::size_t i = 0; i < count; ++i) {
    if (available < bits) {
      held |= static_cast<unsigned>(*bytes++) << available;
      available += 8;
    }
    fields[i] = static_cast<std::uint8_t>(held & ((1u << bits) - 1));
    held >>= bits;
    available -= bits;
  }
}

void ReadCodes(const NBitsView& nbits, std::uint8_t* codes) {
  const auto* bytes = static_cast<const std::uint8_t*>(nbits.codes);
  for (std::size_t row = 0; row < nbits.m; ++row) {
    for (std::size_t k = 0; k < nbits.k; k += nbits.block, bytes += BlockBytes(nbits)) {
      ReadFields(bytes, nbits.bits, std::min(nbits.block, nbits.k - k), codes + row * nbits.k + k);
    }
  }
}

void ReadBias(const NBitsView& nbits, float* bias) {
  if (nbits.type == lutra::DataType::kF32) {
    std::memcpy(bias, nbits.bias, nbits.m * sizeof(float));
    return;
  }
  const auto* const halves = static_cast<const std::uint16_t*>(nbits.bias);
  std::transform(halves, halves + nbits.m, bias, [](std::uint16_t half) { return lutra::F16ToF32(half); });
}

}  // namespace

lutra::Status PackNBits(const NBitsView& nbits, lutra::PackedMatrix* w) {
  lutra::QuantizedView shape;
  shape.format = FormatOf(nbits.bits);
  shape.m = nbits.m;
  shape.k = nbits.k;
  shape.group = nbits.block;
  shape.scale_type = nbits.type;
  if (nbits.packed_zeros != nullptr || nbits.float_zeros != nullptr) {
    shape.zero_kind = lutra::ZeroKind::kPoint;
    const lutra::DataType packed = nbits.bits <= 4 ? lutra::DataType::kUInt4 : lutra::DataType::kUInt8;
    shape.zero_type = nbits.packed_zeros != nullptr ? packed : nbits.type;
  }
  lutra::QuantizedMatrix
      memory;  // of codes, packed zero points and bias; scales and float zero points are read in place
  if (lutra::Status status = memory.Allocate(shape, nbits.bias != nullptr); !status.ok()) return status;
  ReadCodes(nbits, memory.codes());
  lutra::QuantizedView view = memory.view();
  view.scales = nbits.scales;
  if (nbits.float_zeros != nullptr) view.zeros = nbits.float_zeros;
  if (nbits.packed_zeros != nullptr) {
    const std::size_t blocks = lutra::GroupsPerRow(nbits.k, nbits.block);
    auto* const zeros = static_cast<std::uint8_t*>(memory.zeros());
    for (std::size_t row = 0; row < nbits.m; ++row) {
      ReadFields(nbits.packed_zeros + row * ZeroBytes(nbits), nbits.bits, blocks, zeros + row * blocks);
    }
  }
  if (nbits.bias != nullptr) ReadBias(nbits, memory.bias());
  return lutra::Pack(view, w);
}

}  // namespace op
