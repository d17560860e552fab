// The instructions of the targets AVX2_VNNI, NEON_DOT and AVX3_SPR_AMX which Highway does not know. Written for the
// assembler, because nothing else is compiled for them.
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

// `steps` times six independent products of AMX, of 16 x 64 by 64 x 16 bytes each. Returns the number of multiply-adds.
inline double RunAmx([[maybe_unused]] std::size_t steps) {
#if defined(__x86_64__)
  struct alignas(64) {  // as LDTILECFG reads it: all registers have 16 rows of 64 bytes
    unsigned char palette, reserved[15];
    unsigned short row_bytes[16];
    unsigned char rows[16];
  } configuration = {1, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
  asm volatile(
      "ldtilecfg %0\n\t"
      "tilezero %%tmm6\n\t"
      "tilezero %%tmm7" ::"m"(configuration));
  for (std::size_t i = 0; i < steps; ++i) {
    asm volatile(
        ".irp n, 0, 1, 2, 3, 4, 5\n\t"
        "tdpbssd %tmm7, %tmm6, %tmm\\n\n\t"
        ".endr");
  }
  asm volatile("tilerelease");
  return 6 * 16 * 16 * 64 * static_cast<double>(steps);
#else
  return 0;
#endif
}

}  // namespace lutra::bench
