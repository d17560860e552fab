// ImportGguf with a scale of the matrix.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/quantized_matrix.h"
#include "lutra/status.h"
#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// lutra::ImportGguf; the matrix has this matrix_scale.
Status ImportGguf(std::uint32_t type, const void* data, std::size_t size, std::size_t m, std::size_t k,
                  float matrix_scale, QuantizedMatrix* w);

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
