// See pages.h.
#include "pages.h"

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace plugin {

#if defined(__linux__)

namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// Whether all these bytes are in shared mappings.
bool AreShared(std::uintptr_t begin, std::uintptr_t end) {
  const std::unique_ptr<std::FILE, Close> maps(std::fopen("/proc/self/maps", "re"));
  std::uintptr_t first = 0, last = 0;
  char line[512], flags[5];
  bool starts = true;  // a line that is longer comes in parts
  while (begin < end && maps != nullptr && std::fgets(line, sizeof(line), maps.get()) != nullptr) {
    const bool is_mapping = starts && std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &first, &last, flags) == 3;
    starts = std::strchr(line, '\n') != nullptr;
    if (is_mapping && first <= begin && begin < last && flags[3] == 's') begin = last;
  }
  return begin >= end;
}

// The last page boundary up to an address, and the first one from it on.
char* PageBefore(char* at) {
  return at - reinterpret_cast<std::uintptr_t>(at) % static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
}
char* PageAfter(char* at) { return PageBefore(at + sysconf(_SC_PAGESIZE) - 1); }

// A failure, as on locked pages, means that pages stay.
void Advise(char* begin, char* end, int advice) {
  if (begin < end) (void)madvise(begin, static_cast<std::size_t>(end - begin), advice);
}

}  // namespace

MappedBytes::MappedBytes(const void* data, std::size_t size) {
  const auto at = reinterpret_cast<std::uintptr_t>(data);
  if (size == 0 || !AreShared(at, at + size)) return;
  begin_ = const_cast<char*>(static_cast<const char*>(data));
  end_ = begin_ + size;
  // Small tensors between packed ones stay in use. With huge pages each of them would bring 2 MB back. A page that a
  // small tensor shares is left out: advice splits the mapping, and Linux brings back only pages of the page's own
  // part.
  Advise(PageAfter(begin_), PageBefore(end_), MADV_NOHUGEPAGE);
}

void MappedBytes::Release(std::size_t begin, std::size_t end) const {
  if (shared()) Advise(PageAfter(begin_ + begin), PageBefore(begin_ + end), MADV_DONTNEED);
}

void MappedBytes::Release() const {
  if (shared()) Advise(PageBefore(begin_), PageAfter(end_), MADV_DONTNEED);
}

#else

MappedBytes::MappedBytes(const void* /*data*/, std::size_t /*size*/) {}
void MappedBytes::Release(std::size_t /*begin*/, std::size_t /*end*/) const {}
void MappedBytes::Release() const {}

#endif

}  // namespace plugin
