// Memory between canaries.
#pragma once

#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lutra::test {

// Bytes that are surrounded by a known pattern; under the address sanitizer the surroundings cannot even be read.
// The data are aligned to 4 bytes and to no more, as a caller's may be.
class Guarded {
 public:
  static constexpr std::size_t kGuard = 68;
  static constexpr std::uint8_t kFill = 0xff;  // a NaN in every float type, a code out of range, -1

  explicit Guarded(std::size_t size = 0) : size_(size), bytes_(size + 2 * kGuard, kFill) {}

  std::uint8_t* data() { return bytes_.data() + kGuard; }
  const std::uint8_t* data() const { return bytes_.data() + kGuard; }
  std::size_t size() const { return size_; }

  // Remembers the contents and closes the surroundings.
  void Seal() {
    sealed_ = bytes_;
    Close();
  }
  // True if neither contents nor surroundings changed since Seal.
  bool Intact() const {
    return Opened([](const Guarded& g) { return g.bytes_ == g.sealed_; });
  }
  // True if the surroundings have not changed.
  bool SurroundingsIntact() const {
    return Opened([](const Guarded& g) {
      const auto filled = [](std::uint8_t byte) { return byte == kFill; };
      return std::all_of(g.bytes_.begin(), g.bytes_.begin() + kGuard, filled) &&
             std::all_of(g.bytes_.end() - kGuard, g.bytes_.end(), filled);
    });
  }

 private:
  void Close() const {
    ASAN_POISON_MEMORY_REGION(bytes_.data(), kGuard);
    ASAN_POISON_MEMORY_REGION(bytes_.data() + kGuard + size_, kGuard);
  }
  template <class Function>
  bool Opened(Function function) const {
    ASAN_UNPOISON_MEMORY_REGION(bytes_.data(), bytes_.size());
    const bool result = function(*this);
    Close();
    return result;
  }

  std::size_t size_;
  std::vector<std::uint8_t> bytes_, sealed_;
};

}  // namespace lutra::test
