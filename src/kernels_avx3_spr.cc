// The kernels of AVX3_SPR.
#define LUTRA_TARGET HWY_AVX3_SPR
#include "kernels-inl.h"
