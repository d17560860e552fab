// SavePacked and LoadPacked: writes packed matrices as they are in memory, and validates them when they are loaded.
#include "lutra/packed_file.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>

#include "activation_access.h"
#include "memory/checksum.h"
#include "memory/replace_file.h"
#include "packed_access.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::Checksum;
using internal::Geometry;
using internal::kPanelRows;
using internal::PackedFields;
using internal::Tail;

constexpr char kMagic[8] = {'\x89', 'L', 'U', 'T', 'R', 'A', '\r', '\n'};
constexpr std::uint32_t kByteOrder = 0x01020304;
constexpr std::size_t kPageBytes = 4096;  // keeps data aligned to 64 bytes, and to pages when mapped
constexpr std::size_t kPageFields = 152;  // bytes of a Page without its unused ones

// The page at the begin of a file.
struct Page {
  char magic[sizeof(kMagic)];
  std::uint32_t byte_order, version;
  std::uint8_t format, scale_type, zeros, has_bias;
  std::uint32_t layout;  // LayoutId
  std::uint64_t m, k, group, bytes;
  std::uint64_t data_checksum, tail_checksum;
  std::uint8_t has_order;
  std::uint8_t codebook_tables;  // of a format with own_values; otherwise 0, like the codebook
  std::uint8_t padding[2];
  float matrix_scale;                     // 0 means 1
  std::int8_t codebook[kMaxTables * 16];  // [codebook_tables][levels], then zeros
  std::uint8_t unused[kPageBytes - kPageFields];
  std::uint64_t checksum;  // of all bytes before it
};
static_assert(sizeof(Page) == kPageBytes && offsetof(Page, checksum) == kPageBytes - 8);

// The kind and type of zeros, which a file stores as one number: 0 none, 1 kUInt8, 2 floats, 3 offsets, 4 kUInt4.
struct Zeros {
  ZeroKind kind;
  DataType type;
};
std::uint8_t ZerosId(ZeroKind kind, DataType type) {
  if (kind != ZeroKind::kPoint) return kind == ZeroKind::kNone ? 0 : 3;
  return type == DataType::kUInt8 ? 1 : type == DataType::kUInt4 ? 4 : 2;
}
Zeros ZerosOf(std::uint8_t id, DataType scale_type) {
  switch (id) {
    case 0:
      return {ZeroKind::kNone, scale_type};
    case 1:
      return {ZeroKind::kPoint, DataType::kUInt8};
    case 2:
      return {ZeroKind::kPoint, scale_type};
    case 3:
      return {ZeroKind::kOffset, scale_type};
    case 4:
      return {ZeroKind::kPoint, DataType::kUInt4};
    default:
      return {static_cast<ZeroKind>(255), scale_type};  // no ZeroKind: ValidateShape refuses it
  }
}

Tail TailOf(const PackedMatrix& w) { return {PackedAccess::Fields(w), w.has_bias(), w.order() != nullptr}; }
// Where the tail begins, which has bytes: behind the data, or apart (ViewRows).
const void* TailData(const PackedMatrix& w) {
  return w.has_bias() ? static_cast<const void*>(w.bias()) : static_cast<const void*>(w.order());
}

std::uint64_t PageChecksum(const Page& page) { return Checksum(&page, offsetof(Page, checksum)); }

Page PageOf(const PackedMatrix& w) {
  Page page = {};
  std::memcpy(page.magic, kMagic, sizeof(kMagic));
  page.byte_order = kByteOrder;
  page.version = internal::kPackedVersion;
  page.format = static_cast<std::uint8_t>(w.format());
  page.scale_type = static_cast<std::uint8_t>(w.scale_type());
  page.zeros = ZerosId(w.zero_kind(), w.zero_type());
  page.has_bias = w.has_bias();
  if (w.target() != nullptr) page.layout = internal::LayoutId(w.target()->info.layout, Describe(w.format()).stored());
  page.m = w.m();
  page.k = w.k();
  page.group = w.group() == kPerMatrix ? static_cast<std::uint64_t>(-1) : w.group();
  page.bytes = w.bytes();
  page.data_checksum = Checksum(w.data(), w.bytes());
  page.tail_checksum = Checksum(TailData(w), TailOf(w).bytes());
  page.has_order = w.order() != nullptr;
  page.matrix_scale = w.matrix_scale();
  page.codebook_tables = static_cast<std::uint8_t>(w.codebook_tables());
  std::copy_n(w.codebook(), sizeof(page.codebook), page.codebook);
  page.checksum = PageChecksum(page);
  return page;
}

// Whether all qparams are finite, and choices are of tables that the codebook has.
bool QparamsValid(const PackedMatrix& w, internal::Layout layout) {
  const Geometry g = GeometryOf(w);
  if (g.blocks == 0) return true;  // panels, of which there may be any number, have no bytes
  const std::size_t panels = internal::PanelsIn(w.m());
  const std::size_t interleaved = internal::InterleavedPanels(layout, Describe(w.format()).stored());
  for (const internal::QparamField& field : g.scheme) {
    if (field.type == DataType::kUInt4) continue;
    for (std::size_t panel = 0; panel < panels; ++panel) {
      const internal::Place place(interleaved, panel, panels);
      for (std::size_t i = 0; i < (field.per_super ? g.super_groups() : g.groups()); ++i) {
        const std::size_t offset = field.per_super ? g.super_offset(i) : g.group_offset(i);
        const std::size_t unit = field.per_super ? g.super_bytes_in(i) : g.scheme.group_bytes;
        const std::uint8_t* const values = w.data() + place.At(g.panel_bytes, offset, unit) + field.offset;
        if (!internal::AllFinite(values, field.type, kPanelRows)) return false;
        const bool choices = field.role == internal::QparamRole::kTableChoice;
        if (choices && !internal::AllBelow(values, kPanelRows, w.codebook_tables())) return false;
      }
    }
  }
  return true;
}

// The contents of a file, as its page describes them.
struct Contents {
  PackedFields fields;  // without a target
  internal::Layout layout;
  std::uint64_t data_checksum;
};

Status Damaged(const char* name) { return Status::Invalid(name, "is damaged: a checksum differs"); }

// Validates all but the data. `name` is the argument that an error names.
Status Parse(const std::uint8_t* bytes, std::size_t size, const char* name, Contents* contents) {
  Page page;
  if (size < sizeof(page)) return Status::Invalid(name, "is too short for a packed matrix");
  std::memcpy(&page, bytes, sizeof(page));
  if (std::memcmp(page.magic, kMagic, sizeof(kMagic)) != 0) return Status::Invalid(name, "is not a packed matrix");
  if (page.byte_order != kByteOrder) return Status::Unsupported(name, "was packed on a machine of another byte order");
  if (page.version != internal::kPackedVersion) {
    return Status::Unsupported(name, "was packed by a version of Lutra with other layouts: pack it again");
  }
  if (page.checksum != PageChecksum(page)) return Status::Invalid(name, "is damaged: the page's checksum differs");

  QuantizedView shape;
  shape.format = static_cast<Format>(page.format);
  shape.m = static_cast<std::size_t>(page.m);
  shape.k = static_cast<std::size_t>(page.k);
  shape.group = static_cast<std::size_t>(page.group);
  shape.scale_type = static_cast<DataType>(page.scale_type);
  const Zeros zeros = ZerosOf(page.zeros, shape.scale_type);
  shape.zero_kind = zeros.kind;
  shape.zero_type = zeros.type;
  if (page.matrix_scale != 0.0f) shape.matrix_scale = page.matrix_scale;
  shape.codebook_tables = page.codebook_tables;
  shape.codebook = page.codebook;
  if (shape.m != page.m || shape.k != page.k || page.has_bias > (shape.m != 0) || page.has_order > (shape.k != 0) ||
      page.layout >= std::size(internal::kLayouts) || !internal::IsFinite(shape.matrix_scale) ||
      !internal::ValidateShape(shape).ok() || !internal::ValidateCodebook(shape).ok()) {
    return Status::Invalid(name, "describes no matrix");
  }
  PackedFields& fields = contents->fields;
  fields = internal::FieldsOf(shape);
  contents->layout = internal::kLayouts[page.layout];
  const Tail tail(fields, page.has_bias != 0, page.has_order != 0);
  if (fields.bytes != page.bytes || size != sizeof(page) + fields.bytes + tail.bytes()) {
    return Status::Invalid(name, "is truncated or too long");
  }
  internal::SetData(bytes + sizeof(page), tail, &fields);
  contents->data_checksum = page.data_checksum;
  return page.tail_checksum == Checksum(fields.data + fields.bytes, tail.bytes()) ? Status() : Damaged(name);
}

// Loads from bytes that are aligned to 64. `buffer` or `file` owns them, or else the caller. `how` they got there.
Status LoadAligned(const std::uint8_t* bytes, std::size_t size, const char* name, const PackOptions& options,
                   Loaded how, Buffer buffer, MappedFile file, PackedMatrix* w, Loaded* loaded) {
  Contents contents;
  LUTRA_RETURN_IF_ERROR(Parse(bytes, size, name, &contents));
  const EncodingInfo& e = Describe(contents.fields.format).stored();
  const Target target = options.target != nullptr ? options.target : RunnableTargets().data[0];
  contents.fields.target = target;
  PackedMatrix result = PackedAccess::Make(contents.fields, std::move(buffer), std::move(file));
  const bool repack =
      result.bytes() != 0 && internal::LayoutId(contents.layout, e) != internal::LayoutId(target->info.layout, e);
  const bool check_data = options.check_data || repack || result.has_table_choices();
  if (check_data && contents.data_checksum != Checksum(result.data(), result.bytes())) return Damaged(name);
  if ((check_data && !QparamsValid(result, contents.layout)) ||
      (result.has_bias() && !internal::AllFinite(result.bias(), DataType::kF32, result.m()))) {
    return Status::Invalid(name, "holds scales, zeros, choices or a bias that Pack refuses");
  }
  if (result.order() != nullptr) {
    LUTRA_RETURN_IF_ERROR(internal::ValidateOrder(result.order(), result.k(), name));
  }
  if (repack) {
    QuantizedMatrix codes;
    LUTRA_RETURN_IF_ERROR(internal::UnpackFrom(result, contents.layout, &codes));
    // An error of Pack names its own argument; here it is w.
    const Status repacked = Pack(codes.view(), options, &result);
    if (!repacked.ok()) return {repacked.code(), "w", repacked.reason()};
    how = Loaded::kRepacked;
  }
  *w = std::move(result);
  if (loaded != nullptr) *loaded = how;
  return {};
}

}  // namespace

std::size_t functions::PackedFileSize(const PackedMatrix& w) { return sizeof(Page) + w.bytes() + TailOf(w).bytes(); }

Status functions::SavePacked(const PackedMatrix& w, void* bytes, std::size_t size) {
  if (bytes == nullptr) return Status::Invalid("bytes", "is null");
  if (size != PackedFileSize(w)) return Status::Invalid("size", "is not PackedFileSize(w)");
  const Page page = PageOf(w);
  auto* to = static_cast<std::uint8_t*>(bytes);
  std::memcpy(to, &page, sizeof(page));
  to += sizeof(page);
  if (w.bytes() != 0) std::memcpy(to, w.data(), w.bytes());
  if (TailOf(w).bytes() != 0) std::memcpy(to + w.bytes(), TailData(w), TailOf(w).bytes());
  return {};
}

Status functions::SavePacked(const PackedMatrix& w, const char* path) {
  if (path == nullptr) return Status::Invalid("path", "is null");
  const Page page = PageOf(w);
  return internal::ReplaceFile(path, {{&page, sizeof(page)}, {w.data(), w.bytes()}, {TailData(w), TailOf(w).bytes()}});
}

Status functions::LoadPacked(const void* bytes, std::size_t size, const PackOptions& options, PackedMatrix* w,
                             Loaded* loaded) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  if (bytes == nullptr) return Status::Invalid("bytes", "is null");
  const auto* at = static_cast<const std::uint8_t*>(bytes);
  Buffer copy;
  Loaded how = Loaded::kInPlace;
  if (size != 0 && reinterpret_cast<std::uintptr_t>(bytes) % Buffer::kAlignment != 0) {
    if (!copy.Reserve(size)) return Status::OutOfMemory("w");
    std::memcpy(copy.data(), bytes, size);
    at = copy.data();
    how = Loaded::kCopied;
  }
  return LoadAligned(at, size, "bytes", options, how, std::move(copy), {}, w, loaded);
}

Status functions::LoadPacked(const char* path, const PackOptions& options, PackedMatrix* w, Loaded* loaded,
                             FileAccess access) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  MappedFile file;
  LUTRA_RETURN_IF_ERROR(file.Open(path, access));
  const std::uint8_t* const bytes = file.data();
  const std::size_t size = file.size();
  const Loaded unchanged = access == FileAccess::kMap ? Loaded::kInPlace : Loaded::kCopied;
  return LoadAligned(bytes, size, "path", options, unchanged, {}, std::move(file), w, loaded);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
