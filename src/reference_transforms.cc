// References of what Prepare may do to x first: ReferenceRmsNorm, ReferenceHadamard.
#include <cmath>

#include "float_mode.h"
#include "lutra/buffer.h"
#include "lutra/reference.h"
#include "validate.h"
#include "x_elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::X;

constexpr std::size_t kRmsSums = 32;  // ReferenceRmsNorm promises this number and order of sums

float InverseRms(const ActivationView& x, std::size_t n, float epsilon) {
  double sums[kRmsSums] = {};
  for (std::size_t k = 0; k < x.k; ++k) sums[k % kRmsSums] += double{X(x, n, k)} * X(x, n, k);
  for (std::size_t width = kRmsSums / 2; width != 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) sums[i] += sums[i + width];
  }
  return static_cast<float>(1.0 / std::sqrt(sums[0] / static_cast<double>(x.k) + double{epsilon}));
}

// out[block]: elements `begin` and above of row n of x, transformed.
void TransformBlock(const ActivationView& x, const Hadamard& hadamard, std::size_t n, std::size_t begin, float* out) {
  for (std::size_t i = 0; i < hadamard.block; ++i) {
    out[i] = X(x, n, begin + i) * (hadamard.signs != nullptr ? hadamard.signs[begin + i] : 1.0f);
  }
  for (std::size_t distance = 1; distance < hadamard.block; distance *= 2) {
    for (std::size_t i = 0; i < hadamard.block; ++i) {
      if ((i & distance) != 0) continue;
      const float a = out[i], b = out[i + distance];
      out[i] = a + b;
      out[i + distance] = a - b;
    }
  }
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(hadamard.block)));
  for (std::size_t i = 0; i < hadamard.block; ++i) out[i] *= scale;
}

}  // namespace

Status functions::ReferenceRmsNorm(const ActivationView& x, const RmsNorm& norm, float* out) {
  const internal::FloatMode mode;
  LUTRA_RETURN_IF_ERROR(internal::ValidateActivations(x));
  LUTRA_RETURN_IF_ERROR(internal::ValidateNorm(norm));
  if (out == nullptr && x.n != 0 && x.k != 0) return Status::Invalid("out", "is null");
  const auto normalized = [&](std::size_t n, float inverse_rms, std::size_t k) {
    return X(x, n, k) * inverse_rms * (norm.weight != nullptr ? norm.weight[k] : 1.0f);
  };
  for (std::size_t n = 0; n < x.n; ++n) {
    const float inverse_rms = InverseRms(x, n, norm.epsilon);
    for (std::size_t k = 0; k < x.k; ++k) {
      if (!internal::IsFinite(normalized(n, inverse_rms, k))) return internal::NotFinite({&norm, nullptr}, x.k);
    }
  }
  for (std::size_t n = 0; n < x.n; ++n) {
    const float inverse_rms = InverseRms(x, n, norm.epsilon);
    for (std::size_t k = 0; k < x.k; ++k) out[n * x.k + k] = normalized(n, inverse_rms, k);
  }
  return {};
}

Status functions::ReferenceHadamard(const ActivationView& x, const Hadamard& hadamard, float* out) {
  const internal::FloatMode mode;
  LUTRA_RETURN_IF_ERROR(internal::ValidateActivations(x));
  LUTRA_RETURN_IF_ERROR(internal::ValidateHadamard(hadamard, x.k));
  if (out == nullptr && x.n != 0 && x.k != 0) return Status::Invalid("out", "is null");
  Buffer block;
  if (!block.Reserve(hadamard.block * sizeof(float))) return Status::OutOfMemory("out");
  for (std::size_t n = 0; n < x.n; ++n) {
    for (std::size_t begin = 0; begin < x.k; begin += hadamard.block) {
      TransformBlock(x, hadamard, n, begin, block.as<float>());
      if (!internal::AllFinite(block.data(), DataType::kF32, hadamard.block)) {
        return internal::NotFinite({nullptr, &hadamard}, x.k);
      }
    }
  }
  for (std::size_t n = 0; n < x.n; ++n) {
    for (std::size_t begin = 0; begin < x.k; begin += hadamard.block) {
      TransformBlock(x, hadamard, n, begin, out + n * x.k + begin);
    }
  }
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
