// See sums.h.
#include "quantize/sums.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

Values::Values(const FormatInfo& f, const std::int8_t* table)
    : floats_(f.is_float() ? &f.floats : nullptr),
      lowest_(f.value(0)),
      highest_(f.value(f.levels - 1)),
      step_(table != nullptr ? 0.0f : f.value(1) - f.value(0)) {
  if (f.is_float()) {
    highest_ = f.value(f.floats.magnitudes - 1);
    lowest_ = -highest_;
  }
  if (table == nullptr) return;
  count_ = static_cast<std::size_t>(f.levels);
  for (std::size_t i = 0; i < count_; ++i) values_[i] = f.unit * static_cast<float>(table[i]);
  std::sort(values_, values_ + count_);
  for (std::size_t i = 0; i + 1 < count_; ++i) half_way_[i] = (values_[i] + values_[i + 1]) / 2;
  lowest_ = values_[0];
  highest_ = values_[count_ - 1];
}

void Values::Round(float* numbers) const {
  if (floats_ != nullptr) {
    for (std::size_t i = 0; i < kLanes; ++i) numbers[i] = floats_->value(NearestFloat(*floats_, numbers[i]));
    return;
  }
  if (step_ != 0) {
    constexpr float kInteger = 0x1.8p23f;  // x + kInteger has no fraction, for |x| below 2^22
    const float inverse = 1 / step_, last = (highest_ - lowest_) * inverse;
    for (std::size_t i = 0; i < kLanes; ++i) {
      const float code = std::min(std::max((numbers[i] - lowest_) * inverse, 0.0f), last);
      numbers[i] = lowest_ + step_ * ((code + kInteger) - kInteger);
    }
    return;
  }
  int above[kLanes] = {};
  for (std::size_t value = 0; value + 1 < count_; ++value) {
    for (std::size_t i = 0; i < kLanes; ++i) above[i] += numbers[i] > half_way_[value] ? 1 : 0;
  }
  for (std::size_t i = 0; i < kLanes; ++i) numbers[i] = values_[above[i]];
}

Sums Values::SumsOf(const Group& group, float scale, float offset) const {
  Sums sums;
  const float inverse = 1 / scale;
  if (std::fabs(scale) < std::numeric_limits<float>::min() || inverse == 0.0f) {
    sums.error = std::numeric_limits<double>::infinity();
    return sums;
  }
  // Lanes, so that compilers use vectors without a change of the order of additions.
  double one[kLanes] = {}, sum_v[kLanes] = {}, vv[kLanes] = {}, sum_w[kLanes] = {}, wv[kLanes] = {}, error[kLanes] = {};
  for (std::size_t r = 0; r < group.rows; ++r) {
    for (std::size_t begin = 0; begin < group.count; begin += kLanes) {
      const std::size_t count = std::min(kLanes, group.count - begin);
      float w[kLanes] = {}, v[kLanes], importance[kLanes] = {};
      for (std::size_t i = 0; i < count; ++i) {
        w[i] = group.weights[r * group.row_stride + begin + i];
        importance[i] = group.importance == nullptr ? 1.0f : group.importance[begin + i];
      }
      for (std::size_t i = 0; i < kLanes; ++i) v[i] = (w[i] - offset) * inverse;
      Round(v);
      for (std::size_t i = 0; i < kLanes; ++i) {
        const double of_w = w[i], of_v = v[i], c = importance[i];
        const double difference = of_w - (scale * of_v + offset);
        one[i] += c;
        sum_v[i] += c * of_v;
        vv[i] += c * of_v * of_v;
        sum_w[i] += c * of_w;
        wv[i] += c * of_w * of_v;
        error[i] += c * difference * difference;
      }
    }
  }
  for (std::size_t i = 0; i < kLanes; ++i) sums += {one[i], sum_v[i], vv[i], sum_w[i], wv[i], error[i]};
  return sums;
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
