// ONNX models as bytes of a file, with the few kinds of protobuf messages that a model of a few nodes needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "onnxruntime_cxx_api.h"

namespace onnx_model {

// A constant: its bytes, row-major, in the byte order of the machine.
struct Tensor {
  std::string name;
  ONNXTensorElementDataType type;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

// An input or output of a model; a dimension of -1 is open.
struct Argument {
  std::string name;
  ONNXTensorElementDataType type;
  std::vector<std::int64_t> shape;
};

struct Node {
  std::string domain, type;
  std::vector<std::string> inputs, outputs;  // an input that is not there has an empty name
  std::vector<std::pair<std::string, std::int64_t>> attributes;
};

struct Model {
  std::vector<Node> nodes;
  std::vector<Tensor> constants;
  std::vector<Argument> inputs, outputs;
};

// The bytes of a model file.
std::string Serialize(const Model& model);

}  // namespace onnx_model
