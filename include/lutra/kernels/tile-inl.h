// The tile kernel: multiplies panels of W with rows of x over all of K, K-block by K-block, by a method's
// micro-kernels.
#if defined(LUTRA_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_TILE_INL_H_
#undef LUTRA_KERNELS_TILE_INL_H_
#else
#define LUTRA_KERNELS_TILE_INL_H_
#endif

#include <cstring>

#include "lutra/kernels/panel_reader-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// Unpacks the K-blocks of a batch, from row first_row of a panel on, to `to`, `stride` bytes apart.
HWY_INLINE void UnpackBatch(const TileArgs& a, std::size_t stride, std::size_t first_row, const MicroArgs& args,
                            std::uint8_t* to) {
  const UnpackFunction unpack = a.kernel->unpacker(a.geometry->joint_ratio != 0, args.folded);
  MicroArgs from = args;
  from.first_row = first_row;
  for (std::size_t i = 0; i < args.blocks; ++i, to += stride) {
    if (i + 1 == args.blocks) from.half_chunks = args.last_half_chunks, from.x_chunks = args.last_chunks;
    unpack(from, a.panel_count, to);
    from.index += args.index_stride;
    from.choices += args.choice_stride;
    from.qparams += args.qparams_stride;
  }
}

// Decides which batches are unpacked to folded codes.
class Folding {
 public:
  explicit HWY_INLINE Folding(const TileArgs& a) {
    const QparamScheme& scheme = a.geometry->scheme;
    if (!a.unpack || a.geometry->joint_ratio == 0 || !a.kernel->folds(scheme)) return;
    codes_ = FoldedCodesOf(a.kernel->method, scheme);
    folds_ = true;
    checks_ = a.kernel->joint.folded_bytes == 1 && scheme.fields[0].type != DataType::kUInt4;
  }
  HWY_INLINE void Set(MicroArgs& args) const {
    args.folded = folds_ && (!checks_ || Fit(args));
    args.lowest = codes_.lowest;
  }

 private:
  // Whether the scales of the batch are all small enough.
  bool Fit(const MicroArgs& args) const {
    const D32 d32;
    V32 least = hn::Zero(d32), most = least;
    for (std::size_t block = 0; block < args.blocks; ++block) {
      for (std::size_t row = 0; row < kPanelRows; row += hn::Lanes(d32)) {
        const float* const words = args.qparams + block * args.qparams_stride + row;
        const V32 scale = hn::BitCast(d32, hn::Load(DF(), words));
        least = hn::Min(least, scale);
        most = hn::Max(most, scale);
      }
    }
    return hn::AllTrue(d32, hn::And(hn::Ge(least, hn::Set(d32, codes_.lowest_scale)),
                                    hn::Le(most, hn::Set(d32, codes_.highest_scale))));
  }

  FoldedCodes codes_ = {};
  bool folds_ = false, checks_ = false;
};

// --- Tiles

// Sets the arguments that differ for joint K-blocks.
HWY_INLINE void SetJoint(const TileArgs& a, MicroArgs& args) {
  const JointKernels& joint = a.kernel->joint;
  args.run_chunks = args.center != 0 ? joint.run_chunks_with_offsets : joint.run_chunks;
  args.offset_stride = GroupsPerOffsetWord(a.geometry->block) * kPanelQparams;
  args.joint_sums = JointSumsOf(a.geometry->block);
}

// Multiplies batches with all rows of x, row group by row group, by a method's micro-kernels.
class RowGroups {
 public:
  explicit HWY_INLINE RowGroups(const TileArgs& a)
      : RowGroups(a, a.kernel->micro(a.unpack, a.geometry->joint_ratio != 0)) {}
  HWY_INLINE RowGroups(const TileArgs& a, const MicroKernel& micro) : a_(a), micro_(micro) {}

  // `block` is the first K-block of x in the batch.
  HWY_INLINE void Multiply(MicroArgs& args, std::size_t block, std::uint8_t*) const {
    const Geometry& g = *a_.geometry;
    const std::size_t chunk_bytes = a_.kernel->method.activations().chunk_bytes, scale_units = g.scale_units();
    const auto limbs = static_cast<std::size_t>(Limbs(a_.kernel->method.activations(), a_.kernel->precision)),
               most = static_cast<std::size_t>(micro_.rows);
    const std::size_t chunks_before = g.x_chunks_before(block) * limbs, scales_before = block / g.joint * scale_units;
    for (std::size_t row = 0; row < a_.rows; row += a_.x.row_group) {
      const std::size_t rows = HWY_MIN(a_.x.row_group, a_.rows - row),
                        stored = a_.stored_rows != 0 ? a_.stored_rows : rows;
      args.scale_stride = stored;
      args.x_stride = stored * chunk_bytes;
      args.x = a_.x.data + row * a_.x.row_bytes + chunks_before * args.x_stride;
      args.scales = a_.x.scales + row * a_.x.row_scales + scales_before * stored;
      args.tile = a_.tile + row * kPanelRows + args.first_row;
      for (std::size_t left = rows, taken; left != 0; left -= taken) {
        taken = HWY_MIN(left, most);
        micro_.functions[taken - 1](args);
        args.x += taken * chunk_bytes;
        args.scales += taken * scale_units;
        args.tile += taken * kPanelRows;
      }
    }
  }

 private:
  const TileArgs& a_;
  const MicroKernel& micro_;
};

// Computes a tile. A RowsOfX multiplies batches with all rows of x.
template <class RowsOfX>
HWY_INLINE void TileBy(const TileArgs& a) {
  const Geometry& g = *a.geometry;
  const MethodKernel& kernel = *a.kernel;
  const MethodInfo& method = kernel.method;
  std::memset(a.tile, 0, a.panel_count * a.rows * kPanelRows * sizeof(float));
  MicroArgs args = {};
  args.center = g.scheme.zero() == nullptr ? 0 : kPanelRows;
  args.start = (args.center != 0 ? 0 : method.start()) - kernel.bias;
  args.run_chunks = kernel.run_chunks;
  args.values = a.own_values != nullptr ? a.own_values : kernel.values;
  args.tile_stride = a.rows * kPanelRows;
  args.panel_count = a.panel_count;
  QparamFloats floats;
  args.super_group = floats.super_group;
  if (g.joint_ratio != 0) SetJoint(a, args);
  const std::size_t stride =
      a.unpack ? a.panel_count * kernel.unpacked_size(g.joint_ratio != 0)(g.whole.half_chunks, g.whole.x_chunks)
               : std::size_t{1};
  PanelReader reader(a, stride, floats);
  HWY_ALIGN std::uint8_t unpacked[kMaxUnpackedBytes];
  const Folding folding(a);
  RowsOfX rows(a);
  for (std::size_t block = 0; block < g.blocks; block += args.blocks) {
    args.interleaved = a.interleaved;
    args.first = a.first;
    args.first_row = 0;
    reader.Next(block, args);
    const std::size_t x_block = a.x_blocks != nullptr ? a.x_blocks[block] : block;
    if (!a.unpack) {
      rows.Multiply(args, x_block, unpacked);
      continue;
    }
    folding.Set(args);
    const MicroArgs packed = args;
    for (; args.first_row < kPanelRows; args.first_row += kernel.rows_at_once(args.folded)) {
      UnpackBatch(a, stride, args.first_row, packed, unpacked);
      args.index = unpacked;
      args.index_stride = stride;
      args.qparams = packed.qparams + args.first_row;
      args.super_group = floats.super_group + args.first_row;
      args.interleaved = a.panel_count;
      args.first = 0;
      rows.Multiply(args, x_block, unpacked);
    }
  }
}

// TargetKernels::tile.
inline void Tile(const TileArgs& a) { TileBy<RowGroups>(a); }

// TargetKernels::tile of a target whose CPUs multiply matrices. Each RowsOfX multiplies unpacked codes with an
// activation kind, if it takes the K-blocks, and x as it is stored. Tile does all else.
template <class RowsOfX>
HWY_INLINE bool TileIfTaken(const TileArgs& a) {
  if (a.kernel->method.kind != RowsOfX::kKind || !RowsOfX::Takes(a)) return false;
  TileBy<RowsOfX>(a);
  return true;
}
template <class... RowsOfX>
void TileWithMatrices(const TileArgs& a) {
  if (!a.unpack || !(TileIfTaken<RowsOfX>(a) || ...)) Tile(a);
}

// TargetKernels::store.
inline void StoreTile(const float* tile, const float* bias, std::size_t count, DataType type, void* y) {
  const DF df;
  const hn::CappedTag<float, 1> d1;
  std::size_t i = 0;
  for (; i + hn::Lanes(df) <= count; i += hn::Lanes(df)) {
    VF v = hn::LoadU(df, tile + i);
    if (bias != nullptr) v = hn::Add(v, hn::LoadU(df, bias + i));
    StoreFloats(df, v, y, type, i);
  }
  for (; i < count; ++i) {
    auto v = hn::LoadU(d1, tile + i);
    if (bias != nullptr) v = hn::Add(v, hn::LoadU(d1, bias + i));
    StoreFloats(d1, v, y, type, i);
  }
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
