// The reference of gated units.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "float_mode.h"
#include "lutra/kernels/fma.h"
#include "lutra/kernels/gated.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::Fma;

// NaN stays NaN.
float Cut(float v, float low, float high) { return v < low ? low : v > high ? high : v; }

float Exp(float t) {
  constexpr float kMagic = 0x1.8p23f;
  const float shifted = Fma(t, internal::kInverseLn2, kMagic), n = shifted - kMagic;
  const float r = Fma(n, -internal::kLowerLn2, Fma(n, -internal::kUpperLn2, t));
  float sum = 0.0f;
  for (const float term : internal::kExpTerms) sum = Fma(sum, r, term);
  std::uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits << 23) + 0x3f800000u;
  float power;
  std::memcpy(&power, &bits, sizeof(power));
  return sum * power;
}

float Gated(const GatedUnit& unit, float gate, float up) {
  const float g = gate > unit.limit ? unit.limit : gate, u = Cut(up, -unit.limit, unit.limit);
  const float c = Cut(g, -internal::kMostInSigmoid, internal::kMostInSigmoid);
  const float t = Cut(-c * Fma(c * c, unit.cubic, unit.slope), internal::kLeastExponent, internal::kMostExponent);
  const float y = (u + unit.offset) * (g / (1.0f + Exp(t)));
  return std::isnan(y) ? std::numeric_limits<float>::quiet_NaN() : y;
}

}  // namespace

void functions::ReferenceGatedUnit(const GatedUnit& unit, const float* gate, const float* up, std::size_t count,
                                   float* y) {
  const internal::FloatMode mode;
  for (std::size_t i = 0; i < count; ++i) y[i] = Gated(unit, gate[i], up[i]);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
