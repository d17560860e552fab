// Random weights of a MatMulNBits node: as a model for ONNX Runtime, and as Lutra's view for the reference.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lutra/lutra.h"
#include "onnx_model.h"

namespace random_product {

enum class Zeros { kNone, kPacked, kFloat };

// What a node multiplies: y[N x M] = x[N x K] * W^T; M and K are its attributes N and K.
struct Shape {
  std::size_t m = 70, k = 200, bits = 4, block = 32;
  Zeros zeros = Zeros::kNone;
  bool bias = false;
  bool half = false;  // x, scales, float zero points, bias and y are f16
  std::int64_t accuracy_level = 0;
};

class Weights {
 public:
  explicit Weights(const Shape& shape);

  const Shape& shape() const { return shape_; }
  ONNXTensorElementDataType type() const {
    return shape_.half ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  }
  // A node of each domain that reads "x" and the weights, and writes to an output of the domain's name.
  onnx_model::Model ModelOf(const std::vector<std::string>& domains) const;
  // The same weights in Lutra's form.
  const lutra::QuantizedView& view() const { return view_; }

 private:
  Shape shape_;
  std::size_t blocks_;                               // of a row
  std::vector<std::uint8_t> codes_, integer_zeros_;  // a byte each
  std::vector<float> scales_, float_zeros_, bias_;   // values that f16 holds
  std::vector<std::uint16_t> half_scales_, half_zeros_;
  lutra::QuantizedView view_;
};

// n rows of x, in floats that f16 holds.
std::vector<float> RandomRows(std::size_t n, std::size_t k);
// Floats in the bits of f16.
std::vector<std::uint16_t> Halves(const std::vector<float>& values);

// A session of a model, with a number of threads. It knows Lutra's operator.
Ort::Session SessionOf(const onnx_model::Model& model, int threads);

// Runs a session of a model with x[n x K] as often as Run is called. The session, the model and x must outlive it.
class Call {
 public:
  Call(Ort::Session& session, const onnx_model::Model& model, const std::vector<float>& x, std::size_t n);
  std::vector<Ort::Value> Run();

 private:
  Ort::Session& session_;
  std::vector<std::uint16_t> halves_;  // x, if the model has it in f16
  const char* input_;
  std::vector<const char*> outputs_;
  Ort::Value x_;
};
// The outputs of one call. y of f16 becomes float.
std::vector<std::vector<float>> Outputs(Ort::Session& session, const onnx_model::Model& model,
                                        const std::vector<float>& x, std::size_t n);

}  // namespace random_product
