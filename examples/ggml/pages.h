// Releases pages of mapped files.
#pragma once

#include <cstddef>

namespace plugin {

// Bytes that may be in a mapped file. Only shared mappings are released: the system keeps what they hold, and brings it
// back when it is read, so no data is lost. Linux only; elsewhere nothing is released. The constructor reads the list
// of the process's mappings, so it is slow.
class MappedBytes {
 public:
  MappedBytes() = default;  // none
  MappedBytes(const void* data, std::size_t size);
  bool shared() const { return begin_ != nullptr; }
  // Takes the whole pages of a part out of resident memory. Pages that other bytes share stay.
  void Release(std::size_t begin, std::size_t end) const;
  // Takes all pages out of resident memory.
  void Release() const;

 private:
  char* begin_ = nullptr;  // null: not in shared mappings
  char* end_ = nullptr;
};

}  // namespace plugin
