// Reads packed panels, batch by batch, for the tile kernel.
#if defined(LUTRA_KERNELS_PANEL_READER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_PANEL_READER_INL_H_
#undef LUTRA_KERNELS_PANEL_READER_INL_H_
#else
#define LUTRA_KERNELS_PANEL_READER_INL_H_
#endif

#include "lutra/kernels/qparams-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// A batch is the consecutive K-blocks of one call of a micro-kernel, described by MicroArgs.
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
// The largest unpacked batch, of any method:
//   20480 bytes   joint K-blocks in a matrix unit: 64 rows of 256 codes of a byte, and the upper bytes of 16 rows
//   18432 bytes   lookups in vector scope, one ternary K-block of 4 panels: 32 half chunks of 128 indices of a byte,
//                 and 8 runs of 64 bytes of signs
//   14336 bytes   lookups in vector scope, 8 ternary K-blocks of 16 weights of 4 panels: 3 half chunks and the signs of
//                 one run each
//   16384 bytes   dot products, joint K-blocks: 64 rows of 256 codes of a byte, or 32 rows of 256 codes of two bytes
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
        scales_alone_(AreScalesAlone(g_.scheme)),
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
        reader_{&qparams_,          g_.scheme.fields[0].type,
                scales_alone_,      load_offsets_ != nullptr ? load_offsets_ : load_groups_,
                floats.super_group, floats.groups},
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
  static HWY_INLINE bool AreScalesAlone(const QparamScheme& scheme) {
    const DataType type = scheme.fields[0].type;
    return scheme.zero() == nullptr && (type == DataType::kF16 || type == DataType::kE8M0);
  }
  // The tile kernel loads the qparams of joint K-blocks before their codes, so the distance reaches to the next ones.
  // Where it loads the qparams of many K-blocks, CPUs do not read ahead.
  HWY_INLINE std::size_t PrefetchDistance() const {
    if (a_.prefetch == 0 || InOrder()) return a_.prefetch;
    if (g_.joint_ratio != 0) return HWY_MAX(a_.prefetch, g_.joint * stride_ + g_.super_bytes);
    return own_group_ && stride_ < kFewBytes ? HWY_MAX(a_.prefetch, kPackedBatchBytes + stride_) : a_.prefetch;
  }
  // Whether the micro-kernel converts qparams itself: if it can, and if it pays. A call of GroupReader::load for each
  // small group takes longer than it saves (groups of 32 of 4 bits on Zen 4: 0.9 to 0.96 times as fast). Scales alone
  // need no call (q4_0 from L2: 1.24 times as fast).
  HWY_INLINE bool InOrder() const {
    const MicroKernel& micro = a_.kernel->micro(a_.unpack, g_.joint_ratio != 0);
    const bool pays = g_.joint_ratio != 0 || scales_alone_ || stride_ >= kFewBytes;
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
  const bool scales_alone_;   // GroupReader::scales_alone
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

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
