// Writes .safetensors files: any tensors, and the tensors of a checkpoint under the names that its tool gives them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "support/checkpoint_tensors.h"

namespace lutra::test {

class SafetensorsWriter {
 public:
  void Tensor(const std::string& name, const std::string& dtype, const std::vector<std::size_t>& shape,
              const void* data, std::size_t size) {
    std::string dims;
    for (const std::size_t dim : shape) dims += (dims.empty() ? "" : ",") + std::to_string(dim);
    entries_ += (entries_.empty() ? "" : ",") + ("\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + dims) +
                "],\"data_offsets\":[" + std::to_string(data_.size()) + "," + std::to_string(data_.size() + size) +
                "]}";
    const auto* const bytes = static_cast<const std::uint8_t*>(data);
    data_.insert(data_.end(), bytes, bytes + size);
  }
  template <class T>
  void Values(const std::string& name, const std::string& dtype, const std::vector<T>& values) {
    Tensor(name, dtype, {values.size()}, values.data(), values.size() * sizeof(T));
  }

  // The tensors of a case whose shape each tool can have: M is a multiple of 32, K of 32 and of the group.
  void Checkpoint(const std::string& name, const CheckpointCase& c, const CheckpointTensors& tensors);

  std::vector<std::uint8_t> Bytes() const { return File("{" + entries_ + "}", data_); }
  static std::vector<std::uint8_t> File(const std::string& header, const std::vector<std::uint8_t>& data) {
    const std::uint64_t length = header.size();
    std::vector<std::uint8_t> bytes(sizeof(length) + header.size() + data.size());
    std::memcpy(bytes.data(), &length, sizeof(length));
    std::copy(header.begin(), header.end(), bytes.begin() + sizeof(length));
    std::copy(data.begin(), data.end(), bytes.end() - static_cast<std::ptrdiff_t>(data.size()));
    return bytes;
  }
  // quantization_config as its tool writes it.
  static std::string Config(const CheckpointCase& c) {
    const std::string bits = std::to_string(c.bits), group = std::to_string(c.group_size);
    const std::string block = "[" + std::to_string(c.scale_rows()) + "," + group + "]";
    const bool blocks = c.scale_rows() != 1 && c.group_size != -1;
    return R"({"quantization_config":{"bits":)" + bits + R"(,"group_size":)" + group +
           (blocks && c.is_fp8() ? R"(,"weight_block_size":)" + block : "") +
           R"(,"config_groups":{"group_0":{"weights":{"num_bits":)" + bits + R"(,"group_size":)" + group +
           (blocks && !c.is_fp8() ? R"(,"block_structure":)" + block : "") + "}}}}}";
  }

 private:
  void Bytes(const std::string& name, const std::string& dtype, const std::vector<std::size_t>& shape,
             const TensorBytes& tensor) {
    Tensor(name, dtype, shape, tensor.data, tensor.size);
  }
  void Number(const std::string& name, float value) { Tensor(name, "F32", {1}, &value, sizeof(value)); }
  void Words(const std::string& name, const CheckpointCase& c, const CheckpointView& v);
  void Compressed(const std::string& name, const CheckpointCase& c, const CheckpointView& v);
  void BitsAndBytes(const std::string& name, const CheckpointCase& c, const CheckpointView& v);
  void Hqq(const std::string& name, const CheckpointCase& c, const CheckpointView& v);

  std::string entries_;
  std::vector<std::uint8_t> data_;
};

inline std::string FloatName(DataType type) {
  return type == DataType::kF32 ? "F32" : type == DataType::kF16 ? "F16" : type == DataType::kBF16 ? "BF16" : "F8_E8M0";
}

inline void SafetensorsWriter::Words(const std::string& name, const CheckpointCase& c, const CheckpointView& v) {
  const std::size_t bits = static_cast<std::size_t>(c.bits), groups = c.groups();
  const bool awq = c.scheme == CheckpointScheme::kAwq;
  const std::vector<std::size_t> shape = awq ? std::vector{c.k, c.m / 8} : std::vector{c.k * bits / 32, c.m};
  Bytes(name + ".qweight", "I32", shape, v.codes);
  Bytes(name + ".qzeros", "I32", {groups, c.m * bits / 32}, v.zeros);
  Bytes(name + ".scales", "F16", {groups, c.m}, v.scales);
  if (v.g_idx.size != 0) Tensor(name + ".g_idx", "I32", {c.k}, v.g_idx.data, 4 * c.k);
}

inline void SafetensorsWriter::Compressed(const std::string& name, const CheckpointCase& c, const CheckpointView& v) {
  const std::size_t groups = c.groups();
  // A scale of the matrix has one dimension.
  const std::vector<std::size_t> scales = c.blocks() == 1 ? std::vector{groups} : std::vector{c.blocks(), groups};
  Bytes(name + ".weight_scale", FloatName(c.scale_type), scales, v.scales);
  if (c.scheme == CheckpointScheme::kIntQuantized) {
    if (v.zeros.size != 0) Bytes(name + ".weight_zero_point", "I8", scales, v.zeros);
    return Bytes(name + ".weight", "I8", {c.m, c.k}, v.codes);
  }
  const std::int64_t shape[] = {static_cast<std::int64_t>(c.m), static_cast<std::int64_t>(c.k)};
  Bytes(name + ".weight_packed", "I32", {c.m, v.codes.size / 4 / c.m}, v.codes);
  Tensor(name + ".weight_shape", "I64", {2}, shape, sizeof(shape));
  if (v.byte_zeros) {
    Bytes(name + ".weight_zero_point", "I8", scales, v.zeros);
  } else if (v.zeros.size != 0) {
    Bytes(name + ".weight_zero_point", "I32", {v.zeros.size / 4 / groups, groups}, v.zeros);
  }
  if (v.g_idx.size != 0) Tensor(name + ".weight_g_idx", "I32", {c.k}, v.g_idx.data, 4 * c.k);
}

inline void SafetensorsWriter::BitsAndBytes(const std::string& name, const CheckpointCase& c, const CheckpointView& v) {
  const bool nested = v.nested.absmax.size != 0;
  const std::string type = Name(c.scheme);
  std::string state = R"({"quant_type":")" + type + R"(","blocksize":)" + std::to_string(c.group()) + R"(,"shape":[)" +
                      std::to_string(c.m) + "," + std::to_string(c.k) + "]";
  if (nested) state += R"(,"nested_blocksize":256,"nested_offset":)" + std::to_string(v.nested.offset);
  state += "}";
  Bytes(name + ".weight", "U8", {v.codes.size, 1}, v.codes);
  Bytes(name + ".weight.absmax", nested ? "U8" : "F32", {v.scales.size / (nested ? 1 : 4)}, v.scales);
  Tensor(name + ".weight.quant_state.bitsandbytes__" + type, "U8", {state.size()}, state.data(), state.size());
  if (!nested) return;
  Tensor(name + ".weight.nested_absmax", "F32", {v.nested.absmax.size}, v.nested.absmax.data, 4 * v.nested.absmax.size);
  Tensor(name + ".weight.nested_quant_map", "F32", {256}, v.nested.map.data, 1024);
}

inline void SafetensorsWriter::Hqq(const std::string& name, const CheckpointCase& c, const CheckpointView& v) {
  const std::size_t rows = c.m * c.k / c.group();
  const std::string type = FloatName(c.scale_type);
  const std::size_t bytes = c.bits == 3 ? 4 : 1;
  Bytes(name + ".W_q", c.bits == 3 ? "I32" : "U8", {v.codes.size / bytes / c.group(), c.group()}, v.codes);
  Bytes(name + ".scale", type, {rows, 1}, v.scales);
  Bytes(name + ".zero", type, {rows, 1}, v.zeros);
  Values(name + ".nbits", "I32", std::vector<std::int32_t>{c.bits});
  Values(name + ".axis", "I32", std::vector<std::int32_t>{1});
  Values(name + ".group_size", "I32", std::vector<std::int32_t>{static_cast<std::int32_t>(c.group())});
  Values(name + ".shape", "I64",
         std::vector<std::int64_t>{static_cast<std::int64_t>(c.m), static_cast<std::int64_t>(c.k)});
}

inline void SafetensorsWriter::Checkpoint(const std::string& name, const CheckpointCase& c,
                                          const CheckpointTensors& tensors) {
  const CheckpointView& v = tensors.view();
  switch (c.scheme) {
    case CheckpointScheme::kGptq:
    case CheckpointScheme::kAwq:
      return Words(name, c, v);
    case CheckpointScheme::kPackQuantized:
    case CheckpointScheme::kIntQuantized:
      return Compressed(name, c, v);
    case CheckpointScheme::kNf4:
    case CheckpointScheme::kFp4:
      return BitsAndBytes(name, c, v);
    case CheckpointScheme::kMxfp4:
      Bytes(name + "_blocks", "U8", {c.m, c.k / 32, 16}, v.codes);
      return Bytes(name + "_scales", "U8", {c.m, c.k / 32}, v.scales);
    case CheckpointScheme::kNvfp4:
      Bytes(name + (c.variant ? ".weight_packed" : ".weight"), "U8", {c.m, c.k / 2}, v.codes);
      Bytes(name + ".weight_scale", "F8_E4M3", {c.m, c.k / 16}, v.scales);
      return Number(name + (c.variant ? ".weight_global_scale" : ".weight_scale_2"), v.matrix_scale);
    case CheckpointScheme::kHqq:
      return Hqq(name, c, v);
    case CheckpointScheme::kBitnet:
      Bytes(name + ".weight", "U8", {c.m / 4, c.k}, v.codes);
      return Number(name + ".weight_scale", v.matrix_scale);
    case CheckpointScheme::kFp8:
    case CheckpointScheme::kFp8E5M2:
      Bytes(name + ".weight", c.scheme == CheckpointScheme::kFp8 ? "F8_E4M3" : "F8_E5M2", {c.m, c.k}, v.codes);
      if (c.group_size == 32 && !c.variant && c.scale_type == DataType::kE8M0) {  // MXFP8
        return Bytes(name + ".weight_scale", "U8", {c.m, c.groups()}, v.scales);
      }
      return Bytes(name + (c.variant ? ".weight_scale_inv"
                           : c.order ? ".scale"
                                     : ".weight_scale"),
                   FloatName(c.scale_type), {c.blocks(), c.groups()}, v.scales);
  }
}

// The cases of a scheme that a file without a configuration holds, in such a shape.
inline std::vector<CheckpointCase> FileCasesOf(const CheckpointInfo& info) {
  std::vector<CheckpointCase> cases;
  for (CheckpointCase c : CasesOf(info)) {
    c.m = 64;
    c.k = c.group_size == 512 ? 1024 : 384;
    // GPTQ of version 2 and AutoBitLinear need a configuration.
    if (c.scheme == CheckpointScheme::kGptq && c.variant) continue;
    if (c.scheme == CheckpointScheme::kBitnet && !c.variant) continue;
    cases.push_back(c);
  }
  return cases;
}

}  // namespace lutra::test
