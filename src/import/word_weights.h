// The weights of GPTQ and AWQ, whose codes and zero points are fields of words: one interface for both.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/import.h"
#include "lutra/matrix.h"
#include "lutra/status.h"
#include "memory/elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The shape of the imported weights, and the groups of the file. A file may have larger groups than any format:
// `repeat` groups of the shape have the same scale and zero point.
struct FileShape {
  QuantizedView shape;
  std::size_t group = 0, groups = 0, repeat = 1;  // group: columns; groups: per row; both of the file
};

// A checkpoint's matrix. Groups and rows are in the file's order; columns are columns of x.
class WordWeights {
 public:
  // Sets *w after all checks but of scales. Allocates to check g_idx.
  static Status Of(const GptqView& gptq, WordWeights* w);
  static Status Of(const AwqView& awq, WordWeights* w);

  const FileShape& file() const { return file_; }
  // Whether columns are sorted by group, because those of g_idx do not ascend.
  bool sorted() const { return g_idx_ != nullptr; }

  // Writes the codes of a column in `count` rows, of which the first is a multiple of 8, `stride` bytes apart.
  void CodesOf(std::size_t column, std::size_t row, std::size_t count, std::uint8_t* codes, std::size_t stride) const;
  std::uint8_t ZeroAt(std::size_t group, std::size_t row) const;
  std::uint16_t ScaleAt(std::size_t group, std::size_t row) const {
    return Elements<std::uint16_t>(scales_)[group * file_.shape.m + row];
  }

  // Sets the kind and type of zeros of the shape: none if all are the default of the format; of four bits, unless one
  // is 16. Reads all zeros.
  void ChooseZeros();
  // Checks that all scales are finite.
  Status CheckScales() const;

  // columns[j - begin] = the column of x that column j of the codes multiplies, for j in [begin, end).
  void ColumnsOf(std::size_t begin, std::size_t end, std::uint32_t* columns) const;

 private:
  FileShape file_;
  const std::uint32_t *codes_ = nullptr, *zeros_ = nullptr;
  const std::uint16_t* scales_ = nullptr;
  const std::int32_t* g_idx_ = nullptr;
  unsigned bits_ = 4;
  bool awq_ = false;
  GptqZeros reading_ = GptqZeros::kV1Words;
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
