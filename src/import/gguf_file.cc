// Reads the header, metadata and tensors of a GGUF file; checks every step against the bytes that are left.
#include "lutra/gguf_file.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <new>

#include "memory/little_endian.h"
#include "validate.h"

namespace lutra {
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

constexpr std::uint32_t kUInt32 = 4, kString = 8;
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

Status ReadMetadata(Reader& reader, std::uint64_t count, std::size_t* alignment) {
  bool found = false;
  for (; count != 0; --count) {
    const std::string_view key = reader.String();
    const auto type = reader.Number<std::uint32_t>();
    if (!reader.ok()) return kTruncated;
    if (key != "general.alignment") {
      LUTRA_RETURN_IF_ERROR(SkipValues(reader, type, 1, 0));
      continue;
    }
    if (found || type != kUInt32) return Status::Invalid("bytes", "have a general.alignment twice or of a wrong type");
    found = true;
    *alignment = reader.Number<std::uint32_t>();
    if (!reader.ok()) return kTruncated;
    if (*alignment == 0 || (*alignment & (*alignment - 1)) != 0) {
      return Status::Invalid("bytes", "have a general.alignment that is not a power of two");
    }
  }
  return {};
}

// --- Tensors.

constexpr std::uint32_t kMagic = 0x46554747;                // "GGUF"
constexpr std::size_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;  // of a description

// Reads a description. The offset is relative to the begin of all data; the size is 0 if the type is not known.
Status ReadTensor(Reader& reader, GgufTensor* tensor) {
  tensor->name = reader.String();
  tensor->rank = reader.Number<std::uint32_t>();
  if (!reader.ok()) return kTruncated;
  if (tensor->rank == 0 || tensor->rank > std::size(tensor->dims)) {
    return Status::Invalid("bytes", "have a tensor that does not have 1 to 4 dimensions");
  }
  std::size_t elements = 1;
  for (std::uint32_t i = 0; i < std::size(tensor->dims); ++i) {
    const std::uint64_t dim = i < tensor->rank ? reader.Number<std::uint64_t>() : 1;
    if (!reader.ok()) return kTruncated;
    if (dim == 0) return Status::Invalid("bytes", "have a tensor with a dimension of 0");
    // No type has more than 16 bytes per weight.
    if (dim > kMaxSize / 16 / elements) return Status::Invalid("bytes", "have a tensor whose dimensions are too large");
    tensor->dims[i] = static_cast<std::size_t>(dim);
    elements *= tensor->dims[i];
  }
  tensor->type = reader.Number<std::uint32_t>();
  tensor->offset = reader.Number<std::uint64_t>();
  if (!reader.ok()) return kTruncated;
  const GgufType* const type = FindGgufType(tensor->type);
  if (type == nullptr) return {};
  if (tensor->k() % type->weights != 0) {
    return Status::Invalid("bytes", "have a tensor whose rows are not whole blocks of its type");
  }
  tensor->size = elements / type->weights * type->bytes + type->tail_bytes;
  return {};
}

// Sets the data of a tensor; the data of all tensors begin at bytes[begin].
Status Locate(const std::uint8_t* bytes, std::size_t size, std::size_t begin, std::size_t alignment,
              GgufTensor* tensor) {
  if (tensor->offset % alignment != 0) return Status::Invalid("bytes", "have a tensor that is not aligned");
  if (tensor->offset > size - begin) return kTruncated;
  const std::size_t left = size - begin - static_cast<std::size_t>(tensor->offset);
  if (tensor->size > left) return kTruncated;
  if (FindGgufType(tensor->type) == nullptr) tensor->size = left;
  tensor->offset += begin;
  tensor->data = bytes + tensor->offset;
  return {};
}

bool NameIsLess(const GgufTensor* a, const GgufTensor* b) { return a->name < b->name; }

}  // namespace

Status GgufFile::Parse(const void* bytes, std::size_t size) {
  const auto* const data = static_cast<const std::uint8_t*>(bytes);
  if (data == nullptr && size != 0) return Status::Invalid("bytes", "is null");
  Reader reader(data, size);
  GgufFile file;
  if (reader.Number<std::uint32_t>() != kMagic) return Status::Invalid("bytes", "do not begin with GGUF");
  file.version_ = reader.Number<std::uint32_t>();
  const auto tensors = reader.Number<std::uint64_t>(), values = reader.Number<std::uint64_t>();
  if (!reader.ok()) return kTruncated;
  if (file.version_ != 2 && file.version_ != 3) {
    return Status::Unsupported("bytes", "are not of version 2 or 3, or not little-endian");
  }
  file.alignment_ = 32;
  LUTRA_RETURN_IF_ERROR(ReadMetadata(reader, values, &file.alignment_));

  if (tensors > reader.left() / kMinTensorBytes) return kTruncated;
  file.size_ = static_cast<std::size_t>(tensors);
  if (!file.tensors_.Reserve(file.size_ * sizeof(GgufTensor)) || !file.by_name_.Reserve(file.size_ * sizeof(void*))) {
    return Status::OutOfMemory("bytes");
  }
  auto* const tensor = file.tensors_.as<GgufTensor>();
  auto** const by_name = file.by_name_.as<const GgufTensor*>();
  for (std::size_t i = 0; i < file.size_; ++i) {
    by_name[i] = new (&tensor[i]) GgufTensor;
    LUTRA_RETURN_IF_ERROR(ReadTensor(reader, &tensor[i]));
  }
  const std::size_t padding = (file.alignment_ - reader.position() % file.alignment_) % file.alignment_;
  if (file.size_ != 0 && padding > reader.left()) return kTruncated;
  for (std::size_t i = 0; i < file.size_; ++i) {
    LUTRA_RETURN_IF_ERROR(Locate(data, size, reader.position() + padding, file.alignment_, &tensor[i]));
  }
  std::sort(by_name, by_name + file.size_, NameIsLess);
  const auto same = [](const GgufTensor* a, const GgufTensor* b) { return a->name == b->name; };
  if (std::adjacent_find(by_name, by_name + file.size_, same) != by_name + file.size_) {
    return Status::Invalid("bytes", "have two tensors of the same name");
  }
  *this = std::move(file);
  return {};
}

const GgufTensor* GgufFile::Find(std::string_view name) const {
  GgufTensor wanted;
  wanted.name = name;
  const auto* const* const begin = by_name_.as<const GgufTensor*>();
  const auto* const* const found = std::lower_bound(begin, begin + size_, &wanted, NameIsLess);
  return found != begin + size_ && (*found)->name == name ? *found : nullptr;
}

}  // namespace lutra
