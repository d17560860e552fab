// Codebooks for formats whose values belong to the matrix. Includes no test framework.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/lutra.h"

namespace lutra::test {

// BitMoD's tables (https://arxiv.org/abs/2411.11745): FP3 with one of {3, -3, 6, -6}, and FP4 (doubled E2M1) with one
// of {10, -10, 16, -16}.
inline constexpr std::int8_t kCodebook3[4 * 8] = {0, 1, 2, 4, 3, -1, -2, -4, 0, 1, 2, 4, -3, -1, -2, -4,
                                                  0, 1, 2, 4, 6, -1, -2, -4, 0, 1, 2, 4, -6, -1, -2, -4};
inline constexpr std::int8_t kCodebook4[4 * 16] = {0, 1, 2, 3, 4, 6, 8, 12, 10,  -1, -2, -3, -4, -6, -8, -12,
                                                   0, 1, 2, 3, 4, 6, 8, 12, -10, -1, -2, -3, -4, -6, -8, -12,
                                                   0, 1, 2, 3, 4, 6, 8, 12, 16,  -1, -2, -3, -4, -6, -8, -12,
                                                   0, 1, 2, 3, 4, 6, 8, 12, -16, -1, -2, -3, -4, -6, -8, -12};

// Gives the options of formats with own_values these tables.
inline void SetCodebook(QuantizeOptions* options, std::size_t tables = 4) {
  options->codebook = options->format == Format::kCodebook3 ? kCodebook3 : kCodebook4;
  options->codebook_tables = tables;
}

// The value of code q in group `at`.
inline float ValueOf(const QuantizedView& w, std::size_t at, int q) {
  const FormatInfo& f = Describe(w.format);
  if (!f.own_values) return f.value(q);
  const std::size_t table = w.codebook_tables > 1 ? w.table_choices[at] : 0;
  return f.unit *
         static_cast<float>(w.codebook[table * static_cast<std::size_t>(f.levels) + static_cast<std::size_t>(q)]);
}

}  // namespace lutra::test
