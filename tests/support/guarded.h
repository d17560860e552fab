// A caller's memory: between a known pattern and an unmapped page.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "support/red_zone.h"

namespace lutra::test {

// Bytes that end at a page that is not mapped, so that they have the alignment that their elements need and often no
// more. Before them stands a known pattern, which the address sanitizer does not let anyone read.
class Guarded {
 public:
  static constexpr std::size_t kGuard = 64;
  static constexpr std::uint8_t kFill = 0xff;  // a NaN in every float type, a code out of range, -1

  explicit Guarded(std::size_t size = 0) : size_(size), zone_(kGuard + size) {
    std::memset(data() - kGuard, kFill, kGuard + size);
  }
  Guarded(Guarded&&) = default;
  Guarded& operator=(Guarded&&) = default;

  std::uint8_t* data() { return zone_.end() - size_; }
  const std::uint8_t* data() const { return zone_.end() - size_; }
  std::size_t size() const { return size_; }

  // Remembers the contents and closes the surroundings; once more after a change.
  void Seal() {
    sealed_.assign(data(), data() + size_);
    ASAN_POISON_MEMORY_REGION(data() - kGuard, kGuard);
  }
  // True if neither contents nor surroundings changed since Seal.
  bool Intact() const {
    return SurroundingsIntact() && (size_ == 0 || std::memcmp(data(), sealed_.data(), size_) == 0);
  }
  // True if the surroundings have not changed.
  bool SurroundingsIntact() const {
    ASAN_UNPOISON_MEMORY_REGION(data() - kGuard, kGuard);
    const bool intact = std::all_of(data() - kGuard, data(), [](std::uint8_t byte) { return byte == kFill; });
    ASAN_POISON_MEMORY_REGION(data() - kGuard, kGuard);
    return intact;
  }

 private:
  std::size_t size_;
  RedZone zone_;
  std::vector<std::uint8_t> sealed_;
};

}  // namespace lutra::test
