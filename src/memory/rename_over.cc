// Renames files; see rename_over.h.
#include "memory/rename_over.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <cstdio>
#endif

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

bool internal::RenameOver(const char* from, const char* to) {
#if defined(_WIN32)  // whose rename() replaces nothing
  return MoveFileExA(from, to, MOVEFILE_REPLACE_EXISTING) != 0;
#else
  return std::rename(from, to) == 0;
#endif
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
