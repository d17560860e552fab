// The kernels of AVX2.
#define LUTRA_TARGET HWY_AVX2
#include "kernels-inl.h"
