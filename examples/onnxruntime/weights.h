// The weights of a MatMulNBits node, as Lutra packs them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/lutra.h"

namespace op {

// The tensors of a MatMulNBits node but x, and its attributes. Rows of W are output features; each row has
// GroupsPerRow(K, block) blocks. Codes and zero points of a row are a stream of bits, the lowest first; each block, and
// the zero points of each row, begin at a byte.
struct NBitsView {
  std::size_t m = 0, k = 0;                    // the attributes N and K
  std::size_t bits = 4;                        // 2 to 8
  std::size_t block = 32;                      // a power of two from 16 to 256
  lutra::DataType type = {};                   // of scales, float zero points and bias: kF32 or kF16
  const std::uint8_t* codes = nullptr;         // [M x blocks x block * bits / 8 bytes]
  const void* scales = nullptr;                // [M x blocks]
  const std::uint8_t* packed_zeros = nullptr;  // [M x ceil(blocks * bits / 8) bytes] or null
  const void* float_zeros = nullptr;           // [M x blocks] or null. If both are null, zero points are 2^(bits - 1)
  const void* bias = nullptr;                  // [M] or null
};

// The bytes of a block, and of a row of packed zero points.
constexpr std::size_t BlockBytes(const NBitsView& w) { return w.block * w.bits / 8; }
constexpr std::size_t ZeroBytes(const NBitsView& w) { return (lutra::GroupsPerRow(w.k, w.block) * w.bits + 7) / 8; }

// The integer format of this number of bits, 2 to 8.
constexpr lutra::Format FormatOf(std::size_t bits) {
  for (const lutra::FormatInfo& info : lutra::kFormats) {
    if (!info.has_table() && info.first == 0 && info.levels == 1 << bits) return info.format;
  }
  return lutra::Format::kInt8;
}

// Packs the weights for this CPU, without loss: scales and zero points keep their type. Starts threads for it. May
// throw std::exception, if no thread can be started.
lutra::Status PackNBits(const NBitsView& nbits, lutra::PackedMatrix* w);

}  // namespace op
