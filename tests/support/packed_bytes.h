// The bytes of a packed matrix, as a file holds them, to be damaged and forged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lutra/lutra.h"
#include "support/red_zone.h"
#include "support/testing.h"
#include "support/xxh64.h"

namespace lutra::test {

inline constexpr std::size_t kPage = 4096;

// Makes the checksums of a file right, as a forger does. It has at least a page.
inline void Seal(std::uint8_t* file, std::size_t size) {
  const auto put = [&](std::size_t at, const std::uint8_t* from, std::size_t count) {
    const std::uint64_t sum = Xxh64::Of(from, count);
    std::memcpy(file + at, &sum, sizeof(sum));
  };
  std::uint64_t bytes;
  std::memcpy(&bytes, file + 48, sizeof(bytes));
  if (bytes <= size - kPage) {
    put(56, file + kPage, bytes);
    put(64, file + kPage + bytes, size - kPage - bytes);
  }
  put(kPage - 8, file, kPage - 8);
}

// Bytes of a file, aligned to 64. Less than 64 bytes lie between them and an unmapped page, and AddressSanitizer
// reports access to those.
class Bytes {
 public:
  explicit Bytes(std::size_t size) : rounded_((size + 63) / 64 * 64), size_(size), zone_(rounded_) {
    ASAN_POISON_MEMORY_REGION(data() + size_, rounded_ - size_);
  }
  explicit Bytes(const PackedMatrix& w) : Bytes(PackedFileSize(w)) { EXPECT_TRUE(Ok(SavePacked(w, data(), size_))); }
  std::uint8_t* data() { return zone_.end() - rounded_; }
  std::size_t size() const { return size_; }

  void Seal() { test::Seal(data(), size_); }

 private:
  std::size_t rounded_, size_;
  RedZone zone_;
};

}  // namespace lutra::test
