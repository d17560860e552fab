// Packed codes of 2 to 8 bits, and the bytes that dot kernels multiply for them.
#if defined(LUTRA_KERNELS_CODES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_CODES_INL_H_
#undef LUTRA_KERNELS_CODES_INL_H_
#else
#define LUTRA_KERNELS_CODES_INL_H_
#endif

#include <type_traits>

#include "lutra/kernels/flush-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

inline constexpr int kQuads = 4;                                     // a chunk of a row is four quads of codes
inline constexpr int kParts = static_cast<int>(4 / kLayout.blocks);  // vectors in a line of 64 bytes
inline constexpr std::size_t kPartBytes = 16 * kLayout.blocks, kPartRows = kPartBytes / 4;
inline constexpr std::size_t kQuadBytes = 4 * kPanelRows, kChunkCodes = kQuads * kQuadBytes;

// Shifts the bytes left, or right if kLeft is negative. Bits of a neighbour come in: there are no shifts of bytes on
// x86.
template <int kLeft>
HWY_INLINE V8 ShiftBytes(V8 bytes) {
  const auto pairs = hn::BitCast(hn::Repartition<std::uint16_t, D8>(), bytes);
  if constexpr (kLeft == 0) return bytes;
  if constexpr (kLeft > 0) return hn::BitCast(D8(), hn::ShiftLeft<kLeft>(pairs));
  if constexpr (kLeft < 0) return hn::BitCast(D8(), hn::ShiftRight<-kLeft>(pairs));
}

// The bytes that kernels multiply for stored codes: the codes themselves; the codes minus 128, for a Dot of signed
// bytes; or their entries in a table of 16 or 64 bytes. Of takes vector kVector of the four vectors of rows in part
// `part`.
struct StoredCodes {
  static constexpr bool kStored = true;
  explicit HWY_INLINE StoredCodes(const KBlock&, std::size_t /*part*/ = 0) {}
  template <int kVector>
  HWY_INLINE V8 Of(V8 codes) const {
    return codes;
  }
};
struct SignedCodes {
  static constexpr bool kStored = false;
  explicit HWY_INLINE SignedCodes(const KBlock&, std::size_t /*part*/ = 0) {}
  template <int kVector>
  HWY_INLINE V8 Of(V8 codes) const {
    return hn::Xor(codes, hn::Set(D8(), 0x80));
  }
};
struct TableOfCodes {
  static constexpr bool kStored = false;
  V8 values;
  explicit HWY_INLINE TableOfCodes(const KBlock& b, std::size_t /*part*/ = 0)
      : values(hn::LoadDup128(D8(), b.values)) {}
  template <int kVector>
  HWY_INLINE V8 Of(V8 codes) const {
    return hn::TableLookupBytes(values, codes);
  }
};
// A table of 64 bytes for codes of 6 bits; UnpackHalf looks up.
struct LongTableOfCodes {
  static constexpr bool kStored = false;
  FourTables quarters;
  explicit HWY_INLINE LongTableOfCodes(const KBlock& b, std::size_t /*part*/ = 0) : quarters(b.values) {}
};
// Whether codes are unpacked two vectors at a time, because a lookup needs many registers. The upper two bits of codes
// then stay where they are stored, beside bits of other codes.
template <class Codes>
inline constexpr bool kApart = std::is_same_v<Codes, LongTableOfCodes> && !FourTables::kJoined;
// Each row has one of four tables.
struct TablesOfCodes {
  static constexpr bool kStored = false;
  FourTables tables;
  V8 choices[4];
  HWY_INLINE TablesOfCodes(const KBlock& b, std::size_t part) : tables(b.values) {
    LUTRA_UNROLL
    for (std::size_t v = 0; v < 4; ++v) {
      const hn::Rebind<std::uint8_t, D32> bytes;  // one for each row
      const V32 rows = hn::PromoteTo(D32(), hn::LoadU(bytes, b.choices + v * 16 + part * kPartRows));
      choices[v] = ShiftBytes<FourTables::kChoiceAt>(RepeatByte(rows));
    }
  }
  template <int kVector>
  HWY_INLINE V8 Of(V8 codes) const {
    return tables.LookUp(codes, choices[kVector]);
  }

 private:
  // Repeats the lowest byte of each 32-bit lane in all four.
  static HWY_INLINE V8 RepeatByte(V32 lanes) {
    const V32 two = hn::Or(lanes, hn::ShiftLeft<8>(lanes));
    return hn::BitCast(D8(), hn::Or(two, hn::ShiftLeft<16>(two)));
  }
};
// Each row has a scale. The byte of a code is: folded code (layout/joint.h) - lowest folded code + kLowest of the Dot.
// The difference is 0 to 255. So two codes side by side are converted as one number of 16 bits without carries: times
// the scale, plus the bytes of two codes 0. Then the upper bit of each byte is flipped if kLowest is -128.
template <int kLowest>
struct ScaledCodes {
  static constexpr bool kStored = false;
  V16 scales[4], starts[4];  // starts: the bytes of two codes 0
  HWY_INLINE ScaledCodes(const KBlock& b, std::size_t part) {
    const D16 d16;
    const V8 halves = hn::Dup128VecFromValues(D8(), 0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13);
    const V8 bytes = hn::Dup128VecFromValues(D8(), 0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
    const V16 zero = hn::Set(d16, static_cast<std::int16_t>(b.start));  // what code 0 stands for
    const V16 lowest = hn::Set(d16, static_cast<std::int16_t>(b.lowest));
    LUTRA_UNROLL
    for (std::size_t v = 0; v < 4; ++v) {
      const V8 words = hn::BitCast(D8(), hn::Load(DF(), b.qparams + v * 16 + part * kPartRows));
      scales[v] = hn::BitCast(d16, hn::TableLookupBytes(words, halves));
      const V16 start = hn::Sub(hn::Mul(scales[v], zero), lowest);
      starts[v] = hn::BitCast(d16, hn::TableLookupBytes(hn::BitCast(D8(), start), bytes));
    }
  }
  template <int kVector>
  HWY_INLINE V8 Of(V8 codes) const {
    const V16 products = hn::Mul(hn::BitCast(D16(), codes), scales[kVector]);
    const V8 bytes = hn::BitCast(D8(), hn::Add(products, starts[kVector]));
    return kLowest == 0 ? bytes : hn::Xor(bytes, hn::Set(D8(), 0x80));
  }
};

// --- Packed codes to bytes (layout/encodings.h: FieldsOf).

// Loads kBits bits of each code of quad kQuad from a further plane, to bit kFrom of each byte. Other bits of the bytes
// belong to other codes.
template <int kQuad, int kBits, int kFrom>
LUTRA_INLINE void LoadPlane(const std::uint8_t* line, V8& low, V8& high) {
  constexpr int kTo = kBits == 1 ? kQuad : kQuad % 2 * kBits;  // of the nibble
  const V8 fields = hn::Load(D8(), line);
  low = ShiftBytes<kFrom - kTo>(fields);
  high = ShiftBytes<kFrom - kTo - 4>(fields);
}
// Adds these bits to the codes, without bits of other codes.
template <int kQuad, int kBits, int kFrom>
LUTRA_INLINE void AddPlane(const std::uint8_t* line, V8& low, V8& high) {
  const V8 mask = hn::Set(D8(), ((1 << kBits) - 1) << kFrom);
  V8 low_bits, high_bits;
  LoadPlane<kQuad, kBits, kFrom>(line, low_bits, high_bits);
  low = hn::OrAnd(low, low_bits, mask);
  high = hn::OrAnd(high, high_bits, mask);
}

// Unpacks quad kQuad of the rows in one part of the planes' lines: `low` gets the rows in the low nibbles, `high`
// the rows in the high nibbles.
template <Encoding kEncoding, int kQuad>
LUTRA_INLINE void UnpackLines(const std::uint8_t* lines, V8& low, V8& high) {
  constexpr int kBits = Describe(kEncoding).planes;
  static_assert(kBits >= 2 && kBits <= 8);
  const D8 d8;
  if constexpr (kBits == 8) {
    low = hn::Load(d8, lines + 2 * kQuad * 64);
    high = hn::Load(d8, lines + (2 * kQuad + 1) * 64);
  } else if constexpr (kBits == 2) {
    constexpr int kFrom = kQuad % 2 * 2;
    const V8 mask = hn::Set(d8, 0x03), nibbles = hn::Load(d8, lines + kQuad / 2 * 64);
    low = hn::And(ShiftBytes<-kFrom>(nibbles), mask);
    high = hn::And(ShiftBytes<-kFrom - 4>(nibbles), mask);
  } else if constexpr (kBits == 3 && kQuad == 3) {  // low and high nibbles at once
    V8 both = hn::And(ShiftBytes<-3>(hn::Load(d8, lines)), hn::Set(d8, 0x11));
    both = hn::OrAnd(both, ShiftBytes<-2>(hn::Load(d8, lines + 64)), hn::Set(d8, 0x22));
    both = hn::OrAnd(both, ShiftBytes<-1>(hn::Load(d8, lines + 128)), hn::Set(d8, 0x44));
    low = LowNibbles(both);
    high = HighNibbles(both);
  } else {
    const V8 mask = hn::Set(d8, kBits == 3 ? 0x07 : 0x0f), nibbles = hn::Load(d8, lines + kQuad * 64);
    low = hn::And(nibbles, mask);
    high = hn::And(ShiftBytes<-4>(nibbles), mask);
    if constexpr (kBits >= 6) AddPlane<kQuad, 2, 4>(lines + (4 + kQuad / 2) * 64, low, high);
    if constexpr (kBits == 5 || kBits == 7) AddPlane<kQuad, 1, kBits - 1>(lines + (kBits - 1) * 64, low, high);
  }
}

// Unpacks quad kQuad of the rows in one half of the panel, in one part, to the bytes that kernels multiply: the low
// nibbles, the high nibbles.
template <Encoding kEncoding, int kQuad, int kHalf, class Codes>
LUTRA_INLINE void UnpackHalf(const std::uint8_t* lines, const Codes& codes_of, V8& low, V8& high) {
  lines += kHalf * Describe(kEncoding).planes * 64;
  if constexpr (!std::is_same_v<Codes, LongTableOfCodes>) {
    UnpackLines<kEncoding, kQuad>(lines, low, high);
    low = codes_of.template Of<2 * kHalf>(low);
    high = codes_of.template Of<2 * kHalf + 1>(high);
  } else if constexpr (FourTables::kJoined) {
    UnpackLines<kEncoding, kQuad>(lines, low, high);
    low = codes_of.quarters.LookUp(low);
    high = codes_of.quarters.LookUp(high);
  } else {
    static_assert(kEncoding == Encoding::kCodes6);
    V8 low_choice, high_choice;
    UnpackLines<Encoding::kCodes4, kQuad>(lines, low, high);
    LoadPlane<kQuad, 2, FourTables::kChoiceAt>(lines + (4 + kQuad / 2) * 64, low_choice, high_choice);
    low = codes_of.quarters.LookUp(low, low_choice);
    high = codes_of.quarters.LookUp(high, high_choice);
  }
}

// Unpacks quad kQuad of the rows in one part: [half of the panel][low, high nibbles].
template <Encoding kEncoding, int kQuad, class Codes>
LUTRA_INLINE void UnpackPart(const std::uint8_t* lines, const Codes& codes_of, V8 (&codes)[4]) {
  UnpackHalf<kEncoding, kQuad, 0>(lines, codes_of, codes[0], codes[1]);
  if constexpr (kApart<Codes>) KeepOrder(codes[1], lines);
  UnpackHalf<kEncoding, kQuad, 1>(lines, codes_of, codes[2], codes[3]);
}

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
