// A Llama with random weights in a GGUF file, for tests and for measuring speed without a real model.
#pragma once

#include <cstdint>
#include <vector>

#include "ggml.h"

namespace random_llama {

// The sizes of a model, by the names of GGUF's keys.
struct Shape {
  const char* name;
  std::int64_t embedding_length, feed_forward_length, block_count, head_count, head_count_kv, vocab_size;
  std::int64_t expert_count = 0, expert_used_count = 0;  // 0: no experts
  bool tied = false;                                     // the output layer is the table of embeddings
};
inline constexpr Shape kShapes[] = {
    {"tiny", 256, 768, 2, 4, 2, 320},
    {"tied", 256, 512, 2, 4, 4, 352, 0, 0, true},
    {"moe", 256, 256, 2, 4, 2, 288, 8, 2},
    {"1b", 2048, 5632, 22, 32, 4, 32000},  // TinyLlama's
};

// What quantizers call a file type: most tensors have `type`; attn_v and ffn_down of some layers have `finer`; the
// embeddings and the output layer have `output`.
struct FileType {
  const char* name;
  ggml_type type, finer, output;
};
inline constexpr FileType kFileTypes[] = {
    {"q4_0", GGML_TYPE_Q4_0, GGML_TYPE_Q4_0, GGML_TYPE_Q6_K},
    {"q4_1", GGML_TYPE_Q4_1, GGML_TYPE_Q4_1, GGML_TYPE_Q6_K},
    {"q5_0", GGML_TYPE_Q5_0, GGML_TYPE_Q5_0, GGML_TYPE_Q6_K},
    {"q5_1", GGML_TYPE_Q5_1, GGML_TYPE_Q5_1, GGML_TYPE_Q6_K},
    {"q8_0", GGML_TYPE_Q8_0, GGML_TYPE_Q8_0, GGML_TYPE_Q8_0},
    {"q2_k", GGML_TYPE_Q2_K, GGML_TYPE_Q2_K, GGML_TYPE_Q2_K},
    {"q3_k", GGML_TYPE_Q3_K, GGML_TYPE_Q3_K, GGML_TYPE_Q3_K},
    {"q3_k_m", GGML_TYPE_Q3_K, GGML_TYPE_Q4_K, GGML_TYPE_Q6_K},
    {"q4_k", GGML_TYPE_Q4_K, GGML_TYPE_Q4_K, GGML_TYPE_Q4_K},
    {"q4_k_m", GGML_TYPE_Q4_K, GGML_TYPE_Q6_K, GGML_TYPE_Q6_K},
    {"q5_k", GGML_TYPE_Q5_K, GGML_TYPE_Q5_K, GGML_TYPE_Q5_K},
    {"q6_k", GGML_TYPE_Q6_K, GGML_TYPE_Q6_K, GGML_TYPE_Q6_K},
    {"iq4_nl", GGML_TYPE_IQ4_NL, GGML_TYPE_IQ4_NL, GGML_TYPE_IQ4_NL},
    {"iq4_xs", GGML_TYPE_IQ4_XS, GGML_TYPE_IQ4_XS, GGML_TYPE_IQ4_XS},
    {"iq3_s", GGML_TYPE_IQ3_S, GGML_TYPE_IQ3_S, GGML_TYPE_IQ3_S},
    {"iq3_xxs", GGML_TYPE_IQ3_XXS, GGML_TYPE_IQ3_XXS, GGML_TYPE_IQ3_XXS},
    {"iq2_s", GGML_TYPE_IQ2_S, GGML_TYPE_IQ2_S, GGML_TYPE_IQ2_S},
    {"iq2_xs", GGML_TYPE_IQ2_XS, GGML_TYPE_IQ2_XS, GGML_TYPE_IQ2_XS},
    {"iq2_xxs", GGML_TYPE_IQ2_XXS, GGML_TYPE_IQ2_XXS, GGML_TYPE_IQ2_XXS},
    {"iq1_s", GGML_TYPE_IQ1_S, GGML_TYPE_IQ1_S, GGML_TYPE_IQ1_S},
    {"iq1_m", GGML_TYPE_IQ1_M, GGML_TYPE_IQ1_M, GGML_TYPE_IQ1_M},
    {"tq1_0", GGML_TYPE_TQ1_0, GGML_TYPE_TQ1_0, GGML_TYPE_TQ1_0},
    {"tq2_0", GGML_TYPE_TQ2_0, GGML_TYPE_TQ2_0, GGML_TYPE_TQ2_0},
    {"mxfp4", GGML_TYPE_MXFP4, GGML_TYPE_MXFP4, GGML_TYPE_MXFP4},
    {"nvfp4", GGML_TYPE_NVFP4, GGML_TYPE_NVFP4, GGML_TYPE_NVFP4},
    {"q1_0", GGML_TYPE_Q1_0, GGML_TYPE_Q1_0, GGML_TYPE_Q6_K},
    {"q2_0", GGML_TYPE_Q2_0, GGML_TYPE_Q2_0, GGML_TYPE_Q2_0},
};

// How the tensors of a file type are stored: as they are, or dequantized, in f32.
enum class Stored { kQuantized, kDequantized };

// Writes the model to `path`. The same shape and seed give the same weights, which every file type quantizes. Tensors
// of more than 256 rows repeat the first 256. Returns false if the file cannot be written.
bool Write(const char* path, const Shape& shape, const FileType& type, Stored stored = Stored::kQuantized,
           unsigned seed = 1);

}  // namespace random_llama
