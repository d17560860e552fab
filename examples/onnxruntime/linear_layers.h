// The linear layers of an ONNX model: products with a constant matrix, and convolutions of 1 x 1. Their inputs become
// outputs of the model; their weights become nodes lutra.MatMulNBits.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstddef>
#include <string>
#include <vector>

#include "lutra/lutra.h"

namespace ocr {

struct LinearLayer {
  int node = 0;              // its index in the graph
  std::string input;         // the name of x
  bool convolution = false;  // x is [N][K][rows][columns]; otherwise the last dimension is K
  std::size_t m = 0, k = 0;
  std::vector<float> weights;  // [M x K]
};

// The layers with K of at least `least_k`.
std::vector<LinearLayer> FindLinearLayers(const onnx::ModelProto& model, std::size_t least_k);

// The model with the inputs of the layers as further outputs.
onnx::ModelProto WithInputsAsOutputs(const onnx::ModelProto& model, const std::vector<LinearLayer>& layers);

// x of a layer as rows [N x K], from a tensor of `size` floats; of a convolution, for one image.
std::vector<float> RowsOf(const LinearLayer& layer, const float* tensor, std::size_t size);

// The model with each layer as a node lutra.MatMulNBits. weights[i]: int2 to int8 with f32 scales and integer zero
// points, in groups of 16 to 256.
onnx::ModelProto WithQuantizedLayers(const onnx::ModelProto& model, const std::vector<LinearLayer>& layers,
                                     const std::vector<lutra::QuantizedMatrix>& weights);

}  // namespace ocr
