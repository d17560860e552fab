// Reads and rewrites the graph through ONNX's own message classes.
#include "linear_layers.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

namespace ocr {
namespace {

using Tensors = std::map<std::string, const onnx::TensorProto*>;

Tensors ConstantsOf(const onnx::GraphProto& graph) {
  Tensors constants;
  for (const onnx::TensorProto& tensor : graph.initializer()) constants[tensor.name()] = &tensor;
  for (const onnx::NodeProto& node : graph.node()) {
    if (node.op_type() == "Constant") constants[node.output(0)] = &node.attribute(0).t();
  }
  return constants;
}

std::vector<float> FloatsOf(const onnx::TensorProto& tensor) {
  if (tensor.raw_data().empty()) return {tensor.float_data().begin(), tensor.float_data().end()};
  std::vector<float> floats(tensor.raw_data().size() / sizeof(float));
  std::memcpy(floats.data(), tensor.raw_data().data(), floats.size() * sizeof(float));
  return floats;
}

// Whether a convolution is a product for each pixel: one group, strides of 1, no padding.
bool IsPointwise(const onnx::NodeProto& node) {
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    const auto all = [&](std::int64_t value) {
      return std::all_of(attribute.ints().begin(), attribute.ints().end(), [=](std::int64_t i) { return i == value; });
    };
    if (attribute.name() == "group" && attribute.i() != 1) return false;
    if ((attribute.name() == "strides" || attribute.name() == "kernel_shape") && !all(1)) return false;
    if (attribute.name() == "pads" && !all(0)) return false;
  }
  return true;
}

// Fields of `bits` bits, the lowest first; each `row` fields begin a new row of bytes.
std::string PackFields(const std::uint8_t* fields, std::size_t count, std::size_t bits, std::size_t row,
                       std::size_t row_bytes) {
  std::string bytes(count / row * row_bytes, '\0');
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t bit = 0; bit < bits; ++bit) {
      const std::size_t at = i % row * bits + bit;
      char& byte = bytes[i / row * row_bytes + at / 8];
      byte = static_cast<char>(byte | (fields[i] >> bit & 1) << at % 8);
    }
  }
  return bytes;
}

std::size_t BitsOf(lutra::Format format) { return static_cast<std::size_t>(lutra::Describe(format).stored().planes); }

class Rewriter {
 public:
  explicit Rewriter(const onnx::ModelProto& model) : model_(model), from_(model.graph()) {
    model_.mutable_graph()->clear_node();
    auto* const domain = model_.add_opset_import();
    domain->set_domain("lutra");
    domain->set_version(1);
  }
  void Copy(const onnx::NodeProto& node) { *model_.mutable_graph()->add_node() = node; }

  void Replace(const LinearLayer& layer, const lutra::QuantizedView& w) {
    const onnx::NodeProto& old = from_.node(layer.node);
    const std::string& y = old.output(0);
    std::string x = layer.input, product = y;
    if (layer.convolution) {
      x = y + ".rows";
      product = y + ".product";
      Transpose(layer.input, x, {0, 2, 3, 1});
    }
    onnx::NodeProto& node = *model_.mutable_graph()->add_node();
    node.set_domain("lutra");
    node.set_op_type("MatMulNBits");
    node.set_name(y + ".lutra");
    node.add_input(x);
    for (const char* const part : {".B", ".scales", ".zeros"}) node.add_input(y + part);
    if (layer.convolution && old.input_size() > 2) {
      node.add_input("");
      node.add_input(old.input(2));
    }
    node.add_output(product);
    Attribute(node, "K", w.k);
    Attribute(node, "N", w.m);
    Attribute(node, "bits", BitsOf(w.format));
    Attribute(node, "block_size", w.group);
    Attribute(node, "accuracy_level", 4);  // x in 8 bits
    AddWeights(y, w);
    if (layer.convolution) Transpose(product, y, {0, 3, 1, 2});
  }
  onnx::ModelProto Take() { return std::move(model_); }

 private:
  static void Attribute(onnx::NodeProto& node, const char* name, std::size_t value) {
    auto* const attribute = node.add_attribute();
    attribute->set_name(name);
    attribute->set_type(onnx::AttributeProto::INT);
    attribute->set_i(static_cast<std::int64_t>(value));
  }
  void Transpose(const std::string& from, const std::string& to, const std::vector<int>& order) {
    onnx::NodeProto& node = *model_.mutable_graph()->add_node();
    node.set_op_type("Transpose");
    node.add_input(from);
    node.add_output(to);
    auto* const attribute = node.add_attribute();
    attribute->set_name("perm");
    attribute->set_type(onnx::AttributeProto::INTS);
    for (const int dimension : order) attribute->add_ints(dimension);
  }
  void AddTensor(const std::string& name, onnx::TensorProto::DataType type, const std::vector<std::size_t>& shape,
                 std::string bytes) {
    onnx::TensorProto& tensor = *model_.mutable_graph()->add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (const std::size_t size : shape) tensor.add_dims(static_cast<std::int64_t>(size));
    tensor.set_raw_data(std::move(bytes));
  }
  void AddWeights(const std::string& y, const lutra::QuantizedView& w) {
    const std::size_t bits = BitsOf(w.format), blocks = lutra::GroupsPerRow(w.k, w.group);
    const std::size_t block_bytes = w.group * bits / 8, zero_bytes = (blocks * bits + 7) / 8;
    const auto* const zeros = static_cast<const std::uint8_t*>(w.zeros);
    AddTensor(y + ".B", onnx::TensorProto::UINT8, {w.m, blocks, block_bytes},
              PackFields(w.codes, w.m * w.k, bits, w.k, blocks * block_bytes));
    AddTensor(y + ".scales", onnx::TensorProto::FLOAT, {w.m * blocks},
              std::string(static_cast<const char*>(w.scales), w.m * blocks * sizeof(float)));
    AddTensor(y + ".zeros", onnx::TensorProto::UINT8, {w.m * zero_bytes},
              PackFields(zeros, w.m * blocks, bits, blocks, zero_bytes));
  }

  onnx::ModelProto model_;
  const onnx::GraphProto& from_;
};

}  // namespace

std::vector<LinearLayer> FindLinearLayers(const onnx::ModelProto& model, std::size_t least_k) {
  const Tensors constants = ConstantsOf(model.graph());
  std::vector<LinearLayer> layers;
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const onnx::NodeProto& node = model.graph().node(i);
    const bool convolution = node.op_type() == "Conv";
    if (!convolution && node.op_type() != "MatMul") continue;
    const auto found = constants.find(node.input(1));
    if (found == constants.end() || (convolution && !IsPointwise(node))) continue;
    const onnx::TensorProto& tensor = *found->second;
    if (tensor.dims_size() != (convolution ? 4 : 2)) continue;
    LinearLayer layer;
    layer.node = i;
    layer.input = node.input(0);
    layer.convolution = convolution;
    layer.m = static_cast<std::size_t>(tensor.dims(convolution ? 0 : 1));
    layer.k = static_cast<std::size_t>(tensor.dims(convolution ? 1 : 0));
    layer.weights = FloatsOf(tensor);
    if (layer.k < least_k || layer.weights.size() != layer.m * layer.k) continue;
    if (!convolution) {
      const std::vector<float> columns = layer.weights;  // [K x M]
      for (std::size_t m = 0; m < layer.m; ++m) {
        for (std::size_t k = 0; k < layer.k; ++k) layer.weights[m * layer.k + k] = columns[k * layer.m + m];
      }
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

onnx::ModelProto WithInputsAsOutputs(const onnx::ModelProto& model, const std::vector<LinearLayer>& layers) {
  onnx::ModelProto result = model;
  std::set<std::string> names;
  for (const LinearLayer& layer : layers) {
    if (!names.insert(layer.input).second) continue;
    onnx::ValueInfoProto& output = *result.mutable_graph()->add_output();
    output.set_name(layer.input);
    output.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  }
  return result;
}

std::vector<float> RowsOf(const LinearLayer& layer, const float* tensor, std::size_t size) {
  std::vector<float> rows(tensor, tensor + size);
  if (!layer.convolution) return rows;
  const std::size_t pixels = size / layer.k;  // of one image
  for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
    for (std::size_t k = 0; k < layer.k; ++k) rows[pixel * layer.k + k] = tensor[k * pixels + pixel];
  }
  return rows;
}

onnx::ModelProto WithQuantizedLayers(const onnx::ModelProto& model, const std::vector<LinearLayer>& layers,
                                     const std::vector<lutra::QuantizedMatrix>& weights) {
  Rewriter rewriter(model);
  std::size_t next = 0;
  for (int i = 0; i < model.graph().node_size(); ++i) {
    if (next < layers.size() && layers[next].node == i) {
      rewriter.Replace(layers[next], weights[next].view());
      ++next;
    } else {
      rewriter.Copy(model.graph().node(i));
    }
  }
  return rewriter.Take();
}

}  // namespace ocr
