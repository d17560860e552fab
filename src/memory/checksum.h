// A fast checksum of large data.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lutra {
namespace internal {

// XXH64 with seed 0 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md): some 15 GB/s in portable code,
// where byte-wise CRCs take an instruction that has to be dispatched. For little-endian machines.
std::uint64_t Checksum(const void* data, std::size_t size);

}  // namespace internal
}  // namespace lutra
