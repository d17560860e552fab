// See bodies.h.
#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "bodies.h"
#include "lutra/buffer.h"
#include "lutra/checkpoint.h"
#include "lutra/pack_panels.h"
#include "timing.h"

namespace lutra::bench {
namespace {

constexpr std::size_t kGroup = 128;

// Random tensors. Scales are finite; one bit of FP8 codes is cleared, so that none is NaN.
struct Tensors {
  std::vector<std::uint8_t> codes, scales, zeros;
  CheckpointView view;

  Tensors(CheckpointScheme scheme, int bits) {
    const bool words = scheme == CheckpointScheme::kGptq || scheme == CheckpointScheme::kAwq;
    const std::size_t groups = kM * kK / kGroup, code_bits = static_cast<std::size_t>(bits);
    std::mt19937 random(1);
    const auto fill = [&](std::size_t bytes, unsigned mask, std::vector<std::uint8_t>* to, TensorBytes* tensor) {
      to->resize(bytes);
      std::generate(to->begin(), to->end(), [&] { return static_cast<std::uint8_t>(random() & mask); });
      *tensor = {to->data(), to->size()};
    };
    view.scheme = scheme;
    view.bits = bits;
    view.m = kM;
    view.k = kK;
    view.group_size = kGroup;
    fill(kM * kK * code_bits / 8, scheme == CheckpointScheme::kFp8 ? 0xbf : 0xff, &codes, &view.codes);
    fill(groups * 2, 0x3f, &scales, &view.scales);
    if (words) fill(groups * code_bits / 8, 0xff, &zeros, &view.zeros);
  }
};

}  // namespace

void BenchmarkCheckpoint(benchmark::State& state, Target target, CheckpointScheme scheme, int bits) {
  const Tensors tensors(scheme, bits);
  PackedLayout layout;
  Buffer memory;
  Status status = LayoutOf(tensors.view, {target}, &layout);
  if (status.ok() && !memory.Reserve(layout.bytes())) status = Status::OutOfMemory("memory");
  if (!status.ok()) return state.SkipWithError(status.message().c_str());
  const double seconds = SecondsPerIteration(
      state, [&] { return PackPanels(layout, tensors.view, 0, layout.panels(), memory.data(), memory.size()); });
  state.counters["code_gb_s"] = static_cast<double>(tensors.codes.size()) / seconds * 1e-9;
  state.counters["gweights_s"] = static_cast<double>(kM * kK) / seconds * 1e-9;
}

}  // namespace lutra::bench
