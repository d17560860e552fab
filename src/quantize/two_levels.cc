// See two_levels.h.
#include "quantize/two_levels.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lutra/float16.h"
#include "quantize/fit_range.h"
#include "quantize/search.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {
namespace {

constexpr std::size_t kMostGroups = kSuperGroup / 16;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The integers that scales and offsets of a type are. (-128 is left out, so that both signs have the same range.)
struct Integers {
  float lowest, highest;
};
Integers IntegersOf(DataType type) { return type == DataType::kUInt4 ? Integers{0, 15} : Integers{-127, 127}; }

// The qparams of a super-group.
struct Levels {
  float super_scale = 0, super_offset = 0;
  float scales[kMostGroups] = {}, offsets[kMostGroups] = {};  // integers
  std::uint8_t tables[kMostGroups] = {};
};

// A super-group with a choice of qparams for each group, in float.
class SuperGroup {
 public:
  SuperGroup(const Group& columns, const GroupArrays& arrays)
      : columns_(columns), shape_(arrays.shape), float_shape_(shape_), integers_(IntegersOf(shape_.scale_type)) {
    // The same matrix with scales of one level, in float.
    float_shape_.scale_type = float_shape_.zero_type = DataType::kF32;
  }

  std::size_t groups() const { return GroupsPerRow(columns_.count, shape_.group); }
  Group At(std::size_t g) const { return columns_.Part(g * shape_.group, shape_.group); }

  // Fits the groups in float. `sign`: as for Search; scales under Fit::kRange get the sign.
  void FitGroups(Fit fit, int sign) {
    for (std::size_t g = 0; g < groups(); ++g) {
      const Choice choice = FitTables(At(g), float_shape_, fit, sign);
      wanted_[g] = choice.found.q;
      if (sign != 0) wanted_[g].scale = std::copysign(wanted_[g].scale, static_cast<float>(sign));
      levels_.tables[g] = static_cast<std::uint8_t>(choice.table);
    }
  }
  // Super-scale and super-offset from the largest of the groups' in magnitude, divided by `factor`.
  void FitSupers(float factor) {
    levels_.super_scale = SuperOf(&Qparams::scale, factor);
    levels_.super_offset = shape_.zero_kind == ZeroKind::kOffset ? SuperOf(&Qparams::offset, factor) : 0.0f;
  }
  // The integers that are nearest to what FitGroups found.
  void RoundGroups() {
    for (std::size_t g = 0; g < groups(); ++g) {
      levels_.scales[g] = IntegerOf(wanted_[g].scale, levels_.super_scale);
      levels_.offsets[g] = IntegerOf(wanted_[g].offset, levels_.super_offset);
    }
  }
  // Of the integers around what was found, takes those with the least error. Returns the error of the super-group, and
  // sets what the best super-scale and super-offset for these integers and codes would be.
  double ChooseIntegers() {
    Products products;
    double error = 0;
    next_scale_ = levels_.super_scale;
    next_offset_ = levels_.super_offset;
    for (std::size_t g = 0; g < groups(); ++g) {
      const Sums sums = ChooseIntegers(g);
      error += sums.error;
      products.Add(sums, levels_.scales[g], levels_.offsets[g], FixedZero());
    }
    products.Solve(&next_scale_, &next_offset_);
    return error;
  }
  void TakeNextSupers() {
    levels_.super_scale = next_scale_;
    levels_.super_offset = next_offset_;
  }

  const Levels& levels() const { return levels_; }

 private:
  // Normal equations of w = S * (scale * v) + O * offset, over the groups of a super-group.
  struct Products {
    double aa = 0, ab = 0, bb = 0, aw = 0, bw = 0;
    void Add(const Sums& s, double scale, double offset, double zero) {
      const double v = s.v - zero * s.one, vv = s.vv - 2 * zero * s.v + zero * zero * s.one, wv = s.wv - zero * s.w;
      aa += scale * scale * vv;
      ab += scale * offset * v;
      bb += offset * offset * s.one;
      aw += scale * wv;
      bw += offset * s.w;
    }
    // Leaves what the equations do not determine.
    void Solve(float* scale, float* offset) const {
      const double determinant = aa * bb - ab * ab;
      if (determinant > 0) {
        *scale = ToF16((aw * bb - bw * ab) / determinant);
        *offset = ToF16((bw * aa - aw * ab) / determinant);
      } else if (aa > 0) {
        *scale = ToF16(aw / aa);
      }
    }
    static float ToF16(double value) {
      return RoundedTo(DataType::kF16, static_cast<float>(std::clamp(value, -65504.0, 65504.0)));
    }
  };

  double FixedZero() const {
    return shape_.zero_kind == ZeroKind::kOffset ? 0.0 : static_cast<double>(Describe(shape_.format).default_zero);
  }
  float SuperOf(float Qparams::*field, float factor) const {
    float largest = 0;
    for (std::size_t g = 0; g < groups(); ++g) {
      if (std::fabs(wanted_[g].*field) > std::fabs(largest)) largest = wanted_[g].*field;
    }
    // Integers with a sign: the super-scale has none.
    if (integers_.lowest < 0) largest = std::fabs(largest);
    return RoundedTo(DataType::kF16, largest / (integers_.highest * factor));
  }
  float IntegerOf(float value, float super_value) const {
    if (super_value == 0.0f) return 0.0f;
    return std::clamp(std::nearbyint(value / super_value), integers_.lowest, integers_.highest);
  }
  Sums ChooseIntegers(std::size_t g) {
    const FormatInfo& f = Describe(shape_.format);
    const Values values(f, TableOf(f, shape_, levels_.tables[g]));
    const Group group = At(g);
    const float scale = IntegerOf(wanted_[g].scale, levels_.super_scale);
    const float offset = IntegerOf(wanted_[g].offset, levels_.super_offset);
    const float steps = levels_.super_offset == 0.0f ? 0.0f : 1.0f;
    Sums best;
    best.error = kInfinity;
    for (float a = std::max(scale - 1, integers_.lowest); a <= std::min(scale + 1, integers_.highest); ++a) {
      for (float b = std::max(offset - steps, integers_.lowest); b <= std::min(offset + steps, integers_.highest);
           ++b) {
        const Sums sums = SumsWith(values, group, a * levels_.super_scale, b * levels_.super_offset);
        if (sums.error >= best.error && best.error != kInfinity) continue;
        best = sums;
        levels_.scales[g] = a;
        levels_.offsets[g] = b;
      }
    }
    return best;
  }
  Sums SumsWith(const Values& values, const Group& group, float scale, float offset) const {
    const Qparams q{scale, Describe(shape_.format).default_zero, offset};
    if (scale != 0.0f) return SumsFor(values, group, shape_, q);
    Sums sums;  // all weights are the offset
    group.ForEach([&](float w, std::size_t, std::size_t i) {
      const double c = group.importance == nullptr ? 1.0 : group.importance[i], difference = double{w} - offset;
      sums.one += c;
      sums.w += c * w;
      sums.error += c * difference * difference;
    });
    return sums;
  }

  const Group& columns_;
  const QuantizedView& shape_;
  QuantizedView float_shape_;
  const Integers integers_;
  Qparams wanted_[kMostGroups] = {};
  Levels levels_;
  float next_scale_ = 0, next_offset_ = 0;
};

void StoreLevels(const Levels& levels, std::size_t groups, std::size_t at, const GroupArrays& arrays) {
  arrays.super_scales[arrays.SuperAt(at)] = F32ToF16(levels.super_scale);
  const bool offsets = arrays.shape.zero_kind == ZeroKind::kOffset;
  if (offsets) arrays.super_offsets[arrays.SuperAt(at)] = F32ToF16(levels.super_offset);
  for (std::size_t g = 0; g < groups; ++g) {
    static_cast<std::int8_t*>(arrays.scales)[at + g] = static_cast<std::int8_t>(levels.scales[g]);
    if (offsets) static_cast<std::int8_t*>(arrays.zeros)[at + g] = static_cast<std::int8_t>(levels.offsets[g]);
    if (HasTableChoices(arrays.shape)) arrays.table_choices[at + g] = levels.tables[g];
  }
}

// The error of the groups with the qparams that are stored.
double ErrorOfStored(const SuperGroup& super, std::size_t at, const GroupArrays& arrays) {
  double error = 0;
  for (std::size_t g = 0; g < super.groups(); ++g) error += StoredError(super.At(g), at + g, arrays);
  return error;
}

// Stores the levels if they are better than the best ones before.
void Keep(const SuperGroup& super, std::size_t at, const GroupArrays& arrays, double* least, Levels* best) {
  StoreLevels(super.levels(), super.groups(), at, arrays);
  const double error = ErrorOfStored(super, at, arrays);
  if (error < *least) {
    *least = error;
    *best = super.levels();
  } else {
    StoreLevels(*best, super.groups(), at, arrays);
  }
}

}  // namespace

void FitSuperGroup(const Group& columns, std::size_t at, const GroupArrays& arrays, Fit fit) {
  constexpr float kFactors[] = {1.0f, 0.93f, 0.86f};  // the largest scales may be cut off
  constexpr int kSteps = 4;
  SuperGroup super(columns, arrays);
  const bool one_sign = arrays.shape.scale_type == DataType::kUInt4;
  super.FitGroups(Fit::kRange, one_sign ? 1 : 0);
  super.FitSupers(1.0f);
  super.RoundGroups();
  Levels best = super.levels();
  StoreLevels(best, super.groups(), at, arrays);
  if (fit == Fit::kRange) return;

  double least = ErrorOfStored(super, at, arrays);
  const bool both_signs = one_sign && arrays.shape.zero_kind == ZeroKind::kNone;
  for (const int sign : {one_sign ? 1 : 0, -1}) {
    if (sign < 0 && !both_signs) break;
    super.FitGroups(fit, sign);
    for (const float factor : kFactors) {
      super.FitSupers(factor);
      double last = kInfinity;
      for (int step = 0; step < kSteps; ++step) {
        const double error = super.ChooseIntegers();
        if (error >= last) break;
        last = error;
        Keep(super, at, arrays, &least, &best);
        super.TakeNextSupers();
      }
    }
  }
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
