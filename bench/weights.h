// The weights that benchmarks multiply: random codes, packed often enough to come from DRAM.
#pragma once

#include <cstddef>
#include <vector>

#include "lutra/lutra.h"

namespace lutra::bench {

// How scales and zeros come.
struct Params {
  std::size_t group = 128;
  DataType scale_type = DataType::kF16;
  ZeroKind zero_kind = ZeroKind::kNone;
  std::size_t tables = 1;  // of formats with own_values
  bool operator==(const Params& o) const {
    return group == o.group && scale_type == o.scale_type && zero_kind == o.zero_kind && tables == o.tables;
  }
};

// A matrix of random codes and params; scale_type is not kF32 or kBF16, zero_kind is kNone or kOffset.
Status RandomWeights(Format format, std::size_t m, std::size_t k, const Params& params, QuantizedMatrix* w);

enum class Residence { kCache, kDram };

// One matrix, packed for one target.
class Weights {
 public:
  Weights(Format format, Target target, std::size_t m, std::size_t k, const Params& params);

  bool IsOf(Format format, Target target, const Params& params) const {
    return format_ == format && target_ == target && params_ == params;
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
  Params params_;
  QuantizedMatrix codes_;
  Status status_;  // of making codes_ and copies_
  std::vector<PackedMatrix> copies_;
  std::size_t next_ = 0;
};

}  // namespace lutra::bench
