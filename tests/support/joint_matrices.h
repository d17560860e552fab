// Matrices with joint K-blocks (layout/joint.h), and x for them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lutra/layout/joint.h"
#include "lutra/lutra.h"
#include "support/case.h"
#include "support/random.h"
#include "support/testing.h"

namespace lutra::test {

inline int RatioOf(const QuantizedView& w) {
  return internal::JointRatio(Describe(w.format), internal::SchemeOf(w), w.group);
}

// kHighest, kLowest: the largest |sums|, of either sign. kHighestFolded, kLowestFolded: the same with scales of
// six bits, whose codes may be folded.
enum class Fill { kRandom, kHighest, kLowest, kHighestFolded, kLowestFolded };

// Sets the integers of w to its bound: codes of the largest |L(q) + start|, and scales of the largest magnitude.
inline void SetExtremes(Fill fill, QuantizedMatrix& w) {
  const bool high = fill == Fill::kHighest || fill == Fill::kHighestFolded;
  const int most = fill == Fill::kHighest || fill == Fill::kLowest ? 127 : 31;
  const QuantizedView& v = w.view();
  const MethodInfo method{v.format, ActivationKind::kIntegers};
  const int levels = Describe(v.format).levels, start = v.zero_kind == ZeroKind::kNone ? method.start() : 0;
  std::uint8_t extreme = 0;
  for (int q = 0; q < levels && !Describe(v.format).own_values; ++q) {
    if (std::abs(method.integer(q) + start) > std::abs(method.integer(extreme) + start))
      extreme = static_cast<std::uint8_t>(q);
  }
  std::fill_n(w.codes(), v.m * v.k, extreme);
  const auto scale = static_cast<std::int8_t>(v.scale_type == DataType::kUInt4 ? 15 : high ? most : -most - 1);
  std::fill_n(static_cast<std::int8_t*>(w.scales()), ScaleCount(v), scale);
  if (v.zero_kind != ZeroKind::kNone) std::fill_n(static_cast<std::int8_t*>(w.zeros()), ScaleCount(v), scale);
  if (Describe(v.format).own_values)
    std::fill_n(w.codebook(), CodebookSize(v), std::int8_t{high ? std::int8_t{127} : std::int8_t{-127}});
}
inline QuantizedMatrix MakeMatrix(QuantizedView shape, Fill fill, Random& random) {
  QuantizedMatrix w;
  EXPECT_TRUE(Ok(w.Allocate(shape)));
  const QuantizedView& v = w.view();
  const auto levels = static_cast<std::size_t>(Describe(v.format).levels);
  const bool nibbles = v.scale_type == DataType::kUInt4;
  // Scales of a byte have six bits in every other super-group, which may fold.
  const auto scale = [&](std::size_t i) {
    const bool six = i % GroupsPerRow(v.k, v.group) * v.group / kSuperGroup % 2 == 0;
    return static_cast<int>(random.Below(nibbles ? 16 : six ? 64 : 256)) - (nibbles ? 0 : six ? 32 : 128);
  };
  for (std::size_t i = 0; i < v.m * v.k; ++i) w.codes()[i] = static_cast<std::uint8_t>(random.Below(levels));
  for (std::size_t i = 0; i < ScaleCount(v); ++i) {
    static_cast<std::int8_t*>(w.scales())[i] = static_cast<std::int8_t>(scale(i));
    if (v.zero_kind != ZeroKind::kNone)
      static_cast<std::uint8_t*>(w.zeros())[i] = static_cast<std::uint8_t>(random.Below(nibbles ? 16 : 256));
    if (HasTableChoices(v)) w.table_choices()[i] = static_cast<std::uint8_t>(random.Below(v.codebook_tables));
  }
  for (std::size_t i = 0; i < CodebookSize(v); ++i)
    w.codebook()[i] = static_cast<std::int8_t>(static_cast<int>(random.Below(255)) - 127);
  for (std::size_t i = 0; i < SuperScaleCount(v); ++i) {
    w.super_scales()[i] = F32ToF16(random.Gaussian() * 0.01f);
    if (v.zero_kind != ZeroKind::kNone) w.super_offsets()[i] = F32ToF16(random.Gaussian() * 0.01f);
  }
  if (fill != Fill::kRandom) SetExtremes(fill, w);
  return w;
}

// x, whose rows are floats, or int8 with a scale each.
struct Rows {
  std::vector<std::vector<float>> values;
  std::vector<float> floats, scales;
  std::vector<std::int8_t> bytes;
  ActivationView view;

  Rows(std::size_t n, std::size_t k, bool int8, Fill fill, Random& random) : values(n, std::vector<float>(k)) {
    for (std::size_t row = 0; row < n; ++row) {
      scales.push_back(int8 ? random.Uniform(0.5f, 1.5f) : 0.0f);
      for (std::size_t i = 0; i < k; ++i) {
        float value = random.Gaussian() * (i / 50 % 3 == 0 ? 40.0f : 10.0f);
        if (int8) value = std::clamp(std::nearbyint(value), row % 2 == 0 ? -127.0f : -128.0f, 127.0f);
        if (fill != Fill::kRandom) value = row % 2 == 0 ? 127.0f : int8 ? -128.0f : -127.0f;
        values[row][i] = value;
        int8 ? bytes.push_back(static_cast<std::int8_t>(value)) : floats.push_back(value);
      }
    }
    view = int8 ? ActivationView::Int8(bytes.data(), scales.data(), n, k) : ActivationView(floats.data(), n, k);
  }
};

// All shapes of a format with joint K-blocks.
inline std::vector<QuantizedView> JointShapes(Format format, std::size_t m, std::size_t k) {
  std::vector<QuantizedView> shapes;
  for (const std::size_t group : kGroups) {
    for (const DataType type : {DataType::kInt8, DataType::kUInt4}) {
      for (const ZeroKind zeros : {ZeroKind::kNone, ZeroKind::kOffset}) {
        QuantizedView shape;
        shape.format = format;
        shape.m = m;
        shape.k = k;
        shape.group = group;
        shape.scale_type = shape.zero_type = type;
        shape.zero_kind = zeros;
        shape.codebook_tables = group == 32 ? 3 : 1;
        if (!HasRowScales(group) && RatioOf(shape) != 0) shapes.push_back(shape);
      }
    }
  }
  return shapes;
}

}  // namespace lutra::test
