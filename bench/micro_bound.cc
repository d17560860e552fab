// See micro_bound.h. Calls a micro-kernel of the registry with operands that are all zero: no instruction of a kernel
// takes longer or shorter for other values.
#include "micro_bound.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "lutra/kernels/registry.h"
#include "timing.h"

namespace lutra::bench {
namespace {

using internal::Geometry;
using internal::kPanelRows;

// Zeros, aligned to 64 bytes.
template <class T>
const T* Zeros(std::size_t count, Buffer* buffer) {
  if (!buffer->Reserve(count * sizeof(T))) return nullptr;
  std::fill_n(buffer->data(), count * sizeof(T), std::uint8_t{0});
  return buffer->as<T>();
}

}  // namespace

double MicroBoundGMacS(const PackedMatrix& w, std::size_t n, Precision precision, const Plan& plan) {
  const ActivationKind kind = KindOf(plan.method, w.format());
  const internal::MethodKernel& kernel = w.target()->method(w.format(), kind, precision, w.has_table_choices());
  const internal::QparamScheme scheme =
      internal::SchemeOf(w.scale_type(), w.zero_kind(), w.zero_type(), w.has_table_choices());
  const bool integers = kind == ActivationKind::kIntegers && precision == Precision::kInt8;
  const int joint_ratio = integers ? internal::JointRatio(Describe(w.format()), scheme, w.group()) : 0;
  const Geometry g(Describe(w.format()), Describe(kind), w.k(), w.group(), scheme, joint_ratio);
  const bool unpack = plan.unpack || !kernel.packed.exists(), joint = joint_ratio != 0;
  const bool matrices = w.target()->info.extension == internal::Extension::kMatrix && kind == ActivationKind::kIntegers;
  const bool unit = w.target()->row_group(kind, n) == 1;
  if (unpack && (matrices || unit)) return 0;  // no micro-kernel of the registry
  const internal::MicroKernel& micro = kernel.micro(unpack, joint);

  const MicroTile tile = TileOf(plan, CaseOf(w, n, precision));
  const auto panels = static_cast<std::size_t>(tile.panels), rows = static_cast<std::size_t>(tile.rows);
  const std::size_t chunk_bytes = Describe(kind).chunk_bytes;
  const std::size_t stride = panels * (unpack ? kernel.unpacked_size(joint)(g.whole.half_chunks, g.whole.x_chunks)
                                              : g.whole.bytes + scheme.group_bytes);
  const std::size_t blocks = joint ? g.joint : std::max<std::size_t>(g.blocks_per_batch, 1);

  Buffer index, qparams, x, scales, y, values;
  internal::MicroArgs args = {};
  args.index = Zeros<std::uint8_t>(blocks * stride, &index);
  args.interleaved = args.panel_count = panels;
  args.half_chunks = args.last_half_chunks = g.whole.half_chunks;
  args.index_stride = stride;
  args.qparams_stride = (joint ? 1 : internal::kMaxInterleavedPanels) * 2 * kPanelRows;
  args.qparams = Zeros<float>(blocks * args.qparams_stride, &qparams);
  args.center = scheme.zero() == nullptr ? 0 : kPanelRows;
  args.x_stride = rows * chunk_bytes;
  args.x_chunks = args.last_chunks = g.whole.x_chunks;
  args.x =
      Zeros<std::uint8_t>(blocks * g.whole.x_chunks * args.x_stride * static_cast<std::size_t>(Limbs(precision)), &x);
  args.scale_stride = rows;
  args.scales = Zeros<internal::BlockScale>(blocks * rows * g.scale_units(), &scales);
  args.tile_stride = rows * kPanelRows;
  args.tile = const_cast<float*>(Zeros<float>(panels * args.tile_stride, &y));
  args.blocks = blocks;
  args.run_chunks = !joint             ? kernel.run_chunks
                    : args.center != 0 ? kernel.joint.run_chunks_with_offsets
                                       : kernel.joint.run_chunks;
  args.super_group = args.qparams;
  args.offset_stride = args.qparams_stride * internal::GroupsPerOffsetWord(g.block);
  args.joint_sums = internal::JointSumsOf(g.block);
  args.folded = joint && unpack && kernel.folds(scheme);
  args.values = args.choices = Zeros<std::uint8_t>(kMaxTables * kPanelRows, &values);

  constexpr int kCalls = 100;
  BestTime best;
  BestTime::Clock::time_point last = BestTime::Clock::now();
  for (const auto end = last + std::chrono::milliseconds(200); last < end; last = best.Add(last)) {
    for (int i = 0; i < kCalls; ++i) micro.functions[rows - 1](args);
  }
  const std::size_t rows_of_w = unpack ? kernel.rows_at_once(args.folded) : kPanelRows;
  return 1e-9 * static_cast<double>(kCalls * panels * rows_of_w * rows * blocks * g.block) / best.seconds();
}

}  // namespace lutra::bench
