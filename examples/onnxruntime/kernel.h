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
  // Packs the weights of a node, which must be constants. Throws Ort::Exception on errors, as Compute does.
  explicit Kernel(const OrtKernelInfo* info);
  // Computes y[N x M] = x[N x K] * W^T + bias, of the type of x. Any number of threads may call it at the same time.
  void Compute(OrtKernelContext* ort) const;

 private:
  lutra::PackedMatrix w_;
  lutra::PrepareOptions options_;
  Ort::MemoryInfo memory_{Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)};
};

}  // namespace op
