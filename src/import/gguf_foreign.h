// The types of GGUF tensors that Lutra does not know.
#pragma once

#include <cstdint>

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// What is known of the type with this id, if FindGgufType returns null. Fit for a Status.
const char* ForeignGgufType(std::uint32_t id);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
