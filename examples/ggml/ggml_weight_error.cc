// Prints how exactly ggml's types hold matrices of floats, beside weight_error: ggml_weight_error FILE...
#include <cstdio>
#include <vector>

#include "../matrix_file.h"
#include "ggml.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: ggml_weight_error FILE...\n");
    return 2;
  }
  std::vector<std::vector<float>> matrices;
  std::printf("%-38s %5s", "NMSE of ggml's types", "bits");
  for (int i = 1; i < argc; ++i) {
    matrices.push_back(lutra::examples::ReadCutMatrix(argv[i]));
    if (matrices.back().empty()) {
      std::fprintf(stderr, "ggml_weight_error: %s cannot be read, or has less than 256 floats\n", argv[i]);
      return 2;
    }
    std::printf(" %28s", lutra::examples::MatrixName(argv[i]).c_str());
  }
  std::printf("\n");
  const auto cut = static_cast<std::int64_t>(lutra::examples::kCut);
  for (int id = 0; id < GGML_TYPE_COUNT; ++id) {
    const auto type = static_cast<ggml_type>(id);
    const ggml_type_traits* const traits = ggml_get_type_traits(type);
    if (!ggml_is_quantized(type) || traits->blck_size == 0 || traits->to_float == nullptr ||
        cut % traits->blck_size != 0 || type == GGML_TYPE_Q8_1 || type == GGML_TYPE_Q8_K) {
      continue;
    }
    ggml_quantize_init(type);
    const std::vector<float> ones(lutra::examples::kCut, 1.0f);  // the importance that types of grids need
    const double bits = 8.0 * static_cast<double>(traits->type_size) / static_cast<double>(traits->blck_size);
    std::printf("%-38s %5.2f", traits->type_name, bits);
    for (const std::vector<float>& weights : matrices) {
      const auto count = static_cast<std::int64_t>(weights.size());
      std::vector<unsigned char> blocks(ggml_row_size(type, count));
      std::vector<float> out(weights.size());
      const float* const importance = ggml_quantize_requires_imatrix(type) ? ones.data() : nullptr;
      ggml_quantize_chunk(type, weights.data(), blocks.data(), 0, count / cut, cut, importance);
      traits->to_float(blocks.data(), out.data(), count);
      std::printf(" %28.2e", lutra::examples::NmseOf(out, weights));
    }
    std::printf("\n");
  }
  ggml_quantize_free();
  return 0;
}
