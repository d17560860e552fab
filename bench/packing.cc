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

}  // namespace

void BenchmarkPack(benchmark::State& state, Target target, std::uint32_t id) {
  const GgufType& type = *FindGgufType(id);
  const std::vector<std::uint8_t> bytes = RandomBlocks(type, kM * kK / type.weights * type.bytes + type.tail_bytes);
  const GgufBlocks blocks{id, bytes.data(), bytes.size()};
  PackedLayout layout;
  Buffer memory;
  Status status = LayoutOfGguf(id, kM, kK, {target}, &layout);
  if (status.ok() && !memory.Reserve(layout.bytes())) status = Status::OutOfMemory("memory");
  if (!status.ok()) return state.SkipWithError(status.message().c_str());
  const double seconds = SecondsPerIteration(
      state, [&] { return PackPanels(layout, blocks, 0, layout.panels(), memory.data(), memory.size()); });
  state.counters["block_gb_s"] = static_cast<double>(bytes.size()) / seconds * 1e-9;
  state.counters["gweights_s"] = static_cast<double>(kM * kK) / seconds * 1e-9;
}

}  // namespace lutra::bench
