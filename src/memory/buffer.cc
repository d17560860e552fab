// Buffer: aligned memory, on huge pages if it is large.
#include "lutra/buffer.h"

#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace lutra {
bool Buffer::Reserve(std::size_t size) {
  if (size <= size_) return true;
  const std::size_t rounded = BytesFor(size);
  if (rounded == kNone) return false;
  const std::size_t alignment = rounded >= kHugePage ? kHugePage : kAlignment;
  void* data = nullptr;
  if (posix_memalign(&data, alignment, rounded) != 0) return false;
#if defined(__linux__)
  if (alignment == kHugePage) (void)madvise(data, rounded, MADV_HUGEPAGE);
#endif
  Free();
  data_ = static_cast<std::uint8_t*>(data);
  size_ = rounded;
  return true;
}

void Buffer::Free() {
  std::free(data_);
  data_ = nullptr;
  size_ = 0;
}

}  // namespace lutra
