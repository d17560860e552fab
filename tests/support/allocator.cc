// Buffer with the memory that allocator.h describes, in place of the library's src/memory/buffer.cc.
#include "support/allocator.h"

#include <sanitizer/asan_interface.h>

#include <cstring>

#include "lutra/buffer.h"
#include "support/red_zone.h"

#if defined(LUTRA_MEMCHECK)
#include <valgrind/memcheck.h>
#endif

namespace lutra {
namespace {

std::size_t Aligned(std::size_t size) {
  return (size + Buffer::kAlignment - 1) / Buffer::kAlignment * Buffer::kAlignment;
}

}  // namespace

test::Allocator& test::TheAllocator() {
  static Allocator allocator;
  return allocator;
}

// The first byte is aligned, so some bytes lie between the last one and the unmapped page. The address sanitizer
// reports access to them.
bool Buffer::Reserve(std::size_t size) {
  if (size <= size_) return true;
  test::Allocator& allocator = test::TheAllocator();
  if (allocator.calls.fetch_add(1) >= allocator.refused.load()) return false;
  if (size > static_cast<std::size_t>(-1) / 8) return false;
  const std::size_t aligned = Aligned(size);
  test::RedZone zone(aligned);
  if (zone.end() == nullptr) return false;
  Free();
  data_ = zone.Release() - aligned;
  size_ = size;
  std::memset(data_, allocator.garbage.load(), aligned);
#if defined(LUTRA_MEMCHECK)
  (void)VALGRIND_MAKE_MEM_UNDEFINED(data_, aligned);  // valgrind reports its use
#endif
  ASAN_POISON_MEMORY_REGION(data_ + size, aligned - size);
  ++allocator.live;
  return true;
}

void Buffer::Free() {
  if (data_ == nullptr) return;
  const std::size_t aligned = Aligned(size_);
  const test::RedZone zone(data_ + aligned, aligned);
  --test::TheAllocator().live;
  data_ = nullptr;
  size_ = 0;
}

}  // namespace lutra
