// A matrix unit on every target: its kernels, with emulated registers.
#pragma once

#include "lutra/lutra.h"

namespace lutra::test {

// A target's kernels with an emulated matrix unit, and with the plans of AVX3_SPR_AMX.
Target WithUnit(Target base);

// Expects that the registers of a target with a matrix unit do what the emulated ones do.
void CheckRegisters(Target target);

}  // namespace lutra::test
