// Which tensors of a .safetensors file are a matrix, and in which scheme.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lutra/checkpoint.h"
#include "safetensors_file.h"

namespace lutra::examples {

// A matrix of a file, or several of one shape (experts) that share a tensor.
struct FoundMatrix {
  std::string name;                // of the tensor with the codes
  std::string refusal;             // why it cannot be imported; empty if it can
  CheckpointView view;             // of the first matrix
  std::vector<std::string> parts;  // the names of all its tensors but the codes
  std::size_t slices = 1;          // matrices
  std::size_t bytes = 0;           // of the codes, scales and zeros of the first matrix

  // The view of matrix number i, which is below `slices`.
  CheckpointView Slice(std::size_t i) const;
};

// All matrices of the file, in the order of the tensors with their codes.
std::vector<FoundMatrix> FindMatrices(const SafetensorsFile& file);

}  // namespace lutra::examples
