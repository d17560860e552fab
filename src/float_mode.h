// FloatMode: the mode of floating-point arithmetic in which all of Lutra computes, whatever mode its callers are in.
#pragma once

#include <cstdint>

#include "lutra/kernels/float_flags.h"  // IWYU pragma: keep
#include "lutra/version.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#include <cfenv>
#endif

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// While it exists, the calling thread rounds to nearest, keeps subnormal numbers, and has no traps. Then the thread has
// its own mode again. A thread that is in this mode already pays for one read of a control register.
//
// Programs change the mode of some of their threads alone (FTZ and DAZ for speed; -ffast-math sets them in the main
// thread), so results would depend on the thread that computes them. Everything that computes with floats has a
// FloatMode: each task of RunTasks (tasks.h), and each public function that computes by itself.
class FloatMode {
 public:
  FloatMode() : callers_(Read()) {
    if (Standard(callers_) != callers_) Write(Standard(callers_));
  }
  ~FloatMode() {
    if (Standard(callers_) != callers_) Write(callers_);
  }
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
#if defined(__SSE2__)
  using Bits = unsigned;  // of MXCSR
  static constexpr Bits kFlushToZero = 1u << 15, kRounding = 3u << 13, kNoTraps = 63u << 7,
                        kSubnormalsAreZero = 1u << 6;
  static Bits Standard(Bits bits) { return (bits | kNoTraps) & ~(kFlushToZero | kRounding | kSubnormalsAreZero); }
  static Bits Read() { return _mm_getcsr(); }
  static void Write(Bits bits) { _mm_setcsr(bits); }
#elif defined(__aarch64__)
  using Bits = std::uint64_t;  // of FPCR
  // AHP, DN, FZ, rounding, FZ16; traps; NEP, AH, FIZ.
  static constexpr Bits kOther = 255u << 19 | 0x9f00u | 7u;
  static Bits Standard(Bits bits) { return bits & ~kOther; }
  static Bits Read() {
    Bits bits;
    __asm__ volatile("mrs %0, fpcr" : "=r"(bits) : : "memory");
    return bits;
  }
  static void Write(Bits bits) { __asm__ volatile("msr fpcr, %0" : : "r"(bits) : "memory"); }
#else
  using Bits = int;  // the rounding mode
  static Bits Standard(Bits) { return FE_TONEAREST; }
  static Bits Read() { return std::fegetround(); }
  static void Write(Bits bits) { (void)std::fesetround(bits); }
#endif

  const Bits callers_;
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
