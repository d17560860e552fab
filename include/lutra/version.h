// The version of Lutra; CMake, the package and pkg-config read it here.
#pragma once

#define LUTRA_VERSION_MAJOR 0
#define LUTRA_VERSION_MINOR 1
#define LUTRA_VERSION_PATCH 0
