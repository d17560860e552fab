// Names of the library's enums in the names of cases and in messages.
#pragma once

#include <cstddef>
#include <string>

#include "lutra/lutra.h"

namespace lutra::test {

template <class Enum>
const char* NameOf(Enum value) {
  return Name(value);
}
inline std::string GroupName(std::size_t group) {
  return group == kPerRow ? "row" : group == kPerMatrix ? "matrix" : std::to_string(group);
}

}  // namespace lutra::test
