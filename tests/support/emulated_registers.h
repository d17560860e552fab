// The registers of a matrix unit as plain loops: what lutra/kernels/matrix_unit-inl.h describes, on any CPU. Shapes
// that do not fit together, for which a CPU would raise an exception, fail the test.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "lutra/float16.h"
#include "lutra/kernels/fma.h"
#include "lutra/kernels/matrix_shapes.h"

namespace lutra::test {

class EmulatedRegisters {
 public:
  // (AMX has an instruction for signed codes, too, which its target does not need.)
  EmulatedRegisters(bool signed_codes, const internal::MatrixShapes& shapes)
      : shapes_(shapes), signed_codes_(signed_codes) {
    for (int i = 0; i < internal::kMatrixRegisters; ++i) {
      EXPECT_TRUE(shapes.rows[i] > 0 && shapes.rows[i] <= internal::kMatrixRows) << shapes.rows[i];
      EXPECT_TRUE(shapes.row_bytes[i] > 0 && shapes.row_bytes[i] <= internal::kMatrixRowBytes) << shapes.row_bytes[i];
    }
  }

  template <int kRegister>
  void Clear() {
    std::memset(bytes_[kRegister], 0, sizeof(bytes_[kRegister]));
  }
  template <int kRegister>
  void Load(const std::uint8_t* from, std::size_t stride) {
    Clear<kRegister>();
    for (std::size_t row = 0; row < shapes_.rows[kRegister]; ++row) {
      std::memcpy(bytes_[kRegister][row], from + row * stride, shapes_.row_bytes[kRegister]);
    }
  }
  template <int kRegister>
  void Store(std::uint8_t* to, std::size_t stride) {
    for (std::size_t row = 0; row < shapes_.rows[kRegister]; ++row) {
      std::memcpy(to + row * stride, bytes_[kRegister][row], shapes_.row_bytes[kRegister]);
    }
  }
  template <ActivationKind kKind, int kSums, int kX, int kCodes>
  void Multiply() {
    static_assert(kSums != kX && kSums != kCodes && kX != kCodes);
    const std::size_t quads = shapes_.rows[kCodes];  // of bf16, pairs
    if (shapes_.rows[kSums] != shapes_.rows[kX] || shapes_.row_bytes[kX] != 4 * quads ||
        shapes_.row_bytes[kSums] != shapes_.row_bytes[kCodes] || shapes_.row_bytes[kCodes] % 4 != 0) {
      ADD_FAILURE() << "shapes do not fit";
      return;
    }
    if constexpr (kKind == ActivationKind::kBf16) {
      for (std::size_t n = 0; n < shapes_.rows[kSums]; ++n) {
        for (std::size_t m = 0; m < shapes_.row_bytes[kCodes] / 4; ++m) {
          AddBf16(bytes_[kX][n], &bytes_[kCodes][0][4 * m], quads, bytes_[kSums][n] + 4 * m);
        }
      }
      return;
    }
    for (std::size_t n = 0; n < shapes_.rows[kSums]; ++n) {
      std::int32_t sums[internal::kMatrixRowBytes / 4];
      std::memcpy(sums, bytes_[kSums][n], sizeof(sums));
      for (std::size_t quad = 0; quad < quads; ++quad) {
        const std::uint8_t *x = bytes_[kX][n] + 4 * quad, *codes = bytes_[kCodes][quad];
        for (std::size_t i = 0; i < shapes_.row_bytes[kCodes]; ++i) {
          sums[i / 4] += static_cast<std::int8_t>(x[i % 4]) *
                         (signed_codes_ ? static_cast<std::int8_t>(codes[i]) : static_cast<int>(codes[i]));
        }
      }
      std::memcpy(bytes_[kSums][n], sums, sizeof(sums));
    }
  }

 private:
  // Subnormal numbers are zero.
  static float Flushed(float value) { return std::fabs(value) < std::numeric_limits<float>::min() ? 0.0f : value; }
  static float Bf16At(const std::uint8_t* bytes) {
    std::uint16_t bits;
    std::memcpy(&bits, bytes, sizeof(bits));
    return Flushed(BF16ToF32(bits));
  }
  // Adds the products of the pairs of a row of x and of codes that are kMatrixRowBytes apart to the float at `to`: the
  // first elements of all pairs, the second ones, then their sums, as Intel describes TDPBF16PS.
  static void AddBf16(const std::uint8_t* x, const std::uint8_t* codes, std::size_t pairs, std::uint8_t* to) {
    float sums[2] = {};
    for (std::size_t pair = 0; pair < pairs; ++pair, x += 4, codes += internal::kMatrixRowBytes) {
      for (std::size_t i = 0; i < 2; ++i) {
        sums[i] = Flushed(internal::Fma(Bf16At(x + 2 * i), Bf16At(codes + 2 * i), sums[i]));
      }
    }
    float sum;
    std::memcpy(&sum, to, sizeof(sum));
    sum = Flushed(sum + Flushed(sums[0] + sums[1]));
    std::memcpy(to, &sum, sizeof(sum));
  }

  const internal::MatrixShapes shapes_;
  const bool signed_codes_;
  // Each thread has its own registers, as on a CPU; they are not on its stack.
  static inline thread_local std::uint8_t bytes_[internal::kMatrixRegisters][internal::kMatrixRows]
                                                [internal::kMatrixRowBytes];
};

}  // namespace lutra::test
