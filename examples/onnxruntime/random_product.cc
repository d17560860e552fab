// Fills the tensors of a MatMulNBits node, and runs models.
#include "random_product.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "weights.h"

namespace random_product {
namespace {

constexpr ONNXTensorElementDataType kBytes = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;

float RoundToF16(float value) { return lutra::F16ToF32(lutra::F32ToF16(value)); }

template <class T>
std::string BytesOf(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// Rows of fields as streams of bits, the lowest first; a row is filled up to `row_bytes`.
std::string Pack(const std::vector<std::uint8_t>& fields, std::size_t bits, std::size_t row, std::size_t row_bytes) {
  std::string bytes(fields.size() / row * row_bytes, '\0');
  for (std::size_t i = 0; i < fields.size(); ++i) {
    for (std::size_t bit = 0; bit < bits; ++bit) {
      const std::size_t at = i % row * bits + bit;
      const int value = (fields[i] >> bit & 1) << at % 8;
      bytes[i / row * row_bytes + at / 8] = static_cast<char>(bytes[i / row * row_bytes + at / 8] | value);
    }
  }
  return bytes;
}

std::int64_t Signed(std::size_t size) { return static_cast<std::int64_t>(size); }

}  // namespace

Weights::Weights(const Shape& shape) : shape_(shape), blocks_(lutra::GroupsPerRow(shape.k, shape.block)) {
  std::mt19937 random(static_cast<unsigned>(shape.bits * 1000 + shape.block));
  const auto below = [&](std::size_t end) { return random() % static_cast<unsigned>(end); };
  const std::size_t levels = std::size_t{1} << shape.bits, groups = shape.m * blocks_;
  codes_.resize(shape.m * shape.k);
  for (std::uint8_t& code : codes_) code = static_cast<std::uint8_t>(below(levels));
  for (std::size_t i = 0; i < groups; ++i) {
    integer_zeros_.push_back(static_cast<std::uint8_t>(below(levels)));
    scales_.push_back(RoundToF16((0.5f + static_cast<float>(below(64)) / 64) / static_cast<float>(levels)));
    float_zeros_.push_back(RoundToF16(static_cast<float>(below(8 * levels)) / 8));
  }
  for (std::size_t i = 0; i < shape.m; ++i) bias_.push_back(static_cast<float>(below(64)) / 8 - 4);
  half_scales_ = Halves(scales_);
  half_zeros_ = Halves(float_zeros_);

  view_.format = op::FormatOf(shape.bits);
  view_.m = shape.m;
  view_.k = view_.code_stride = shape.k;
  view_.codes = codes_.data();
  view_.group = shape.block;
  view_.scale_type = lutra::DataType::kF32;
  view_.scales = scales_.data();
  if (shape.zeros != Zeros::kNone) view_.zero_kind = lutra::ZeroKind::kPoint;
  view_.zero_type = shape.zeros == Zeros::kFloat ? lutra::DataType::kF32 : lutra::DataType::kUInt8;
  view_.zeros = shape.zeros == Zeros::kFloat ? static_cast<const void*>(float_zeros_.data()) : integer_zeros_.data();
  view_.bias = shape.bias ? bias_.data() : nullptr;
}

onnx_model::Model Weights::ModelOf(const std::vector<std::string>& domains) const {
  const std::size_t block_bytes = shape_.block * shape_.bits / 8;
  const std::int64_t m = Signed(shape_.m), k = Signed(shape_.k), blocks = Signed(blocks_);
  const auto floats = [&](const std::vector<float>& values) {
    return shape_.half ? BytesOf(Halves(values)) : BytesOf(values);
  };
  onnx_model::Model model;
  model.inputs = {{"x", type(), {-1, k}}};
  model.constants = {
      {"B", kBytes, {m, blocks, Signed(block_bytes)}, Pack(codes_, shape_.bits, shape_.k, blocks_ * block_bytes)},
      {"scales", type(), {m * blocks}, floats(scales_)}};
  std::vector<std::string> inputs = {"x", "B", "scales", "", "", ""};
  if (shape_.zeros == Zeros::kPacked) {
    const std::size_t bytes = (blocks_ * shape_.bits + 7) / 8;
    model.constants.push_back(
        {"zeros", kBytes, {m * Signed(bytes)}, Pack(integer_zeros_, shape_.bits, blocks_, bytes)});
  }
  if (shape_.zeros == Zeros::kFloat) model.constants.push_back({"zeros", type(), {m, blocks}, floats(float_zeros_)});
  if (shape_.zeros != Zeros::kNone) inputs[3] = "zeros";
  if (shape_.bias) {
    model.constants.push_back({"bias", type(), {m}, floats(bias_)});
    inputs[5] = "bias";
  }
  while (inputs.back().empty()) inputs.pop_back();
  for (const std::string& domain : domains) {
    model.nodes.push_back({domain,
                           "MatMulNBits",
                           inputs,
                           {domain},
                           {{"K", k},
                            {"N", m},
                            {"bits", Signed(shape_.bits)},
                            {"block_size", Signed(shape_.block)},
                            {"accuracy_level", shape_.accuracy_level}}});
    model.outputs.push_back({domain, type(), {-1, m}});
  }
  return model;
}

std::vector<float> RandomRows(std::size_t n, std::size_t k) {
  std::mt19937 random(static_cast<unsigned>(n));
  std::vector<float> x(n * k);
  for (float& value : x) value = RoundToF16(static_cast<float>(random() >> 8) * 0x1p-23f - 1);
  return x;
}

std::vector<std::uint16_t> Halves(const std::vector<float>& values) {
  std::vector<std::uint16_t> halves(values.size());
  std::transform(values.begin(), values.end(), halves.begin(), [](float value) { return lutra::F32ToF16(value); });
  return halves;
}

Ort::Session SessionOf(const onnx_model::Model& model, int threads) {
  static const Ort::Env env(ORT_LOGGING_LEVEL_FATAL, "lutra");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(threads);
  options.RegisterCustomOpsLibrary(LUTRA_ONNXRUNTIME_OP);
  const std::string bytes = Serialize(model);
  return Ort::Session(env, bytes.data(), bytes.size(), options);
}

Call::Call(Ort::Session& session, const onnx_model::Model& model, const std::vector<float>& x, std::size_t n)
    : session_(session), input_(model.inputs[0].name.c_str()), x_(nullptr) {
  const onnx_model::Argument& input = model.inputs[0];
  const bool half = input.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
  if (half) halves_ = Halves(x);
  void* const data = half ? static_cast<void*>(halves_.data()) : const_cast<float*>(x.data());
  const std::int64_t shape[] = {Signed(n), n == 0 ? input.shape[1] : Signed(x.size() / n)};
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  x_ = Ort::Value::CreateTensor(memory, data, x.size() * (half ? 2 : 4), shape, 2, input.type);
  for (const onnx_model::Argument& output : model.outputs) outputs_.push_back(output.name.c_str());
}

std::vector<Ort::Value> Call::Run() {
  return session_.Run(Ort::RunOptions(), &input_, &x_, 1, outputs_.data(), outputs_.size());
}

std::vector<std::vector<float>> Outputs(Ort::Session& session, const onnx_model::Model& model,
                                        const std::vector<float>& x, std::size_t n) {
  std::vector<std::vector<float>> outputs;
  for (const Ort::Value& y : Call(session, model, x, n).Run()) {
    std::vector<float>& floats = outputs.emplace_back(y.GetTensorTypeAndShapeInfo().GetElementCount());
    const void* const from = y.GetTensorRawData();
    if (model.inputs[0].type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16) {
      const auto* const bits = static_cast<const std::uint16_t*>(from);
      std::transform(bits, bits + floats.size(), floats.begin(), lutra::F16ToF32);
    } else if (!floats.empty()) {
      std::memcpy(floats.data(), from, floats.size() * sizeof(float));
    }
  }
  return outputs;
}

}  // namespace random_product
