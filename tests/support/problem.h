// A multiplication to test: a Case says which, a Problem owns its data, deterministic in the case's seed.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <random>
#include <utility>
#include <vector>

#include "lutra/layout/k_blocks.h"
#include "lutra/lutra.h"
#include "support/codebooks.h"
#include "support/guarded.h"
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

class Random {
 public:
  explicit Random(std::uint64_t seed) : bits_(seed) {}
  std::uint64_t Bits() { return bits_(); }
  std::size_t Below(std::size_t end) { return static_cast<std::size_t>(bits_() % end); }
  float Uniform(float begin, float end) { return begin + (end - begin) * static_cast<float>(bits_() >> 40) * 0x1p-24f; }
  // Two by two, by Marsaglia's polar method: std::normal_distribution takes a logarithm in long double for each.
  float Gaussian() {
    if (std::exchange(has_next_, false)) return next_;
    float x, y, square;
    do {
      x = Uniform(-1.0f, 1.0f);
      y = Uniform(-1.0f, 1.0f);
      square = x * x + y * y;
    } while (square > 1.0f || square == 0.0f);
    const float factor = std::sqrt(-2.0f * std::log(square) / square);
    has_next_ = true;
    next_ = x * factor;
    return y * factor;
  }
  template <class T, std::size_t kCount>
  const T& Pick(const T (&list)[kCount]) {
    return list[Below(kCount)];
  }

 private:
  std::mt19937_64 bits_;
  bool has_next_ = false;
  float next_ = 0.0f;
};

// The number that a byte of E4M3 stands for.
inline float E4M3(unsigned byte) {
  const auto mantissa = static_cast<float>(byte % 8) / 8;
  return byte < 8 ? std::ldexp(mantissa, -6) : std::ldexp(1 + mantissa, static_cast<int>(byte / 8) - 7);
}

// Element i of an array of any type.
inline float Load(DataType type, const void* data, std::size_t i) {
  const auto* const at = static_cast<const std::uint8_t*>(data) + i / PerByte(type) * SizeOf(type);
  if (type == DataType::kBits) return (*at >> i % 8) % 2 == 1 ? 1.0f : -1.0f;
  if (type == DataType::kInt4) {
    const int code = i % 2 == 0 ? *at % 16 : *at / 16;
    return static_cast<float>(code < 8 ? code : code - 16);
  }
  if (type == DataType::kInt8) return static_cast<float>(static_cast<std::int8_t>(*at));
  if (type == DataType::kE8M0) return std::ldexp(1.0f, *at - 127);
  if (type == DataType::kE4M3) return E4M3(*at);
  std::uint16_t half;
  std::memcpy(&half, at, sizeof(half));
  if (type != DataType::kF32) return type == DataType::kF16 ? F16ToF32(half) : BF16ToF32(half);
  float value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}
inline void Store(DataType type, float value, void* data, std::size_t i) {
  auto* const at = static_cast<std::uint8_t*>(data) + i / PerByte(type) * SizeOf(type);
  if (PerByte(type) != 1) {  // changes some bits of the byte
    const auto bits = static_cast<unsigned>(8 / PerByte(type)), shift = static_cast<unsigned>(i % PerByte(type)) * bits;
    const unsigned mask = (1u << bits) - 1;
    const unsigned code =
        type == DataType::kBits ? (value > 0 ? 1 : 0) : static_cast<unsigned>(static_cast<int>(value));
    *at = static_cast<std::uint8_t>((*at & ~(mask << shift)) | (code & mask) << shift);
    return;
  }
  const std::uint16_t half = type == DataType::kF16 ? F32ToF16(value) : F32ToBF16(value);
  auto byte = static_cast<std::int8_t>(type == DataType::kInt8 ? value : 0.0f);
  if (type == DataType::kE8M0) {  // the power of two below |value|
    byte = static_cast<std::int8_t>(std::clamp(value == 0 ? 0 : std::ilogb(value) + 127, 0, 254));
  }
  if (type == DataType::kE4M3) {  // the number below |value|
    while (byte < 126 && E4M3(static_cast<unsigned>(byte) + 1) <= std::fabs(value)) ++byte;
  }
  const void* const from = type == DataType::kF32 ? static_cast<const void*>(&value)
                           : SizeOf(type) == 1    ? static_cast<const void*>(&byte)
                                                  : &half;
  std::memcpy(at, from, SizeOf(type));
}

// The case without zeros if the format has none, so that sweeps over formats may give any.
inline Case WithZerosOfFormat(Case c) {
  if (!HasZeros(c.format, c.zeros)) c.zeros = Zeros::kNone;
  return c;
}

// The inputs of a case. Memory outside of the views (gaps, surroundings) holds bytes that read as NaN or as codes out
// of range.
class Problem {
 public:
  explicit Problem(const Case& any) : case_(WithZerosOfFormat(any)), random_(any.seed) {
    const Case& c = case_;
    const std::size_t m = c.m, n = c.n, k = c.k, stride = k + c.gap;
    w_.format = c.format;
    w_.m = m;
    w_.k = k;
    w_.code_stride = stride;
    w_.group = c.group;
    w_.scale_type = c.scale_type;
    SetZeros(c.zeros, &w_);
    flipped_.resize(k);
    for (std::size_t j = 0; j < k; ++j) flipped_[j] = c.seed % 2 == 1 && random_.Below(2) == 1;
    MakeCodebook();
    MakeCodes();
    MakeScales();
    if (c.bias) {
      bias_ = Guarded(m * sizeof(float));
      for (std::size_t i = 0; i < m; ++i) Store(DataType::kF32, random_.Gaussian(), bias_.data(), i);
      w_.bias = reinterpret_cast<const float*>(bias_.data());
    }
    if (c.order) MakeOrder();
    x_ = {nullptr, c.x.type, n, k, internal::RoundUp(stride, PerByte(c.x.type)), nullptr, c.x.scale_group};
    MakeX();
    for (Guarded* input : Inputs()) input->Seal();
  }
  Problem(const Problem&) = delete;

  const Case& operator*() const { return case_; }
  const Case* operator->() const { return &case_; }
  const QuantizedView& w() const { return w_; }
  const ActivationView& x() const { return x_; }
  // The memory of the views. After a change it must be sealed again.
  std::array<Guarded*, 11> Inputs() {
    return {&codes_, &scales_, &zeros_,    &super_scales_, &super_offsets_, &bias_,
            &order_, &data_,   &x_scales_, &codebook_,     &choices_};
  }
  // True as long as nobody else wrote to the inputs or around them.
  bool Intact() const {
    return codes_.Intact() && scales_.Intact() && zeros_.Intact() && super_scales_.Intact() &&
           super_offsets_.Intact() && codebook_.Intact() && choices_.Intact() && bias_.Intact() && order_.Intact() &&
           data_.Intact() && x_scales_.Intact();
  }

 private:
  static std::size_t Elements(std::size_t rows, std::size_t width, std::size_t stride) {
    return rows == 0 ? 0 : (rows - 1) * stride + width;
  }

  // Tables of all values, mostly; or of a few, of one. Other formats get one that they ignore, so that tests may change
  // the format of the view. Takes nothing from random_, so that matrices differ in nothing else.
  void MakeCodebook() {
    const FormatInfo& f = Describe(w_.format);
    const auto levels = static_cast<std::size_t>(f.levels);
    Random random(case_.seed + 1000);
    if (f.own_values) w_.codebook_tables = case_.tables != 0 ? case_.tables : 1 + random.Below(kMaxTables);
    const std::size_t size = f.own_values ? levels : 16;
    codebook_ = Guarded(w_.codebook_tables * size);
    w_.codebook = reinterpret_cast<const std::int8_t*>(codebook_.data());
    for (std::size_t table = 0; table < w_.codebook_tables; ++table) {
      std::uint8_t* const values = codebook_.data() + table * size;
      const std::size_t distinct = random.Below(4) == 0 ? 1 + random.Below(3) : size;
      for (std::size_t q = 0; q < size; ++q) {
        values[q] = q < distinct ? static_cast<std::uint8_t>(random.Below(255) - 127) : values[random.Below(distinct)];
      }
      values[0] = static_cast<std::uint8_t>(random.Below(2) == 0 ? -127 : 127);
      if (distinct > 1) values[1] = static_cast<std::uint8_t>(-static_cast<std::int8_t>(values[0]));
    }
    if (!HasTableChoices(w_)) return;
    choices_ = Guarded(ScaleCount(w_));
    w_.table_choices = choices_.data();
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      choices_.data()[i] = static_cast<std::uint8_t>(random.Below(w_.codebook_tables));
    }
  }

  std::size_t GroupAt(std::size_t m, std::size_t k) const {
    if (w_.group == kPerMatrix) return 0;
    return w_.group == kPerRow ? m : m * GroupsPerRow(w_.k, w_.group) + k / w_.group;
  }
  // The code of the lowest or the highest value in a group.
  int ExtremeCode(std::size_t group, bool low) const {
    int extreme = 0;
    for (int q = 1; q < Describe(w_.format).levels; ++q) {
      if (!Describe(w_.format).has(q)) continue;
      const float value = ValueOf(w_, group, q), so_far = ValueOf(w_, group, extreme);
      if (low ? value < so_far : value > so_far) extreme = q;
    }
    return extreme;
  }

  void MakeCodes() {
    const auto levels = static_cast<unsigned>(Describe(w_.format).levels);
    codes_ = Guarded(Elements(w_.m, w_.k, w_.code_stride));
    w_.codes = codes_.data();
    const bool extreme = case_.data == Data::kExtreme || case_.data == Data::kLowDigit;
    for (std::size_t m = 0; m < w_.m; ++m) {
      std::uint8_t* const row = codes_.data() + m * w_.code_stride;
      std::uint64_t bits = 0;
      for (std::size_t k = 0; k < w_.k; ++k, bits >>= 8) {
        if (k % 8 == 0) bits = random_.Bits();
        const bool low = (m % 2 == 1) != (case_.data == Data::kExtreme && flipped_[k]);
        row[k] = static_cast<std::uint8_t>((bits & 255) * levels >> 8);
        if (!Describe(w_.format).has(row[k])) row[k] ^= 0x40;  // without an exponent's highest bit
        if (extreme) row[k] = static_cast<std::uint8_t>(ExtremeCode(GroupAt(m, k), low));
      }
    }
  }

  // Around `magnitude`, of either sign, or one of the case's.
  float AnyScale(float magnitude) {
    if (!case_.scales.empty() && random_.Below(2) == 0) return case_.scales[random_.Below(case_.scales.size())];
    const float sign = random_.Below(4) == 0 ? -1.0f : 1.0f;
    return sign * magnitude * random_.Uniform(0.5f, 1.5f);
  }
  static const std::uint16_t* Halves(const Guarded& data) {
    return reinterpret_cast<const std::uint16_t*>(data.data());
  }

  void MakeScales() {
    const std::size_t count = ScaleCount(w_);
    // Large enough for f16, and small enough that sums of huge activations stay finite.
    const float magnitude = case_.data == Data::kHuge ? 0x1p-13f : 0x1p-5f;
    scales_ = Guarded(count * SizeOf(w_.scale_type));
    zeros_ = Guarded(count * ZeroSize(w_));
    w_.scales = scales_.data();
    if (case_.zeros != Zeros::kNone) w_.zeros = zeros_.data();
    if (HasTwoLevels(w_.scale_type)) return MakeTwoLevels(magnitude);
    if (HasMatrixScale(w_.scale_type)) {
      w_.matrix_scale = (random_.Below(4) == 0 ? -1.0f : 1.0f) * random_.Uniform(0.5f, 1.5f) *
                        (case_.data == Data::kHuge ? 0x1p-8f : 1.0f);
    }
    const auto levels = static_cast<unsigned>(Describe(w_.format).levels);
    for (std::size_t i = 0; i < count; ++i) Store(w_.scale_type, AnyScale(magnitude), scales_.data(), i);
    for (std::size_t i = 0; i < count; ++i) {
      const float zero = random_.Uniform(-1.0f, static_cast<float>(levels));
      switch (case_.zeros) {
        case Zeros::kNone:
          break;
        case Zeros::kInteger:
          zeros_.data()[i] = static_cast<std::uint8_t>(random_.Below(16) == 0 ? 255 : random_.Below(levels));
          break;
        case Zeros::kUInt4:
          zeros_.data()[i] =
              static_cast<std::uint8_t>(random_.Below(random_.Below(16) == 0 ? 16 : std::min(levels, 16u)));
          break;
        case Zeros::kFloat:
          Store(w_.scale_type, zero, zeros_.data(), i);
          break;
        case Zeros::kOffset:
          Store(w_.scale_type, -magnitude * zero, zeros_.data(), i);
          break;
      }
    }
  }

  void MakeTwoLevels(float magnitude) {
    const auto make = [&](Guarded& integers, Guarded& super_scales, float largest) {
      for (std::size_t i = 0; i < integers.size(); ++i) {
        integers.data()[i] = static_cast<std::uint8_t>(random_.Below(w_.scale_type == DataType::kUInt4 ? 16 : 256));
      }
      super_scales = Guarded(SuperScaleCount(w_) * sizeof(std::uint16_t));
      for (std::size_t i = 0; i < SuperScaleCount(w_); ++i) {
        Store(DataType::kF16, AnyScale(largest / 16), super_scales.data(), i);
      }
      return Halves(super_scales);
    };
    w_.super_scales = make(scales_, super_scales_, magnitude);
    if (case_.zeros == Zeros::kOffset) w_.super_offsets = make(zeros_, super_offsets_, magnitude * 4);
  }

  // A random permutation.
  void MakeOrder() {
    order_ = Guarded(w_.k * sizeof(std::uint32_t));
    auto* const order = reinterpret_cast<std::uint32_t*>(order_.data());
    for (std::size_t j = 0; j < w_.k; ++j) {
      const std::size_t at = random_.Below(j + 1);
      order[j] = order[at];
      order[at] = static_cast<std::uint32_t>(j);
    }
    w_.order = order;
  }

  // Row n of x, in the order of the codes: about 1 in modulus; kLowDigit: the integers themselves.
  void MakeRow(std::size_t n, std::vector<float>& row) {
    const FormatInfo& f = Describe(w_.format);
    for (std::size_t k = 0; k < row.size(); ++k) {
      switch (case_.data) {
        case Data::kEqual:
          row[k] = 1.0f;
          break;
        case Data::kZero:
          row[k] = n % 2 == 0 || k < row.size() / 2 ? 0.0f : random_.Gaussian();
          break;
        case Data::kExtreme:
          row[k] = flipped_[k] ? -1.0f : 1.0f;
          break;
        case Data::kLowDigit: {
          const auto g = static_cast<std::size_t>(Describe(f.stored().kind).g);
          const bool last = k % CutSize(f, w_.group) % BlockSize(f, w_.group) % g + 1 == g;
          const int sum = n % 2 == 0 ? 63 : -64;
          const int each = sum / static_cast<int>(g);
          row[k] = static_cast<float>(last ? sum - each * (static_cast<int>(g) - 1) : each);
          break;
        }
        default:
          row[k] = random_.Gaussian();
      }
    }
    if (case_.data == Data::kOutlier && !row.empty()) row[random_.Below(row.size())] = n % 2 == 0 ? 1000.0f : -1000.0f;
  }

  // The value of a 1 in a row.
  float XMagnitude() const {
    const bool half = x_.type == DataType::kF16;
    if (case_.data == Data::kDenormal) return half ? 1e-7f : 1e-40f;
    if (case_.data == Data::kHuge) return half ? 1e4f : Describe(w_.format).is_float() ? 1e30f : 1e32f;
    return 1.0f;
  }
  // The integer of a 1 in a row; Gaussian data reach -128 and 127, or -8 and 7.
  float XInteger() const {
    const float largest = x_.type == DataType::kInt8 ? 127.0f : x_.type == DataType::kInt4 ? 7.0f : 1.0f;
    if (case_.data == Data::kOutlier) return 0.001f * largest;
    if (case_.data == Data::kLowDigit) return 1.0f;
    return case_.data == Data::kEqual || case_.data == Data::kExtreme ? largest : 0.4f * largest;
  }
  // The integer nearest to a value.
  float RoundX(float value) const {
    if (x_.type == DataType::kBits) return value > 0 ? 1.0f : -1.0f;
    const float end = x_.type == DataType::kInt8 ? 128.0f : 8.0f;
    return std::clamp(std::nearbyint(value), -end, end - 1);
  }

  void MakeX() {
    data_ = Guarded(internal::DivideUp(Elements(x_.n, x_.k, x_.row_stride), PerByte(x_.type)) * SizeOf(x_.type));
    x_.data = data_.data();
    std::vector<float> row(x_.k);
    for (std::size_t n = 0; n < x_.n; ++n) {
      MakeRow(n, row);
      for (std::size_t k = 0; k < x_.k; ++k) {
        const float value = HasScales(x_.type) ? RoundX(row[k] * XInteger()) : row[k] * XMagnitude();
        Store(x_.type, value, data_.data(), n * x_.row_stride + ColumnOfX(w_, k));
      }
    }
    if (!HasScales(x_.type)) return;
    const std::size_t g = x_.scale_group, count = x_.n * (g == kPerRow ? 1 : x_.k / g + (x_.k % g != 0));
    x_scales_ = Guarded(count * sizeof(float));
    for (std::size_t i = 0; i < count; ++i) {
      Store(DataType::kF32, XMagnitude() / XInteger() * random_.Uniform(0.5f, 1.5f), x_scales_.data(), i);
    }
    x_.scales = reinterpret_cast<const float*>(x_scales_.data());
  }

  Case case_;
  Random random_;
  QuantizedView w_;
  ActivationView x_;
  std::vector<bool> flipped_;  // kExtreme: where x is negative
  Guarded codes_, scales_, zeros_, super_scales_, super_offsets_, codebook_, choices_, bias_, order_, data_, x_scales_;
};

}  // namespace lutra::test
