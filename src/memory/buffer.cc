// Buffer: aligned memory, on huge pages if it is large.
#include "lutra/buffer.h"

#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#elif defined(_WIN32)
#include <malloc.h>
#endif

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;  // bytes, on x86 and on Arm with pages of 4 KB

void* Allocate(std::size_t size, std::size_t alignment) {
#if defined(_WIN32)
  return _aligned_malloc(size, alignment);
#else
  void* data = nullptr;
  return posix_memalign(&data, alignment, size) == 0 ? data : nullptr;
#endif
}

}  // namespace

bool Buffer::Reserve(std::size_t size) {
  if (size <= size_) return true;
  const std::size_t rounded = BytesFor(size);
  if (rounded == kNone) return false;
  const std::size_t alignment = rounded >= kHugePage ? kHugePage : kAlignment;
  void* const data = Allocate(rounded, alignment);
  if (data == nullptr) return false;
#if defined(__linux__)
  // The rest, which is less than a huge page, stays on small pages: it takes no more memory than it has bytes.
  if (alignment == kHugePage) (void)madvise(data, rounded / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  Free();
  data_ = static_cast<std::uint8_t*>(data);
  size_ = rounded;
  return true;
}

void Buffer::Free() {
#if defined(_WIN32)
  _aligned_free(data_);
#else
  std::free(data_);
#endif
  data_ = nullptr;
  size_ = 0;
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
