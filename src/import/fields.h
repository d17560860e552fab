// Reads codes and zero points, which are fields of bits in words, as the layout of a checkpoint places them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The fields along one axis fill the words of a stream. There is a stream for each row, for each column, or one.
enum class Axis : std::uint8_t {
  kK,    // a stream for each row m
  kM,    // a stream for each column k
  kAll,  // one stream, of all rows one after the other
};
enum class StreamStep : std::uint8_t {
  kNext,   // the words of a stream follow each other in memory
  kApart,  // the words of all streams alternate: the packed axis is the first one of the tensor
};
enum class Fill : std::uint8_t {
  kDense,    // without padding: some fields lie in two words; a stream has whole words
  kRounded,  // the last word of a stream may have fewer fields; the size tells whether words have padding bits
  kPlanes,   // field 0 of all words of the stream, then field 1, and so on; words may have padding bits
};
enum class FieldOrder : std::uint8_t {
  kLowFirst,
  kHighFirst,
  kAwq,  // fields 0, 4, 1, 5, 2, 6, 3, 7 of a word
};

struct FieldLayout {
  unsigned word_bits;  // 8 or 32
  Axis axis;
  StreamStep step;
  Fill fill;
  FieldOrder order;  // other than kLowFirst: no field lies in two words
};

// The place of a field: its word and its lowest bit. It is the sum of what the row and the column of the field give.
struct FieldPlace {
  std::size_t word;
  unsigned shift;
};

// The columns that ReadRows reads.
struct FieldColumns {
  const FieldPlace* places;  // the ColumnPlace of each; not read for planes of kAll
  std::size_t begin, count;  // the first column, and how many
  bool ascend;               // whether the columns follow each other; always for planes of kAll
};

// The fields of an [M x K] array of numbers, at any address.
class Fields {
 public:
  Fields() = default;
  // M * K * bits must not overflow. `padded`: words hold whole fields. A plane has a multiple of `unit` fields.
  Fields(const FieldLayout& layout, unsigned bits, std::size_t m, std::size_t k, bool padded, std::size_t unit = 1);

  unsigned bits() const { return bits_; }
  std::size_t bytes() const { return streams_ * words_ * word_bits_ / 8; }
  // Whether every stream fills its words.
  bool fills_words() const;
  // Whether every row of one stream of all rows begins with a word.
  bool rows_begin_with_words() const { return k_ * bits_ % word_bits_ == 0; }
  void SetData(const void* data) { data_ = data; }

  // What row m and column k add to a place. Not for planes of kAll, where the place is no sum.
  FieldPlace RowPlace(std::size_t m) const;
  FieldPlace ColumnPlace(std::size_t k) const;
  // The field of (m, k), read after `addend` is added to its word.
  unsigned At(std::size_t m, std::size_t k, std::uint32_t addend = 0) const;
  // Writes the fields of `rows` rows from row m on in some columns, `stride` bytes from row to row.
  void ReadRows(std::size_t m, std::size_t rows, const FieldColumns& columns, std::uint8_t* fields,
                std::size_t stride) const;

 private:
  bool planes_of_all() const { return layout_.axis == Axis::kAll && layout_.fill == Fill::kPlanes; }
  // Whether the words of a column, with fields of all rows in turn, follow each other.
  bool columns_are_streams() const {
    return layout_.axis == Axis::kM && layout_.step == StreamStep::kNext && layout_.fill != Fill::kPlanes && !dense_;
  }
  // Whether two columns of a row differ by one word, and not by their bits.
  bool words_are_columns() const {
    return layout_.axis == Axis::kM ? stream_step_ == 1 && !dense_
                                    : layout_.axis == Axis::kK && per_word_ == 1 && word_step_ == 1 && !dense_;
  }
  unsigned ShiftOf(std::size_t field) const;
  FieldPlace PlaceOf(std::size_t j) const;
  template <class Word>
  void ReadRowsOf(std::size_t m, std::size_t rows, const FieldColumns& columns, std::uint8_t* fields,
                  std::size_t stride) const;
  template <class Word>
  void ReadTile(std::size_t m, std::size_t rows, const FieldPlace* columns, std::size_t count, std::uint8_t* fields,
                std::size_t stride) const;
  template <class Word>
  void ReadWords(FieldPlace row, const FieldPlace* columns, std::size_t count, std::uint8_t* fields) const;
  template <class Word>
  void ReadRun(FieldPlace first, std::size_t count, std::uint8_t* fields) const;
  template <class Word>
  void ReadPlanes(std::size_t first, std::size_t count, std::uint8_t* fields) const;

  FieldLayout layout_ = {};
  const void* data_ = nullptr;
  unsigned bits_ = 0, word_bits_ = 32, per_word_ = 1;  // per_word: whole fields
  bool dense_ = false;
  std::size_t k_ = 0, length_ = 0, streams_ = 0, words_ = 0;  // length: fields; words: of a stream
  std::size_t stream_step_ = 0, word_step_ = 0;
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
