// LUTRA_API: marks what a shared library exports.
#pragma once

#include "lutra/version.h"

// Exports a function or class. Empty in static libraries, so that an engine that links one does not export it in turn.
#if !defined(LUTRA_SHARED)
#define LUTRA_API
#elif !defined(_WIN32)
#define LUTRA_API [[gnu::visibility("default")]]
#elif defined(lutra_EXPORTS)  // CMake defines it while it compiles the shared library
#define LUTRA_API __declspec(dllexport)
#else
#define LUTRA_API __declspec(dllimport)
#endif
