// What a shared library shows.
#pragma once

// Of a namespace in a public header: its names are exported. Empty in static libraries, so that an engine that links
// one does not export them in turn.
#if defined(LUTRA_SHARED)
#define LUTRA_API [[gnu::visibility("default")]]
#else
#define LUTRA_API
#endif
