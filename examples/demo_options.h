// What the demo's user may choose.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lutra/lutra.h"

namespace lutra::examples {

struct Shape {
  std::size_t m, k;
  std::string name;
};

struct Options {
  bool help = false, explain = false, json = false;
  std::vector<Shape> shapes;
  std::string weights;  // a file to use instead of random weights; its shape stands in `shapes`
  std::vector<Format> formats;
  std::vector<std::size_t> tokens;
  std::size_t threads = 1, group = 128;
  Target target = nullptr;
  Precision precision = Precision::kInt8;
};

// Fills *options, with defaults for what is not given. Returns what is wrong; empty if nothing is.
std::string ParseOptions(int argc, const char* const* argv, Options* options);

std::string Usage();

}  // namespace lutra::examples
