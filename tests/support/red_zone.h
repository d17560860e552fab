// Memory that ends at an unmapped page: the processor stops a read or write of one byte more.
#pragma once

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

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
    static const auto kBytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return kBytes;
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
    const std::size_t bytes = pages * PageBytes();
    void* const begin = mmap(nullptr, bytes + PageBytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (begin == MAP_FAILED) return nullptr;
    if (mprotect(static_cast<std::uint8_t*>(begin) + bytes, PageBytes(), PROT_NONE) != 0) std::abort();
    return static_cast<std::uint8_t*>(begin);
  }
  static void Give(std::uint8_t* begin, std::size_t pages) {
    ASAN_UNPOISON_MEMORY_REGION(begin, pages * PageBytes());
    if (const std::size_t i = ClassOf(pages); i < kClasses) {
      const std::lock_guard<std::mutex> lock(ThePool().mutex);
      ThePool().kept[i].push_back(begin);
    } else if (munmap(begin, (pages + 1) * PageBytes()) != 0) {
      std::abort();
    }
  }

  std::size_t pages_ = 0;
  std::uint8_t* begin_ = nullptr;
};

}  // namespace lutra::test
