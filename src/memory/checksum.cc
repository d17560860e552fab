// XXH64, in portable code; see checksum.h.
#include "memory/checksum.h"

#include <cstring>

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

// The primes of the specification. It also gives the numbers of bits for rotations and shifts below.
constexpr std::uint64_t kPrimes[] = {0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
                                     0x27D4EB2F165667C5};
constexpr std::size_t kLanes = 4, kStripe = kLanes * sizeof(std::uint64_t);

constexpr std::uint64_t Rotate(std::uint64_t value, int bits) { return value << bits | value >> (64 - bits); }

constexpr std::uint64_t Round(std::uint64_t lane, std::uint64_t input) {
  return Rotate(lane + input * kPrimes[1], 31) * kPrimes[0];
}

template <class T>
std::uint64_t Load(const std::uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// Hashes whole stripes to one number. The four lanes do not depend on each other, so the CPU computes them in parallel.
std::uint64_t HashStripes(const std::uint8_t* data, const std::uint8_t* end) {
  std::uint64_t lanes[kLanes] = {kPrimes[0] + kPrimes[1], kPrimes[1], 0, std::uint64_t{0} - kPrimes[0]};
  for (; data != end; data += kStripe) {
    for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = Round(lanes[i], Load<std::uint64_t>(data + 8 * i));
  }
  std::uint64_t hash = Rotate(lanes[0], 1) + Rotate(lanes[1], 7) + Rotate(lanes[2], 12) + Rotate(lanes[3], 18);
  for (const std::uint64_t lane : lanes) hash = (hash ^ Round(0, lane)) * kPrimes[0] + kPrimes[3];
  return hash;
}

}  // namespace

std::uint64_t Checksum(const void* data, std::size_t size) {
  const auto* at = static_cast<const std::uint8_t*>(data);
  const std::size_t stripes = size / kStripe * kStripe;
  std::uint64_t hash = (stripes != 0 ? HashStripes(at, at + stripes) : kPrimes[4]) + size;
  std::size_t left = size - stripes;
  if (left != 0) at += stripes;
  for (; left >= 8; left -= 8, at += 8) {
    hash = Rotate(hash ^ Round(0, Load<std::uint64_t>(at)), 27) * kPrimes[0] + kPrimes[3];
  }
  if (left >= 4) {
    hash = Rotate(hash ^ Load<std::uint32_t>(at) * kPrimes[0], 23) * kPrimes[1] + kPrimes[2];
    left -= 4;
    at += 4;
  }
  for (; left != 0; --left, ++at) hash = Rotate(hash ^ *at * kPrimes[4], 11) * kPrimes[0];
  hash = (hash ^ hash >> 33) * kPrimes[1];
  hash = (hash ^ hash >> 29) * kPrimes[2];
  return hash ^ hash >> 32;
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
