// The tile kernel: multiplies panels of W with rows of x over all of K, K-block by K-block, by a method's
// micro-kernels.
#if defined(LUTRA_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_TILE_INL_H_
#undef LUTRA_KERNELS_TILE_INL_H_
#else
#define LUTRA_KERNELS_TILE_INL_H_
#endif

#include <cstring>

#include "lutra/kernels/qparams-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// --- Reading packed panels. A batch is the consecutive K-blocks of one call of a micro-kernel, described by MicroArgs.
// Batches share the cost of a call among small K-blocks.

// The unpacked K-blocks of a batch take at most 8 KB, a quarter of an L1 of 32 KB, and leave the rest to the tables of
// x and to the tile. (A single K-block may be larger.)
inline constexpr std::size_t kUnpackedBatchBytes = 8192;
// The packed K-blocks of a batch take at most 6 KB and one K-block more. The qparams of a batch are loaded before its
// codes; within this budget they are less than the 8 KB of the prefetch distance away, so they have been prefetched.
// (Where the micro-kernel converts the qparams itself, a batch is a whole panel, or a super-group of joint K-blocks.)
inline constexpr std::size_t kPackedBatchBytes = 6144;
// K-blocks of a panel with fewer bytes than this, qparams included, are many in such a batch.
inline constexpr std::size_t kFewBytes = 2048;
// The largest unpacked batch, of any method, rounded up from 18 KB:
//   18432 bytes   lookups in vector scope, one ternary K-block of 4 panels: 32 half chunks of 128 indices of a byte,
//                 and 8 runs of 64 bytes of signs
//   14336 bytes   lookups in vector scope, 8 ternary K-blocks of 16 weights of 4 panels: 3 half chunks and the signs of
//                 one run each
//   16384 bytes   dot products, joint K-blocks of a panel: 64 rows of 256 codes of a byte
//   16384 bytes   dot products of 16-bit codes, one K-block of a panel: 64 rows of 128 codes of two bytes
//   16384 bytes   products of floats, one K-block: 32 rows of 128 codes of four bytes, or 64 rows in bf16
//   12288 bytes   dot products, one K-block of a panel: 64 rows of 192 codes of a byte
//    9216 bytes   lookups in block scope, one K-block of 16 chunks of a panel: 512 bytes per chunk and 128 per run
inline constexpr std::size_t kMaxUnpackedBytes = 20480;

// Whether every unpacked batch of a method is that small. `bytes` and `joint_bytes` are UnpackedBytesFunction's.
constexpr bool UnpackedBatchesFit(const MethodInfo& method, std::size_t panels, UnpackedBytesFunction bytes,
                                  UnpackedBytesFunction joint_bytes = nullptr) {
  for (const std::size_t group : {std::size_t{16}, std::size_t{32}, std::size_t{64}, std::size_t{128}, kPerRow}) {
    const Geometry g(method.info(), method.activations(), 4096, group, SchemeOf(DataType::kF32, ZeroKind::kNone, {}));
    const bool joint = joint_bytes != nullptr && !HasRowScales(group) && group <= kJointRunWeights &&
                       !method.info().stored().has_signs();
    const std::size_t size = g.blocks_per_batch * panels * bytes(g.whole.half_chunks, g.whole.x_chunks);
    const std::size_t joint_size =
        joint ? kJointWeights / group * joint_bytes(g.whole.half_chunks, g.whole.x_chunks) : 0;
    if (HWY_MAX(HWY_MAX(size, joint_size), kUnpackedBatchBytes) > kMaxUnpackedBytes) return false;
  }
  return true;
}

// The qparams of the groups of a batch as floats, and the qparams of their super-group. (They are not members of
// PanelReader, because the compiler would keep all of it in memory with them.)
struct QparamFloats {
  HWY_ALIGN float groups[HWY_MAX(kMaxBlocksPerBatch * kMaxInterleavedPanels, kJointWeights / 16) * kPanelQparams];
  HWY_ALIGN float super_group[kMaxInterleavedPanels * kPanelQparams];
};

// Reads some interleaved panels from front to back: finds the batches, and converts their qparams unless the
// micro-kernel does (InOrder).
class PanelReader {
 public:
  PanelReader(const TileArgs& a, std::size_t unpacked_stride, QparamFloats& floats)
      : a_(a),
        g_(*a.geometry),
        floats_(floats),
        own_group_(g_.blocks_per_group == 1),
        paired_(g_.scheme.has_paired()),
        stride_(a.interleaved * (g_.whole.bytes + (own_group_ ? g_.scheme.group_bytes : 0))),
        qparams_{paired_ ? nullptr : g_.scheme.zero(),
                 g_.scheme.zero() != nullptr && g_.scheme.zero()->role == QparamRole::kOffset,
                 g_.scheme.group_bytes,
                 stride_,
                 DistancesFor(PrefetchDistance(), a.prefetch_straight),
                 a.kernel->method.gain(),
                 a.kernel->method.center(),
                 a.kernel->method.gain() * a.matrix_scale,
                 a.kernel->joint.pairs,
                 g_.scheme.fields[0].type == DataType::kInt8 ? -1 : 15,
                 JointSumsOf(g_.block),
                 GroupsPerOffsetWord(g_.block)},
        super_gain_(qparams_.gain * (g_.joint_ratio != 0 ? kJointUnit : 1.0f)),
        choice_(g_.scheme.table_choice()),
        load_groups_(LoaderOf(g_.scheme.fields[0].type, g_.joint_ratio != 0)),
        load_offsets_(OffsetLoaderOf(g_)),
        reader_{&qparams_, load_offsets_ != nullptr ? load_offsets_ : load_groups_, floats.super_group, floats.groups},
        in_order_(InOrder()),
        most_(g_.joint_ratio != 0 ? g_.joint
              : in_order_         ? g_.blocks
                          : HWY_MAX(g_.blocks_per_batch, HWY_MIN(kMaxBlocksPerBatch, BlocksAtOnce(unpacked_stride)))),
        next_(a.panels) {}

  // Sets the arguments of the batch from K-block `block` on, with packed codes.
  HWY_INLINE void Next(std::size_t block, MicroArgs& args) {
    args.blocks = BlocksFrom(block);
    args.prefetch = qparams_.prefetch;
    const Extent& last = g_.extent(block + args.blocks - 1);
    args.last_chunks = last.x_chunks;
    args.last_half_chunks = last.half_chunks;
    args.x_chunks = g_.whole.x_chunks;
    args.half_chunks = g_.whole.half_chunks;
    args.qparams = floats_.groups;
    args.index_stride = stride_;
    args.reader = in_order_ ? &reader_ : nullptr;
    args.qparams_stride = !own_group_ || in_order_ ? 0
                          : g_.joint_ratio != 0    ? kPanelQparams
                                                   : kMaxInterleavedPanels * kPanelQparams;
    if (blocks_left_ == 0) LoadBatch(own_group_ ? args.blocks : 1);
    blocks_left_ -= args.blocks;
    args.choices = choices_;
    args.choice_stride = choice_ != nullptr && own_group_ ? stride_ : 0;
    args.index = next_ + a_.first * kPlaneBytes;
    next_ += (args.blocks - 1) * args.index_stride + a_.interleaved * last.bytes;
  }

 private:
  // The tile kernel loads the qparams of joint K-blocks before their codes, so the distance reaches to the next ones.
  // Where it loads the qparams of many K-blocks, CPUs do not read ahead.
  HWY_INLINE std::size_t PrefetchDistance() const {
    if (a_.prefetch == 0 || InOrder()) return a_.prefetch;
    if (g_.joint_ratio != 0) return HWY_MAX(a_.prefetch, g_.joint * stride_ + g_.super_bytes);
    return own_group_ && stride_ < kFewBytes ? HWY_MAX(a_.prefetch, kPackedBatchBytes + stride_) : a_.prefetch;
  }
  // Whether the micro-kernel converts qparams itself: if it can, and is called once per batch. A call for each small
  // group takes longer than it saves. (Groups of 32 of 4 bits with float scales on Zen 4: 0.9 to 0.96 times.)
  HWY_INLINE bool InOrder() const {
    const MicroKernel& micro = a_.kernel->micro(a_.unpack, g_.joint_ratio != 0);
    const bool pays = g_.joint_ratio != 0 || stride_ >= kFewBytes;
    return pays && own_group_ && !paired_ && a_.interleaved == 1 &&
           a_.rows <= static_cast<std::size_t>(micro.reading_rows);
  }
  // K-blocks within the budget of a batch; one packed K-block where panels alternate. (int1 on Zen 4: from memory 1.1
  // to 1.2 times as fast as with two K-blocks, from cache 0.96.)
  HWY_INLINE std::size_t BlocksAtOnce(std::size_t unpacked_stride) const {
    if (a_.unpack) return kUnpackedBatchBytes / unpacked_stride;
    return a_.interleaved > 1 ? 1 : 1 + kPackedBatchBytes / stride_;
  }
  // The K-blocks, at most `most`, from `block` on that multiply consecutive K-blocks of x.
  HWY_INLINE std::size_t Consecutive(std::size_t block, std::size_t most) const {
    if (a_.x_blocks == nullptr) return most;
    std::size_t blocks = 1;
    while (blocks < most && a_.x_blocks[block + blocks] == a_.x_blocks[block] + blocks) ++blocks;
    return blocks;
  }
  // The K-blocks of the batch from `block` on: at most most_; all but the last are whole; all are in one group, or in
  // groups of one super-group.
  HWY_INLINE std::size_t BlocksFrom(std::size_t block) const {
    std::size_t blocks = Consecutive(block, HWY_MIN(most_, g_.blocks - block));
    if (g_.blocks_per_cut != 1) blocks = HWY_MIN(blocks, g_.blocks_per_cut - block % g_.blocks_per_cut);
    if (!own_group_) return HWY_MIN(blocks, blocks_left_ != 0 ? blocks_left_ : g_.blocks_per_group);
    return g_.groups_per_super == 0 ? blocks : HWY_MIN(blocks, g_.groups_per_super - block % g_.groups_per_super);
  }

  // Converts the qparams of the next `groups` groups, and advances to their codes.
  HWY_INLINE void LoadBatch(std::size_t groups) {
    if (g_.groups_per_super != 0 && groups_left_ == 0) LoadSuperGroup();
    if (!in_order_) Load(groups);
    if (paired_) LoadPaired(groups);
    if (choice_ != nullptr) choices_ = next_ + a_.first * qparams_.group_bytes + choice_->offset;
    next_ += a_.interleaved * qparams_.group_bytes;
    blocks_left_ = groups * g_.blocks_per_group;
    groups_left_ -= groups;
  }

  HWY_INLINE void Load(std::size_t groups) {
    const std::uint8_t* const from = next_ + a_.first * qparams_.group_bytes;
    load_groups_(qparams_, from, groups, a_.panel_count, floats_.super_group, floats_.groups);
    if (load_offsets_ != nullptr) load_offsets_(qparams_, from, groups, 1, nullptr, floats_.groups);
  }

  HWY_INLINE void LoadSuperGroup() {
    super_bytes_ = g_.super_bytes_in(super_++);
    super_at_ = next_ + a_.first * super_bytes_;
    for (std::size_t at = 0; at < super_bytes_; at += 64) Prefetch(super_at_ + at, qparams_.prefetch);
    for (std::size_t i = 0; i < a_.panel_count && g_.scheme.super_bytes != 0; ++i) {
      LoadSuperQparams(g_.scheme, super_gain_, super_at_ + i * super_bytes_, floats_.super_group + i * kPanelQparams);
    }
    next_ += a_.interleaved * super_bytes_;
    groups_left_ = g_.groups_per_super;
  }

  HWY_INLINE void LoadPaired(std::size_t groups) {
    std::size_t group = g_.groups_per_super - groups_left_;
    float* to = floats_.groups;
    for (std::size_t end = group + groups; group < end; ++group, to += kMaxInterleavedPanels * kPanelQparams) {
      for (std::size_t i = 0; i < a_.panel_count; ++i) {
        const std::uint8_t* zeros = super_at_ + i * super_bytes_ + g_.scheme.zero()->offset + group / 2 * kPanelRows;
        LoadPairedZeros(qparams_, zeros, group % 2 != 0, to + i * kPanelQparams);
      }
    }
  }

  const TileArgs& a_;
  const Geometry& g_;
  QparamFloats& floats_;
  const bool own_group_;      // each K-block is a group
  const bool paired_;         // zero points are packed with super-groups
  const std::size_t stride_;  // from a K-block of a batch to the next
  const QparamArgs qparams_;
  const float super_gain_;           // of super-scales
  const QparamField* const choice_;  // null if the matrix does not have several tables
  const LoadGroupsFunction load_groups_, load_offsets_;
  const GroupReader reader_;
  const bool in_order_;                      // the kernel converts the qparams
  const std::size_t most_;                   // K-blocks of a batch at most
  const std::uint8_t* next_;                 // the bytes that are read next
  const std::uint8_t* choices_ = nullptr;    // of the first group of the batch
  const std::uint8_t* super_at_ = nullptr;   // qparams of the super-group, of the first panel
  std::size_t super_ = 0, super_bytes_ = 0;  // the next super-group; bytes from panel to panel
  std::size_t blocks_left_ = 0;              // K-blocks whose qparams are loaded
  std::size_t groups_left_ = 0;              // groups of the super-group whose qparams are not loaded
};

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
    checks_ = scheme.fields[0].type != DataType::kUInt4;
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
HWY_INLINE void SetJoint(const TileArgs& a, const QparamFloats& floats, MicroArgs& args) {
  const JointKernels& joint = a.kernel->joint;
  args.run_chunks = args.center != 0 ? joint.run_chunks_with_offsets : joint.run_chunks;
  args.super_group = floats.super_group;
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
  if (g.joint_ratio != 0) SetJoint(a, floats, args);
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
    for (; args.first_row < kPanelRows; args.first_row += kernel.unpacked_rows) {
      UnpackBatch(a, stride, args.first_row, packed, unpacked);
      args.index = unpacked;
      args.index_stride = stride;
      args.qparams = packed.qparams + args.first_row;
      args.interleaved = a.panel_count;
      args.first = 0;
      rows.Multiply(args, x_block, unpacked);
    }
  }
}

// TargetKernels::tile.
inline void Tile(const TileArgs& a) { TileBy<RowGroups>(a); }

// TargetKernels::tile of a target whose CPUs multiply matrices. Each RowsOfX multiplies unpacked codes with an
// activation kind, if it takes x as it is stored and K-blocks are not joint. Tile does all else.
template <class RowsOfX>
HWY_INLINE bool TileIfTaken(const TileArgs& a) {
  if (a.kernel->method.kind != RowsOfX::kKind || !RowsOfX::Takes(a)) return false;
  TileBy<RowsOfX>(a);
  return true;
}
template <class... RowsOfX>
void TileWithMatrices(const TileArgs& a) {
  const bool may = a.unpack && a.geometry->joint_ratio == 0;
  if (!may || !(TileIfTaken<RowsOfX>(a) || ...)) Tile(a);
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
