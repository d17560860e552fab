// Weights in the order the kernels read them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lutra/buffer.h"
#include "lutra/executor.h"
#include "lutra/matrix.h"
#include "lutra/quantize.h"
#include "lutra/status.h"
#include "lutra/targets.h"

namespace lutra {

struct PackOptions {
  Target target = nullptr;       // null: the best of RunnableTargets()
  Executor* executor = nullptr;  // null: serial
};

// W[M x K] laid out for one target; multiplied by that target's kernels. Read-only after Pack: any number of threads
// may use it at the same time. The layout is drawn in kernels/layout.h.
class PackedMatrix {
 public:
  Format format() const { return format_; }
  std::size_t m() const { return m_; }
  std::size_t k() const { return k_; }
  std::size_t group() const { return group_; }
  DataType scale_type() const { return scale_type_; }
  ZeroKind zero_kind() const { return zero_kind_; }
  bool has_bias() const { return bias_.size() != 0; }
  Target target() const { return target_; }

  // The packed bytes a multiplication reads, padding and scales included, without the bias.
  std::size_t bytes() const { return bytes_; }
  double bits_per_weight() const {
    return m_ == 0 || k_ == 0 ? 0.0
                              : 8.0 * static_cast<double>(bytes_) / static_cast<double>(m_) / static_cast<double>(k_);
  }

  const std::uint8_t* data() const { return data_.data(); }
  const float* bias() const { return has_bias() ? bias_.as<float>() : nullptr; }

 private:
  friend Status Pack(const QuantizedView& w, const PackOptions& options, PackedMatrix* packed);

  Format format_ = Format::kInt4;
  std::size_t m_ = 0, k_ = 0, group_ = 128, bytes_ = 0;
  DataType scale_type_ = DataType::kF16;
  ZeroKind zero_kind_ = ZeroKind::kNone;
  Target target_ = nullptr;
  Buffer data_, bias_;
};

// Packs W. Reads codes, scales, zeros and bias once; the view is not needed afterwards. Fails on null data of nonzero
// size, a stride below K, a group size or type that is not listed, a code >= levels, scales, zeros or bias that are not
// finite, sizes that overflow, or short memory. M = 0 or K = 0 is valid. Method: T-MAC (planes), bitnet.cpp TL2
// (ternary sign apart).
Status Pack(const QuantizedView& w, const PackOptions& options, PackedMatrix* packed);
inline Status Pack(const QuantizedView& w, PackedMatrix* packed) { return Pack(w, PackOptions{}, packed); }

// The inverse: the codes, scales, zeros (as floats of the scale type, if kInteger as integers) and bias that were
// packed.
Status Unpack(const PackedMatrix& packed, QuantizedMatrix* w);

}  // namespace lutra
