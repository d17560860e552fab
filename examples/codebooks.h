// Tables for formats whose values belong to the matrix: NF4 (https://arxiv.org/abs/2305.14314) and its kin of three
// bits, in steps of 1/127.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/quantize.h"

namespace lutra::examples {

inline constexpr std::int8_t kNf3[8] = {-127, -68, -31, 0, 23, 49, 79, 127};
inline constexpr std::int8_t kNf4[16] = {-127, -88, -67, -50, -36, -23, -12, 0, 10, 20, 31, 43, 56, 71, 92, 127};

// Options with a table, which other formats ignore.
inline QuantizeOptions OptionsFor(Format format, std::size_t group) {
  QuantizeOptions options;
  options.format = format;
  options.group = group;
  options.codebook = format == Format::kCodebook3 ? kNf3 : kNf4;
  return options;
}

}  // namespace lutra::examples
