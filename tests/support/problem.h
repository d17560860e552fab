// A multiplication to test: a Case says which, a Problem owns its data, deterministic in the case's seed.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lutra/layout/k_blocks.h"
#include "lutra/lutra.h"
#include "support/case.h"
#include "support/codebooks.h"
#include "support/guarded.h"
#include "support/random.h"

namespace lutra::test {

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
  // The codes of the highest and of the lowest value of each table, or of the one that the format has.
  std::vector<std::array<std::uint8_t, 2>> ExtremeCodes() const {
    const FormatInfo& f = Describe(w_.format);
    std::vector<std::array<std::uint8_t, 2>> extremes(std::max<std::size_t>(TableCount(w_), 1));
    QuantizedView one_table = w_;
    one_table.codebook_tables = 1;
    for (auto& [highest, lowest] : extremes) {
      highest = lowest = 0;
      for (int q = 1; q < f.levels; ++q) {
        if (!f.has(q)) continue;
        const float value = ValueOf(one_table, 0, q);
        if (value > ValueOf(one_table, 0, highest)) highest = static_cast<std::uint8_t>(q);
        if (value < ValueOf(one_table, 0, lowest)) lowest = static_cast<std::uint8_t>(q);
      }
      if (f.own_values) one_table.codebook += f.levels;
    }
    return extremes;
  }

  // The codes that random bytes stand for.
  std::array<std::uint8_t, 256> CodesOfBytes() const {
    const FormatInfo& f = Describe(w_.format);
    std::array<std::uint8_t, 256> codes;
    for (unsigned byte = 0; byte < 256; ++byte) {
      codes[byte] = static_cast<std::uint8_t>(byte * static_cast<unsigned>(f.levels) >> 8);
      if (!f.has(codes[byte])) codes[byte] ^= 0x40;  // without an exponent's highest bit
    }
    return codes;
  }

  void MakeCodes() {
    codes_ = Guarded(Elements(w_.m, w_.k, w_.code_stride));
    w_.codes = codes_.data();
    const std::array<std::uint8_t, 256> codes = CodesOfBytes();
    for (std::size_t m = 0; m < w_.m; ++m) {
      std::uint8_t* const row = codes_.data() + m * w_.code_stride;
      std::uint64_t bits = 0;
      for (std::size_t k = 0; k < w_.k; ++k, bits >>= 8) {
        if (k % 8 == 0) bits = random_.Bits();
        row[k] = codes[bits & 255];
      }
    }
    if (case_.data == Data::kExtreme || case_.data == Data::kLowDigit) MakeExtremeCodes();
  }
  void MakeExtremeCodes() {
    const std::vector<std::array<std::uint8_t, 2>> extremes = ExtremeCodes();
    for (std::size_t m = 0; m < w_.m; ++m) {
      for (std::size_t k = 0; k < w_.k; ++k) {
        const bool low = (m % 2 == 1) != (case_.data == Data::kExtreme && flipped_[k]);
        const std::size_t table = HasTableChoices(w_) ? w_.table_choices[GroupAt(m, k)] : 0;
        codes_.data()[m * w_.code_stride + k] = extremes[table][low ? 1 : 0];
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
