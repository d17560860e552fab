// Releases pages of mapped files.
#pragma once

#include <cstddef>

namespace plugin {

// Linux: if all of [data, data + size) is in shared mappings, takes its whole pages out of resident memory. The system
// keeps their contents and brings them back when they are read, so no data is lost. Otherwise does nothing.
void ReleasePages(const void* data, std::size_t size);

}  // namespace plugin
