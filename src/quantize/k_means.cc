// See k_means.h.
#include "quantize/k_means.h"

namespace lutra {
inline namespace LUTRA_ABI_NAMESPACE {
namespace internal {

void Histogram::Clear() { std::fill(bins_, bins_ + kBins + 1, Bin{0, 0, 0}); }

bool Histogram::Means(std::size_t count, double* means) {
  for (std::size_t i = 1; i <= kBins; ++i) {
    bins_[i].one += bins_[i - 1].one;
    bins_[i].z += bins_[i - 1].z;
    bins_[i].zz += bins_[i - 1].zz;
  }
  if (!(bins_[kBins].one > 0)) return false;
  // Dynamic programming: the least cost of the bins before `end` in the clusters up to c.
  for (std::size_t end = 0; end <= kBins; ++end) least_[0][end] = Cost(0, end), from_[0][end] = 0;
  for (std::size_t c = 1; c < count; ++c) {
    double* const least = least_[c % 2];
    const double* const before = least_[(c + 1) % 2];
    for (std::size_t end = 0; end <= kBins; ++end) {
      least[end] = before[end];  // an empty cluster
      from_[c][end] = static_cast<std::uint16_t>(end);
      for (std::size_t begin = 0; begin < end; ++begin) {
        const double cost = before[begin] + Cost(begin, end);
        if (cost < least[end]) least[end] = cost, from_[c][end] = static_cast<std::uint16_t>(begin);
      }
    }
  }
  std::size_t end = kBins;
  double mean = 0;
  for (std::size_t c = count; c-- > 0;) {
    const std::size_t begin = from_[c][end];
    const double one = bins_[end].one - bins_[begin].one;
    if (one > 0) mean = (bins_[end].z - bins_[begin].z) / one;
    means[c] = mean;  // an empty cluster repeats the one after it, or is 0
    end = begin;
  }
  return true;
}

}  // namespace internal
}  // namespace LUTRA_ABI_NAMESPACE
}  // namespace lutra
