// Writes protobuf messages: a field is its number, its kind, and a number or bytes (onnx.proto has the numbers).
#include "onnx_model.h"

#include <set>

namespace onnx_model {
namespace {

class Message {
 public:
  Message& Number(unsigned field, std::int64_t value) {
    Varint(field << 3);
    Varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  Message& Bytes(unsigned field, const std::string& value) {
    Varint(field << 3 | 2);
    Varint(value.size());
    bytes_ += value;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void Varint(std::uint64_t value) {
    for (; value >= 128; value >>= 7) bytes_ += static_cast<char>(value | 128);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

std::string Serialize(const Node& node) {
  Message message;
  for (const std::string& input : node.inputs) message.Bytes(1, input);
  for (const std::string& output : node.outputs) message.Bytes(2, output);
  message.Bytes(3, node.domain + "." + node.type).Bytes(4, node.type).Bytes(7, node.domain);
  for (const auto& [name, value] : node.attributes) {
    constexpr std::int64_t kInt = 2;  // AttributeProto.AttributeType
    message.Bytes(5, Message().Bytes(1, name).Number(3, value).Number(20, kInt).bytes());
  }
  return message.bytes();
}

std::string Serialize(const Tensor& tensor) {
  Message message;
  for (const std::int64_t size : tensor.shape) message.Number(1, size);
  return message.Number(2, tensor.type).Bytes(8, tensor.name).Bytes(9, tensor.bytes).bytes();
}

std::string Serialize(const Argument& argument) {
  Message shape;
  for (const std::int64_t size : argument.shape) {
    Message dimension;
    if (size >= 0) dimension.Number(1, size);
    shape.Bytes(1, dimension.bytes());
  }
  Message tensor;
  tensor.Number(1, argument.type).Bytes(2, shape.bytes());
  return Message().Bytes(1, argument.name).Bytes(2, Message().Bytes(1, tensor.bytes()).bytes()).bytes();
}

}  // namespace

std::string Serialize(const Model& model) {
  constexpr std::int64_t kIrVersion = 8, kOpset = 17, kOtherOpset = 1;
  Message graph, file;
  std::set<std::string> domains;
  for (const Node& node : model.nodes) {
    graph.Bytes(1, Serialize(node));
    domains.insert(node.domain);
  }
  graph.Bytes(2, "graph");
  for (const Tensor& constant : model.constants) graph.Bytes(5, Serialize(constant));
  for (const Argument& input : model.inputs) graph.Bytes(11, Serialize(input));
  for (const Argument& output : model.outputs) graph.Bytes(12, Serialize(output));
  file.Number(1, kIrVersion).Bytes(7, graph.bytes());
  file.Bytes(8, Message().Bytes(1, "").Number(2, kOpset).bytes());
  for (const std::string& domain : domains) file.Bytes(8, Message().Bytes(1, domain).Number(2, kOtherOpset).bytes());
  return file.bytes();
}

}  // namespace onnx_model
