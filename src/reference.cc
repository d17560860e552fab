// The reference functions, in scalar code. They share only the description of the formats with the kernels.
#include "lutra/reference.h"

#include <algorithm>
#include <cmath>

#include "float_mode.h"
#include "lutra/buffer.h"
#include "lutra/float16.h"
#include "lutra/kernels/fma.h"
#include "lutra/layout/joint.h"
#include "scales.h"
#include "validate.h"
#include "x_elements.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace {

using internal::BiasAt;
using internal::CenterAt;
using internal::IntegerAt;
using internal::IntegerOfX;
using internal::ScaleAt;
using internal::ScaleOfX;
using internal::ValueAt;
using internal::WeightAt;
using internal::X;
using internal::ZeroAt;

Status Validate(const QuantizedView& w, const ActivationView& x, const void* out, const char* name) {
  LUTRA_RETURN_IF_ERROR(internal::ValidateWeights(w));
  LUTRA_RETURN_IF_ERROR(internal::ValidateActivations(x));
  if (x.k != w.k) return Status::Invalid("x.k", "differs from K of w");
  if (out == nullptr && x.n != 0 && w.m != 0) return Status::Invalid(name, "is null");
  for (std::size_t m = 0; m < w.m; ++m) {
    if (!internal::AllCodesExist(Describe(w.format), w.codes + m * w.code_stride, w.k)) {
      return Status::Invalid("w.codes", "holds a code that the format does not have");
    }
  }
  for (std::size_t n = 0; n < x.n; ++n) {
    for (std::size_t k = 0; k < x.k; ++k) {
      if (!internal::IsFinite(X(x, n, k))) return Status::Invalid("x.data", "holds a value that is not finite");
    }
  }
  return {};
}

float X(const QuantizedView& w, const ActivationView& x, std::size_t n, std::size_t j) {
  return X(x, n, ColumnOfX(w, j));
}

// One K-block of x in integers: x = unit * integers.
struct ExactBlock {
  std::int32_t x[kMaxBlockWeights];
  std::int32_t sum = 0;
  float unit = 0;
};

ExactBlock RoundBlock(const QuantizedView& w, const ActivationView& x, const ActivationInfo& activations, std::size_t n,
                      std::size_t begin, std::size_t end) {
  ExactBlock block;
  const bool one_scale = GroupsPerRow(x.k, x.scale_group) == 1 ||
                         (w.order == nullptr && begin / x.scale_group == (end - 1) / x.scale_group);
  const bool raw = HasScales(x.type) && one_scale;
  float largest = 0;
  for (std::size_t k = begin; k < end; ++k) largest = std::max(largest, std::fabs(X(w, x, n, k)));
  // Very small and very large x are scaled by a power of two first, so that steps and their inverses are normal floats
  // (kernels/prepare/steps-inl.h).
  const int exponent = largest == 0 ? 0 : std::max(std::ilogb(largest), -127);
  constexpr int kMinExponent = -60, kMaxExponent = 60;
  constexpr float kScaleUp = 0x1p90f, kScaleDown = 0x1p-90f;
  const float shift = exponent < kMinExponent ? kScaleUp : exponent > kMaxExponent ? kScaleDown : 1.0f;
  const auto limit = static_cast<float>(ExactLimit(activations));
  const float inverse = largest > 0 ? limit / (largest * shift) : 0.0f;
  block.unit = raw ? ScaleOfX(x, n, begin) : largest * shift / limit * (1.0f / shift);
  for (std::size_t k = begin; k < end; ++k) {
    std::int32_t& q = block.x[k - begin];
    q = raw ? IntegerOfX(x, n, ColumnOfX(w, k))
            : static_cast<std::int32_t>(std::nearbyint(double{X(w, x, n, k) * shift} * inverse));
    block.sum += q;
  }
  return block;
}

// The scale times the gain, as kernels round it: a product that is subnormal without a gain above 1 loses bits.
float ScaleTimesGain(QuantizedView w, std::size_t m, std::size_t k) {
  const float gain = MethodOf(w.format).gain();
  w.matrix_scale *= gain;
  return HasMatrixScale(w.scale_type) ? ScaleAt(w, m, k) : ScaleAt(w, m, k) * gain;
}

// x, which is finite, as products with floats, or with bf16, take it.
float AsPrepared(float x, ActivationKind kind) {
  return kind == ActivationKind::kBf16 ? BF16ToF32(F32ToBF16(std::clamp(x, -kMaxBf16, kMaxBf16))) : x;
}

// The sum of L(q) * x over a K-block in the floats of the kernels (kernels/floats-inl.h): elements 0 and 1 of each four
// add to one sum, elements 2 and 3 to another.
float SumOfFloats(const QuantizedView& w, const ActivationView& x, ActivationKind kind, std::size_t n, std::size_t m,
                  std::size_t begin, std::size_t end) {
  const MethodInfo method = MethodOf(w.format);
  float sums[2] = {};
  for (std::size_t k = begin; k < end; ++k) {
    float& sum = sums[(k - begin) % 4 / 2];
    const float code = method.info().value(w.codes[m * w.code_stride + k]) / method.gain();
    sum = internal::Fma(code, AsPrepared(X(w, x, n, k), kind), sum);
  }
  return sums[0] + sums[1];
}

// Rows of W that ReferenceMatMul multiplies with each element of x: loading that takes longer than a product.
constexpr std::size_t kRows = 8;

}  // namespace

Status functions::ReferenceMatMul(const QuantizedView& w, const ActivationView& x, double* y) {
  const internal::FloatMode mode;
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y, "y"));
  Buffer buffer;
  if (!buffer.Reserve(w.k * kRows * sizeof(double))) return Status::OutOfMemory("y");
  auto* const weights = buffer.as<double>();  // [K][kRows]
  for (std::size_t begin = 0; begin < w.m; begin += kRows) {
    const std::size_t rows = std::min(kRows, w.m - begin);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t m = begin + row;
      for (std::size_t k = 0; k < w.k; ++k) {
        weights[k * kRows + row] = WeightAt<double>(w, m, k, ValueAt(w, m, k, w.codes[m * w.code_stride + k]));
      }
    }
    for (std::size_t n = 0; n < x.n; ++n) {
      double sums[kRows] = {};
      for (std::size_t row = 0; row < rows; ++row) sums[row] = BiasAt(w, begin + row);
      for (std::size_t k = 0; k < w.k; ++k) {
        const double of_x = X(w, x, n, k);
        for (std::size_t row = 0; row < rows; ++row) sums[row] += weights[k * kRows + row] * of_x;
      }
      std::copy(sums, sums + rows, y + n * w.m + begin);
    }
  }
  return {};
}

Status functions::ReferenceExactMatMul(const QuantizedView& w, const ActivationView& x, ActivationKind kind, float* y) {
  const internal::FloatMode mode;
  LUTRA_RETURN_IF_ERROR(Validate(w, x, y, "y"));
  const FormatInfo& f = Describe(w.format);
  const MethodInfo method{w.format, kind};
  for (std::size_t n = 0; n < x.n; ++n) {
    for (std::size_t m = 0; m < w.m; ++m) y[n * w.m + m] = 0.0f;
    for (std::size_t begin = 0, end; begin < w.k; begin = end) {
      end = BlockEnd(f, w.group, begin, w.k);
      if (f.is_float()) {
        for (std::size_t m = 0; m < w.m; ++m) {
          const float sum = SumOfFloats(w, x, kind, n, m, begin, end);
          y[n * w.m + m] = internal::Fma(ScaleTimesGain(w, m, begin), sum, y[n * w.m + m]);
        }
        continue;
      }
      const ExactBlock block = RoundBlock(w, x, Describe(kind), n, begin, end);
      const float sum_of_x = std::clamp(static_cast<float>(block.sum) * block.unit, -0x1.fffffep127f, 0x1.fffffep127f);
      for (std::size_t m = 0; m < w.m; ++m) {
        std::int32_t sum = 0;  // of L(q) * x
        for (std::size_t k = begin; k < end; ++k) {
          const int q = w.codes[m * w.code_stride + k];
          sum += IntegerAt(w, method, m, k, q) * block.x[k - begin];
        }
        const float scale = ScaleAt(w, m, begin) * method.gain();
        float& to = y[n * w.m + m];
        if (w.zero_kind == ZeroKind::kNone) {  // in units of the gain, a power of two, center - zero is an integer too
          sum += method.start() * block.sum;
        }
        to = internal::Fma(scale, static_cast<float>(sum) * block.unit, to);
        if (w.zero_kind != ZeroKind::kNone) to = internal::Fma(CenterAt(w, method, m, begin), sum_of_x, to);
      }
    }
    if (w.bias != nullptr) {
      for (std::size_t m = 0; m < w.m; ++m) y[n * w.m + m] += BiasAt(w, m);
    }
  }
  return {};
}

namespace {

// What the bound takes from the format and its method.
struct Reach {
  Reach(const QuantizedView& w, const MethodInfo& method)
      : gain(method.gain()), largest(gain * std::max(method.highest(), -method.lowest())) {
    if (method.info().is_float()) {
      largest = highest = method.info().value(method.info().floats.magnitudes - 1);
      lowest = -highest;
      return;
    }
    const MethodInfo values{method.format, ActivationKind::kIntegers};
    lowest = method.info().unit * static_cast<float>(values.lowest());
    highest = method.info().unit * static_cast<float>(values.highest());
    if (!method.info().own_values) return;
    const std::int8_t* const end = w.codebook + w.codebook_tables * static_cast<std::size_t>(method.info().levels);
    lowest = method.info().unit * static_cast<float>(*std::min_element(w.codebook, end));
    highest = method.info().unit * static_cast<float>(*std::max_element(w.codebook, end));
    largest = std::max(std::fabs(lowest), std::fabs(highest));
  }
  double gain, largest;   // the largest |gain * L(q)|
  float lowest, highest;  // of the values
};

// What the bound takes from a K-block of a row of x.
struct BlockOfX {
  BlockOfX(const QuantizedView& w, const ActivationView& x, const ActivationInfo& activations, std::size_t n,
           std::size_t begin_k, std::size_t end_k)
      : begin(begin_k), end(end_k) {
    const auto g = static_cast<std::size_t>(activations.g);
    for (std::size_t k = begin; k < end; k += g) {
      double index_sum = 0;
      for (std::size_t j = k; j < std::min(k + g, end); ++j) {
        const double modulus = std::fabs(double{X(w, x, n, j)});
        largest = std::max(largest, modulus);
        rounding += std::fabs(X(w, x, n, j) - double{AsPrepared(X(w, x, n, j), activations.kind)});
        index_sum += modulus;
      }
      largest_sum = std::max(largest_sum, index_sum);
      sum += index_sum;
    }
  }
  std::size_t begin, end;
  double largest = 0, largest_sum = 0, sum = 0;  // |x|, its sum over g weights, its sum
  double rounding = 0;                           // the sum of the errors of x in bf16
  double joint_step = 0, joint_unit = 0;         // joint K-blocks: the step, and ratio * step
};

double LargestOf(const QuantizedView& w, const ActivationView& x, std::size_t n, std::size_t begin, std::size_t end) {
  double largest = 0;
  for (std::size_t k = begin; k < std::min(end, w.k); ++k) {
    largest = std::max(largest, std::fabs(double{X(w, x, n, k)}));
  }
  return largest;
}
// Sets the steps of joint K-blocks whose ratios are at most `ratio`. A ratio is the next integer above the exact one.
void SetJointSteps(const QuantizedView& w, const ActivationView& x, std::size_t n, int ratio, BlockOfX& block) {
  const std::size_t begin = block.begin / internal::kJointWeights * internal::kJointWeights;
  const std::size_t run = block.begin / internal::kJointRunWeights * internal::kJointRunWeights;
  block.joint_step = LargestOf(w, x, n, begin, begin + internal::kJointWeights) / (127 * ratio);
  block.joint_unit = LargestOf(w, x, n, run, run + internal::kJointRunWeights) / 127 + block.joint_step;
}

// The error of y[n, m] has these parts, K-block by K-block, with s = |scale|:
//
//   lookups      kInt8 tables: a lookup errs by at most half a step. There are ceil(K-block / g) lookups per plane; the
//                lookups of plane p have weight 2^p, so all P planes together have gain * (2^P - 1). The step is at
//                most (largest sum of |x| over g weights) / 127.
//   rounding x   kInt8 tables: x is rounded to 1/256 step. kInt16: to max|x| / ExactLimit. kInt8 integers: to max|x| /
//                127; of joint K-blocks to ratio * step of the joint run, and half a sum of 32 integers to a step. The
//                error is at most half of that per weight, times |w|, because lookups and the sum of x use the same
//                rounded x. Without zero points, the sum of x is rounded to 1/31 step, too.
//   floats       y = fma(scale * gain, sum * unit, y), then, with zero points, y = fma(center, sum of x, y). A few
//                roundings of terms, which are at most `terms` = (s * max |gain * L| + |center|) * sum |x|, and two
//                roundings of the running sum y per K-block. CenterAt gives the center.
//                Products with floats are rounded as they are added, K-block / 2 times, in two sums; products with bf16
//                at most K-block times, some of them to odd, which errs by up to twice as much as to nearest.
//   bf16         x is rounded; this error is computed.
//   underflow    a unit or product below the normal range errs by the smallest subnormal, times the integers that
//                multiply it. Instructions for bf16 take x and sums below the normal range for zero.
// The sum of these parts for one K-block; a term of floats errs by `float_error` times the term.
double BlockError(const QuantizedView& w, const MethodInfo& method, const Reach& reach, Precision precision,
                  const BlockOfX& x, std::size_t m, double float_error) {
  const double smallest = method.kind == ActivationKind::kBf16 ? 0x1p-126 : 0x1p-149;
  const bool tables = method.looks_up() && precision == Precision::kInt8;
  const double scale = std::fabs(double{ScaleAt(w, m, x.begin)}),
               center = std::fabs(double{CenterAt(w, method, m, x.begin)});
  const auto count = static_cast<double>(x.end - x.begin);
  // A subnormal scale * gain errs by half a bit; that error is multiplied with `integers` times x.
  const double zero = w.zero_kind == ZeroKind::kOffset ? 0.0 : double{ZeroAt(w, m, x.begin)};
  const double integers = (reach.largest + std::fabs(method.center() - zero)) / reach.gain;
  const double step = x.largest_sum / 127;
  const double unit = method.info().is_float()         ? 0
                      : x.joint_unit != 0              ? x.joint_unit
                      : tables                         ? step / 256
                      : precision == Precision::kInt16 ? x.largest / ExactLimit(method.activations())
                                                       : x.largest / 127;
  const double indices = std::ceil(count / method.activations().g);
  const double lookups = tables ? (scale * reach.largest * indices + center / 31) * step / 2 : 0.0;
  const double weight = std::max(std::fabs(WeightAt<double>(w, m, x.begin, reach.lowest)),
                                 std::fabs(WeightAt<double>(w, m, x.begin, reach.highest)));
  const double offset = w.zero_kind == ZeroKind::kOffset ? center : 0.0;
  const double rounding = weight * (count * unit / 2 + x.rounding) +
                          offset * std::ceil(count / internal::kCoarseJointSums.weights) * x.joint_step;
  const double moduli = x.sum + x.rounding + count * unit, terms = (scale * reach.largest + center) * moduli;
  // The integers of x are at most 2^14 per weight; they multiply the half bit by which a subnormal unit errs.
  const double underflow = ((scale * reach.largest + center) * count * 0x1p14 + (1 + integers) * moduli + 2) * smallest;
  return lookups + rounding + float_error * terms + underflow;
}

}  // namespace

Status functions::ReferenceErrorBound(const QuantizedView& w, const ActivationView& x, Precision precision,
                                      ActivationKind kind, double* bound) {
  const internal::FloatMode mode;
  LUTRA_RETURN_IF_ERROR(Validate(w, x, bound, "bound"));
  const FormatInfo& f = Describe(w.format);
  const MethodInfo method{w.format, kind};
  const Reach reach(w, method);
  double blocks = 0;
  for (std::size_t begin = 0; begin < w.k; begin = BlockEnd(f, w.group, begin, w.k)) ++blocks;
  const double roundings = !f.is_float()                   ? 0
                           : kind == ActivationKind::kBf16 ? static_cast<double>(BlockSize(f, w.group))
                                                           : static_cast<double>(BlockSize(f, w.group)) / 2;
  const double float_error = (blocks + roundings + 6) * 0x1p-23;
  const bool joint = kind == ActivationKind::kIntegers && precision == Precision::kInt8;
  const int ratio = joint ? internal::JointRatio(f, internal::SchemeOf(w), w.group) : 0;
  for (std::size_t n = 0; n < x.n; ++n) {
    double* const row = bound + n * w.m;
    for (std::size_t m = 0; m < w.m; ++m) row[m] = float_error * std::fabs(double{BiasAt(w, m)});
    for (std::size_t begin = 0, end; begin < w.k; begin = end) {
      end = BlockEnd(f, w.group, begin, w.k);
      BlockOfX block(w, x, method.activations(), n, begin, end);
      if (ratio != 0) SetJointSteps(w, x, n, ratio, block);
      for (std::size_t m = 0; m < w.m; ++m) row[m] += BlockError(w, method, reach, precision, block, m, float_error);
    }
  }
  return {};
}

Status functions::ReferenceExactMatMul(const QuantizedView& w, const ActivationView& x, float* y) {
  LUTRA_RETURN_IF_ERROR(internal::ValidateShape(w));  // only a Format has a method
  return ReferenceExactMatMul(w, x, MethodOf(w.format).kind, y);
}
Status functions::ReferenceErrorBound(const QuantizedView& w, const ActivationView& x, Precision precision,
                                      double* bound) {
  LUTRA_RETURN_IF_ERROR(internal::ValidateShape(w));
  return ReferenceErrorBound(w, x, precision, MethodOf(w.format).kind, bound);
}

}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
