// Lines of text as images, for a network that reads text.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ocr {

// An image of 48 rows in the network's form: 3 equal channels, numbers from -1 (black) to 1.
struct Image {
  static constexpr std::size_t kRows = 48, kChannels = 3;
  std::size_t columns = 0;
  std::vector<float> pixels;  // [kChannels][kRows][columns]
};

// `count` lines of random words; the same ones for one seed.
std::vector<std::string> RandomLines(std::size_t count, unsigned seed);

// Draws a line in a TrueType font through FreeType. No columns: the font cannot be read.
Image Draw(const std::string& line, const std::string& font);

}  // namespace ocr
