// See search.h.
#include "quantize/search.h"

#include <algorithm>
#include <cmath>

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

constexpr std::size_t kDescents = 3;  // starts of the grid that are improved
constexpr int kSteps = 6;             // improvements of a start, at most

// Factors of a scale, about 0.92 apart: with few bits, the best scale leaves the largest weights out.
constexpr float kFactors[] = {1.1f,  1.01f, 0.93f, 0.86f, 0.79f, 0.72f, 0.67f, 0.61f, 0.56f,
                              0.52f, 0.48f, 0.44f, 0.4f,  0.37f, 0.34f, 0.31f, 0.28f, 0.26f};

float ToFloat(double value) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(value, -kLargest, kLargest));
}

Qparams WithOffset(double scale, double offset) {
  return {ToFloat(scale), scale != 0 ? ToFloat(-offset / scale) : 0.0f, ToFloat(offset)};
}

class GroupSearch {
 public:
  GroupSearch(const Group& group, const QuantizedView& shape, const std::int8_t* table, int sign)
      : group_(group), shape_(shape), values_(Describe(shape.format), table), sign_(sign) {}

  Found Run(const Qparams& start) {
    Consider(start);
    if (FreedomOf(shape_) == ZeroFreedom::kFixed) {
      ConsiderScales();
    } else {
      ConsiderRanges();
    }
    for (const Found& found : starts_) {
      if (found.error < std::numeric_limits<double>::infinity()) Descend(found.q);
    }
    return best_;
  }

 private:
  Sums Try(const Qparams& q) {
    const Qparams rounded = Rounded(shape_, q);
    if (rounded.scale * static_cast<float>(sign_) < 0.0f)
      return {0, 0, 0, 0, 0, std::numeric_limits<double>::infinity()};
    const Sums sums = SumsFor(values_, group_, shape_, rounded);
    if (sums.error < best_.error) best_ = {sums.error, rounded};
    return sums;
  }
  // Keeps the best starts, the first of equal ones first.
  void Consider(const Qparams& q) {
    Found found{Try(q).error, q};
    for (Found& start : starts_) {
      if (found.error < start.error) std::swap(found, start);
    }
  }
  // Scales that give the largest weight the value that is the largest on one side of 0, and smaller ones.
  void ConsiderScales() {
    const float zero = Describe(shape_.format).default_zero;
    const float low = std::fabs(values_.lowest() - zero), high = std::fabs(values_.highest() - zero);
    const float bound = std::min(low, high) > 0 ? std::min(low, high) : std::max(low, high);
    if (bound == 0) return;
    float largest = 0;
    group_.ForEach([&](float w, std::size_t, std::size_t) { largest = std::max(largest, std::fabs(w)); });
    for (const float factor : kFactors) {
      Consider({largest / bound * factor, zero, 0.0f});
      if (low != high) Consider({-largest / bound * factor, zero, 0.0f});
    }
  }
  // Ranges around the middle of the weights, and around 0.
  void ConsiderRanges() {
    double low = group_.weights[0], high = low;
    group_.ForEach([&](float w, std::size_t, std::size_t) {
      low = std::min<double>(low, w);
      high = std::max<double>(high, w);
    });
    const double spread = static_cast<double>(values_.highest()) - values_.lowest();
    if (spread <= 0) return;
    for (const double center : {(low + high) / 2, 0.0}) {
      for (const float factor : kFactors) {
        const double from = center + (low - center) * factor, to = center + (high - center) * factor;
        const double scale = (to - from) / spread;
        Consider(WithOffset(scale, from - scale * values_.lowest()));
      }
    }
  }
  void Descend(Qparams q) {
    double last = std::numeric_limits<double>::infinity();
    for (int step = 0; step < kSteps; ++step) {
      const Sums sums = Try(q);
      if (sums.error >= last || !LeastSquares(sums, shape_, &q)) return;
      last = sums.error;
    }
  }

  const Group& group_;
  const QuantizedView& shape_;
  const Values values_;
  const int sign_;
  Found best_, starts_[kDescents];
};

}  // namespace

bool LeastSquares(const Sums& sums, const QuantizedView& shape, Qparams* q) {
  const ZeroFreedom freedom = FreedomOf(shape);
  double zero = Describe(shape.format).default_zero;
  if (freedom != ZeroFreedom::kFixed) {
    const double determinant = sums.one * sums.vv - sums.v * sums.v;
    if (!(determinant > 0)) return false;
    const double scale = (sums.one * sums.wv - sums.v * sums.w) / determinant;
    const double offset = (sums.w - scale * sums.v) / sums.one;
    if (freedom == ZeroFreedom::kReal) {
      *q = WithOffset(scale, offset);
      return true;
    }
    if (scale == 0) return false;
    zero = std::clamp(std::nearbyint(-offset / scale), 0.0, static_cast<double>(HighestZero(shape)));
  }
  const double squares = sums.vv - 2 * zero * sums.v + zero * zero * sums.one;
  if (!(squares > 0)) return false;
  const double scale = (sums.wv - zero * sums.w) / squares;
  *q = {ToFloat(scale), ToFloat(zero), ToFloat(-scale * zero)};
  return true;
}

Found Search(const Group& group, const QuantizedView& shape, const std::int8_t* table, const Qparams& start, int sign) {
  return GroupSearch(group, shape, table, sign).Run(start);
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
