// The memory of lutra::Buffer in tests that are linked with allocator.cc: it ends at an unmapped page, holds garbage,
// is counted and may be refused.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace lutra::test {

struct Allocator {
  static constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

  std::atomic<std::size_t> calls{0};         // of Buffer::Reserve that need memory
  std::atomic<std::size_t> live{0};          // buffers that are not yet free
  std::atomic<std::size_t> refused{kNever};  // from this call on, counted from 0, there is no memory
  std::atomic<std::uint8_t> garbage{0xff};   // in every byte of a new buffer; 0xff: NaN, -1, codes out of range
};

// The allocator of all buffers in the process.
Allocator& TheAllocator();

}  // namespace lutra::test
