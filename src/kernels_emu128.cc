// The kernels of EMU128.
#define LUTRA_TARGET HWY_EMU128
#include "kernels-inl.h"
