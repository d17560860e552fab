// Conversions between float and the two float types of 16 bits, in scalar code.
#pragma once

#include <cstdint>

#include "lutra/export.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// f16 is IEEE binary16; bf16 is the upper 16 bits of a binary32. Conversions to 16 bits round to nearest, ties to even.
// Values that round above the largest finite value become infinite; NaN stays NaN. Thread-safe.
LUTRA_API float F16ToF32(std::uint16_t bits) noexcept;
LUTRA_API std::uint16_t F32ToF16(float value) noexcept;
LUTRA_API float BF16ToF32(std::uint16_t bits) noexcept;
LUTRA_API std::uint16_t F32ToBF16(float value) noexcept;

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
