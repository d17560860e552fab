// The pages of a file that was packed.
#pragma once

#include <cstddef>

namespace plugin {

// Where [data, data + size) is in a file that is mapped shared, its whole pages leave the process. They stay in the
// system's cache, with what was written to them, and come back when they are read: so nobody can lose data by it. Other
// memory is left alone.
void ReleasePages(const void* data, std::size_t size);

}  // namespace plugin
