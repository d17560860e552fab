// Checks of imported weights: their values, their products, and the size of their packed bytes.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lutra/lutra.h"
#include "support/problem.h"
#include "support/testing.h"

namespace lutra::test {

inline std::vector<float> Dequantized(const QuantizedView& w) {
  std::vector<float> weights(w.m * w.k);
  EXPECT_TRUE(Ok(Dequantize(w, weights.data(), w.k)));
  return weights;
}

inline QuantizedMatrix Imported(std::uint32_t type, const std::vector<std::uint8_t>& bytes, std::size_t m,
                                std::size_t k) {
  QuantizedMatrix w;
  EXPECT_TRUE(Ok(ImportGguf(type, bytes.data(), bytes.size(), m, k, &w)));
  return w;
}

// Packs w for every target and multiplies, in both precisions.
inline void ExpectRightProducts(const QuantizedView& w) {
  Random random(3);
  for (const std::size_t n : {std::size_t{1}, std::size_t{5}}) {
    std::vector<float> data(n * w.k);
    for (float& value : data) value = random.Gaussian();
    const ActivationView x = {data.data(), DataType::kF32, n, w.k, w.k};
    for (const Precision precision : kPrecisions) {
      std::vector<double> expected(n * w.m), bound(n * w.m);
      ASSERT_TRUE(Ok(ReferenceMatMul(w, x, expected.data())));
      ASSERT_TRUE(Ok(ReferenceErrorBound(w, x, precision, bound.data())));
      for (const Target target : RunnableTargets()) {
        SCOPED_TRACE(::testing::Message() << TargetName(target) << ", N " << n << ", " << Name(precision));
        PackedMatrix packed;
        Context context;
        Activations tables;
        std::vector<float> y(n * w.m);
        ASSERT_TRUE(Ok(Pack(w, {target, nullptr}, &packed)));
        ASSERT_TRUE(Ok(Prepare(x, packed, precision, context, &tables)));
        ASSERT_TRUE(Ok(MatMul(packed, tables, {y.data(), DataType::kF32, n, w.m, w.m}, context)));
        EXPECT_TRUE(Within(y, expected, bound, w.m));
      }
    }
  }
}

// Packed bytes of whole panels per byte in the file, and the promised limit.
inline constexpr double kMostBytes = 1.05;
inline double PackedPerFile(const QuantizedMatrix& w, std::size_t bytes, Target target) {
  PackedMatrix packed;
  EXPECT_TRUE(Ok(Pack(w.view(), {target, nullptr}, &packed)));
  return static_cast<double>(packed.bytes()) / static_cast<double>(bytes);
}

}  // namespace lutra::test
