// Pack and Unpack: codes to nibbles in the order of the layout, and back. Generic over format and layout.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "activation_access.h"
#include "load_float.h"
#include "lutra/packed_matrix.h"
#include "lutra/reference.h"
#include "memory/checksum.h"
#include "packed_access.h"
#include "validate.h"

namespace lutra {
namespace {

using internal::Geometry;
using internal::kHalvesPerRun;
using internal::kPanelRows;
using internal::kPlaneBytes;
using internal::Place;

constexpr std::size_t kMaxPlanes = 4;
constexpr std::size_t kMaxRunBytes = kChunksPerRun * kMaxPlanes * kPlaneBytes;  // signs go with fewer planes
constexpr std::uint8_t kNegative = 0x10;  // beside the four bits of an index: its sign

// The indices of one run before they are put in order: [chunk][plane][row][index].
using Run = std::array<std::uint8_t, kChunksPerRun * kMaxPlanes * kPanelRows * kIndicesPerChunk>;
constexpr std::size_t kPlaneStride = kPanelRows * kIndicesPerChunk;
constexpr std::size_t kChunkStride = kMaxPlanes * kPlaneStride;

// The layout of runs of some half chunks as a table: where each nibble comes from, and where its sign goes.
struct Order {
  struct Nibble {
    std::uint16_t from;
    std::uint16_t sign_bit;
  };
  std::size_t bytes;  // of nibbles
  Nibble nibbles[kChunksPerRun * kMaxPlanes * kPlaneBytes][2];

  void Init(internal::Layout layout, const FormatInfo& f, std::size_t halves) {
    bytes = internal::RunIndexBytes(f, halves);
    for (std::size_t i = 0; i < bytes; ++i) {
      for (int high = 0; high < 2; ++high) {
        const int byte = static_cast<int>(i);
        const internal::Slot s = internal::SlotAt(layout, f, static_cast<int>(halves), byte, high);
        const std::size_t from = static_cast<std::size_t>(s.chunk) * kChunkStride +
                                 static_cast<std::size_t>(s.plane) * kPlaneStride +
                                 static_cast<std::size_t>(s.row) * kIndicesPerChunk + static_cast<std::size_t>(s.index);
        nibbles[i][high] = {static_cast<std::uint16_t>(from),
                            static_cast<std::uint16_t>(internal::SignBitAt(layout, s, byte))};
      }
    }
  }
};

// Runs of every length, to and from packed bytes.
class Orders {
 public:
  Orders(internal::Layout layout, const FormatInfo& f) : mirrored_(f.mirrored()) {
    for (std::size_t halves = 2; halves <= kHalvesPerRun; halves += mirrored_ ? 1 : 2) {
      orders_[halves - 2].Init(layout, f, halves);
    }
  }

  void Write(const Run& run, std::size_t halves, std::uint8_t* to) const {
    const Order& order = orders_[halves - 2];
    for (std::size_t i = 0; i < order.bytes; ++i) {
      const Order::Nibble* n = order.nibbles[i];
      to[i] = static_cast<std::uint8_t>((run[n[0].from] & 0x0f) | run[n[1].from] << 4);
    }
    std::uint8_t* signs = to + order.bytes;
    if (!mirrored_) return;
    std::memset(signs, 0, internal::kRunSignBytes);
    for (std::size_t i = 0; i < order.bytes; ++i) {
      for (const Order::Nibble& n : order.nibbles[i]) {
        std::uint8_t& sign = signs[n.sign_bit / 8];
        sign = static_cast<std::uint8_t>(sign | (run[n.from] / kNegative) << (n.sign_bit % 8));
      }
    }
  }

  void Read(const std::uint8_t* from, std::size_t halves, Run& run) const {
    const Order& order = orders_[halves - 2];
    const std::uint8_t* signs = from + order.bytes;
    for (std::size_t i = 0; i < order.bytes; ++i) {
      for (int high = 0; high < 2; ++high) {
        const Order::Nibble& n = order.nibbles[i][high];
        run[n.from] = (from[i] >> (4 * high)) & 0x0f;
        if (mirrored_ && (signs[n.sign_bit / 8] >> (n.sign_bit % 8) & 1) != 0) run[n.from] |= kNegative;
      }
    }
  }

 private:
  bool mirrored_;
  Order orders_[kHalvesPerRun - 1];  // from two half chunks on
};

// The codes of a chunk of one row to the nibbles of each plane, and back.
class Encoder {
 public:
  explicit Encoder(const FormatInfo& f) : f_(f) {
    if (!f.mirrored()) return;
    for (int code = 0; code < 27; ++code) {
      int index = 0;
      for (const int q : {code / 9, code / 3 % 3, code % 3}) index = AppendDigit(f, index, q - 1);
      mirrored_[code] = static_cast<std::uint8_t>(index < 0 ? -index | kNegative : index);
    }
  }

  // False if a code is not one of the format.
  bool Encode(const std::uint8_t* codes, std::uint8_t* to) const {
    if (f_.mirrored()) {
      int largest = 0;
      for (std::size_t i = 0; i < kIndicesPerChunk; ++i, codes += 3) {
        largest = std::max({largest, int{codes[0]}, int{codes[1]}, int{codes[2]}});
        to[i] = mirrored_[std::min(codes[0] + 3 * codes[1] + 9 * codes[2], 26)];
      }
      return largest < f_.levels;
    }
    const std::uint32_t levels = 0x01010101u * static_cast<std::uint32_t>(f_.levels - 1);
    std::uint32_t seen = 0, quads[kIndicesPerChunk];
    for (std::size_t i = 0; i < kIndicesPerChunk; ++i) {
      std::memcpy(&quads[i], codes + 4 * i, sizeof(quads[i]));  // little-endian: weight j in byte j
      seen |= quads[i];
    }
    for (int plane = 0; plane < f_.planes; ++plane, to += kPlaneStride) {
      if (f_.looks_up()) {
        for (std::size_t i = 0; i < kIndicesPerChunk; ++i) {
          // Bit `plane` of the four bytes, gathered by one product: byte j goes to bit 24 + j.
          const std::uint32_t bits = ((quads[i] >> plane) & 0x01010101u) * 0x01020408u;
          to[i] = (bits >> 24) & 0x0f;
        }
      } else {
        std::uint32_t nibbles = quads[plane] & levels;  // of all four bytes at once
        if (f_.planes == 3) nibbles |= (quads[3] >> plane & 0x01010101u) << 3;
        std::memcpy(to, &nibbles, sizeof(nibbles));
      }
    }
    return (seen & ~levels) == 0;
  }

  void Decode(const std::uint8_t* from, std::uint8_t* codes) const {
    std::memset(codes, 0, f_.chunk_weights());
    for (int plane = 0; plane < f_.planes; ++plane, from += kPlaneStride) {
      for (int i = 0; i < static_cast<int>(kIndicesPerChunk); ++i) {
        if (f_.looks_up()) {
          DecodeIndex(from[i], plane, codes + i * f_.g);
        } else {
          codes[4 * plane + i] = static_cast<std::uint8_t>(codes[4 * plane + i] | (from[i] & (f_.levels - 1)));
          if (f_.planes == 3) codes[12 + i] = static_cast<std::uint8_t>(codes[12 + i] | from[i] >> 3 << plane);
        }
      }
    }
  }

 private:
  void DecodeIndex(std::uint8_t stored, int plane, std::uint8_t* codes) const {
    int index = stored & 0x0f;
    for (int j = 0; j < f_.g; ++j, index = DropLowDigit(f_, index)) {
      const int digit = LowDigit(f_, index);
      if (f_.mirrored()) codes[j] = static_cast<std::uint8_t>(1 + ((stored & kNegative) != 0 ? -digit : digit));
      if (!f_.mirrored() && digit > 0) codes[j] = static_cast<std::uint8_t>(codes[j] | 1 << plane);
    }
  }

  const FormatInfo& f_;
  std::uint8_t mirrored_[27] = {};
};

// The arrays of a view that become params and supers, and the place of a row's value among those of a panel.
struct ParamArray {
  std::size_t value_bytes;  // 0: the matrix has no such array
  std::size_t per_row;      // values per row of W; 0: one in all
  std::size_t offset;       // of row 0's value
  int bits, shift;          // of the value, if it has a byte or a part of one
  std::size_t together;     // values of a row that stand together, two to a byte of each pair; or 1

  // Calls copy(bytes of a value, place among params, shift) for those of row m that stand at i.
  template <class Value, class Param, class Copy>
  void ForEach(Value* values, std::size_t m, std::size_t i, Param* params, Copy&& copy) const {
    const std::size_t begin = i * together, end = std::min(begin + together, std::max<std::size_t>(per_row, 1));
    for (std::size_t at = begin; at < end; ++at) {
      const std::size_t in = at - begin;
      copy(values + (m * per_row + at) * value_bytes,
           params + offset + in / 2 * kPanelRows + m % kPanelRows * value_bytes, shift + static_cast<int>(in % 2) * 4);
    }
  }
};
struct ParamArrays {
  ParamArray group[2], super[2];  // scales and zeros

  ParamArrays(const QuantizedView& w, const Geometry& g) : group{}, super{} {
    const std::size_t per_row = w.group == kPerMatrix ? 0 : GroupsPerRow(w.k, w.group);
    const int bits = w.scale_type == DataType::kUInt4 ? 4 : 8;
    const bool zeros_in_supers = w.zero_kind == ZeroKind::kUInt4;
    group[0] = {SizeOf(w.scale_type), per_row, 0, bits, 0, 1};
    group[1] = {zeros_in_supers ? 0 : ZeroSize(w), per_row, g.zero_offset, bits, 8 - bits, 1};
    if (zeros_in_supers) super[1] = {ZeroSize(w), per_row, 0, 4, 0, g.groups_per_super};
    if (!HasTwoLevels(w.scale_type)) return;
    const std::size_t supers = GroupsPerRow(w.k, kSuperGroup), size = SizeOf(DataType::kF16);
    super[0] = {size, supers, 0, 8, 0, 1};
    super[1] = {w.zero_kind == ZeroKind::kOffset ? size : 0, supers, kPanelRows * size, 8, 0, 1};
  }
};

// The values of row m in group, or super-group, i to their places in params that were zero before, and back.
void PackParam(const ParamArray& a, const void* values, std::size_t m, std::size_t i, std::uint8_t* params) {
  const auto pack = [&](const std::uint8_t* from, std::uint8_t* to, int shift) {
    if (a.value_bytes == 1) {
      *to = static_cast<std::uint8_t>(*to | *from << shift);
    } else {
      std::memcpy(to, from, a.value_bytes);
    }
  };
  a.ForEach(static_cast<const std::uint8_t*>(values), m, i, params, pack);
}
void UnpackParam(const ParamArray& a, const std::uint8_t* params, std::size_t m, std::size_t i, void* values) {
  const auto unpack = [&](std::uint8_t* to, const std::uint8_t* from, int shift) {
    std::memcpy(to, from, a.value_bytes);
    if (a.value_bytes == 1) *to = static_cast<std::uint8_t>(*to >> shift & ((1 << a.bits) - 1));
  };
  a.ForEach(static_cast<std::uint8_t*>(values), m, i, params, unpack);
}

// Calls supers(super-group, where they begin), params(group, where they begin) and run(block, first chunk, half chunks,
// where it begins) in order; offsets are those of a panel that stands alone.
template <class Supers, class Params, class Run>
void ForEachPart(const FormatInfo& f, const Geometry& g, Supers&& supers, Params&& params, Run&& run) {
  std::size_t offset = 0;
  for (std::size_t block = 0; block < g.blocks; ++block) {
    const std::size_t group = block / g.blocks_per_group;
    if (block % g.blocks_per_group == 0) {
      if (g.groups_per_super != 0 && group % g.groups_per_super == 0) {
        const std::size_t super = group / g.groups_per_super;
        supers(super, offset);
        offset += g.super_bytes_in(super);
      }
      params(group, offset);
      offset += g.param_bytes;
    }
    for (std::size_t first = 0; first < g.extent(block).chunks; first += kChunksPerRun) {
      const std::size_t halves = std::min(kHalvesPerRun, g.extent(block).halves - 2 * first);
      run(block, first, halves, offset);
      offset += internal::RunBytes(f, halves);
    }
  }
}

// Calls copy(where a part of a run begins in the matrix, where in the run, bytes) for its alternating units and its
// signs.
template <class Copy>
void ForEachUnit(const FormatInfo& f, const Geometry& g, const Place& place, std::size_t run, std::size_t halves,
                 Copy&& copy) {
  const std::size_t index_bytes = internal::RunIndexBytes(f, halves);
  for (std::size_t at = 0; at < index_bytes; at += kPlaneBytes) {
    const std::size_t unit = std::min(kPlaneBytes, index_bytes - at);
    copy(place.At(g.panel_bytes, run + at, unit), at, unit);
  }
  const std::size_t signs = internal::RunBytes(f, halves) - index_bytes;
  if (signs != 0) copy(place.At(g.panel_bytes, run + index_bytes, signs), index_bytes, signs);
}

struct Packer {
  const QuantizedView& w;
  const FormatInfo& format;
  Geometry geometry;
  ParamArrays params;
  std::size_t set;
  const Orders& orders;
  Encoder encoder;
  std::uint8_t* packed;
  std::atomic<bool> codes_valid{true};

  // Two arrays of the panel's params, or supers, of `bytes`.
  void PackParams(const ParamArray (&arrays)[2], const void* const (&values)[2], std::size_t panel, std::size_t i,
                  std::size_t offset, std::size_t bytes) const {
    std::uint8_t* to = packed + PlaceOf(panel).At(geometry.panel_bytes, offset, bytes);
    std::memset(to, 0, bytes);
    for (std::size_t m = panel * kPanelRows; m < std::min((panel + 1) * kPanelRows, w.m); ++m) {
      for (std::size_t a = 0; a < 2; ++a) {
        if (arrays[a].value_bytes != 0) PackParam(arrays[a], values[a], m, i, to);
      }
    }
  }

  bool PackRun(std::size_t panel, std::size_t block, std::size_t first, std::size_t halves, std::size_t offset) const {
    const std::size_t chunk_weights = format.chunk_weights(), end = geometry.end(block);
    const std::size_t rows = std::min(kPanelRows, w.m - panel * kPanelRows);
    Run run{};
    bool valid = true;
    for (std::size_t c = 0; 2 * c < halves; ++c) {
      const std::size_t k = geometry.begin(block) + (first + c) * chunk_weights;
      const std::size_t weights = std::min(chunk_weights, end - k);
      for (std::size_t row = 0; row < rows; ++row) {
        const std::uint8_t* codes = w.codes + (panel * kPanelRows + row) * w.code_stride + k;
        std::uint8_t tail[16] = {};
        if (weights < chunk_weights) {
          std::memcpy(tail, codes, weights);
          codes = tail;
        }
        valid &= encoder.Encode(codes, run.data() + c * kChunkStride + row * kIndicesPerChunk);
      }
    }
    std::uint8_t bytes[kMaxRunBytes];
    orders.Write(run, halves, bytes);
    ForEachUnit(format, geometry, PlaceOf(panel), offset, halves,
                [&](std::size_t to, std::size_t from, std::size_t n) { std::memcpy(packed + to, bytes + from, n); });
    return valid;
  }

  void PackPanel(std::size_t panel) {
    bool valid = true;
    ForEachPart(
        format, geometry,
        [&](std::size_t super, std::size_t offset) {
          const void* const second = w.zero_kind == ZeroKind::kUInt4 ? w.zeros : w.super_offsets;
          PackParams(params.super, {w.super_scales, second}, panel, super, offset, geometry.super_bytes_in(super));
        },
        [&](std::size_t group, std::size_t offset) {
          PackParams(params.group, {w.scales, w.zeros}, panel, group, offset, geometry.param_bytes);
        },
        [&](std::size_t block, std::size_t first, std::size_t halves, std::size_t offset) {
          valid &= PackRun(panel, block, first, halves, offset);
        });
    if (!valid) codes_valid.store(false, std::memory_order_relaxed);
  }

  Place PlaceOf(std::size_t panel) const { return {set, panel, internal::PanelsIn(w.m)}; }
};

}  // namespace

internal::PackedFields internal::FieldsOf(const QuantizedView& w) {
  PackedFields fields;
  fields.format = w.format;
  fields.m = w.m;
  fields.k = w.k;
  fields.group = w.group;
  fields.scale_type = w.scale_type;
  fields.zero_kind = w.zero_kind;
  const Geometry geometry(Describe(w.format), w.k, w.group, w.scale_type, w.zero_kind);
  fields.bytes = internal::PanelsIn(w.m) * geometry.panel_bytes;
  return fields;
}

void internal::SetData(const std::uint8_t* data, const Tail& tail, PackedFields* fields) {
  fields->data = data;
  if (tail.bias_bytes != 0) fields->bias = reinterpret_cast<const float*>(data + fields->bytes);
  if (tail.order_bytes == 0) return;
  fields->order = reinterpret_cast<const std::uint32_t*>(data + fields->bytes + tail.bias_bytes);
  fields->order_checksum = Checksum(fields->order, tail.order_bytes);
}

Status Pack(const QuantizedView& w, const PackOptions& options, PackedMatrix* packed) {
  if (packed == nullptr) return Status::Invalid("packed", "is null");
  LUTRA_RETURN_IF_ERROR(internal::ValidateWeights(w));
  const FormatInfo& f = Describe(w.format);
  internal::PackedFields fields = internal::FieldsOf(w);
  fields.target = options.target != nullptr ? options.target : RunnableTargets().data[0];
  const internal::Tail tail(fields, w.bias != nullptr, w.order != nullptr);
  Buffer buffer;
  if (!buffer.Reserve(fields.bytes + tail.bytes())) return Status::OutOfMemory("packed");
  std::uint8_t* const behind = buffer.data() + fields.bytes;
  if (tail.bias_bytes != 0) std::memcpy(behind, w.bias, tail.bias_bytes);
  if (tail.order_bytes != 0) std::memcpy(behind + tail.bias_bytes, w.order, tail.order_bytes);
  internal::SetData(buffer.data(), tail, &fields);
  const Geometry geometry(f, w.k, w.group, w.scale_type, w.zero_kind);
  if (geometry.blocks != 0) {
    const Orders orders(fields.target->layout, f);
    Packer packer{
        w,      f,          geometry,     ParamArrays(w, geometry), internal::SetPanels(fields.target->layout, f),
        orders, Encoder(f), buffer.data()};
    Executor& executor = options.executor != nullptr ? *options.executor : SerialExecutor();
    executor.ParallelFor(
        internal::PanelsIn(w.m),
        [](void* context, std::size_t panel) { static_cast<Packer*>(context)->PackPanel(panel); }, &packer);
    if (!packer.codes_valid.load(std::memory_order_relaxed)) {
      return Status::Invalid("w.codes", "holds a code that the format does not have");
    }
  }
  *packed = PackedAccess::Make(fields, std::move(buffer));
  return {};
}

Status Unpack(const PackedMatrix& packed, QuantizedMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  return internal::UnpackFrom(packed, packed.target() != nullptr ? packed.target()->layout : internal::Layout{}, w);
}

Status internal::UnpackFrom(const PackedMatrix& packed, Layout layout, QuantizedMatrix* w) {
  QuantizedView shape;
  shape.format = packed.format();
  shape.m = packed.m();
  shape.k = packed.k();
  shape.group = packed.group();
  shape.scale_type = packed.scale_type();
  shape.zero_kind = packed.zero_kind();
  shape.order = packed.order();
  QuantizedMatrix result;
  LUTRA_RETURN_IF_ERROR(result.Allocate(shape, packed.has_bias()));
  if (packed.has_bias()) std::memcpy(result.bias(), packed.bias(), packed.m() * sizeof(float));
  if (packed.order() != nullptr) std::memcpy(result.order(), packed.order(), packed.k() * sizeof(std::uint32_t));

  const FormatInfo& f = Describe(packed.format());
  const Geometry geometry = GeometryOf(packed);
  const ParamArrays params(shape, geometry);
  const std::size_t chunk_weights = f.chunk_weights();
  if (geometry.blocks != 0 && packed.m() != 0) {
    const Orders orders(layout, f);
    const Encoder encoder(f);
    Run run{};
    for (std::size_t m = 0; m < packed.m(); m += kPanelRows) {
      const Place place(internal::SetPanels(layout, f), m / kPanelRows, internal::PanelsIn(packed.m()));
      const std::size_t rows = std::min(kPanelRows, packed.m() - m);
      const auto unpack = [&](const ParamArray(&arrays)[2], void* const(&values)[2], std::size_t i, std::size_t offset,
                              std::size_t bytes) {
        const std::uint8_t* from = packed.data() + place.At(geometry.panel_bytes, offset, bytes);
        for (std::size_t row = m; row < m + rows; ++row) {
          for (std::size_t a = 0; a < 2; ++a) {
            if (arrays[a].value_bytes != 0) UnpackParam(arrays[a], from, row, i, values[a]);
          }
        }
      };
      const auto unpack_supers = [&](std::size_t super, std::size_t offset) {
        void* const second = shape.zero_kind == ZeroKind::kUInt4 ? result.zeros() : result.super_offsets();
        unpack(params.super, {result.super_scales(), second}, super, offset, geometry.super_bytes_in(super));
      };
      const auto unpack_params = [&](std::size_t group, std::size_t offset) {
        unpack(params.group, {result.scales(), result.zeros()}, group, offset, geometry.param_bytes);
      };
      const auto unpack_run = [&](std::size_t block, std::size_t first, std::size_t halves, std::size_t offset) {
        std::uint8_t bytes[kMaxRunBytes];
        ForEachUnit(f, geometry, place, offset, halves, [&](std::size_t from, std::size_t to, std::size_t n) {
          std::memcpy(bytes + to, packed.data() + from, n);
        });
        orders.Read(bytes, halves, run);
        const std::size_t end = geometry.end(block);
        for (std::size_t c = 0; 2 * c < halves; ++c) {
          const std::size_t k = geometry.begin(block) + (first + c) * chunk_weights;
          for (std::size_t row = 0; row < rows; ++row) {
            std::uint8_t codes[16];
            encoder.Decode(run.data() + c * kChunkStride + row * kIndicesPerChunk, codes);
            std::memcpy(result.codes() + (m + row) * packed.k() + k, codes, std::min(chunk_weights, end - k));
          }
        }
      };
      ForEachPart(f, geometry, unpack_supers, unpack_params, unpack_run);
    }
  }
  *w = std::move(result);
  return {};
}

}  // namespace lutra
