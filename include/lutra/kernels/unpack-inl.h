// Unpacks the codes of any encoding for the dot kernel, once for all rows of x of a token block. The result is
// [quad of four codes][row][4] in bytes, or as ShortDotKernel takes it. Each number is what the kernel multiplies:
// MethodInfo::integer plus MethodKernel::bias.
#if defined(LUTRA_KERNELS_UNPACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LUTRA_KERNELS_UNPACK_INL_H_
#undef LUTRA_KERNELS_UNPACK_INL_H_
#else
#define LUTRA_KERNELS_UNPACK_INL_H_
#endif

#include <cstring>

#include "lutra/kernels/dot-inl.h"
#include "lutra/kernels/lookup_block_unpacked-inl.h"
#include "lutra/kernels/lookup_vector-inl.h"
#include "lutra/kernels/short_dot-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace LUTRA_KERNELS_NAMESPACE {

// --- Codes of 2 to 8 bits.

// Unpacks quad kQuad of the rows of a part, or of each row, of a chunk. Form is ByteCodes or ShortCodes.
template <Encoding kEncoding, class Form, int kQuad, class Codes>
HWY_INLINE void UnpackQuadOfPart(const std::uint8_t* lines, const Codes& codes_of, std::uint8_t* to) {
  V8 codes[4];
  UnpackPart<kEncoding, kQuad>(lines, codes_of, codes);
  LUTRA_UNROLL
  for (std::size_t v = 0; v < 4; ++v) Form::Store(codes[v], to + Form::kBytes * (kQuad * kQuadBytes + v * 64));
}
template <Encoding kEncoding, class Form, int kQuad, class Codes>
HWY_INLINE void UnpackQuad(const std::uint8_t* lines, const Codes& codes_of, std::uint8_t* to) {
  LUTRA_UNROLL
  for (std::size_t at = 0; at < 64; at += kPartBytes) {
    UnpackQuadOfPart<kEncoding, Form, kQuad>(lines + at, codes_of, to + Form::kBytes * at);
  }
}

template <Encoding kEncoding, class Codes, class Form>
struct CodeUnpacker {
  static constexpr std::size_t Bytes(std::size_t, std::size_t x_chunks) {
    return Form::kBytes * x_chunks * kChunkCodes;
  }

  static void Unpack(const MicroArgs& args, std::size_t, std::uint8_t* to) {
    const KBlock b(args);
    const Codes codes(b);
    constexpr std::size_t kPlanes = Describe(kEncoding).planes;
    const std::uint8_t* lines = b.index;
    for (std::size_t chunk = 0; chunk < b.chunks; ++chunk) {
      for (std::size_t line = 0; line < 2 * kPlanes; ++line) b.Prefetch(lines + line * 64);
      UnpackQuad<kEncoding, Form, 0>(lines, codes, to);
      UnpackQuad<kEncoding, Form, 1>(lines, codes, to);
      UnpackQuad<kEncoding, Form, 2>(lines, codes, to);
      UnpackQuad<kEncoding, Form, 3>(lines, codes, to);
      lines += kPlanes * kPlaneBytes;
      to += Form::kBytes * kChunkCodes;
    }
  }
};

// Unpacks codes where each row has its own table or scale: part by part, because the tables or scales of a part fill
// registers.
template <Encoding kEncoding, class Codes, class Form>
struct RowUnpacker {
  static std::size_t Bytes(std::size_t, std::size_t x_chunks) { return Form::kBytes * x_chunks * kChunkCodes; }

  static void Unpack(const MicroArgs& args, std::size_t, std::uint8_t* to) {
    const KBlock b(args);
    constexpr std::size_t kPlanes = Describe(kEncoding).planes;
    for (std::size_t at = 0; at < b.chunks * kPlanes * kPlaneBytes; at += 64) b.Prefetch(b.index + at);
    for (std::size_t part = 0; part < kParts; ++part) {
      const Codes codes(b, part);
      const std::uint8_t* lines = b.index + part * kPartBytes;
      std::uint8_t* chunk_to = to + Form::kBytes * part * kPartBytes;
      for (std::size_t chunk = 0; chunk < b.chunks; ++chunk) {
        UnpackQuadOfPart<kEncoding, Form, 0>(lines, codes, chunk_to);
        UnpackQuadOfPart<kEncoding, Form, 1>(lines, codes, chunk_to);
        UnpackQuadOfPart<kEncoding, Form, 2>(lines, codes, chunk_to);
        UnpackQuadOfPart<kEncoding, Form, 3>(lines, codes, chunk_to);
        lines += kPlanes * kPlaneBytes;
        chunk_to += Form::kBytes * kChunkCodes;
      }
    }
  }
};

// --- Planes of indices: an index is one bit of each of four codes.

// Byte j of a 32-bit lane, whose four bytes all hold an index, becomes kWeight if bit j of the index is set, else 0.
template <int kWeight>
HWY_INLINE V8 SpreadBits(V8 index) {
  static_assert(kWeight == 1 || kWeight == 2);
  const hn::Repartition<std::uint16_t, D8> d16;
  if (kWeight == 2) index = hn::BitCast(D8(), hn::ShiftLeft<1>(hn::BitCast(d16, index)));
  const V8 bit = hn::BitCast(D8(), hn::Set(D32(), 0x08040201 * kWeight));
  return hn::Min(hn::And(index, bit), hn::Set(D8(), kWeight));
}

// Repeats four bytes of each 16-byte lane four times: bytes kFirst, kFirst + kStep, and so on.
template <int kFirst, int kStep>
HWY_INLINE V8 RepeatBytes(V8 bytes) {
  constexpr int k0 = kFirst, k1 = kFirst + kStep, k2 = kFirst + 2 * kStep, k3 = kFirst + 3 * kStep;
  const V8 where = hn::Dup128VecFromValues(D8(), k0, k0, k0, k0, k1, k1, k1, k1, k2, k2, k2, k2, k3, k3, k3, k3);
  return hn::TableLookupBytes(bytes, where);
}

#if LUTRA_VECTOR_SCOPE

// Unpacks planes of indices. A line of one plane has 32 rows, 16 in the low and 16 in the high nibbles; the four bytes
// of a row are its four indices.
template <Encoding kEncoding, int kStep>
struct PlaneUnpacker {
  using Traits = LookupTraits<kEncoding>;
  static constexpr std::size_t Bytes(std::size_t, std::size_t x_chunks) { return x_chunks * kChunkCodes; }

  static void Unpack(const MicroArgs& args, std::size_t, std::uint8_t* to) {
    const KBlock b(args);
    const std::uint8_t* index = b.index;
    for (std::size_t left = b.half_chunks, half_chunks; left != 0; left -= half_chunks) {
      half_chunks = HWY_MIN(kHalfChunksPerRun, left);
      const std::size_t stride = InterleavedOf<Traits>(b) * kPlaneBytes, chunks = half_chunks / 2;
      for (std::size_t chunk = 0; chunk < chunks; ++chunk, to += kChunkCodes) {
        const std::uint8_t* lines[Traits::kPlanes];
        for (int p = 0; p < Traits::kPlanes; ++p) {
          lines[p] = index + (static_cast<std::size_t>(p) * chunks + chunk) * stride;
        }
        UnpackChunk(b, lines, to);
      }
      index = NextRunOf<Traits, PackedIndices>(index, b, half_chunks);
    }
  }

 private:
  static HWY_INLINE void UnpackChunk(const KBlock& b, const std::uint8_t* const (&lines)[Traits::kPlanes],
                                     std::uint8_t* to) {
    LUTRA_UNROLL
    for (std::size_t half = 0; half < 2; ++half) {
      V8 planes[Traits::kPlanes];
      LUTRA_UNROLL
      for (int p = 0; p < Traits::kPlanes; ++p) {
        b.Prefetch(lines[p] + half * 64);
        planes[p] = hn::Load(D8(), lines[p] + half * 64);
      }
      StoreQuads(planes, to + half * 128);
      LUTRA_UNROLL
      for (auto& plane : planes) plane = ShiftBytes<-4>(plane);
      StoreQuads(planes, to + half * 128 + 64);
    }
  }
  static HWY_INLINE void StoreQuads(const V8 (&planes)[Traits::kPlanes], std::uint8_t* to) {
    StoreQuad<0>(planes, to);
    StoreQuad<1>(planes, to);
    StoreQuad<2>(planes, to);
    StoreQuad<3>(planes, to);
  }
  template <int kQuad>
  static HWY_INLINE void StoreQuad(const V8 (&planes)[Traits::kPlanes], std::uint8_t* to) {
    V8 codes = SpreadBits<kStep>(RepeatBytes<kQuad, 4>(planes[0]));
    if constexpr (Traits::kPlanes == 2) {
      codes = hn::Or(codes, SpreadBits<2 * kStep>(RepeatBytes<kQuad, 4>(planes[1])));
    }
    hn::Store(codes, D8(), to + kQuad * kQuadBytes);
  }
};

// --- Ternary indices: three codes of a row are the digits of one balanced number in base 3, its sign apart.

// codes[32 * j + 16 * s + i]: the code of digit j of index i, negated if the sign bit s is 1.
struct DigitTable {
  std::uint8_t codes[128];
};
constexpr DigitTable FindDigits() {
  DigitTable table{};
  constexpr ActivationInfo kInfo = Describe(ActivationKind::kTernarySums);
  for (int i = 0; i < kInfo.entries; ++i) {
    int index = i;
    for (int j = 0; j < 3; ++j, index = DropLowDigit(kInfo, index)) {
      table.codes[32 * j + i] = static_cast<std::uint8_t>(1 + LowDigit(kInfo, index));
      table.codes[32 * j + 16 + i] = static_cast<std::uint8_t>(1 - LowDigit(kInfo, index));
    }
  }
  return table;
}
alignas(64) inline constexpr DigitTable kDigits = FindDigits();

template <Encoding kEncoding>
struct TernaryUnpacker {
  using Traits = LookupTraits<kEncoding>;
  static constexpr std::size_t kQuadsPerChunk = 3;
  static constexpr std::size_t Bytes(std::size_t half_chunks, std::size_t x_chunks) {
    return HWY_MAX(x_chunks * kQuads, DivideUp(half_chunks, 2) * kQuadsPerChunk) * kQuadBytes;
  }

  static void Unpack(const MicroArgs& args, std::size_t, std::uint8_t* to) {
    const KBlock b(args);
    const std::uint8_t *index = b.index, *const end = to + b.chunks * kChunkCodes;
    for (std::size_t left = b.half_chunks, half_chunks; left != 0; left -= half_chunks) {
      half_chunks = HWY_MIN(kHalfChunksPerRun, left);
      const std::uint8_t* signs = SignsOf<Traits, PackedIndices>(index, b, half_chunks);
      b.Prefetch(signs);
      for (std::size_t chunk = 0; chunk < half_chunks / 2; ++chunk, to += kQuadsPerChunk * kQuadBytes) {
        const std::uint8_t* line = index + chunk * InterleavedOf<Traits>(b) * kPlaneBytes;
        UnpackLine<0>(b, line, signs + chunk * kSignBytes, to);
        UnpackLine<0>(b, line + 64, signs + chunk * kSignBytes + 16, to + 128);
      }
      if (half_chunks % 2 != 0) {  // the two indices of a row are the lower or the upper bytes of a lane
        const std::uint8_t* line = LastHalfOf<Traits, PackedIndices>(index, b);
        UnpackLine<0>(b, line, signs + kSignBytes, to);
        UnpackLine<2>(b, line, signs + kSignBytes + 16, to + 128);
        to += kQuadsPerChunk * kQuadBytes;
      }
      index = NextRunOf<Traits, PackedIndices>(index, b, half_chunks);
    }
    if (to < end)
      std::memset(to, 0, static_cast<std::size_t>(end - to));  // beyond the K-block: multiplied with zeros of x
  }

 private:
  // Unpacks a line of 32 rows. The first index of a row is byte kByte of its lane.
  template <int kByte>
  static HWY_INLINE void UnpackLine(const KBlock& b, const std::uint8_t* line, const std::uint8_t* signs,
                                    std::uint8_t* to) {
    b.Prefetch(line);
    const V8 rows = hn::Load(D8(), line);
    UnpackRows<kByte>(rows, signs, to);
    UnpackRows<kByte>(ShiftBytes<-4>(rows), signs + 8, to + 64);
  }
  template <int kByte>
  static HWY_INLINE void UnpackRows(V8 rows, const std::uint8_t* signs, std::uint8_t* to) {
    const D8 d8;
    const V8 sign = hn::IfThenElseZero(hn::LoadMaskBits(d8, signs), hn::Set(d8, 16));
    const V8 index = hn::OrAnd(sign, rows, hn::Set(d8, 0x0f));
    StoreQuad<kByte, 0, 0, 0, 1, 0x00402000>(index, to);
    StoreQuad<kByte, 1, 1, 2, 2, 0x20004020>(index, to + kQuadBytes);
    StoreQuad<kByte, 2, 3, 3, 3, 0x40200040>(index, to + 2 * kQuadBytes);
  }
  // Unpacks four codes of each row. Code c is a digit of index kI<c>; byte c of kWhich is 32 times the digit's number.
  template <int kByte, int kI0, int kI1, int kI2, int kI3, std::int32_t kWhich>
  static HWY_INLINE void StoreQuad(V8 index, std::uint8_t* to) {
    const D8 d8;
    constexpr int k0 = (kByte + kI0) % 4, k1 = (kByte + kI1) % 4, k2 = (kByte + kI2) % 4, k3 = (kByte + kI3) % 4;
    const V8 where = hn::Dup128VecFromValues(d8, k0, k1, k2, k3, 4 + k0, 4 + k1, 4 + k2, 4 + k3, 8 + k0, 8 + k1, 8 + k2,
                                             8 + k3, 12 + k0, 12 + k1, 12 + k2, 12 + k3);
    const V8 entry = hn::Or(hn::TableLookupBytes(index, where), hn::BitCast(d8, hn::Set(D32(), kWhich)));
    const V8 low = hn::Load(d8, kDigits.codes), high = hn::Load(d8, kDigits.codes + 64);
    hn::Store(hn::TwoTablesLookupLanes(d8, low, high, hn::IndicesFromVec(d8, entry)), d8, to);
  }
};

#else  // block scope: a row has one byte, or the two adjacent bytes of two planes; see PlaceOfNibble

template <Encoding kEncoding, int kStep>
struct PlaneUnpacker {
  static constexpr int kPlanes = LookupTraits<kEncoding>::kPlanes;
  static constexpr std::size_t Bytes(std::size_t, std::size_t x_chunks) { return x_chunks * kChunkCodes; }

  static void Unpack(const MicroArgs& args, std::size_t, std::uint8_t* to) {
    const KBlock b(args);
    const std::uint8_t* line = b.index;
    constexpr std::size_t kQuadsPerLine = 2 / kPlanes;
    for (std::size_t i = 0; i < b.chunks * kQuads / kQuadsPerLine; ++i, line += 64) {
      b.Prefetch(line);
      for (std::size_t at = 0; at < 64; at += kPartBytes) {
        const V8 low = hn::Load(D8(), line + at), high = ShiftBytes<-4>(low);
        UnpackNibbles(low, to + 4 * at);
        UnpackNibbles(high, to + 4 * at + (kPlanes == 2 ? 2 * kPartBytes : kQuadBytes));
      }
      to += kQuadsPerLine * kQuadBytes;
    }
  }

 private:
  static HWY_INLINE void UnpackNibbles(V8 index, std::uint8_t* to) {
    if constexpr (kPlanes == 1) {
      hn::Store(SpreadBits<kStep>(RepeatBytes<0, 1>(index)), D8(), to);
      hn::Store(SpreadBits<kStep>(RepeatBytes<4, 1>(index)), D8(), to + kPartBytes);
      hn::Store(SpreadBits<kStep>(RepeatBytes<8, 1>(index)), D8(), to + 2 * kPartBytes);
      hn::Store(SpreadBits<kStep>(RepeatBytes<12, 1>(index)), D8(), to + 3 * kPartBytes);
    } else {
      const auto two = [](V8 first, V8 second)
                           HWY_ATTR { return hn::Or(SpreadBits<kStep>(first), SpreadBits<2 * kStep>(second)); };
      hn::Store(two(RepeatBytes<0, 2>(index), RepeatBytes<1, 2>(index)), D8(), to);
      hn::Store(two(RepeatBytes<8, 2>(index), RepeatBytes<9, 2>(index)), D8(), to + kPartBytes);
    }
  }
};

// digits[j][i]: digit j of index i.
struct DigitTable {
  std::int8_t digits[3][16];
};
constexpr DigitTable FindDigits() {
  DigitTable table{};
  constexpr ActivationInfo kInfo = Describe(ActivationKind::kTernarySums);
  for (int i = 0; i < kInfo.entries; ++i) {
    int index = i;
    for (auto& digits : table.digits) {
      digits[i] = static_cast<std::int8_t>(LowDigit(kInfo, index));
      index = DropLowDigit(kInfo, index);
    }
  }
  return table;
}
inline constexpr DigitTable kDigits = FindDigits();

template <Encoding kEncoding>
struct TernaryUnpacker {
  using Traits = LookupTraits<kEncoding>;
  static constexpr std::size_t kQuadsPerChunk = 3;
  static constexpr std::size_t Bytes(std::size_t half_chunks, std::size_t x_chunks) {
    return HWY_MAX(x_chunks * kQuads, DivideUp(half_chunks, 2) * kQuadsPerChunk) * kQuadBytes;
  }

  static void Unpack(const MicroArgs& args, std::size_t, std::uint8_t* to) {
    const KBlock b(args);
    const std::uint8_t *index = b.index, *const end = to + b.chunks * kChunkCodes;
    for (std::size_t left = b.half_chunks, half_chunks; left != 0; left -= half_chunks) {
      half_chunks = HWY_MIN(kHalfChunksPerRun, left);
      const std::size_t bytes = RunBytes(Traits::kInfo, half_chunks);
      for (std::size_t at = 0; at < bytes; at += 64) b.Prefetch(index + at);
      for (std::size_t at = 0; at < 64; at += kPartBytes) {
        const std::uint8_t* const signs = index + RunIndexBytes(Traits::kInfo, half_chunks) + at;
        for (std::size_t chunk = 0; 2 * chunk < half_chunks; ++chunk) {
          const std::size_t pairs = HWY_MIN(std::size_t{2}, half_chunks - 2 * chunk);
          UnpackPairs(index + chunk * kPlaneBytes + at, pairs, Signs(signs, chunk),
                      to + chunk * kQuadsPerChunk * kQuadBytes + 4 * at);
        }
      }
      to += DivideUp(half_chunks, 2) * kQuadsPerChunk * kQuadBytes;
      index += bytes;
    }
    if (to < end)
      std::memset(to, 0, static_cast<std::size_t>(end - to));  // beyond the K-block: multiplied with zeros of x
  }

 private:
  // Unpacks a part of a chunk: one or two pairs of indices of each row.
  static HWY_INLINE void UnpackPairs(const std::uint8_t* line, std::size_t pairs, Signs signs, std::uint8_t* to) {
    V8 codes[12];
    LUTRA_UNROLL
    for (std::size_t pair = 0; pair < 2; ++pair) {
      const V8 both = pair < pairs ? hn::Load(D8(), line + pair * 64) : hn::Zero(D8());
      AddDigits(LowNibbles(both), signs.Next(), codes + 6 * pair);
      AddDigits(HighNibbles(both), signs.Next(), codes + 6 * pair + 3);
    }
    LUTRA_UNROLL
    for (std::size_t quad = 0; quad < kQuadsPerChunk; ++quad, to += kQuadBytes) StoreQuad(codes + 4 * quad, to);
  }
  static HWY_INLINE void AddDigits(V8 index, VI8 sign, V8* codes) {
    LUTRA_UNROLL
    for (int j = 0; j < 3; ++j) {
      const VI8 digit = hn::BitCast(DI8(), Map(kDigits.digits[j], index));
      const VI8 with_sign = hn::IfNegativeThenNegOrUndefIfZero(sign, digit);
      codes[j] = hn::BitCast(D8(), hn::Add(with_sign, hn::Set(DI8(), 1)));
    }
  }
  // Stores four codes of each row. codes[c] has code c: a byte per row.
  static HWY_INLINE void StoreQuad(const V8* codes, std::uint8_t* to) {
    const D8 d8;
    const hn::Repartition<std::uint16_t, D8> d16;
    const auto low01 = hn::BitCast(d16, hn::InterleaveLower(d8, codes[0], codes[1]));
    const auto low23 = hn::BitCast(d16, hn::InterleaveLower(d8, codes[2], codes[3]));
    const auto high01 = hn::BitCast(d16, hn::InterleaveUpper(d8, codes[0], codes[1]));
    const auto high23 = hn::BitCast(d16, hn::InterleaveUpper(d8, codes[2], codes[3]));
    hn::Store(hn::BitCast(d8, hn::InterleaveLower(d16, low01, low23)), d8, to);
    hn::Store(hn::BitCast(d8, hn::InterleaveUpper(d16, low01, low23)), d8, to + kPartBytes);
    hn::Store(hn::BitCast(d8, hn::InterleaveLower(d16, high01, high23)), d8, to + 2 * kPartBytes);
    hn::Store(hn::BitCast(d8, hn::InterleaveUpper(d16, high01, high23)), d8, to + 3 * kPartBytes);
  }
};

#endif  // scope

}  // namespace LUTRA_KERNELS_NAMESPACE
}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
