// K-means in one dimension, exact on a histogram: the best tables of values for given qparams.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lutra/version.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

inline constexpr std::size_t kMostLevels = 16;  // of a table

// Weighted numbers, in steps of a quarter from -128 to 128. Large: for the heap.
class Histogram {
 public:
  void Clear();
  void Add(double number, double weight) {
    const double bin = std::clamp((number + 128) * 4, 0.0, static_cast<double>(kBins - 1));
    Bin& of_number = bins_[static_cast<std::size_t>(bin) + 1];
    of_number.one += weight;
    of_number.z += weight * number;
    of_number.zz += weight * number * number;
  }
  // Writes the means of `count` clusters, at most kMostLevels: those with the least sum of weighted
  // squared distances from their means, where all numbers of a step belong to one cluster. Returns false if all weights
  // are 0. Clear the histogram before the next Add.
  bool Means(std::size_t count, double* means);

 private:
  static constexpr std::size_t kBins = 1024;
  struct Bin {
    double one, z, zz;  // the sums of weight, weight * number, weight * number^2
  };

  // The sum of squared distances from the mean, of the bins from begin to end.
  double Cost(std::size_t begin, std::size_t end) const {
    const double one = bins_[end].one - bins_[begin].one, z = bins_[end].z - bins_[begin].z;
    return one > 0 ? std::max(0.0, bins_[end].zz - bins_[begin].zz - z * z / one) : 0.0;
  }

  Bin bins_[kBins + 1];  // in Means, element i becomes the sum of the bins before i
  double least_[2][kBins + 1];
  std::uint16_t from_[kMostLevels][kBins + 1];  // where the last of some clusters begins
};

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
