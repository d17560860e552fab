// The registers of a matrix unit as plain loops: what lutra/kernels/matrix_unit-inl.h describes, on any CPU. Shapes
// that do not fit together, for which a CPU would raise an exception, fail the test.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lutra/kernels/matrix_shapes.h"

namespace lutra::test {

class EmulatedRegisters {
 public:
  // Codes are signed bytes if some are negative. (AMX has an instruction for each; its target needs one.)
  EmulatedRegisters(const internal::MethodKernel& kernel, const internal::MatrixShapes& shapes)
      : shapes_(shapes), signed_codes_(kernel.method.lowest() + kernel.bias < 0) {
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
  template <int kSums, int kX, int kCodes>
  void Multiply() {
    static_assert(kSums != kX && kSums != kCodes && kX != kCodes);
    const std::size_t quads = shapes_.rows[kCodes];
    if (shapes_.rows[kSums] != shapes_.rows[kX] || shapes_.row_bytes[kX] != 4 * quads ||
        shapes_.row_bytes[kSums] != shapes_.row_bytes[kCodes] || shapes_.row_bytes[kCodes] % 4 != 0) {
      ADD_FAILURE() << "shapes do not fit";
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
  const internal::MatrixShapes shapes_;
  const bool signed_codes_;
  // Each thread has its own registers, as on a CPU; they are not on its stack.
  static inline thread_local std::uint8_t bytes_[internal::kMatrixRegisters][internal::kMatrixRows]
                                                [internal::kMatrixRowBytes];
};

}  // namespace lutra::test
