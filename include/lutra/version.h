// The version of Lutra; CMake, the package and pkg-config read it here.
#pragma once

#define LUTRA_VERSION_MAJOR 0
#define LUTRA_VERSION_MINOR 1
#define LUTRA_VERSION_PATCH 0

// The inline namespace of the C++ API, as in lutra::v0_1::Pack. Programs write lutra::Pack. Two minor versions can be
// linked statically into one program: a caller that was compiled for one never calls the other.
#define LUTRA_ABI_NAMESPACE LUTRA_ABI_NAMESPACE_OF(LUTRA_VERSION_MAJOR, LUTRA_VERSION_MINOR)
#define LUTRA_ABI_NAMESPACE_OF(major, minor) LUTRA_ABI_NAMESPACE_JOINED(major, minor)
#define LUTRA_ABI_NAMESPACE_JOINED(major, minor) v##major##_##minor

// Lutra's functions stand in a namespace that lookups by argument types do not search: an engine's own MatMul, called
// with braces or with Lutra's types, is never ambiguous with Lutra's. Programs write lutra::MatMul.
#if defined(__cplusplus)
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace functions {}
using namespace functions;
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
#endif
