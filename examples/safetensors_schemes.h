// Which tensors of a .safetensors file are a matrix, and in which scheme.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lutra/checkpoint.h"
#include "safetensors_file.h"

namespace lutra::examples {

// A matrix, or several of one shape (experts), of a file.
struct FoundMatrix {
  std::string name;                // of the tensor with the codes
  std::string refusal;             // why it cannot be imported; empty if it can
  CheckpointView view;             // of the first one
  std::vector<std::string> parts;  // the tensors that belong to it, but the first
  std::size_t slices = 1;
  std::size_t bytes = 0;  // of all parts that hold codes, scales or zeros

  // The view of matrix number i.
  CheckpointView Slice(std::size_t i) const;
};

// All matrices whose codes stand in tensors of the file; in the order of its tensors.
std::vector<FoundMatrix> FindMatrices(const SafetensorsFile& file);

}  // namespace lutra::examples
