// Renames files.
#pragma once

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Renames a file. Replaces `to` if it exists, in one step. False on failure.
bool RenameOver(const char* from, const char* to);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
