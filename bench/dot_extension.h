// The dot instructions of the targets AVX2_VNNI and NEON_DOT, which Highway does not know. Written for the assembler,
// because nothing else is compiled for them.
#pragma once

#include <cstddef>

namespace lutra::bench {

// `steps` times twelve independent dots, whatever their registers hold. Returns the number of multiply-adds.
inline double RunDotExtension([[maybe_unused]] std::size_t steps) {
#if defined(__x86_64__)
  for (std::size_t i = 0; i < steps; ++i) {
    asm volatile(
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n\t"
        "%{vex%} vpdpbusd %%ymm12, %%ymm12, %%ymm\\n\n\t"
        ".endr" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11");
  }
  asm volatile("vzeroupper" ::: "xmm0");
  return 12 * 32 * static_cast<double>(steps);
#elif defined(__aarch64__)
  for (std::size_t i = 0; i < steps; ++i) {
    // sdot v<n>.4s, v12.16b, v12.16b as numbers: assemblers differ in how the extension is switched on.
    asm volatile(
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n\t"
        ".inst 0x4e8c9580 + \\n\n\t"
        ".endr" ::
            : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11");
  }
  return 12 * 16 * static_cast<double>(steps);
#else
  return 0;
#endif
}

}  // namespace lutra::bench
