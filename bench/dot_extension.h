// The dot instructions that a CPU may have beyond what Highway's target for it says: AVX-VNNI without AVX-512, and
// NEON's sdot without bf16. Written for the assembler, because nothing else is compiled for them.
#pragma once

#include <cstddef>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__linux__) && defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace lutra::bench {

inline bool HasDotExtension() {
#if defined(__x86_64__)
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << 4)) != 0;  // AVX-VNNI
#elif defined(__linux__) && defined(__aarch64__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return false;
#endif
}

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
