// The weights that benchmarks multiply: random codes, packed often enough to come from DRAM.
#pragma once

#include <cstddef>
#include <vector>

#include "lutra/lutra.h"

namespace lutra::bench {

// A matrix of random codes and scales of type f16, one per `group` weights.
Status RandomWeights(Format format, std::size_t m, std::size_t k, std::size_t group, QuantizedMatrix* w);

enum class Residence { kCache, kDram };

// One matrix, packed for one target.
class Weights {
 public:
  Weights(Format format, Target target, std::size_t m, std::size_t k, std::size_t group);

  bool IsOf(Format format, Target target, std::size_t group) const {
    return format_ == format && target_ == target && codes_.view().group == group;
  }

  // Packs what is missing: one copy for the cache; for DRAM as many as exceed any cache.
  Status Reserve(Residence residence);

  const QuantizedView& codes() const { return codes_.view(); }
  const PackedMatrix& first() const { return copies_.front(); }
  // The copy that was used the longest ago, or always the first one.
  const PackedMatrix& Next(Residence residence) {
    if (residence == Residence::kCache) return first();
    next_ = next_ + 1 < copies_.size() ? next_ + 1 : 0;
    return copies_[next_];
  }

 private:
  Format format_;
  Target target_;
  QuantizedMatrix codes_;
  Status status_;  // of making codes_ and copies_
  std::vector<PackedMatrix> copies_;
  std::size_t next_ = 0;
};

}  // namespace lutra::bench
