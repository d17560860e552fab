// The kernels of AVX3_DL.
#define LUTRA_TARGET HWY_AVX3_DL
#include "kernels-inl.h"
