// The kernels of AVX3.
#define LUTRA_TARGET HWY_AVX3
#include "kernels-inl.h"
