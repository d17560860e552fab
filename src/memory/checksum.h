// The checksum of packed files and of column orders.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// XXH64 of data[0 .. size) with seed 0 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). It reaches
// some 15 GB/s in portable code; a CRC as fast would need an instruction that has to be dispatched. Big-endian machines
// get other checksums.
std::uint64_t Checksum(const void* data, std::size_t size);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
