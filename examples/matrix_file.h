// Matrices of floats in files that are named <name>_<M>x<K>.f32, cut into rows of 256 weights.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace lutra::examples {

inline constexpr std::size_t kCut = 256;  // block types of ggml have up to 256 weights

// A matrix as rows of 256 weights, the rest left out, so that all formats and block types hold the same weights.
// Empty if the file cannot be read.
inline std::vector<float> ReadCutMatrix(const char* path) {
  std::vector<float> weights;
  std::FILE* const file = std::fopen(path, "rb");
  if (file == nullptr) return weights;
  float buffer[kCut];
  while (std::fread(buffer, sizeof(float), kCut, file) == kCut) weights.insert(weights.end(), buffer, buffer + kCut);
  std::fclose(file);
  return weights;
}

// The sum of squared differences over the sum of squares.
inline double NmseOf(const std::vector<float>& actual, const std::vector<float>& expected) {
  double error = 0, square = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = double{actual[i]} - expected[i];
    error += difference * difference;
    square += double{expected[i]} * expected[i];
  }
  return error / square;
}

// "conv1x1_480x480" of a path.
inline std::string MatrixName(const std::string& path) {
  const std::string name = path.substr(path.find_last_of('/') + 1);
  return name.substr(0, name.find('.'));
}

}  // namespace lutra::examples
