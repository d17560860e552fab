// Names of the library's enums in the names of cases and in messages.
#pragma once

#include <cstddef>
#include <string>

#include "lutra/lutra.h"

namespace lutra::test {

template <class Enum, std::size_t kCount>
const char* NameIn(const char* const (&names)[kCount], Enum value) {
  return static_cast<std::size_t>(value) < kCount ? names[static_cast<std::size_t>(value)] : "?";
}

inline const char* NameOf(Format format) { return Describe(format).name; }
inline const char* NameOf(DataType type) {
  constexpr const char* kNames[] = {"f32", "f16", "bf16", "int8", "uint4"};
  return NameIn(kNames, type);
}
inline const char* NameOf(ZeroKind kind) {
  constexpr const char* kNames[] = {"none", "integer", "float", "offset", "uint4"};
  return NameIn(kNames, kind);
}
inline const char* NameOf(Precision precision) {
  constexpr const char* kNames[] = {"kInt8", "kInt16"};
  return NameIn(kNames, precision);
}
inline std::string GroupName(std::size_t group) {
  return group == kPerRow ? "row" : group == kPerMatrix ? "matrix" : std::to_string(group);
}

}  // namespace lutra::test
