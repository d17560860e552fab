// Unpacks the codes and zero points of a MatMulNBits node to a byte each, then packs them for Lutra's kernels.
#include "weights.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "for_each.h"
#include "lutra/executors/thread_pool.h"

namespace op {
namespace {

// Reads `count` fields of `bits` bits each, the lowest first, to a byte each.
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

// Reads the codes, and the packed zero points, of a row.
void ReadRow(const NBitsView& nbits, std::size_t row, lutra::QuantizedMatrix& to) {
  const std::size_t blocks = lutra::GroupsPerRow(nbits.k, nbits.block);
  const std::uint8_t* bytes = nbits.codes + row * blocks * BlockBytes(nbits);
  for (std::size_t k = 0; k < nbits.k; k += nbits.block, bytes += BlockBytes(nbits)) {
    ReadFields(bytes, nbits.bits, std::min(nbits.block, nbits.k - k), to.codes() + row * nbits.k + k);
  }
  if (nbits.packed_zeros == nullptr) return;
  auto* const zeros = static_cast<std::uint8_t*>(to.zeros());
  ReadFields(nbits.packed_zeros + row * ZeroBytes(nbits), nbits.bits, blocks, zeros + row * blocks);
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
  // Codes, packed zero points and bias are copied; scales and float zero points are read in place.
  lutra::QuantizedMatrix copies;
  if (lutra::Status status = copies.Allocate(shape, nbits.bias != nullptr); !status.ok()) return status;
  // A session has no threads for operators while it is made, so this function starts its own.
  constexpr std::size_t kWeightsPerThread = std::size_t{1} << 20;
  lutra::ThreadPool threads(std::clamp<std::size_t>(nbits.m * nbits.k / kWeightsPerThread, 1,
                                                    std::max(1u, std::thread::hardware_concurrency())));
  ForEach(threads, nbits.m, [&](std::size_t row) { ReadRow(nbits, row, copies); });
  if (nbits.bias != nullptr) ReadBias(nbits, copies.bias());
  lutra::QuantizedView view = copies.view();
  view.scales = nbits.scales;
  if (nbits.float_zeros != nullptr) view.zeros = nbits.float_zeros;
  lutra::PackOptions options;
  options.executor = &threads;
  return lutra::Pack(view, options, w);
}

}  // namespace op
