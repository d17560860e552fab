// Words, and glyphs from FreeType.
#include "text_lines.h"

#include <ft2build.h>

#include <algorithm>
#include <random>
#include FT_FREETYPE_H

namespace ocr {
namespace {

constexpr const char* kWords[] = {
    "invoice", "total",  "amount",  "Street", "quantity", "number",  "Customer", "shipping", "window",
    "garden",  "yellow", "bridge",  "Monday", "October",  "winter",  "journey",  "museum",   "library",
    "engine",  "wheel",  "copper",  "silver", "paper",    "kitchen", "doctor",   "music",    "planet",
    "Jupiter", "ocean",  "harbour", "ticket", "train",    "quick",   "brown",    "fox",      "jumps",
    "lazy",    "dog",    "exit",    "zebra",  "Visa",     "87",      "2026",     "43.50",    "1,299",
    "No.6",    "A-12",   "90%",     "(ref)",  "x=5",      "why?",    "today!"};

// A font at a size, with FreeType's objects.
class Face {
 public:
  Face(const std::string& font, unsigned pixels) {
    if (FT_Init_FreeType(&library_) != 0) return;
    if (FT_New_Face(library_, font.c_str(), 0, &face_) == 0) FT_Set_Pixel_Sizes(face_, 0, pixels);
  }
  Face(const Face&) = delete;
  Face& operator=(const Face&) = delete;
  ~Face() {
    if (face_ != nullptr) FT_Done_Face(face_);
    if (library_ != nullptr) FT_Done_FreeType(library_);
  }
  bool ok() const { return face_ != nullptr; }
  // The glyph of a character, drawn; null if there is none.
  FT_GlyphSlot Render(char character) const {
    const auto code = static_cast<FT_ULong>(static_cast<unsigned char>(character));
    return FT_Load_Char(face_, code, FT_LOAD_RENDER) == 0 ? face_->glyph : nullptr;
  }

 private:
  FT_Library library_ = nullptr;
  FT_Face face_ = nullptr;
};

}  // namespace

std::vector<std::string> RandomLines(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::string> lines(count);
  for (std::string& line : lines) {
    for (int word = 0; word < 4; ++word) {
      if (word != 0) line += ' ';
      line += kWords[random() % (sizeof(kWords) / sizeof(kWords[0]))];
    }
  }
  return lines;
}

Image Draw(const std::string& line, const std::string& font) {
  constexpr std::size_t kMargin = 12, kBaseline = 35;
  constexpr unsigned kPixels = 32;
  Image image;
  const Face face(font, kPixels);
  if (!face.ok()) return image;
  std::size_t width = 2 * kMargin;
  for (const char character : line) {
    const FT_GlyphSlot glyph = face.Render(character);
    if (glyph != nullptr) width += static_cast<std::size_t>(glyph->advance.x >> 6);
  }
  image.columns = (width + 7) / 8 * 8;
  image.pixels.assign(Image::kChannels * Image::kRows * image.columns, 1.0f);
  std::size_t pen = kMargin;
  for (const char character : line) {
    const FT_GlyphSlot glyph = face.Render(character);
    if (glyph == nullptr) continue;
    for (unsigned y = 0; y < glyph->bitmap.rows; ++y) {
      for (unsigned x = 0; x < glyph->bitmap.width; ++x) {
        const auto row = static_cast<std::ptrdiff_t>(kBaseline + y) - glyph->bitmap_top;
        const auto column = static_cast<std::ptrdiff_t>(pen + x) + glyph->bitmap_left;
        if (row < 0 || row >= static_cast<std::ptrdiff_t>(Image::kRows) || column < 0 ||
            column >= static_cast<std::ptrdiff_t>(image.columns)) {
          continue;
        }
        float& pixel = image.pixels[static_cast<std::size_t>(row) * image.columns + static_cast<std::size_t>(column)];
        const std::size_t at = y * static_cast<std::size_t>(glyph->bitmap.pitch) + x;
        pixel = std::min(pixel, 1.0f - static_cast<float>(glyph->bitmap.buffer[at]) / 127.5f);
      }
    }
    pen += static_cast<std::size_t>(glyph->advance.x >> 6);
  }
  const std::size_t plane = Image::kRows * image.columns;
  for (std::size_t channel = 1; channel < Image::kChannels; ++channel) {
    std::copy_n(image.pixels.begin(), plane, image.pixels.begin() + static_cast<std::ptrdiff_t>(channel * plane));
  }
  return image;
}

}  // namespace ocr
