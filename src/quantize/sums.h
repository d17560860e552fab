// Sums over a group with given qparams: its error, and what a fit by least squares needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quantize/group.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

// Sums over the weights w of a group, each times its importance; v is the value that is nearest to w with the given
// qparams.
struct Sums {
  double one = 0, v = 0, vv = 0, w = 0, wv = 0, error = 0;

  Sums& operator+=(const Sums& other) {
    one += other.one, v += other.v, vv += other.vv, w += other.w, wv += other.wv, error += other.error;
    return *this;
  }
};

// The values of a format's codes, or of a table, in ascending order.
class Values {
 public:
  Values(const FormatInfo& f, const std::int8_t* table);

  float lowest() const { return lowest_; }
  float highest() const { return highest_; }
  // The sums for w = scale * v + offset, in float. The error is infinite if the scale has no inverse.
  Sums SumsOf(const Group& group, float scale, float offset) const;

 private:
  static constexpr std::size_t kLanes = 8;
  // Replaces numbers by the nearest values.
  void Round(float* numbers) const;

  const FloatCode* floats_;  // null if values are no floats
  float lowest_, highest_;
  float step_;                                                 // between affine values; 0 for others
  std::size_t count_ = 0;                                      // of the values of a table
  float values_[kMaxTableValues], half_way_[kMaxTableValues];  // half_way_: between a value and the next one
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
