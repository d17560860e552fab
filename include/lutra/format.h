// Three of Lutra's five tables: weight formats (what a code means), encodings (how codes are stored) and activation
// kinds (what Prepare computes from x). Packing, kernels, references, tests and documents derive from them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {

// --- Activation kinds: the forms in which Prepare stores a row of x.
//
//   sum tables  (T-MAC, https://arxiv.org/abs/2407.00088; LUT Tensor Core, https://arxiv.org/abs/2408.06003)
//               A table serves g consecutive elements of x. Its entries are the sums of these elements times all
//               combinations of digits: -1 and 1 in base 2; -1, 0 and 1 in base 3. The digits of g weights form an
//               index, which selects the sum for these weights by one lookup. Base 3 is balanced: negating an index
//               negates all digits. So only indices >= 0 have an entry (a mirrored table); a sign bit beside the index
//               negates the entry.
//   integers    x is rounded to integers, and each product is computed.
//   bits        x is -1 and 1, times a scale, and stored as bits. The product with weights that are -1 and 1 is the
//               number of weights minus twice the number of bits that differ. (XNOR-Net,
//               https://arxiv.org/abs/1603.05279.)
//   floats      x is kept as f32, and each product is computed.
//   bf16        x is rounded to bf16; an instruction adds two products or more to an f32 sum.
//
// Entries of tables and integers have 8 bits, or 16 bits as two 7-bit limbs (Precision). Bits, floats and bf16 are the
// same under either precision.
enum class ActivationKind : std::uint8_t { kBinarySums, kTernarySums, kIntegers, kBits, kFloats, kBf16 };

struct ActivationInfo {
  ActivationKind kind;
  const char* name;
  int base;                   // of the digits of an index; 0 without tables
  int g;                      // elements of x per table
  int entries;                // entries of a table
  std::size_t chunk_weights;  // elements of x in a chunk
  // Of one row of x, for each limb: four tables of 16 bytes, 16 integers, 32 bits, 16 floats, or 16 numbers of bf16.
  std::size_t chunk_bytes;

  constexpr bool has_tables() const { return base != 0; }
  constexpr bool is_float() const { return kind == ActivationKind::kFloats || kind == ActivationKind::kBf16; }
};

inline constexpr ActivationInfo kActivationKinds[] = {
    {ActivationKind::kBinarySums, "sums in base 2", 2, 4, 16, 16, 64},
    {ActivationKind::kTernarySums, "sums in base 3", 3, 3, 14, 12, 64},
    {ActivationKind::kIntegers, "integers", 0, 1, 0, 16, 16},
    {ActivationKind::kBits, "bits", 0, 1, 0, 32, 4},
    {ActivationKind::kFloats, "floats", 0, 1, 0, 16, 64},
    {ActivationKind::kBf16, "bf16", 0, 1, 0, 16, 32},
};

namespace functions {

constexpr const ActivationInfo& Describe(ActivationKind kind) {
  return kActivationKinds[static_cast<std::size_t>(kind)];
}
constexpr const char* Name(ActivationKind kind) noexcept {
  return static_cast<std::size_t>(kind) < sizeof(kActivationKinds) / sizeof(kActivationKinds[0]) ? Describe(kind).name
                                                                                                 : "?";
}

}  // namespace functions

// How exactly Prepare stores x. It makes no difference to floats; under kInt16 Choice::kFastest does not choose bf16.
//
//   kInt8    table entries or integers of 8 bits: the fast default. NMSE 1.4e-5 to 4.5e-5 on Gaussian x and evenly used
//            codes.
//            Weights of 0 add exactly 0, except where an entry of a table in base 2 stands for them: its digits are -1
//            and 1, so 0 is an integer L(q) minus a number that is the same for all weights: L(q) - 1 for int2. L(q) *
//            x comes from entries, which are rounded to a step; the sum of x that is taken away is rounded 256 times
//            finer. A row of int2 whose weights are all 0 thus gives at most scale / 4 * step * 1.01 for each four
//            weights, instead of 0. The step is (largest sum of |x| over four weights of the scale run + 1/31 of the
//            largest one of the K-block) / 127. On Gaussian x of K = 128 this is up to 0.12 % of scale * sum |x|
//            (0.03 % RMS; less in longer rows), for no x more than 1.8 %. int1 and int2 with zero points or offsets
//            have this error times 2 * |zero - center|. Taking away the rounded entries instead would give 0 here, but
//            1.2 times the mean squared error in all other rows. kInt16 and integers are exact.
//   kInt16   two limbs of 7 bits. All sums are exact integers. int8 x is not rounded at all, if no K-block straddles
//   two
//            scales of x and, with an order of columns, each row of x has one scale. Other x is rounded to multiples of
//            max|x| / ExactLimit in each K-block.
enum class Precision : std::uint8_t { kInt8, kInt16 };

namespace functions {

constexpr const char* Name(Precision precision) noexcept {
  return precision == Precision::kInt8 ? "int8" : precision == Precision::kInt16 ? "int16" : "?";
}

}  // namespace functions

inline constexpr Precision kPrecisions[] = {Precision::kInt8, Precision::kInt16};

namespace functions {

// Limbs of an entry or integer; a float is one limb.
constexpr int Limbs(Precision precision) { return precision == Precision::kInt16 ? 2 : 1; }
constexpr int Limbs(const ActivationInfo& a, Precision precision) { return a.is_float() ? 1 : Limbs(precision); }

// The largest integer of x under kInt16: g of them sum to at most 127 * 128 + 63, the largest number that two limbs
// hold.
constexpr int ExactLimit(const ActivationInfo& a) { return (127 * 128 + 63) / a.g; }

}  // namespace functions

// --- Encodings: how the codes of a row are stored. layout/encodings.h has the places of the bits.
//
//   planes of indices   bit p of four consecutive codes is an index of plane p into sum tables: a bit 1 is the digit 1,
//                       a bit 0 the digit -1
//   ternary indices     three codes are the digits of one balanced number in base 3: four bits of index and a sign
//   codes of 2 to 8 bits  without padding: the fields of bits that layout/encodings.h lists
//
// For products with integers, codes of any encoding can be unpacked to integers of 8 or 16 bits. Codes of formats that
// are floats are unpacked to f32 or bf16.
enum class Encoding : std::uint8_t {
  kPlanes1,
  kPlanes2,
  kTernaryIndices,
  kCodes3,
  kCodes4,
  kCodes5,
  kCodes6,
  kCodes7,
  kCodes8,
  kCodes2
};

struct EncodingInfo {
  Encoding encoding;
  const char* name;
  ActivationKind kind;        // the kind of sum tables that stored indices select from; kIntegers: codes are stored
  int planes;                 // planes of indices; or the bits of a code, as a plane holds 4 bits of 4 codes
  std::size_t chunk_weights;  // codes of a row in a chunk, the unit of packing: four nibbles for each plane
  std::size_t sign_bits;      // sign bits of a row and chunk
  std::size_t k_block;        // weights of a K-block if one scale serves more than 128 weights

  constexpr bool has_indices() const { return kind != ActivationKind::kIntegers; }
  constexpr bool has_signs() const { return sign_bits != 0; }
  // Bits per weight of the stored codes alone.
  constexpr double bits_per_weight() const {
    return (16.0 * planes + static_cast<double>(sign_bits)) / static_cast<double>(chunk_weights);
  }
};

inline constexpr EncodingInfo kEncodings[] = {
    {Encoding::kPlanes1, "1 plane of indices", ActivationKind::kBinarySums, 1, 16, 0, 128},
    {Encoding::kPlanes2, "2 planes of indices", ActivationKind::kBinarySums, 2, 16, 0, 128},
    {Encoding::kTernaryIndices, "ternary indices", ActivationKind::kTernarySums, 1, 12, 4, 192},
    {Encoding::kCodes3, "codes of 3 bits", ActivationKind::kIntegers, 3, 16, 0, 128},
    {Encoding::kCodes4, "codes of 4 bits", ActivationKind::kIntegers, 4, 16, 0, 128},
    {Encoding::kCodes5, "codes of 5 bits", ActivationKind::kIntegers, 5, 16, 0, 128},
    {Encoding::kCodes6, "codes of 6 bits", ActivationKind::kIntegers, 6, 16, 0, 128},
    {Encoding::kCodes7, "codes of 7 bits", ActivationKind::kIntegers, 7, 16, 0, 128},
    {Encoding::kCodes8, "codes of 8 bits", ActivationKind::kIntegers, 8, 16, 0, 128},
    {Encoding::kCodes2, "codes of 2 bits", ActivationKind::kIntegers, 2, 16, 0, 128},
};

namespace functions {

constexpr const EncodingInfo& Describe(Encoding encoding) { return kEncodings[static_cast<std::size_t>(encoding)]; }

}  // namespace functions

// --- Formats: the meaning of a code q in [0, levels).
//
//     w = scale * (value(q) - zero)          value(q) = unit * (first + step * q), or unit * values[q], or a float's
//
// fp8_e4m3, fp8_e5m2, fp6_e3m2 and fp6_e2m3 are the floats of 8 and 6 bits of the OCP specifications: a sign, then the
// bits of exponent and mantissa that their names say. Codes that stand for infinity or NaN do not exist
// (FormatInfo::has). fp8_e4m3, fp8_e5m2 and fp6_e3m2 have no zero points or offsets, and are multiplied as floats. Each
// value of fp6_e2m3, and of fp4 (E2M1), is a small integer times a power of two: these formats are tables.
//
// int2_codes has the values of int2, but is always multiplied as integers: it is faster with scales of two levels.
// The values of codebook3 and codebook4 belong to the matrix: up to four tables of 8 or 16 int8 values, one of which
// serves a group (QuantizedView::codebook).
enum class Format : std::uint8_t {
  kInt1,
  kInt2,
  kInt3,
  kInt4,
  kTernary,
  kIq4nl,
  kFp4,
  kInt5,
  kInt6,
  kInt7,
  kInt8,
  kIq1,
  kIq2,
  kIq3xxs,
  kIq3s,
  kCodebook3,
  kCodebook4,
  kInt2Codes,
  kFp8E4M3,
  kFp8E5M2,
  kFp6E3M2,
  kFp6E2M3
};

// Values of a format's table: at most 64, in codes of 6 bits. (A matrix's own tables have at most 16.)
inline constexpr std::size_t kMaxTableValues = 64;

namespace internal {

// The values of ggml's IQ4_NL and IQ4_XS.
inline constexpr std::int8_t kIq4nlValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                 1,    13,   25,  38,  53,  69,  89,  113};
// Twice E2M1 (OCP Microscaling Formats): 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.
inline constexpr std::int8_t kFp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
inline constexpr std::int8_t kFp6E2M3Values[64] = {                                  // 8 times E2M3
    0,   1,   2,   3,   4,   5,   6,   7,   8,   9,   10,  11,  12,  13,  14,  15,   //
    16,  18,  20,  22,  24,  26,  28,  30,  32,  36,  40,  44,  48,  52,  56,  60,   //
    0,   -1,  -2,  -3,  -4,  -5,  -6,  -7,  -8,  -9,  -10, -11, -12, -13, -14, -15,  //
    -16, -18, -20, -22, -24, -26, -28, -30, -32, -36, -40, -44, -48, -52, -56, -60};
// The values of the grids of ggml's IQ types, with their signs: 8 times IQ1's, whose grid is ternary and shifted by 1/8
// either way; 8 times IQ2's; 4 times IQ3_XXS's; IQ3_S's.
inline constexpr std::int8_t kIq1Values[6] = {-9, -7, -1, 1, 7, 9};
inline constexpr std::int8_t kIq2Values[6] = {-43, -25, -8, 8, 25, 43};
inline constexpr std::int8_t kIq3xxsValues[16] = {-62, -52, -44, -36, -28, -20, -12, -4, 4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr std::int8_t kIq3sValues[16] = {-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15};

}  // namespace internal

// Codes that are small floats: a sign (the highest bit), an exponent, a mantissa.
struct FloatCode {
  int exponent_bits, mantissa_bits, bias;
  int magnitudes;  // codes without the sign that are numbers; those from here on are infinity or NaN

  constexpr int bits() const { return 1 + exponent_bits + mantissa_bits; }
  constexpr int magnitude(int q) const { return q & ((1 << (bits() - 1)) - 1); }
  // |w| = mantissa * 2^power
  constexpr int mantissa(int q) const { return magnitude(q) % one() + (exponent(q) != 0 ? one() : 0); }
  constexpr int power(int q) const { return (exponent(q) != 0 ? exponent(q) : 1) - bias - mantissa_bits; }
  constexpr float value(int q) const {
    const float integer = q == magnitude(q) ? static_cast<float>(mantissa(q)) : -static_cast<float>(mantissa(q));
    return power(q) >= 0 ? integer * static_cast<float>(1 << power(q)) : integer / static_cast<float>(1 << -power(q));
  }

 private:
  constexpr int one() const { return 1 << mantissa_bits; }
  constexpr int exponent(int q) const { return magnitude(q) >> mantissa_bits; }
};

struct FormatInfo {
  Format format;
  const char* name;
  int levels;  // number of codes
  Encoding encoding;
  float unit;                 // a power of two
  int first, step;            // the affine rule, if values is null
  const std::int8_t* values;  // [levels], at most kMaxTableValues, or null: the table of values
  float default_zero;         // the zero point of a matrix without zeros
  bool own_values = false;    // each matrix has tables of its own (matrix.h: TableOf); integer and value mean nothing
  FloatCode floats = {};      // of formats whose values are floats; integer means nothing

  constexpr bool is_float() const { return floats.magnitudes != 0; }
  constexpr bool has_table() const { return values != nullptr || own_values; }
  // Whether code q exists: (q & code_mask) < code_end.
  constexpr int code_mask() const { return is_float() ? ~(1 << (floats.bits() - 1)) : ~0; }
  constexpr int code_end() const { return is_float() ? floats.magnitudes : levels; }
  constexpr bool has(int q) const { return (q & code_mask()) < code_end(); }
  constexpr int integer(int q) const { return values != nullptr ? values[q] : first + step * q; }
  constexpr float value(int q) const { return is_float() ? floats.value(q) : unit * static_cast<float>(integer(q)); }
  constexpr const EncodingInfo& stored() const { return Describe(encoding); }
};

inline constexpr FormatInfo kFormats[] = {
    {Format::kInt1, "int1", 2, Encoding::kPlanes1, 1.0f, -1, 2, nullptr, 0.0f},
    {Format::kInt2, "int2", 4, Encoding::kPlanes2, 1.0f, 0, 1, nullptr, 2.0f},
    {Format::kInt3, "int3", 8, Encoding::kCodes3, 1.0f, 0, 1, nullptr, 4.0f},
    {Format::kInt4, "int4", 16, Encoding::kCodes4, 1.0f, 0, 1, nullptr, 8.0f},
    {Format::kTernary, "ternary", 3, Encoding::kTernaryIndices, 1.0f, -1, 1, nullptr, 0.0f},
    {Format::kIq4nl, "iq4nl", 16, Encoding::kCodes4, 1.0f, 0, 0, internal::kIq4nlValues, 0.0f},
    {Format::kFp4, "fp4", 16, Encoding::kCodes4, 0.5f, 0, 0, internal::kFp4Values, 0.0f},
    {Format::kInt5, "int5", 32, Encoding::kCodes5, 1.0f, 0, 1, nullptr, 16.0f},
    {Format::kInt6, "int6", 64, Encoding::kCodes6, 1.0f, 0, 1, nullptr, 32.0f},
    {Format::kInt7, "int7", 128, Encoding::kCodes7, 1.0f, 0, 1, nullptr, 64.0f},
    {Format::kInt8, "int8", 256, Encoding::kCodes8, 1.0f, 0, 1, nullptr, 128.0f},
    {Format::kIq1, "iq1", 6, Encoding::kCodes3, 0.125f, 0, 0, internal::kIq1Values, 0.0f},
    {Format::kIq2, "iq2", 6, Encoding::kCodes3, 0.125f, 0, 0, internal::kIq2Values, 0.0f},
    {Format::kIq3xxs, "iq3xxs", 16, Encoding::kCodes4, 0.25f, 0, 0, internal::kIq3xxsValues, 0.0f},
    {Format::kIq3s, "iq3s", 16, Encoding::kCodes4, 1.0f, 0, 0, internal::kIq3sValues, 0.0f},
    {Format::kCodebook3, "codebook3", 8, Encoding::kCodes3, 1.0f, 0, 0, nullptr, 0.0f, true},
    {Format::kCodebook4, "codebook4", 16, Encoding::kCodes4, 1.0f, 0, 0, nullptr, 0.0f, true},
    {Format::kInt2Codes, "int2_codes", 4, Encoding::kCodes2, 1.0f, 0, 1, nullptr, 2.0f},
    {Format::kFp8E4M3, "fp8_e4m3", 256, Encoding::kCodes8, 1.0f, 0, 0, nullptr, 0.0f, false, {4, 3, 7, 127}},
    {Format::kFp8E5M2, "fp8_e5m2", 256, Encoding::kCodes8, 1.0f, 0, 0, nullptr, 0.0f, false, {5, 2, 15, 124}},
    {Format::kFp6E3M2, "fp6_e3m2", 64, Encoding::kCodes6, 1.0f, 0, 0, nullptr, 0.0f, false, {3, 2, 3, 32}},
    {Format::kFp6E2M3, "fp6_e2m3", 64, Encoding::kCodes6, 0.125f, 0, 0, internal::kFp6E2M3Values, 0.0f},
};
inline constexpr std::size_t kFormatCount = sizeof(kFormats) / sizeof(kFormats[0]);

// Tables of a matrix that has its own, and the values that these may hold. (-128 may not, so that kernels can multiply
// them as signed bytes on every target.)
inline constexpr std::size_t kMaxTables = 4;
inline constexpr int kLowestOwnValue = -127, kHighestOwnValue = 127;

namespace functions {

constexpr const FormatInfo& Describe(Format format) { return kFormats[static_cast<std::size_t>(format)]; }
constexpr bool IsFormat(Format format) { return static_cast<std::size_t>(format) < kFormatCount; }
constexpr const char* Name(Format format) noexcept { return IsFormat(format) ? Describe(format).name : "?"; }

}  // namespace functions

inline constexpr int kF16Bias = 15;             // of the exponents of f16
inline constexpr float kMaxBf16 = 0x1.fep127f;  // the largest finite number of bf16

// --- Methods: a format multiplied with an activation kind: the kind of its encoding, kIntegers, kBits if its codes are
// bits (HasBits), or kFloats or kBf16 if its values are floats. Kernels sum L(q) * x in integers, or in floats, where
//
//     value(q) = gain * L(q) + center
//
// Sum tables: L(q) = sum_p 2^p * digit_p(q), with the digit of each plane p. Integers, bits: L(q) = value(q) / unit.
// Floats: L(q) has the exponent and mantissa of the code, but f16's bias, as CPUs convert f16. It is exact in bf16,
// too.
struct MethodInfo {
  Format format;
  ActivationKind kind;

  constexpr const FormatInfo& info() const { return Describe(format); }
  constexpr const ActivationInfo& activations() const { return Describe(kind); }
  constexpr bool looks_up() const { return activations().has_tables(); }

  // L(q), unless the matrix has its own values or the format's values are floats.
  constexpr int integer(int q) const {
    return !looks_up() ? info().integer(q) : activations().base == 2 ? 2 * q - (info().levels - 1) : q - 1;
  }
  constexpr float gain() const {
    if (info().is_float()) return static_cast<float>(1 << (kF16Bias - info().floats.bias));
    return !looks_up() ? info().unit
                       : (info().value(1) - info().value(0)) / static_cast<float>(integer(1) - integer(0));
  }
  constexpr float center() const {
    return !looks_up() ? 0.0f : info().value(0) - gain() * static_cast<float>(integer(0));
  }
  // Without zeros, w / (scale * gain) = L(q) + start(), an integer.
  constexpr int start() const { return static_cast<int>((center() - info().default_zero) / gain()); }
  // The smallest and the largest L(q), of any matrix.
  constexpr int lowest() const { return info().own_values ? kLowestOwnValue : Extreme(false); }
  constexpr int highest() const { return info().own_values ? kHighestOwnValue : Extreme(true); }

 private:
  constexpr int Extreme(bool high) const {
    int extreme = integer(0);
    for (int q = 1; q < info().levels; ++q) {
      if ((integer(q) > extreme) == high) extreme = integer(q);
    }
    return extreme;
  }
};

namespace functions {

// Whether the codes 0 and 1 of a format stand for -1 and 1, as int1's do.
constexpr bool HasBits(Format format) {
  const FormatInfo& f = Describe(format);
  return f.stored().kind == ActivationKind::kBinarySums && f.stored().planes == 1 && f.integer(0) == -1 &&
         f.integer(1) == 1;
}
// The method of a format under Choice::kInvariant: lookups if its encoding has indices, products of floats if its
// values are floats, otherwise dot products.
constexpr MethodInfo MethodOf(Format format) {
  const FormatInfo& f = Describe(format);
  return {format, f.is_float() ? ActivationKind::kFloats : f.stored().kind};
}

}  // namespace functions

// --- Groups: consecutive weights of a row that share a scale. A group size is 16, 32, 64, 128, 256, or one of these:
inline constexpr std::size_t kPerRow = 0;                                // one scale per row of W
inline constexpr std::size_t kPerMatrix = static_cast<std::size_t>(-1);  // one scale for all of W

namespace functions {

constexpr bool IsGroupSize(std::size_t group) {
  return group == kPerRow || group == kPerMatrix || group == 16 || group == 32 || group == 64 || group == 128 ||
         group == 256;
}
constexpr bool HasRowScales(std::size_t group) { return group == kPerRow || group == kPerMatrix; }
constexpr std::size_t GroupsPerRow(std::size_t k, std::size_t group) {
  return HasRowScales(group) ? 1 : k / group + (k % group != 0);
}

}  // namespace functions

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
