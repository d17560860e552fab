// The tables of formats, encodings and activation kinds say what they must.
#include "lutra/format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "lutra/layout/encodings.h"
#include "support/testing.h"

namespace lutra::test {
namespace {

class EncodingDescription : public ::testing::TestWithParam<ActivationInfo> {};

// Each combination of digits has one index and is got back from it; a mirrored table leaves out the negative half.
TEST_P(EncodingDescription, IndexesEnumerateDigits) {
  const ActivationInfo& a = GetParam();
  int combinations = 1;
  for (int j = 0; j < a.g; ++j) combinations *= a.base;
  EXPECT_EQ(a.base == 3 ? 2 * a.entries - 1 : a.entries, combinations);
  for (int index = 0; index < a.entries; ++index) {
    std::vector<int> digits;
    for (int rest = index; digits.size() < static_cast<std::size_t>(a.g); rest = internal::DropLowDigit(a, rest)) {
      digits.push_back(internal::LowDigit(a, rest));
    }
    int again = 0, mirrored = 0;
    for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
      EXPECT_TRUE(*digit == 1 || *digit == -1 || (*digit == 0 && a.base == 3));
      again = internal::AppendDigit(a, again, *digit);
      mirrored = internal::AppendDigit(a, mirrored, -*digit);
    }
    EXPECT_EQ(again, index);
    EXPECT_EQ(mirrored, a.base == 3 ? -index : a.entries - 1 - index);
  }
}
std::vector<ActivationInfo> SumTables() {
  std::vector<ActivationInfo> tables;
  for (const ActivationInfo& a : kActivationKinds) {
    if (a.has_tables()) tables.push_back(a);
  }
  return tables;
}
INSTANTIATE_TEST_SUITE_P(Each, EncodingDescription, ::testing::ValuesIn(SumTables()),
                         [](const auto& test) { return "base" + std::to_string(test.param.base); });

class FormatDescription : public ::testing::TestWithParam<FormatInfo> {};

// Rows of a table are where their enumerators say.
TEST_P(FormatDescription, IsFoundByItsEnumerator) {
  const FormatInfo& f = GetParam();
  EXPECT_EQ(&Describe(f.format) - kFormats, static_cast<std::ptrdiff_t>(f.format));
  EXPECT_EQ(Name(f.format), std::string(f.name));
  EXPECT_EQ(f.stored().encoding, f.encoding);
  EXPECT_EQ(Describe(f.stored().kind).kind, f.stored().kind);
}

// The number with this sign, exponent and mantissa, as IEEE 754 defines it.
double Number(int sign, int exponent, int mantissa, int mantissa_bits, int bias) {
  const double fraction = std::ldexp(mantissa, -mantissa_bits);
  const double magnitude = exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
  return sign != 0 ? -magnitude : magnitude;
}
TEST(FloatFormats, AreThoseOfTheSpecification) {
  const FormatInfo& e4m3 = Describe(Format::kFp8E4M3);
  const FormatInfo& e5m2 = Describe(Format::kFp8E5M2);
  for (int q = 0; q < 256; ++q) {
    EXPECT_EQ(e4m3.has(q), q % 128 != 127);
    if (e4m3.has(q)) {
      EXPECT_EQ(e4m3.value(q), Number(q >> 7, q >> 3 & 15, q & 7, 3, 7)) << q;
    }
    EXPECT_EQ(e5m2.has(q), q % 128 < 124);
    if (e5m2.has(q)) {
      EXPECT_EQ(e5m2.value(q), Number(q >> 7, q >> 2 & 31, q & 3, 2, 15)) << q;
    }
    if (e5m2.has(q)) {
      EXPECT_EQ(e5m2.value(q), F16ToF32(static_cast<std::uint16_t>(q << 8))) << q;
    }
  }
  for (int q = 0; q < 64; ++q) {
    const FormatInfo &e3m2 = Describe(Format::kFp6E3M2), &e2m3 = Describe(Format::kFp6E2M3);
    EXPECT_TRUE(e3m2.has(q) && e2m3.has(q)) << q;
    EXPECT_EQ(e3m2.value(q), Number(q >> 5, q >> 2 & 7, q & 3, 2, 3)) << q;
    EXPECT_EQ(e2m3.value(q), Number(q >> 5, q >> 3 & 3, q & 7, 3, 1)) << q;
  }
  EXPECT_EQ(Describe(Format::kFp6E3M2).value(31), 28.0f);
  EXPECT_EQ(Describe(Format::kFp6E2M3).value(31), 7.5f);
  EXPECT_EQ(e4m3.value(126), 448.0f);
  EXPECT_EQ(e4m3.value(1), 0x1p-9f);
  EXPECT_EQ(e5m2.value(123), 57344.0f);
}

// Integers are spaced by 1 in the order of the codes, around the default zero; other values have tables.
TEST_P(FormatDescription, ValuesAreWhatUsersExpect) {
  const FormatInfo& f = GetParam();
  if (f.is_float()) return;  // FloatFormats
  const bool binary = f.format == Format::kInt1, ternary = f.format == Format::kTernary;
  if (!f.has_table()) {
    EXPECT_EQ(f.default_zero, binary || ternary ? 0.0f : static_cast<float>(f.levels / 2));
    for (int q = 0; q < f.levels; ++q) {
      EXPECT_EQ(f.value(q), static_cast<float>(binary ? 2 * q - 1 : ternary ? q - 1 : q));
    }
    return;
  }
  EXPECT_LE(static_cast<std::size_t>(f.levels), f.own_values ? 16 : kMaxTableValues);
  EXPECT_EQ(f.default_zero, 0.0f);
  EXPECT_EQ(f.own_values, f.values == nullptr);
  if (f.format == Format::kFp4) {  // E2M1: a sign, two bits of exponent, one of mantissa
    for (int q = 0; q < 8; ++q) {
      const float half = q % 2 == 0 ? 0.0f : 0.5f;
      const float magnitude = q < 2 ? half : std::ldexp(1.0f + half, q / 2 - 1);
      EXPECT_EQ(f.value(q), magnitude);
      EXPECT_EQ(f.value(q + 8), -magnitude);
    }
  }
}

// Both methods of a format mean the same values, in units that the kernels' integers have.
TEST_P(FormatDescription, MethodsGiveItsValues) {
  const FormatInfo& f = GetParam();
  if (f.is_float()) return;  // MatMul against the reference
  for (const ActivationKind kind : {f.stored().kind, ActivationKind::kIntegers}) {
    const MethodInfo method{f.format, kind};
    for (int q = 0; q < f.levels; ++q) {
      EXPECT_EQ(method.gain() * static_cast<float>(method.integer(q)) + method.center(), f.value(q));
    }
    EXPECT_EQ(method.gain() * static_cast<float>(method.start()), method.center() - f.default_zero);
    int exponent;
    EXPECT_EQ(std::frexp(method.gain(), &exponent), 0.5f);
  }
}

INSTANTIATE_TEST_SUITE_P(Each, FormatDescription, ::testing::ValuesIn(kFormats), FormatName);

}  // namespace
}  // namespace lutra::test
