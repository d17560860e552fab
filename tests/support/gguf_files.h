// Small GGUF files, well-formed and not.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "support/gguf_writer.h"

namespace lutra::test {

using Bytes = std::vector<std::uint8_t>;

inline constexpr std::uint32_t kUInt8 = 0, kUInt32 = 4, kText = 8, kArray = 9, kUInt64 = 10;
inline constexpr std::uint32_t kF32Type = 0, kQ4_0 = 2, kQ4_K = 12, kNoType = 77;

// Parses a copy that ends where the bytes end, so that AddressSanitizer sees a read beyond.
struct Parsed {
  explicit Parsed(const Bytes& bytes) : copy(new std::uint8_t[bytes.size()]) {
    std::copy(bytes.begin(), bytes.end(), copy.get());
    status = file.Parse(copy.get(), bytes.size());
  }
  std::unique_ptr<std::uint8_t[]> copy;
  GgufFile file;
  Status status;
};

inline constexpr std::uint64_t kHuge = std::uint64_t{1} << 60, kAll = ~std::uint64_t{0};

inline void PutAlignment(std::uint32_t alignment, GgufWriter* to) {
  to->Key("general.alignment", kUInt32);
  to->Put(alignment);
}

// A file of one tensor of 2 x 64 weights, described otherwise.
inline Bytes WithTensor(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint64_t offset,
                        std::uint32_t type = kQ4_0) {
  GgufWriter file;
  file.Tensor("a", {64, 2}, kQ4_0, Bytes(2 * 2 * 18, 0));
  file.Describe(name, dims, type, offset);
  return file.Bytes();
}
}  // namespace lutra::test
