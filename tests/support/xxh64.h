// XXH64 with seed 0, as its specification says it: the checksum of packed files, computed without the library.
// https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
#pragma once

#include <cstddef>
#include <cstdint>

namespace lutra::test {

// Follows the steps of the specification one by one; it is short rather than fast.
class Xxh64 {
 public:
  static std::uint64_t Of(const void* data, std::size_t size) {
    const auto* at = static_cast<const std::uint8_t*>(data);
    const auto* const end = at + size;

    // Steps 1 to 3: four accumulators take 32 bytes at a time and converge. Shorter inputs skip them.
    std::uint64_t hash = kPrime5;
    if (size >= 32) {
      std::uint64_t a = kPrime1 + kPrime2, b = kPrime2, c = 0, d = 0 - kPrime1;
      for (; end - at >= 32; at += 32) {
        a = Round(a, Word(at, 8)), b = Round(b, Word(at + 8, 8));
        c = Round(c, Word(at + 16, 8)), d = Round(d, Word(at + 24, 8));
      }
      hash = Rotated(a, 1) + Rotated(b, 7) + Rotated(c, 12) + Rotated(d, 18);
      hash = Merged(Merged(Merged(Merged(hash, a), b), c), d);
    }

    // Steps 4 and 5: the length, and the bytes that are left, in words of 8, 4 and 1 byte.
    hash += size;
    for (; end - at >= 8; at += 8) hash = Rotated(hash ^ Round(0, Word(at, 8)), 27) * kPrime1 + kPrime4;
    for (; end - at >= 4; at += 4) hash = Rotated(hash ^ (Word(at, 4) * kPrime1), 23) * kPrime2 + kPrime3;
    for (; end != at; at += 1) hash = Rotated(hash ^ (*at * kPrime5), 11) * kPrime1;

    // Step 6: every bit of the input reaches every bit of the result.
    hash = (hash ^ (hash >> 33)) * kPrime2;
    hash = (hash ^ (hash >> 29)) * kPrime3;
    return hash ^ (hash >> 32);
  }

 private:
  static constexpr std::uint64_t kPrime1 = 11400714785074694791u, kPrime2 = 14029467366897019727u,
                                 kPrime3 = 1609587929392839161u, kPrime4 = 9650029242287828579u,
                                 kPrime5 = 2870177450012600261u;

  static std::uint64_t Rotated(std::uint64_t value, int bits) { return (value << bits) | (value >> (64 - bits)); }
  // A little-endian number of some bytes.
  static std::uint64_t Word(const std::uint8_t* at, int bytes) {
    std::uint64_t word = 0;
    for (int i = 0; i < bytes; ++i) word |= static_cast<std::uint64_t>(at[i]) << (8 * i);
    return word;
  }
  static std::uint64_t Round(std::uint64_t accumulator, std::uint64_t lane) {
    return Rotated(accumulator + lane * kPrime2, 31) * kPrime1;
  }
  static std::uint64_t Merged(std::uint64_t hash, std::uint64_t accumulator) {
    return (hash ^ Round(0, accumulator)) * kPrime1 + kPrime4;
  }
};

}  // namespace lutra::test
