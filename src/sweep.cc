// See sweep.h.
#include "sweep.h"

#include <algorithm>

#include "targets/targets.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

// Token blocks have at least this many rows, whatever the size of L2: two row groups share each sweep over the weights.
constexpr std::size_t kMinTokenBlock = 8;

// The rows that fit half of L2 when they are prepared, but at least kMinTokenBlock.
std::size_t RowsInL2(const PackedMatrix& w, const Operands& operands) {
  const std::size_t fit = L2Bytes(w.target()->info) / 2 / std::max<std::size_t>(operands.x.row_bytes, 1);
  return std::max(fit / kNR * kNR, kMinTokenBlock);
}

// The rows of a token block: at most `most`. The N rows are divided evenly, in whole row groups.
std::size_t TokenBlock(std::size_t most, std::size_t n) {
  return RoundUp(DivideUp(n, std::max<std::size_t>(1, DivideUp(n, most))), kNR);
}

OwnValues OwnValuesOf(const PackedMatrix& w, std::int32_t bias) {
  OwnValues values = {};
  const auto levels = static_cast<std::size_t>(Describe(w.format()).levels);
  for (std::size_t i = 0; i < w.codebook_tables() * levels; ++i) {
    values.bytes[i / levels][i % levels] = static_cast<std::uint8_t>(w.codebook()[i] + bias);
  }
  return values;
}

}  // namespace

Operands::Operands(const PackedMatrix& w, const Activations& activations)
    : geometry(GeometryOf(w, activations.kind(), activations.precision())),
      x(ActivationAccess::View(activations, geometry)),
      kernel(w.target()->method(w.format(), activations.kind(), activations.precision(), w.has_table_choices())),
      interleaved(InterleavedPanels(w.target()->info.layout, Describe(w.format()).stored())) {}

std::size_t MostBlockRows(const PackedMatrix& w, const Operands& operands) {
  return std::min(kMaxTileRows, RowsInL2(w, operands));
}

Blocking::Blocking(const PackedMatrix& w, const Operands& operands, const Plan& plan, std::size_t n)
    : token_block(TokenBlock(std::min(plan.token_block, RowsInL2(w, operands)), n)),
      panels(std::min(plan.panels, operands.kernel.panels)),
      prefetch(plan.prefetch),
      unpack(plan.unpack || (w.has_table_choices() && !operands.kernel.packed.exists())) {}

Sweep::Sweep(const PackedMatrix& w, const Operands& operands, const Blocking& blocking, const BlockRows& x)
    : w_(w),
      operands_(operands),
      panels_(PanelsIn(w.m())),
      panel_stride_(w.bytes() / std::max<std::size_t>(panels_, 1)),
      most_(blocking.panels),
      own_values_(OwnValuesOf(w, operands.kernel.bias)),
      args_() {
  args_.kernel = &operands.kernel;
  args_.geometry = &operands.geometry;
  args_.x = operands.x;
  args_.x.data = x.data;
  args_.x.scales = x.scales;
  args_.rows = x.rows;
  args_.stored_rows = x.stored;
  args_.unpack = blocking.unpack;
  args_.prefetch = blocking.prefetch;
  args_.prefetch_straight = IsCpu(Cpu::kZen5);
  args_.matrix_scale = w.matrix_scale();
  if (w.codebook_tables() != 0) args_.own_values = &own_values_.bytes[0][0];
}

std::size_t Sweep::PanelsAt(std::size_t panel, std::size_t end) const {
  const Place place(operands_.interleaved, panel, panels_);
  return std::min({most_, place.count - place.at, end - panel});
}

void Sweep::Multiply(std::size_t panel, std::size_t count, float* tile) {
  const Place place(operands_.interleaved, panel, panels_);
  args_.panels = w_.data() + place.first * panel_stride_;
  args_.interleaved = place.count;
  args_.first = place.at;
  args_.panel_count = count;
  args_.tile = tile;
  w_.target()->tile(args_);
}

void Sweep::MultiplyAlone(const std::uint8_t* panel, const Geometry& geometry, const std::uint32_t* x_blocks,
                          float* tile) {
  args_.panels = panel;
  args_.geometry = &geometry;
  args_.interleaved = 1;
  args_.first = 0;
  args_.panel_count = 1;
  args_.x_blocks = x_blocks;
  args_.tile = tile;
  w_.target()->tile(args_);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
