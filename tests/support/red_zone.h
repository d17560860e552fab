// Memory that ends at an unmapped page: the processor stops a read or write of one byte more.
#pragma once

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(begin, bytes) (static_cast<void>(begin), static_cast<void>(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(begin, bytes) (static_cast<void>(begin), static_cast<void>(bytes))
#endif

namespace lutra::test {

// Readable pages before an unmapped one. Small ones go to a pool and are used again, since mapping them takes longer
// than most tests; large ones are unmapped. Thread-safe.
class RedZone {
 public:
  RedZone() = default;
  // At least `size` bytes, of any content; none (see end()) if memory is short.
  explicit RedZone(std::size_t size) : pages_(PagesFor(size)), begin_(Take(pages_)) {}
  // The pages that another RedZone of this end and size released.
  RedZone(std::uint8_t* end, std::size_t size) : pages_(PagesFor(size)), begin_(end - pages_ * PageBytes()) {}
  ~RedZone() {
    if (begin_ != nullptr) Give(begin_, pages_);
  }
  RedZone(RedZone&& other) noexcept { *this = std::move(other); }
  RedZone& operator=(RedZone&& other) noexcept {
    std::swap(pages_, other.pages_);
    std::swap(begin_, other.begin_);
    return *this;
  }

  // The first byte that cannot be touched; null if memory was short.
  std::uint8_t* end() const { return begin_ == nullptr ? nullptr : begin_ + pages_ * PageBytes(); }
  // Leaves the pages to a RedZone that will be made of their end and size.
  std::uint8_t* Release() {
    std::uint8_t* const last = end();
    begin_ = nullptr;
    return last;
  }

  static std::size_t PageBytes() {
#if defined(_WIN32)
    return 4096;
#else
    static const auto kBytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return kBytes;
#endif
  }

 private:
  static constexpr std::size_t kClasses = 12;  // of 2^i pages, that are kept

  struct Pool {
    std::mutex mutex;
    std::vector<std::uint8_t*> kept[kClasses];
  };
  static Pool& ThePool() {
    static Pool* const pool = new Pool;  // outlives all static objects
    return *pool;
  }

  static std::size_t PagesFor(std::size_t size) {
    std::size_t pages = 1;
    while (pages * PageBytes() < size) pages *= 2;
    return pages;
  }
  static std::size_t ClassOf(std::size_t pages) {
    std::size_t i = 0;
    while (std::size_t{1} << i < pages) ++i;
    return i;
  }

  static std::uint8_t* Take(std::size_t pages) {
    if (const std::size_t i = ClassOf(pages); i < kClasses) {
      const std::lock_guard<std::mutex> lock(ThePool().mutex);
      std::vector<std::uint8_t*>& kept = ThePool().kept[i];
      if (!kept.empty()) {
        std::uint8_t* const begin = kept.back();
        kept.pop_back();
        return begin;
      }
    }
    return Map(pages * PageBytes());
  }
  static void Give(std::uint8_t* begin, std::size_t pages) {
    ASAN_UNPOISON_MEMORY_REGION(begin, pages * PageBytes());
    if (const std::size_t i = ClassOf(pages); i < kClasses) {
      const std::lock_guard<std::mutex> lock(ThePool().mutex);
      ThePool().kept[i].push_back(begin);
    } else {
      Unmap(begin, pages * PageBytes());
    }
  }

  // Pages of `bytes` before one that cannot be touched; null if memory is short.
  static std::uint8_t* Map(std::size_t bytes) {
#if defined(_WIN32)
    void* const begin = VirtualAlloc(nullptr, bytes + PageBytes(), MEM_RESERVE, PAGE_NOACCESS);
    if (begin != nullptr && VirtualAlloc(begin, bytes, MEM_COMMIT, PAGE_READWRITE) == nullptr) std::abort();
#else
    void* const begin = mmap(nullptr, bytes + PageBytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (begin == MAP_FAILED) return nullptr;
    if (mprotect(static_cast<std::uint8_t*>(begin) + bytes, PageBytes(), PROT_NONE) != 0) std::abort();
#endif
    return static_cast<std::uint8_t*>(begin);
  }
  static void Unmap(std::uint8_t* begin, std::size_t bytes) {
#if defined(_WIN32)
    const bool done = bytes != 0 && VirtualFree(begin, 0, MEM_RELEASE) != 0;
#else
    const bool done = munmap(begin, bytes + PageBytes()) == 0;
#endif
    if (!done) std::abort();
  }

  std::size_t pages_ = 0;
  std::uint8_t* begin_ = nullptr;
};

}  // namespace lutra::test
