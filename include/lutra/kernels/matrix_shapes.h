// The registers of a matrix unit: how many there are, and the shapes that the kernel gives them.
#pragma once

#include <cstddef>

#include "lutra/kernels/registry.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// The registers of AMX: kMatrixRegisters of up to 16 rows of up to 64 bytes.
inline constexpr int kMatrixRegisters = 8;
inline constexpr std::size_t kMatrixRows = 16, kMatrixRowBytes = 64;

// 16 rows of x at a time, from 8 rows on: with fewer rows, no plan names the unit.
inline constexpr MatrixUnit kMatrixUnit{static_cast<int>(kMatrixRows), 8};

struct MatrixShapes {
  std::size_t rows[kMatrixRegisters], row_bytes[kMatrixRegisters];
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
