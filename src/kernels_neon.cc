// The kernels of NEON_WITHOUT_AES.
#define LUTRA_TARGET HWY_NEON_WITHOUT_AES
#include "kernels-inl.h"
