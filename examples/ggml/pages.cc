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

}  // namespace

void ReleasePages(const void* data, std::size_t size) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto at = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = (at + page - 1) / page * page, end = (at + size) / page * page;
  if (begin >= end || !AreShared(begin, end)) return;
  char* const pages = const_cast<char*>(static_cast<const char*>(data)) + (begin - at);
  // Small tensors between packed ones stay in use. With huge pages each of them would bring 2 MB back. A failure, as on
  // locked pages, means that pages stay.
  (void)madvise(pages, end - begin, MADV_NOHUGEPAGE);
  (void)madvise(pages, end - begin, MADV_DONTNEED);
}

#else

void ReleasePages(const void* /*data*/, std::size_t /*size*/) {}

#endif

}  // namespace plugin
