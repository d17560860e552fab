// See lutra/block_float.h.
#include "lutra/block_float.h"

#include <algorithm>
#include <cmath>

#include "composite/side_products.h"
#include "tasks.h"
#include "validate.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

// The work of a call: all rows of x.
struct Rounding {
  const ActivationView& x;
  const BlockFloat& form;
  const std::uint32_t* order;
  float* out;

  float& At(std::size_t n, std::size_t j) const { return out[n * x.k + (order == nullptr ? j : order[j])]; }

  void RoundRow(std::size_t n) const {
    internal::LoadRow(x, n, 0, x.k, out + n * x.k);
    for (std::size_t begin = 0; begin < x.k; begin += std::min(form.block, x.k - begin)) {
      RoundBlock(n, begin, begin + std::min(form.block, x.k - begin));
    }
  }

  void RoundBlock(std::size_t n, std::size_t begin, std::size_t end) const {
    float largest = 0;
    for (std::size_t j = begin; j < end; ++j) largest = std::max(largest, std::fabs(At(n, j)));
    if (largest == 0) return;
    const int exponent = std::ilogb(largest) - (form.mantissa_bits - 2);
    const double most = std::ldexp(1.0, form.mantissa_bits - 1) - 1;
    for (std::size_t j = begin; j < end; ++j) {
      const double integer = std::nearbyint(std::ldexp(static_cast<double>(At(n, j)), -exponent));
      At(n, j) = static_cast<float>(std::ldexp(std::clamp(integer, -most, most), exponent));
    }
  }
};

// Whether all elements are finite; of int8, their products with scales.
bool AllFinite(const ActivationView& x) {
  constexpr std::size_t kStep = 256;
  float row[kStep];
  for (std::size_t n = 0; n < x.n; ++n) {
    for (std::size_t begin = 0; begin < x.k; begin += kStep) {
      const std::size_t end = std::min(begin + kStep, x.k);
      internal::LoadRow(x, n, begin, end, row);
      if (!internal::AllFinite(row, DataType::kF32, end - begin)) return false;
    }
  }
  return true;
}

}  // namespace

Status functions::OrderByMagnitude(const float* magnitudes, std::size_t k, std::uint32_t* order) {
  if (k == 0) return {};
  if (magnitudes == nullptr) return Status::Invalid("magnitudes", "is null");
  if (order == nullptr) return Status::Invalid("order", "is null");
  if (k > 0xffffffffu) return Status::Invalid("k", "is not below 2^32");
  const internal::FloatMode mode;
  for (std::size_t i = 0; i < k; ++i) {
    if (!(magnitudes[i] >= 0)) return Status::Invalid("magnitudes", "holds a value that is negative or NaN");
  }
  for (std::size_t i = 0; i < k; ++i) order[i] = static_cast<std::uint32_t>(i);
  // Not a stable sort, which would allocate: numbers decide between equal ones.
  std::sort(order, order + k, [&](std::uint32_t a, std::uint32_t b) {
    return magnitudes[a] != magnitudes[b] ? magnitudes[a] > magnitudes[b] : a < b;
  });
  return {};
}

Status functions::RoundToBlockFloat(const ActivationView& x, const BlockFloat& form, const std::uint32_t* order,
                                    Context& context, float* out) {
  LUTRA_RETURN_IF_ERROR(internal::ValidateActivations(x));
  if (form.mantissa_bits < 2 || form.mantissa_bits > 25) {
    return Status::Invalid("form.mantissa_bits", "is not 2 to 25");
  }
  if (form.block == 0) return Status::Invalid("form.block", "is 0");
  if (x.n == 0 || x.k == 0) return {};
  if (out == nullptr) return Status::Invalid("out", "is null");
  if (order != nullptr) LUTRA_RETURN_IF_ERROR(internal::ValidateOrder(order, x.k, "order"));
  {
    const internal::FloatMode mode;
    if (!AllFinite(x)) return Status::Invalid("x.data", "holds a value that is not finite");
  }
  const Rounding rounding{x, form, order, out};
  internal::RunTasks<const Rounding>(context.executor, x.n, rounding,
                                     [](const Rounding& r, std::size_t n) { r.RoundRow(n); });
  return {};
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
