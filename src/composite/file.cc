// SaveComposite and LoadComposite: a composite in one file, and its checks.
#include <cstddef>
#include <cstring>
#include <new>

#include "composite/composite_access.h"
#include "lutra/packed_file.h"
#include "memory/checksum.h"
#include "memory/replace_file.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::Checksum;
using internal::RoundUp;

constexpr char kMagic[8] = {'\x89', 'L', 'U', 'T', 'C', 'O', 'M', '\n'};
constexpr std::uint32_t kByteOrder = 0x01020304, kVersion = 1;

struct Head {
  char magic[sizeof(kMagic)];
  std::uint32_t byte_order, version;
  std::uint64_t rows, m, k, entries;  // rows: matrices of rows
  std::uint8_t has_order, has_sparse, has_low_rank, unused[61];
  std::uint64_t arrays_checksum;  // of sizes, order and sparse weights
  std::uint64_t checksum;         // of all bytes before it
};
static_assert(sizeof(Head) == 128 && offsetof(Head, checksum) == 120);

// Where arrays and matrices stand.
struct Places {
  std::size_t matrices;  // how many
  std::size_t order = 0, offsets = 0, columns = 0, values = 0, end = 0, first_matrix = 0;

  explicit Places(const Head& head) : matrices(static_cast<std::size_t>(head.rows) + (head.has_low_rank != 0 ? 2 : 0)) {
    const auto m = static_cast<std::size_t>(head.m), entries = static_cast<std::size_t>(head.entries);
    order = sizeof(Head) + matrices * sizeof(std::uint64_t);
    offsets = order + (head.has_order != 0 ? m * sizeof(std::uint32_t) : 0);
    columns = offsets + (head.has_sparse != 0 ? (m + 1) * sizeof(std::uint32_t) : 0);
    values = columns + entries * ColumnBytes(static_cast<std::size_t>(head.k));
    end = values + entries * sizeof(std::uint16_t);
    first_matrix = RoundUp(end, Buffer::kAlignment);
  }
};

Head HeadOf(const CompositeMatrix& w) {
  const CompositeParts& parts = w.parts();
  Head head = {};
  std::memcpy(head.magic, kMagic, sizeof(kMagic));
  head.byte_order = kByteOrder;
  head.version = kVersion;
  head.rows = parts.rows.size();
  head.m = w.m();
  head.k = w.k();
  head.entries = EntryCount(parts.sparse);
  head.has_order = parts.order != nullptr;
  head.has_sparse = parts.sparse.offsets != nullptr;
  head.has_low_rank = parts.up != nullptr;
  return head;
}

void Put(const void* from, std::size_t bytes, std::uint8_t* to) {
  if (bytes != 0) std::memcpy(to, from, bytes);
}

void Save(const CompositeMatrix& w, std::uint8_t* to) {
  const CompositeParts& parts = w.parts();
  Head head = HeadOf(w);
  const Places places(head);
  std::size_t at = places.first_matrix;
  std::memset(to + places.end, 0, at - places.end);
  for (std::size_t i = 0; i < places.matrices; ++i) {
    const PackedMatrix& matrix = internal::MatrixAt(parts, i);
    const std::uint64_t size = PackedFileSize(matrix);
    Put(&size, sizeof(size), to + sizeof(head) + i * sizeof(size));
    (void)SavePacked(matrix, to + at, PackedFileSize(matrix));  // cannot fail: the size is right
    const std::size_t next = at + RoundUp(PackedFileSize(matrix), Buffer::kAlignment);
    std::memset(to + at + PackedFileSize(matrix), 0, next - at - PackedFileSize(matrix));
    at = next;
  }
  Put(parts.order, places.offsets - places.order, to + places.order);
  Put(parts.sparse.offsets, places.columns - places.offsets, to + places.offsets);
  Put(parts.sparse.columns, places.values - places.columns, to + places.columns);
  Put(parts.sparse.values, places.end - places.values, to + places.values);
  head.arrays_checksum = Checksum(to + sizeof(head), places.end - sizeof(head));
  head.checksum = Checksum(&head, offsetof(Head, checksum));
  std::memcpy(to, &head, sizeof(head));
}

// Checks the head, and the arrays behind it.
Status Parse(const std::uint8_t* bytes, std::size_t size, const char* name, Head* head) {
  if (size < sizeof(*head)) return Status::Invalid(name, "is too short for a composite");
  std::memcpy(head, bytes, sizeof(*head));
  if (std::memcmp(head->magic, kMagic, sizeof(kMagic)) != 0) return Status::Invalid(name, "is not a composite");
  if (head->byte_order != kByteOrder) return Status::Unsupported(name, "was saved on a machine of another byte order");
  if (head->version != kVersion) return Status::Unsupported(name, "was saved by a version of Lutra with other files");
  if (head->checksum != Checksum(head, offsetof(Head, checksum))) {
    return Status::Invalid(name, "is damaged: the checksum of its head differs");
  }
  // Each number that counts bytes of the file is below its size, so that no sum overflows.
  const bool lists_rows = head->has_order != 0 || head->has_sparse != 0;
  const bool small = head->rows <= size / 64 && (head->m <= size || !lists_rows) && head->k <= 0xffffffffu &&
                     head->entries <= size / 2;
  const bool flags = head->has_order <= 1 && head->has_sparse <= 1 && head->has_low_rank <= 1;
  if (!flags || head->rows == 0 || (head->entries != 0 && head->has_sparse == 0)) {
    return Status::Invalid(name, "describes no composite");
  }
  if (!small || size > static_cast<std::size_t>(-1) / 16 || Places(*head).first_matrix > size) {
    return Status::Invalid(name, "is truncated");
  }
  if (head->arrays_checksum != Checksum(bytes + sizeof(*head), Places(*head).end - sizeof(*head))) {
    return Status::Invalid(name, "is damaged: a checksum differs");
  }
  return {};
}

Status LoadMatrices(const std::uint8_t* bytes, std::size_t size, const char* name, const Places& places,
                    const PackOptions& options, PackedMatrix* matrices) {
  std::size_t at = places.first_matrix;
  for (std::size_t i = 0; i < places.matrices; ++i) {
    std::uint64_t own;
    std::memcpy(&own, bytes + sizeof(Head) + i * sizeof(own), sizeof(own));
    if (own > size - at || RoundUp(static_cast<std::size_t>(own), Buffer::kAlignment) > size - at) {
      return Status::Invalid(name, "is truncated");
    }
    const Status status = LoadPacked(bytes + at, static_cast<std::size_t>(own), options, matrices + i);
    if (!status.ok()) return {status.code(), name, status.reason()};
    at += RoundUp(static_cast<std::size_t>(own), Buffer::kAlignment);
  }
  return at == size ? Status() : Status::Invalid(name, "is too long");
}

// Loads from bytes that are aligned to 64, which `buffer`, `file` or the caller owns.
Status Load(const std::uint8_t* bytes, std::size_t size, const char* name, const PackOptions& options, Buffer buffer,
            MappedFile file, CompositeMatrix* w) {
  Head head;
  LUTRA_RETURN_IF_ERROR(Parse(bytes, size, name, &head));
  const Places places(head);
  std::unique_ptr<PackedMatrix[]> matrices(new (std::nothrow) PackedMatrix[places.matrices]);
  if (matrices == nullptr) return Status::OutOfMemory("w");
  LUTRA_RETURN_IF_ERROR(LoadMatrices(bytes, size, name, places, options, matrices.get()));
  const auto rows = static_cast<std::size_t>(head.rows);
  CompositeParts parts;
  parts.rows = {matrices.get(), rows};
  std::uint64_t m = 0;
  for (std::size_t i = 0; i < rows; ++i) m += matrices[i].m();
  if (m != head.m || matrices[0].k() != head.k) return Status::Invalid(name, "holds matrices of another shape");
  if (head.has_order != 0) parts.order = reinterpret_cast<const std::uint32_t*>(bytes + places.order);
  if (head.has_sparse != 0) {
    parts.sparse = {static_cast<std::size_t>(head.m), static_cast<std::size_t>(head.k),
                    reinterpret_cast<const std::uint32_t*>(bytes + places.offsets), bytes + places.columns,
                    reinterpret_cast<const std::uint16_t*>(bytes + places.values)};
    if (parts.sparse.offsets[m] != head.entries) return Status::Invalid(name, "holds another number of sparse weights");
  }
  if (head.has_low_rank != 0) {
    parts.down = &matrices[rows];
    parts.up = &matrices[rows + 1];
  }
  CompositeMatrix result;
  const Status status = Compose(parts, &result);
  if (!status.ok()) return {status.code(), name, status.reason()};
  CompositeAccess::Own(std::move(matrices), std::move(buffer), std::move(file), &result);
  *w = std::move(result);
  return {};
}

}  // namespace

std::size_t functions::CompositeFileSize(const CompositeMatrix& w) {
  const Places places(HeadOf(w));
  std::size_t size = places.first_matrix;
  for (std::size_t i = 0; i < places.matrices; ++i) {
    size += RoundUp(PackedFileSize(internal::MatrixAt(w.parts(), i)), Buffer::kAlignment);
  }
  return size;
}

Status functions::SaveComposite(const CompositeMatrix& w, void* bytes, std::size_t size) {
  if (bytes == nullptr) return Status::Invalid("bytes", "is null");
  if (w.parts().rows.size() == 0) return Status::Invalid("w", "is empty");
  if (size != CompositeFileSize(w)) return Status::Invalid("size", "is not CompositeFileSize(w)");
  Save(w, static_cast<std::uint8_t*>(bytes));
  return {};
}

Status functions::SaveComposite(const CompositeMatrix& w, const char* path) {
  if (path == nullptr) return Status::Invalid("path", "is null");
  Buffer bytes;
  const std::size_t size = CompositeFileSize(w);
  if (!bytes.Reserve(size)) return Status::OutOfMemory("w");
  LUTRA_RETURN_IF_ERROR(SaveComposite(w, bytes.data(), size));
  return internal::ReplaceFile(path, {{bytes.data(), size}});
}

Status functions::LoadComposite(const void* bytes, std::size_t size, const PackOptions& options, CompositeMatrix* w) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  if (bytes == nullptr) return Status::Invalid("bytes", "is null");
  const auto* at = static_cast<const std::uint8_t*>(bytes);
  Buffer copy;
  if (size != 0 && reinterpret_cast<std::uintptr_t>(bytes) % Buffer::kAlignment != 0) {
    if (!copy.Reserve(size)) return Status::OutOfMemory("w");
    std::memcpy(copy.data(), bytes, size);
    at = copy.data();
  }
  return Load(at, size, "bytes", options, std::move(copy), {}, w);
}

Status functions::LoadComposite(const char* path, const PackOptions& options, CompositeMatrix* w, FileAccess access) {
  if (w == nullptr) return Status::Invalid("w", "is null");
  MappedFile file;
  LUTRA_RETURN_IF_ERROR(file.Open(path, access));
  const std::uint8_t* const bytes = file.data();
  const std::size_t size = file.size();
  return Load(bytes, size, "path", options, {}, std::move(file), w);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
