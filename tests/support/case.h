// What a test multiplies: shapes, a format, types and kinds of data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "support/names.h"

namespace lutra::test {

enum class Data {
  kGaussian,
  kEqual,
  kZero,      // even rows, and the first half of the others
  kOutlier,   // one activation of each row is 1000 times the others
  kDenormal,  // around 1e-40 (f16: 1e-7)
  kHuge,      // around 1e32 (f16: 1e4)
  kExtreme,   // every lookup meets the largest or the smallest entry of its table: all |x| equal, codes at their ends
  kLowDigit,  // int8: sums per index are 63 and -64, where the lower digit of kInt16 has the largest modulus
};
inline constexpr Data kDataKinds[] = {Data::kGaussian, Data::kEqual, Data::kZero,    Data::kOutlier,
                                      Data::kDenormal, Data::kHuge,  Data::kExtreme, Data::kLowDigit};

inline constexpr std::size_t kGroups[] = {16, 32, 64, 128, 256, kPerRow, kPerMatrix};
inline constexpr DataType kFloatTypes[] = {DataType::kF32, DataType::kF16, DataType::kBF16};

// Kinds of zeros with their types: zero points of a byte, of the scales' float type, of four bits; and offsets.
enum class Zeros { kNone, kInteger, kFloat, kOffset, kUInt4 };
inline constexpr Zeros kZeros[] = {Zeros::kNone, Zeros::kInteger, Zeros::kFloat, Zeros::kOffset, Zeros::kUInt4};
constexpr const char* Name(Zeros zeros) {
  constexpr const char* kNames[] = {"none", "integer", "float", "offset", "uint4"};
  return kNames[static_cast<std::size_t>(zeros)];
}
// Sets zero_kind and zero_type of a view, a shape or options, after their scale_type.
template <class View>
void SetZeros(Zeros zeros, View* view) {
  view->zero_kind = zeros == Zeros::kNone     ? ZeroKind::kNone
                    : zeros == Zeros::kOffset ? ZeroKind::kOffset
                                              : ZeroKind::kPoint;
  view->zero_type = zeros == Zeros::kInteger ? DataType::kUInt8
                    : zeros == Zeros::kUInt4 ? DataType::kUInt4
                                             : view->scale_type;
}

// The types of scales and zeros: a qparam scheme.
struct ParamKind {
  DataType scale_type;
  Zeros zeros;
};
inline constexpr ParamKind kParamKinds[] = {
    {DataType::kF32, Zeros::kNone},     {DataType::kF16, Zeros::kNone},    {DataType::kBF16, Zeros::kNone},
    {DataType::kF32, Zeros::kInteger},  {DataType::kF16, Zeros::kInteger}, {DataType::kBF16, Zeros::kInteger},
    {DataType::kF32, Zeros::kFloat},    {DataType::kF16, Zeros::kFloat},   {DataType::kBF16, Zeros::kFloat},
    {DataType::kF32, Zeros::kOffset},   {DataType::kF16, Zeros::kOffset},  {DataType::kBF16, Zeros::kOffset},
    {DataType::kInt8, Zeros::kNone},    {DataType::kInt8, Zeros::kOffset}, {DataType::kUInt4, Zeros::kNone},
    {DataType::kUInt4, Zeros::kOffset}, {DataType::kF32, Zeros::kUInt4},   {DataType::kF16, Zeros::kUInt4},
    {DataType::kBF16, Zeros::kUInt4},   {DataType::kE8M0, Zeros::kNone},   {DataType::kE8M0, Zeros::kInteger},
    {DataType::kE8M0, Zeros::kUInt4},   {DataType::kE4M3, Zeros::kNone},   {DataType::kE4M3, Zeros::kInteger},
    {DataType::kE4M3, Zeros::kUInt4}};
// Formats whose values are floats have no zeros.
constexpr bool HasZeros(Format format, Zeros zeros) { return zeros == Zeros::kNone || !Describe(format).is_float(); }
// Scales per row or matrix have one level.
constexpr bool Exists(std::size_t group, ParamKind kind) {
  return !HasTwoLevels(kind.scale_type) || !HasRowScales(group);
}

// Types of activations: integers have scale groups that are whole K-blocks, that cut K-blocks, and that are longer than
// any K.
struct XKind {
  DataType type;
  std::size_t scale_group;
};
inline constexpr XKind kXKinds[] = {{DataType::kF32, kPerRow},  {DataType::kF16, kPerRow},
                                    {DataType::kBF16, kPerRow}, {DataType::kInt8, kPerRow},
                                    {DataType::kInt8, 16},      {DataType::kInt8, 128},
                                    {DataType::kInt8, 192},     {DataType::kInt8, 7},
                                    {DataType::kInt8, 100},     {DataType::kInt8, kPerMatrix - 1},
                                    {DataType::kInt4, kPerRow}, {DataType::kInt4, 100},
                                    {DataType::kBits, kPerRow}, {DataType::kBits, 16}};

using lutra::Name;
inline const char* Name(Data data) {
  constexpr const char* kNames[] = {"gaussian", "equal", "zero", "outlier", "denormal", "huge", "extreme", "low_digit"};
  return kNames[static_cast<std::size_t>(data)];
}

struct Case {
  Format format = Format::kInt4;
  Target target = nullptr;
  std::size_t m = 1, n = 1, k = 1;
  std::size_t group = 128;
  Zeros zeros = Zeros::kNone;
  DataType scale_type = DataType::kF16;
  bool bias = false, order = false;
  Precision precision = Precision::kInt8;
  XKind x = kXKinds[0];
  DataType y_type = DataType::kF32;
  std::size_t gap = 0;  // elements between two rows of codes, x and y
  Data data = Data::kGaussian;
  std::size_t tables = 0;          // of a format with own_values; 0: any number
  std::vector<float> scales = {};  // half of the scales, or super-scales, are taken from it, if there are any
  std::uint64_t seed = 1;
};

// With every array that a matrix may have but an order.
inline Case SmallCase(std::size_t m = 70, std::size_t n = 3, std::size_t k = 200) {
  Case c;
  c.m = m;
  c.n = n;
  c.k = k;
  c.bias = true;
  c.zeros = Zeros::kFloat;
  return c;
}

inline std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << Name(c.format) << " on " << (c.target == nullptr ? "any target" : TargetName(c.target)) << ", M " << c.m
             << " N " << c.n << " K " << c.k << ", group " << GroupName(c.group) << ", zeros " << Name(c.zeros)
             << ", scales " << Name(c.scale_type) << (c.bias ? ", bias" : "") << (c.order ? ", order, " : ", ")
             << Name(c.precision) << ", x " << Name(c.x.type) << " per " << GroupName(c.x.scale_group) << ", y "
             << Name(c.y_type) << ", gap " << c.gap << ", data " << Name(c.data)
             << (c.tables == 0 ? "" : ", tables " + std::to_string(c.tables))
             << (c.scales.empty() ? "" : ", special scales") << ", seed " << c.seed;
}

// The case without zeros if the format has none, so that sweeps over formats may give any.
inline Case WithZerosOfFormat(Case c) {
  if (!HasZeros(c.format, c.zeros)) c.zeros = Zeros::kNone;
  return c;
}

}  // namespace lutra::test
