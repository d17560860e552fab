// Fields: computes the places of fields, and reads them.
#include "import/fields.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lutra/layout/k_blocks.h"
#include "memory/elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

Fields::Fields(const FieldLayout& layout, unsigned bits, std::size_t m, std::size_t k, bool padded, std::size_t unit)
    : layout_(layout),
      bits_(bits),
      word_bits_(layout.word_bits),
      per_word_(layout.word_bits / bits),
      dense_(layout.fill != Fill::kPlanes && !padded && layout.word_bits % bits != 0),
      k_(k),
      length_(layout.axis == Axis::kK   ? k
              : layout.axis == Axis::kM ? m
                                        : m * k),
      streams_(layout.axis == Axis::kK   ? m
               : layout.axis == Axis::kM ? k
                                         : 1),
      words_(dense_ ? DivideUp(length_ * bits, word_bits_) : DivideUp(DivideUp(length_, unit), per_word_) * unit),
      stream_step_(layout.step == StreamStep::kNext ? words_ : 1),
      word_step_(layout.step == StreamStep::kNext ? 1 : streams_) {}

bool Fields::fills_words() const { return length_ * bits_ % word_bits_ == 0; }

unsigned Fields::ShiftOf(std::size_t field) const {
  constexpr unsigned kAwqFields[] = {0, 4, 1, 5, 2, 6, 3, 7};
  const auto i = static_cast<unsigned>(field);
  switch (layout_.order) {
    case FieldOrder::kLowFirst:
      break;
    case FieldOrder::kHighFirst:
      return (per_word_ - 1 - i) * bits_;
    case FieldOrder::kAwq:
      return kAwqFields[i] * bits_;
  }
  return i * bits_;
}

// The place of field j of the first stream.
FieldPlace Fields::PlaceOf(std::size_t j) const {
  if (layout_.fill == Fill::kPlanes) return {j % words_ * word_step_, ShiftOf(j / words_)};
  if (!dense_) return {j / per_word_ * word_step_, ShiftOf(j % per_word_)};
  const std::size_t bit = j * bits_;
  return {bit / word_bits_ * word_step_, static_cast<unsigned>(bit % word_bits_)};
}

FieldPlace Fields::RowPlace(std::size_t m) const {
  if (layout_.axis == Axis::kK) return {m * stream_step_, 0};
  if (layout_.axis == Axis::kAll) return {PlaceOf(m * k_).word, 0};  // rows begin with a word
  return PlaceOf(m);
}

FieldPlace Fields::ColumnPlace(std::size_t k) const {
  return layout_.axis == Axis::kM ? FieldPlace{k * stream_step_, 0} : PlaceOf(k);
}

unsigned Fields::At(std::size_t m, std::size_t k, std::uint32_t addend) const {
  const FieldPlace row = RowPlace(m), column = ColumnPlace(k);
  const std::size_t word = row.word + column.word;
  const unsigned shift = row.shift + column.shift, mask = (1u << bits_) - 1;
  if (word_bits_ == 8) return (static_cast<const std::uint8_t*>(data_)[word] + addend) >> shift & mask;
  std::uint32_t field = (LoadElement<std::uint32_t>(data_, word) + addend) >> shift;
  if (shift + bits_ > 32) field |= LoadElement<std::uint32_t>(data_, word + word_step_) << (32 - shift);
  return field & mask;
}

template <class Word>
void Fields::ReadWords(FieldPlace row, const FieldPlace* columns, std::size_t count, std::uint8_t* fields) const {
  constexpr unsigned kBits = 8 * sizeof(Word);
  const Elements<Word> words = Elements<Word>(data_).From(row.word);
  const unsigned bits = bits_, mask = (1u << bits_) - 1;
  const std::size_t next = word_step_;
  if (!dense_) {  // no field lies in two words
    for (std::size_t j = 0; j < count; ++j) {
      fields[j] = static_cast<std::uint8_t>(words[columns[j].word] >> (row.shift + columns[j].shift) & mask);
    }
    return;
  }
  for (std::size_t j = 0; j < count; ++j) {
    const unsigned shift = row.shift + columns[j].shift;
    std::uint32_t field = static_cast<std::uint32_t>(words[columns[j].word]) >> shift;
    if (shift + bits > kBits) field |= std::uint32_t{words[columns[j].word + next]} << (kBits - shift);
    fields[j] = static_cast<std::uint8_t>(field & mask);
  }
}

// Fields of words that follow each other, at the same bits.
template <class Word>
void Fields::ReadRun(FieldPlace first, std::size_t count, std::uint8_t* fields) const {
  const Elements<Word> words = Elements<Word>(data_).From(first.word);
  const unsigned mask = (1u << bits_) - 1;
  for (std::size_t j = 0; j < count; ++j) fields[j] = static_cast<std::uint8_t>(words[j] >> first.shift & mask);
}

template <class Word>
void Fields::ReadPlanes(std::size_t first, std::size_t count, std::uint8_t* fields) const {
  for (std::size_t plane = first / words_, at = first % words_; count != 0; ++plane, at = 0) {
    const std::size_t in_plane = std::min(count, words_ - at);
    ReadRun<Word>({at, ShiftOf(plane)}, in_plane, fields);
    fields += in_plane;
    count -= in_plane;
  }
}

namespace {

constexpr std::size_t kTileWords = 8, kTileColumns = 32;  // 1 KB; AWQ has 8 words for the rows of a panel

}  // namespace

// Fields of columns whose words follow each other. All words of a column are read at once, while their cache line is
// near: the lines of other columns have addresses that may not stay in L1 together.
template <class Word>
void Fields::ReadTile(std::size_t m, std::size_t rows, const FieldPlace* columns, std::size_t count,
                      std::uint8_t* fields, std::size_t stride) const {
  Word words[kTileWords][kTileColumns];
  const std::size_t first = RowPlace(m).word, used = RowPlace(m + rows - 1).word - first + 1;
  for (std::size_t j = 0; j < count; ++j) {
    const Elements<Word> column = Elements<Word>(data_).From(columns[j].word + first);
    for (std::size_t i = 0; i < used; ++i) words[i][j] = column[i];
  }
  const unsigned mask = (1u << bits_) - 1;
  for (std::size_t r = 0; r < rows; ++r) {
    const FieldPlace place = RowPlace(m + r);
    const Word* const from = words[place.word - first];
    std::uint8_t* const to = fields + r * stride;
    for (std::size_t j = 0; j < count; ++j) to[j] = static_cast<std::uint8_t>(from[j] >> place.shift & mask);
  }
}

template <class Word>
void Fields::ReadRowsOf(std::size_t m, std::size_t rows, const FieldColumns& columns, std::uint8_t* fields,
                        std::size_t stride) const {
  if (columns_are_streams()) {
    for (std::size_t r = 0; r < rows;) {
      const std::size_t in_tile = std::min(rows - r, kTileWords * per_word_ - (m + r) % per_word_);
      for (std::size_t j = 0; j < columns.count; j += kTileColumns) {
        ReadTile<Word>(m + r, in_tile, columns.places + j, std::min(columns.count - j, kTileColumns),
                       fields + r * stride + j, stride);
      }
      r += in_tile;
    }
    return;
  }
  for (std::size_t r = 0; r < rows; ++r) {
    std::uint8_t* const to = fields + r * stride;
    if (planes_of_all()) {
      ReadPlanes<Word>((m + r) * k_ + columns.begin, columns.count, to);
      continue;
    }
    const FieldPlace row = RowPlace(m + r);
    if (columns.ascend && words_are_columns()) {
      ReadRun<Word>({row.word + columns.places[0].word, row.shift}, columns.count, to);
    } else {
      ReadWords<Word>(row, columns.places, columns.count, to);
    }
  }
}

void Fields::ReadRows(std::size_t m, std::size_t rows, const FieldColumns& columns, std::uint8_t* fields,
                      std::size_t stride) const {
  return word_bits_ == 8 ? ReadRowsOf<std::uint8_t>(m, rows, columns, fields, stride)
                         : ReadRowsOf<std::uint32_t>(m, rows, columns, fields, stride);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
