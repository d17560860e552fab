// See bodies.h.
#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "bodies.h"
#include "lutra/buffer.h"
#include "lutra/pack_panels.h"
#include "timing.h"

namespace lutra::bench {
namespace {

// Random blocks whose scales are valid: the mask clears a bit of each f16's exponent, the sign of E4M3, and the code 3
// of ternary types.
std::vector<std::uint8_t> RandomBlocks(const GgufType& type, std::size_t size) {
  const unsigned mask = type.format == Format::kTernary ? 0xaa : type.scale_type == DataType::kE4M3 ? 0x3f : 0xbf;
  std::mt19937 random(1);
  std::vector<std::uint8_t> bytes(size);
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::uint8_t>(random() & mask); });
  return bytes;
}

// A tensor of random blocks, and memory for it.
struct Tensor {
  Tensor(const GgufType& type, Target target)
      : bytes(RandomBlocks(type, kM * kK / type.weights * type.bytes + type.tail_bytes)),
        blocks{type.id, bytes.data(), bytes.size()},
        status(LayoutOfGguf(type.id, kM, kK, {target}, &layout)) {
    if (status.ok() && !memory.Reserve(layout.bytes())) status = Status::OutOfMemory("memory");
  }
  Status Pack() { return PackPanels(layout, blocks, 0, layout.panels(), memory.data(), memory.size()); }

  std::vector<std::uint8_t> bytes;
  GgufBlocks blocks;
  PackedLayout layout;
  Buffer memory;
  Status status;
};

}  // namespace

void BenchmarkPack(benchmark::State& state, Target target, std::uint32_t id) {
  Tensor tensor(*FindGgufType(id), target);
  if (!tensor.status.ok()) return state.SkipWithError(tensor.status.message().c_str());
  const double seconds = SecondsPerIteration(state, [&] { return tensor.Pack(); });
  state.counters["block_gb_s"] = static_cast<double>(tensor.bytes.size()) / seconds * 1e-9;
  state.counters["gweights_s"] = static_cast<double>(kM * kK) / seconds * 1e-9;
}

void BenchmarkRows(benchmark::State& state, Target target, std::uint32_t id) {
  constexpr std::size_t kRows = 64;
  Tensor tensor(*FindGgufType(id), target);
  PackedMatrix w;
  Status status = tensor.status.ok() ? tensor.Pack() : tensor.status;
  if (status.ok()) status = View(tensor.layout, tensor.memory.data(), tensor.memory.size(), 0, &w);
  if (!status.ok()) return state.SkipWithError(status.message().c_str());
  std::mt19937 random(1);
  std::vector<std::int32_t> rows(kRows);
  std::generate(rows.begin(), rows.end(), [&] { return static_cast<std::int32_t>(random() % kM); });
  std::vector<float> y(kRows * kK);
  const double seconds =
      SecondsPerIteration(state, [&] { return DequantizeRows(w, rows.data(), kRows, y.data(), kK); });
  state.counters["gweights_s"] = static_cast<double>(kRows * kK) / seconds * 1e-9;
}

}  // namespace lutra::bench
