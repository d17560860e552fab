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
  const unsigned mask = (1u << bits_) - 1;
  if (!dense_) {  // no field lies in two words
    for (std::size_t j = 0; j < count; ++j) {
      fields[j] = static_cast<std::uint8_t>(words[columns[j].word] >> (row.shift + columns[j].shift) & mask);
    }
    return;
  }
  for (std::size_t j = 0; j < count; ++j) {
    const unsigned shift = row.shift + columns[j].shift;
    std::uint32_t field = static_cast<std::uint32_t>(words[columns[j].word]) >> shift;
    if (shift + bits_ > kBits) field |= std::uint32_t{words[columns[j].word + word_step_]} << (kBits - shift);
    fields[j] = static_cast<std::uint8_t>(field & mask);
  }
}

template <class Word>
void Fields::ReadPlanes(std::size_t first, std::size_t count, std::uint8_t* fields) const {
  const Elements<Word> words(data_);
  const unsigned mask = (1u << bits_) - 1;
  for (std::size_t plane = first / words_, at = first % words_; count != 0; ++plane, at = 0) {
    const std::size_t in_plane = std::min(count, words_ - at);
    const unsigned shift = ShiftOf(plane);
    for (std::size_t j = 0; j < in_plane; ++j) fields[j] = static_cast<std::uint8_t>(words[at + j] >> shift & mask);
    fields += in_plane;
    count -= in_plane;
  }
}

void Fields::ReadRow(std::size_t m, const FieldPlace* columns, std::size_t begin, std::size_t count,
                     std::uint8_t* fields) const {
  const bool bytes = word_bits_ == 8;
  if (planes_of_all()) {
    const std::size_t first = m * k_ + begin;
    return bytes ? ReadPlanes<std::uint8_t>(first, count, fields) : ReadPlanes<std::uint32_t>(first, count, fields);
  }
  const FieldPlace row = RowPlace(m);
  return bytes ? ReadWords<std::uint8_t>(row, columns, count, fields)
               : ReadWords<std::uint32_t>(row, columns, count, fields);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
