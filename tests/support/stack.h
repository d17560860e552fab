// A thread with a stack of 128 KB, and how much of it a call takes.
#pragma once

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

// 1 if functions take as much stack as in users' builds: they are optimized, and no sanitizer adds to it. Tests of the
// stack are compiled only then.
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LUTRA_MEASURES_STACK 0
#elif !defined(__has_feature)
#define LUTRA_MEASURES_STACK 1
#elif __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define LUTRA_MEASURES_STACK 0
#else
#define LUTRA_MEASURES_STACK 1
#endif

namespace lutra::test {

inline constexpr std::size_t kMuslStack = std::size_t{128} << 10;  // what musl gives a thread by default

// The stack of a thread, above an unmapped page.
class Stack {
 public:
  Stack() {
    // The thread library keeps its own data at the top, 4 KB or so.
    bytes_ = (kMuslStack + kPage - 1) / kPage * kPage;
    void* const map = mmap(nullptr, bytes_ + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map, kPage, PROT_NONE) != 0) std::abort();
    begin_ = static_cast<std::uint8_t*>(map) + kPage;
  }
  ~Stack() { munmap(begin_ - kPage, bytes_ + kPage); }
  Stack(const Stack&) = delete;

  // The bytes that call() takes.
  template <class Call>
  std::size_t BytesOf(const Call& call) {
    return Run(call) - Run([] {});
  }

 private:
  static constexpr std::uint8_t kFill = 0xa5;
  static inline const auto kPage = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

  template <class Call>
  std::size_t Run(const Call& call) {
    std::memset(begin_, kFill, bytes_);
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    EXPECT_EQ(pthread_attr_setstack(&attributes, begin_, bytes_), 0);
    const auto run = [](void* to_call) -> void* {
      (*static_cast<const Call*>(to_call))();
      return nullptr;
    };
    EXPECT_EQ(pthread_create(&thread, &attributes, run, const_cast<Call*>(&call)), 0);
    EXPECT_EQ(pthread_join(thread, nullptr), 0);
    pthread_attr_destroy(&attributes);
    return static_cast<std::size_t>(begin_ + bytes_ -
                                    std::find_if(begin_, begin_ + bytes_, [](auto byte) { return byte != kFill; }));
  }

  std::size_t bytes_;
  std::uint8_t* begin_;
};

}  // namespace lutra::test
