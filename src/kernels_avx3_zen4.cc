// The kernels of AVX3_ZEN4.
#define LUTRA_TARGET HWY_AVX3_ZEN4
#include "kernels-inl.h"
