// Writes a random Llama through ggml's GGUF functions.
#include "random_llama.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "gguf.h"

namespace random_llama {
namespace {

constexpr std::int64_t kDistinctRows = 256;

// The tensors of a model under construction.
class Writer {
 public:
  Writer(const Shape& shape, const FileType& type, Stored stored, unsigned seed)
      : shape_(shape), type_(type), stored_(stored), random_(seed) {
    // Tensors in total, at 12 per layer and three more; data is not in the context.
    const std::size_t count = static_cast<std::size_t>(shape.block_count) * 12 + 8;
    ggml_ = ggml_init({count * ggml_tensor_overhead(), nullptr, true});
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() {
    gguf_free(gguf_);
    ggml_free(ggml_);
  }

  bool Write(const char* path) {
    AddKeys();
    AddTensors();
    return gguf_write_to_file(gguf_, path, false);
  }

 private:
  void AddKeys() {
    const auto set = [this](const char* key, std::int64_t value) {
      gguf_set_val_u32(gguf_, (std::string("llama.") + key).c_str(), static_cast<std::uint32_t>(value));
    };
    gguf_set_val_str(gguf_, "general.architecture", "llama");
    set("context_length", 2048);
    set("embedding_length", shape_.embedding_length);
    set("feed_forward_length", shape_.feed_forward_length);
    set("block_count", shape_.block_count);
    set("attention.head_count", shape_.head_count);
    set("attention.head_count_kv", shape_.head_count_kv);
    set("rope.dimension_count", shape_.embedding_length / shape_.head_count);
    set("vocab_size", shape_.vocab_size);
    gguf_set_val_f32(gguf_, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    if (shape_.expert_count != 0) {
      set("expert_count", shape_.expert_count);
      set("expert_used_count", shape_.expert_used_count);
    }
    gguf_set_val_str(gguf_, "tokenizer.ggml.model", "no_vocab");
  }

  void AddTensors() {
    const std::int64_t embedding = shape_.embedding_length, feed_forward = shape_.feed_forward_length;
    const std::int64_t kv = embedding / shape_.head_count * shape_.head_count_kv, experts = shape_.expert_count;
    Add("token_embd.weight", type_.output, embedding, shape_.vocab_size);
    Add("output_norm.weight", GGML_TYPE_F32, embedding, 1);
    if (!shape_.tied) Add("output.weight", type_.output, embedding, shape_.vocab_size);
    for (std::int64_t i = 0; i < shape_.block_count; ++i) {
      const std::string layer = "blk." + std::to_string(i) + ".";
      const ggml_type finer = i % 2 == 0 ? type_.finer : type_.type;
      Add(layer + "attn_norm.weight", GGML_TYPE_F32, embedding, 1);
      Add(layer + "attn_q.weight", type_.type, embedding, embedding);
      Add(layer + "attn_k.weight", type_.type, embedding, kv);
      Add(layer + "attn_v.weight", finer, embedding, kv);
      Add(layer + "attn_output.weight", type_.type, embedding, embedding);
      Add(layer + "ffn_norm.weight", GGML_TYPE_F32, embedding, 1);
      if (experts == 0) {
        Add(layer + "ffn_gate.weight", type_.type, embedding, feed_forward);
        Add(layer + "ffn_up.weight", type_.type, embedding, feed_forward);
        Add(layer + "ffn_down.weight", finer, feed_forward, embedding);
      } else {
        Add(layer + "ffn_gate_inp.weight", GGML_TYPE_F32, embedding, experts);
        Add(layer + "ffn_gate_exps.weight", type_.type, embedding, feed_forward, experts);
        Add(layer + "ffn_up_exps.weight", type_.type, embedding, feed_forward, experts);
        Add(layer + "ffn_down_exps.weight", finer, feed_forward, embedding, experts);
      }
    }
  }

  // Adds a tensor of Gaussian weights, scaled so that outputs are as large as inputs; norms of about one.
  void Add(const std::string& name, ggml_type type, std::int64_t k, std::int64_t m, std::int64_t experts = 1) {
    const ggml_type stored = stored_ == Stored::kDequantized ? GGML_TYPE_F32 : type;
    ggml_tensor* const tensor = experts > 1 ? ggml_new_tensor_3d(ggml_, stored, k, m, experts)
                                : m > 1     ? ggml_new_tensor_2d(ggml_, stored, k, m)
                                            : ggml_new_tensor_1d(ggml_, stored, k);
    ggml_set_name(tensor, name.c_str());
    const std::int64_t rows = m * experts, distinct = std::min(rows, kDistinctRows);
    std::normal_distribution<float> normal(m == 1 ? 1.0f : 0.0f,
                                           m == 1 ? 0.1f : 1.0f / std::sqrt(static_cast<float>(k)));
    std::vector<float> weights(static_cast<std::size_t>(distinct * k));
    for (float& weight : weights) weight = normal(random_);
    if (m > 1 && (type == GGML_TYPE_TQ1_0 || type == GGML_TYPE_TQ2_0)) MakeTernary(weights);

    const std::size_t row_bytes = ggml_row_size(stored, k), total = row_bytes * static_cast<std::size_t>(rows);
    const std::size_t period = row_bytes * static_cast<std::size_t>(distinct);
    data_.emplace_back(total);
    std::vector<std::uint8_t>& data = data_.back();
    if (stored == type) {
      Quantize(type, weights, distinct, k, data.data());
    } else {
      std::vector<std::uint8_t> blocks(ggml_row_size(type, k) * static_cast<std::size_t>(distinct));
      Quantize(type, weights, distinct, k, blocks.data());
      ggml_get_type_traits(type)->to_float(blocks.data(), reinterpret_cast<float*>(data.data()), distinct * k);
    }
    for (std::size_t at = period; at < total; at += period) {
      std::copy_n(data.begin(), std::min(period, total - at), data.begin() + static_cast<std::ptrdiff_t>(at));
    }
    gguf_add_tensor(gguf_, tensor);
    gguf_set_tensor_data(gguf_, name.c_str(), data.data());
  }

  // Rounds to -1, 0 and 1 times the mean magnitude, as ternary models are trained: about a third are zeros. ggml's
  // quantizer, which scales by the maximum of a block, would make most Gaussian weights zeros.
  static void MakeTernary(std::vector<float>& weights) {
    double sum = 0;
    for (const float weight : weights) sum += std::abs(static_cast<double>(weight));
    const auto scale = static_cast<float>(sum / static_cast<double>(weights.size()));
    for (float& weight : weights) weight = std::clamp(std::round(weight / scale), -1.0f, 1.0f) * scale;
  }

  static void Quantize(ggml_type type, const std::vector<float>& weights, std::int64_t rows, std::int64_t k, void* to) {
    const std::vector<float> importance(static_cast<std::size_t>(k), 1.0f);  // which some types need
    ggml_quantize_chunk(type, weights.data(), to, 0, rows, k, importance.data());
  }

  const Shape& shape_;
  const FileType& type_;
  const Stored stored_;
  std::mt19937 random_;
  gguf_context* gguf_ = gguf_init_empty();
  ggml_context* ggml_ = nullptr;
  std::vector<std::vector<std::uint8_t>> data_;
};

}  // namespace

bool Write(const char* path, const Shape& shape, const FileType& type, Stored stored, unsigned seed) {
  return Writer(shape, type, stored, seed).Write(path);
}

}  // namespace random_llama
