// Names of group sizes in the names of cases and in messages.
#pragma once

#include <cstddef>
#include <string>

#include "lutra/lutra.h"

namespace lutra::test {

inline std::string GroupName(std::size_t group) {
  return group == kPerRow ? "row" : group == kPerMatrix ? "matrix" : std::to_string(group);
}

}  // namespace lutra::test
