// Prints the names of the formats, one a line.
#include <cstdio>

#include "lutra/lutra.h"

int main() {
  for (const lutra::FormatInfo& f : lutra::kFormats) std::puts(f.name);
}
