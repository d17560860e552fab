// Names from files and from the command line.
#pragma once

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

namespace lutra::examples {

// Text from a file, with a '?' for each character that a terminal may not print.
inline std::string Printable(std::string_view text) {
  std::string printable(text);
  for (char& c : printable) {
    if (c < ' ' || c > '~') c = '?';
  }
  return printable;
}

// Splits "name[12]" into the name and 12. False if the text does not end like that.
inline bool SplitSliceName(std::string_view text, std::string_view* name, std::size_t* slice) {
  const std::size_t open = text.rfind('[');
  if (open == std::string_view::npos || text.back() != ']') return false;
  const char *const begin = text.data() + open + 1, *const end = text.data() + text.size() - 1;
  const auto [stop, error] = std::from_chars(begin, end, *slice);
  if (begin == end || stop != end || error != std::errc()) return false;
  *name = text.substr(0, open);
  return true;
}

}  // namespace lutra::examples
