// Reads the header, metadata and tensors of a GGUF file; checks every step against the bytes that are left.
#include "lutra/gguf_file.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <new>
#include <utility>

#include "memory/little_endian.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

constexpr std::size_t kMaxSize = std::numeric_limits<std::size_t>::max();
constexpr Status kTruncated = Status::Invalid("bytes", "end too early: the file is truncated or damaged");

// The bytes that are not read yet. A read beyond the end yields zeros, and ok() is false from then on.
class Reader {
 public:
  Reader(const std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {}

  bool ok() const { return ok_; }
  std::size_t position() const { return position_; }
  std::size_t left() const { return size_ - position_; }

  const std::uint8_t* Skip(std::uint64_t size) {
    ok_ = ok_ && size <= left();
    if (!ok_) return nullptr;
    position_ += static_cast<std::size_t>(size);
    return bytes_ + position_ - size;
  }
  template <class T>
  T Number() {
    const std::uint8_t* const at = Skip(sizeof(T));
    return at == nullptr ? T{0} : internal::LoadLittleEndian<T>(at);
  }
  std::string_view String() {
    const auto size = Number<std::uint64_t>();
    const std::uint8_t* const at = Skip(size);
    if (at == nullptr) return {};
    return {reinterpret_cast<const char*>(at), static_cast<std::size_t>(size)};
  }

 private:
  const std::uint8_t* bytes_;
  std::size_t size_, position_ = 0;
  bool ok_ = true;
};

// --- Metadata.

constexpr std::uint32_t kUInt8 = 0, kInt8 = 1, kUInt16 = 2, kInt16 = 3, kUInt32 = 4, kInt32 = 5, kString = 8,
                        kUInt64 = 10, kInt64 = 11;
// Bytes of a value, by the number of its type; 0 for strings and arrays, whose sizes vary.
constexpr std::uint8_t kValueSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr int kMaxNesting = 8;  // of arrays in arrays; known files nest none

Status SkipValues(Reader& reader, std::uint32_t type, std::uint64_t count, int nesting) {
  if (type >= std::size(kValueSizes)) return Status::Invalid("bytes", "have metadata of an unknown type");
  const std::uint64_t size = kValueSizes[type];
  if (size != 0) {
    if (count > reader.left() / size) return kTruncated;
    reader.Skip(count * size);
    return {};
  }
  if (nesting > kMaxNesting) return Status::Unsupported("bytes", "have metadata of arrays nested too deeply");
  for (; count != 0 && reader.ok(); --count) {
    if (type == kString) {
      reader.String();
      continue;
    }
    const auto element_type = reader.Number<std::uint32_t>();
    const auto elements = reader.Number<std::uint64_t>();
    if (reader.ok()) LUTRA_RETURN_IF_ERROR(SkipValues(reader, element_type, elements, nesting + 1));
  }
  return reader.ok() ? Status() : kTruncated;
}

// Reads a number of an integer type; false for other types.
bool ReadInteger(Reader& reader, std::uint32_t type, std::uint64_t* value) {
  switch (type) {
    case kUInt8:
    case kInt8:
      *value = reader.Number<std::uint8_t>();
      return true;
    case kUInt16:
    case kInt16:
      *value = reader.Number<std::uint16_t>();
      return true;
    case kUInt32:
    case kInt32:
      *value = reader.Number<std::uint32_t>();
      return true;
    case kUInt64:
    case kInt64:
      *value = reader.Number<std::uint64_t>();
      return true;
    default:
      return false;
  }
}

Status ReadAlignment(Reader& reader, std::uint32_t type, bool found, std::size_t* alignment) {
  if (found || type != kUInt32) return Status::Invalid("bytes", "have a general.alignment twice or of a wrong type");
  *alignment = reader.Number<std::uint32_t>();
  if (!reader.ok()) return kTruncated;
  const bool power = *alignment != 0 && (*alignment & (*alignment - 1)) == 0;
  return power ? Status() : Status::Invalid("bytes", "have a general.alignment that is not a power of two");
}

Status ReadMetadata(Reader& reader, std::uint64_t count, internal::GgufHead* head) {
  bool aligned = false;
  const std::pair<std::string_view, std::uint64_t*> integers[] = {
      {"split.no", &head->split_no},
      {"split.count", &head->split_count},
      {"split.tensors.count", &head->split_tensors},
  };
  for (; count != 0; --count) {
    const std::string_view key = reader.String();
    const auto type = reader.Number<std::uint32_t>();
    if (!reader.ok()) return kTruncated;
    if (key == "general.alignment") {
      LUTRA_RETURN_IF_ERROR(ReadAlignment(reader, type, aligned, &head->alignment));
      aligned = true;
      continue;
    }
    const auto is_key = [&](const auto& integer) { return integer.first == key; };
    const auto* const integer = std::find_if(std::begin(integers), std::end(integers), is_key);
    if (integer == std::end(integers)) {
      LUTRA_RETURN_IF_ERROR(SkipValues(reader, type, 1, 0));
    } else if (!ReadInteger(reader, type, integer->second)) {
      return Status::Invalid("bytes", "have a split.no, split.count or split.tensors.count that is no integer");
    }
  }
  return reader.ok() ? Status() : kTruncated;
}

// --- Tensors.

constexpr std::uint32_t kMagic = 0x46554747;            // "GGUF"
constexpr std::size_t kMinTensorBytes = 8 + 4 + 4 + 8;  // of a description

// Gives the tensor an error, unless it has one.
void Fail(const char* reason, GgufTensor* tensor) {
  if (tensor->error.ok()) tensor->error = Status::Invalid("tensor", reason);
}

// Reads a description. The offset is relative to the begin of all data. Fails only if the descriptions after this one
// cannot be found.
Status ReadTensor(Reader& reader, GgufTensor* tensor) {
  tensor->name = reader.String();
  tensor->rank = reader.Number<std::uint32_t>();
  if (!reader.ok() || tensor->rank > reader.left() / sizeof(std::uint64_t)) return kTruncated;
  std::fill(std::begin(tensor->dims), std::end(tensor->dims), std::size_t{1});
  for (std::uint32_t i = 0; i < tensor->rank; ++i) {
    const auto dim = reader.Number<std::uint64_t>();
    if (i >= std::size(tensor->dims)) {
      Fail("has more than 4 dimensions", tensor);
    } else if (dim > kMaxSize) {
      Fail("has dimensions that are too large", tensor);
    } else {
      tensor->dims[i] = static_cast<std::size_t>(dim);
    }
  }
  tensor->type = reader.Number<std::uint32_t>();
  tensor->offset = reader.Number<std::uint64_t>();
  return reader.ok() ? Status() : kTruncated;
}

bool IsEmpty(const GgufTensor& tensor) { return tensor.k() == 0 || tensor.m() == 0; }

// Sets the size of a tensor whose type is known.
void Measure(GgufTensor* tensor) {
  // No type has more than 16 bytes per weight.
  std::size_t elements = 1;
  for (const std::size_t dim : tensor->dims) {
    if (dim != 0 && elements > kMaxSize / 16 / dim) return Fail("has dimensions that are too large", tensor);
    elements *= std::max<std::size_t>(dim, 1);
  }
  const GgufType* const type = FindGgufType(tensor->type);
  if (type == nullptr) return;
  if (tensor->k() % type->weights != 0) return Fail("has rows that are not whole blocks of its type", tensor);
  tensor->size = tensor->k() / type->weights * type->bytes * tensor->m() + type->tail_bytes;
}

// Calls function(tensor, room) for tensors that are sorted by offset. The room of a tensor is the number of bytes from
// the begin of its data to the begin of the next tensor's data, or to the end of all `size` bytes.
template <class Function>
void ForEachRoom(GgufTensor* const* sorted, std::size_t count, std::size_t size, const Function& function) {
  std::uint64_t end = size;    // where the room of this tensor ends
  std::uint64_t begin = size;  // where the last tensor with data begins
  for (std::size_t i = count; i != 0; --i) {
    GgufTensor* const tensor = sorted[i - 1];
    const std::uint64_t offset = tensor->offset;
    if (offset < begin) end = begin;
    if (offset < size && tensor->error.ok() && !IsEmpty(*tensor)) begin = offset;
    function(tensor, offset < end ? static_cast<std::size_t>(end - offset) : 0);
  }
}

// Some files use the id of one type for another type, which takes fewer bytes (GgufType::other_id). This is true if a
// tensor with that id has room for the other type only.
bool IsUnderOtherId(const GgufType& type, const GgufTensor& tensor, std::size_t room) {
  return tensor.type == type.other_id && tensor.error.ok() && tensor.k() % type.weights == 0 && tensor.size > room &&
         tensor.k() / type.weights * type.bytes * tensor.m() <= room;
}

// Sets the data of a tensor, whose offset is from the first of `size` bytes of data that stand at `position` of the
// file.
void Locate(const std::uint8_t* data, std::size_t position, std::size_t size, std::size_t room, std::size_t alignment,
            GgufTensor* tensor) {
  if (tensor->offset % alignment != 0) Fail("has data that are not aligned", tensor);
  const bool known = FindGgufType(tensor->type) != nullptr, empty = IsEmpty(*tensor);
  if (!empty && (tensor->offset >= size || tensor->size > size - tensor->offset)) {
    Fail("has data that reach beyond the end: the file is truncated or damaged", tensor);
  }
  if (!tensor->error.ok() || empty) {
    tensor->size = 0;
  } else {
    tensor->data = data + tensor->offset;
    if (!known) tensor->size = room;
  }
  if (tensor->offset > std::numeric_limits<std::uint64_t>::max() - position) return;  // it has no place in any file
  tensor->offset += position;
}

// Compares pointers to tensors of one array.
bool OffsetIsLess(const GgufTensor* a, const GgufTensor* b) { return a->offset < b->offset; }
bool NameIsLess(const GgufTensor* a, const GgufTensor* b) {
  const int order = a->name.compare(b->name);
  return order != 0 ? order < 0 : a < b;
}

}  // namespace

Status GgufFile::Parse(const void* bytes, std::size_t size) {
  const auto* const data = static_cast<const std::uint8_t*>(bytes);
  if (data == nullptr && size != 0) return Status::Invalid("bytes", "is null");
  Reader reader(data, size);
  GgufFile file;
  if (reader.Number<std::uint32_t>() != kMagic) return Status::Invalid("bytes", "do not begin with GGUF");
  file.head_.version = reader.Number<std::uint32_t>();
  const auto tensors = reader.Number<std::uint64_t>(), values = reader.Number<std::uint64_t>();
  if (!reader.ok()) return kTruncated;
  if (file.version() != 2 && file.version() != 3) {
    return Status::Unsupported("bytes", "are not of version 2 or 3, or not little-endian");
  }
  file.head_.alignment = 32;
  LUTRA_RETURN_IF_ERROR(ReadMetadata(reader, values, &file.head_));

  if (tensors > reader.left() / kMinTensorBytes) return kTruncated;
  file.size_ = static_cast<std::size_t>(tensors);
  if (!file.tensors_.Reserve(file.size_ * sizeof(GgufTensor)) || !file.by_name_.Reserve(file.size_ * sizeof(void*))) {
    return Status::OutOfMemory("bytes");
  }
  auto* const tensor = file.tensors_.as<GgufTensor>();
  auto** const sorted = file.by_name_.as<GgufTensor*>();
  for (std::size_t i = 0; i < file.size_; ++i) {
    sorted[i] = new (&tensor[i]) GgufTensor;
    LUTRA_RETURN_IF_ERROR(ReadTensor(reader, &tensor[i]));
    Measure(&tensor[i]);
  }
  const std::size_t padding = (file.alignment() - reader.position() % file.alignment()) % file.alignment();
  const std::size_t begin = reader.position() + std::min(padding, reader.left());

  std::sort(sorted, sorted + file.size_, OffsetIsLess);
  for (const GgufType& type : GgufTypes()) {
    if (type.other_id == type.id) continue;
    bool used = false;  // for one tensor, so for all tensors of the file
    ForEachRoom(sorted, file.size_, size - begin,
                [&](const GgufTensor* at, std::size_t room) { used = used || IsUnderOtherId(type, *at, room); });
    for (std::size_t i = 0; i < file.size_ && used; ++i) {
      if (tensor[i].type != type.other_id) continue;
      tensor[i].type = type.id;
      tensor[i].size = 0;
      Measure(&tensor[i]);
    }
  }
  ForEachRoom(sorted, file.size_, size - begin, [&](GgufTensor* at, std::size_t room) {
    Locate(data + begin, begin, size - begin, room, file.alignment(), at);
  });
  std::sort(sorted, sorted + file.size_, NameIsLess);
  for (std::size_t i = 1; i < file.size_; ++i) {
    if (sorted[i]->name != sorted[i - 1]->name) continue;
    Fail("has the name of a tensor before it", sorted[i]);
    sorted[i]->data = nullptr;
    sorted[i]->size = 0;
  }
  *this = std::move(file);
  return {};
}

const GgufTensor* GgufFile::Find(std::string_view name) const {
  const auto* const* const begin = by_name_.as<const GgufTensor*>();
  const auto* const* const found = std::lower_bound(
      begin, begin + size_, name, [](const GgufTensor* tensor, std::string_view text) { return tensor->name < text; });
  return found != begin + size_ && (*found)->name == name ? *found : nullptr;
}

Status functions::SliceOf(const GgufTensor& tensor, std::size_t i, GgufTensor* slice) {
  if (slice == nullptr) return Status::Invalid("slice", "is null");
  if (!tensor.error.ok()) return tensor.error;
  if (i >= tensor.slices()) return Status::Invalid("i", "is not below the number of slices");
  const std::size_t size = tensor.size / tensor.slices();
  const GgufType* const type = FindGgufType(tensor.type);
  if (type == nullptr || (type->tail_bytes != 0 && tensor.slices() != 1)) {
    return Status::Unsupported("tensor", "is of a type whose slices have no known size");
  }
  GgufTensor result = tensor;
  result.rank = 2;
  result.dims[2] = result.dims[3] = 1;
  result.size = size;
  result.offset += i * size;
  if (result.data != nullptr) result.data += i * size;
  *slice = result;
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
