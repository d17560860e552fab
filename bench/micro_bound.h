// The bound of a method: its micro-kernel alone.
#pragma once

#include "lutra/lutra.h"

namespace lutra::bench {

// The rate of the plan's micro-kernel, in 1e9 multiply-adds per second of one thread, over one batch of K-blocks of w
// that stays in L1: exactly the kernel's instructions, without Prepare, unpacking to L1, waiting for memory, and
// storing y. The figure means the same on every CPU: how much of the kernel's own speed a whole multiplication keeps.
// 0 where instructions that multiply matrices do it.
double MicroBoundGMacS(const PackedMatrix& w, std::size_t n, Precision precision, const Plan& plan);

}  // namespace lutra::bench
