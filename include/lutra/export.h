// LUTRA_API: marks what a shared library exports.
#pragma once

#include "lutra/version.h"

// Exports a function or class. Empty in static libraries, so that an engine that links one does not export it in turn.
#if defined(LUTRA_SHARED)
#define LUTRA_API [[gnu::visibility("default")]]
#else
#define LUTRA_API
#endif
