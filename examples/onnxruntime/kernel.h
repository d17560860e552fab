// The kernel of a MatMulNBits node: packed weights, which ONNX Runtime's threads multiply.
#pragma once

#include <cstddef>

#include "lutra/lutra.h"
#include "onnxruntime_cxx_api.h"

namespace op {

// The inputs, in the order of com.microsoft.MatMulNBits.
enum Input : std::size_t { kA, kB, kScales, kZeroPoints, kGroupIndex, kBias };

class Kernel {
 public:
  // Packs the weights of a node, which must be constants. Both functions throw Ort::Exception on errors.
  explicit Kernel(const OrtKernelInfo* info);
  // Multiplies. Any number of threads may do so at the same time.
  void Compute(OrtKernelContext* ort) const;

 private:
  lutra::PackedMatrix w_;
  lutra::PrepareOptions options_;
  Ort::MemoryInfo memory_{Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)};
};

}  // namespace op
